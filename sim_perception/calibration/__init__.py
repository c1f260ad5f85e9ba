"""Camera calibrations in files: camera_info YAML, kalibr camchains, places of links in URDF."""

from sim_perception.calibration.info import Calibration, lens_model
from sim_perception.calibration.reading import calibration_fields, read_calibration, read_camera
from sim_perception.calibration.urdf import read_link_pose

__all__ = [
    'Calibration',
    'calibration_fields',
    'lens_model',
    'read_calibration',
    'read_camera',
    'read_link_pose',
]
