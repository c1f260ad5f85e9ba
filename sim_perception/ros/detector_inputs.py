"""What the 3D detection node takes: a scan or depth image, an image and the camera, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from sim_perception.bags.images import depth_image, rgb_image
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.rectification import rectify
from sim_perception.inference.plan import depth_frame
from sim_perception.ros.calibration import Calibration
from sim_perception.ros.conversions import (
    check_camera_fits,
    stamp_to_ns,
)
from sim_perception.ros.label_inputs import level_cloud
from sim_perception.ros.parameters import Detector3dParameters
from sim_perception.ros.placement import Lookup
from sim_perception.types import Camera


@dataclass(frozen=True)
class DetectorInput:
    """One frame to detect in.

    Attributes:
        frame: camera and cloud in the level frame.
        image: (H, W, 3) RGB, undistorted, or None.
        stamp: of the frame.
        camera: as calibrated, with its lens.
    """

    frame: LidarFrame
    image: npt.NDArray[np.uint8] | None
    stamp: Time
    camera: Camera


def read_detector_input(
    place: Any,
    image: Any | None,
    calibration: Calibration,
    parameters: Detector3dParameters,
    lookup: Lookup,
) -> DetectorInput:
    """Return what messages show that belong together.

    The moment is the image's, without one the scan's.

    Args:
        place: PointCloud2, or for points ``depth`` a depth image of the camera.
        image: the camera's image, raw or compressed, or None.
        calibration: of the camera; its frame is used without an image.
        parameters: of the node.
        lookup: gives transforms.

    Raises:
        ValueError: for unusable messages, or a calibration that does not fit them.
        TransformError: if the sensors' mounting is not known.
    """
    moment = place.header.stamp if image is None else image.header.stamp
    stamp = stamp_to_ns(moment)
    camera_frame = calibration.frame if image is None else image.header.frame_id
    if not camera_frame:
        raise ValueError('the camera has no frame_id; set header.frame_id to its optical frame')
    level = parameters.level_frame
    camera_T_level = np.asarray(lookup(camera_frame, level, stamp), float)
    rgb = None if image is None else rgb_image(image)
    depth = depth_image(place) if isinstance(place, Image) else None
    camera = calibration.camera(depth if rgb is None else rgb)
    ideal = camera.ideal
    if rgb is not None:
        check_camera_fits(camera, rgb)
        rgb = rectify(camera, rgb)
    if depth is not None:
        depth = rectify(camera, depth, np.nan)
        return DetectorInput(depth_frame(depth, ideal, camera_T_level), rgb, moment, camera)
    points, sensor, _ = level_cloud(place, stamp, lookup, level, parameters.fixed_frame)
    return DetectorInput(LidarFrame(ideal, camera_T_level, points, sensor), rgb, moment, camera)
