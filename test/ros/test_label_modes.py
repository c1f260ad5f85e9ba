"""What the labelling node takes in its modes."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert, make_transform
from sim_perception.nodes.auto_labeler import input_streams
from sim_perception.ros.label_inputs import read_input
from sim_perception.ros.parameters import AutoLabelerParameters
from sim_perception.ros.tf import TransformError
from sim_perception.types import Camera

CAMERA = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)


def test_every_mode_matches_what_it_looks_at() -> None:
    kinds = {mode: [kind for _, kind in input_streams(mode, 'raw')] for mode in
             ('lidar', 'mono', 'fused')}  # fmt: skip
    assert kinds['lidar'] == [Detection2DArray, PointCloud2]
    assert kinds['mono'] == [Detection2DArray, Image]
    assert kinds['fused'] == [Detection2DArray, PointCloud2, Image]
    assert input_streams('mono', 'compressed')[1][1] is CompressedImage


def test_a_frame_without_a_scan_has_no_points() -> None:
    base_T_camera = make_transform(BODY_T_OPTICAL[:3, :3], (0.3, 0.0, 1.6))

    def lookup(target: str, source: str, stamp: int) -> np.ndarray:
        if target == 'camera':
            return invert(base_T_camera)
        raise TransformError(f'no transform from {source} to {target}')

    array = Detection2DArray(header=Header(frame_id='camera'))
    seen = read_input(array, None, CAMERA, {}, 10, AutoLabelerParameters(), lookup)
    assert seen.frame.points.shape == (0, 3)
    np.testing.assert_allclose(seen.frame.sensor, [0.3, 0, 1.6], atol=1e-9)
    assert seen.world_T_level is None
