"""Labels and 3D detections from Python: the engines' own, wherever points and camera are given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim_perception import Camera, load
from sim_perception.api.inputs import as_frame
from sim_perception.api.labelling import AutoLabeler
from sim_perception.geometry.cameras import distort_boxes, undistort_boxes
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.rectification import rectify
from sim_perception.geometry.transforms import from_euler, invert, make_transform, transform_points

CAMERA = Camera(320, 96, 186.0, 186.0, 159.5, 47.5)
LEVEL_T_CAMERA = from_euler(0.0, 0.0, 0.0, np.array([0.3, 0.0, 1.6])) @ np.array(
    [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]
)
LEVEL_T_LIDAR = from_euler(0.0, 0.0, 0.2, np.array([0.0, 0.1, 1.8]))
CAMERA_T_LIDAR = invert(LEVEL_T_CAMERA) @ LEVEL_T_LIDAR


def scene() -> np.ndarray:
    """Return points of a street with the near sides of a box on it, in the level frame."""
    floor = np.stack(np.meshgrid(np.linspace(4, 30, 80), np.linspace(-8, 8, 60)), -1)
    rear = np.stack(np.meshgrid(np.linspace(-0.9, 0.9, 30), np.linspace(0.3, 1.4, 20)), -1)
    return np.concatenate(
        [
            np.insert(floor.reshape(-1, 2), 2, 0.0, axis=1),
            np.insert(rear.reshape(-1, 2), 0, 10.0, axis=1),
        ]
    )


@pytest.fixture(scope='module')
def labeler() -> AutoLabeler:
    return load('auto_labeler')


def test_points_of_any_frame_become_those_of_the_level_frame() -> None:
    level = scene()
    lidar = transform_points(invert(LEVEL_T_LIDAR), level)
    with_intensity = np.column_stack([lidar, np.ones(len(lidar))]).astype(np.float32)
    frame = as_frame(with_intensity, CAMERA, CAMERA_T_LIDAR, LEVEL_T_CAMERA)
    np.testing.assert_allclose(frame.points, level, atol=1e-5)
    np.testing.assert_allclose(frame.sensor, LEVEL_T_LIDAR[:3, 3])
    optical = transform_points(invert(LEVEL_T_CAMERA), level)
    at_camera = as_frame(optical, CAMERA, None, None)
    np.testing.assert_allclose(at_camera.points, level - LEVEL_T_CAMERA[:3, 3], atol=1e-9)
    np.testing.assert_allclose(at_camera.sensor, 0)


def test_points_and_transforms_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r'named columns: np\.stack'):
        as_frame(np.zeros(5, [('x', float), ('y', float), ('z', float)]), CAMERA, None, None)
    with pytest.raises(ValueError, match='camera_T_points must be'):
        as_frame(scene(), CAMERA, np.eye(4)[:3], None)
    with pytest.raises(ValueError, match='level_T_camera must be'):
        as_frame(scene(), CAMERA, None, np.diag([1.0, 1, -1, 1]))


@pytest.mark.slow
def test_labels_are_the_engines_in_the_order_of_the_boxes(labeler: AutoLabeler) -> None:
    boxes = [[138.0, 47.0, 178.0, 74.0], [-5.0, 10.0, -2.0, 12.0], [141, 48, 600.0, 73]]
    points = transform_points(invert(LEVEL_T_LIDAR), scene())
    poses = {'camera_T_points': CAMERA_T_LIDAR, 'level_T_camera': LEVEL_T_CAMERA}
    labels = labeler(points, None, CAMERA, boxes, **poses)
    frame = LidarFrame(CAMERA, invert(LEVEL_T_CAMERA), scene(), LEVEL_T_LIDAR[:3, 3])
    clipped = np.clip(boxes, 0, [319, 95, 319, 95])
    expected = labeler.engine.label(frame, clipped)
    assert [label.box2d for label in labels] == [tuple(map(float, box)) for box in boxes]
    assert [label.reason for label in labels] == [label.reason for label in expected]
    assert labels[1].reason == 'bad_box'
    np.testing.assert_allclose(
        labels[0].box3d.parent_T_box, expected[0].box3d.parent_T_box, atol=1e-6
    )
    assert abs(labels[0].box3d.parent_T_box[1, 3]) < 0.3
    assert labeler(points, None, CAMERA, [], **poses) == []
    with pytest.raises(ValueError, match='no mesh'):
        labeler.mesh(labels[1])


def test_the_labeler_refuses_what_it_cannot_use(labeler: AutoLabeler) -> None:
    with pytest.raises(ValueError, match="mode='mono'"):
        labeler(None, None, CAMERA, [])
    with pytest.raises(ValueError, match='how large its image is'):
        labeler(scene(), None, CAMERA.matrix, [])
    with pytest.raises(ValueError, match=r'boxes must be \(M, 4\)'):
        labeler(scene(), None, CAMERA, [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match='unknown mode'):
        load('auto_labeler', mode='radar')


@pytest.mark.slow
def test_boxes_of_a_lens_are_labelled_where_the_pinhole_sees_them(labeler: AutoLabeler) -> None:
    lens = replace(CAMERA, distortion=(-0.3, 0.1, 0.0, 0.0))
    straight = np.array([[138.0, 47.0, 178.0, 74.0], [230.0, 40.0, 300.0, 80.0]])
    bent = distort_boxes(lens, straight)
    assert np.abs(bent - straight).max() > 3, 'pixels'
    points = transform_points(invert(LEVEL_T_CAMERA), scene())
    labels = labeler(points, None, lens, bent)
    expected = labeler(points, None, CAMERA, straight)
    np.testing.assert_allclose([label.box2d for label in labels], bent)
    for one, other in zip(labels, expected, strict=True):
        assert one.reason == other.reason
        assert one.confidence == pytest.approx(other.confidence, abs=0.02)


@pytest.mark.slow
def test_the_fused_labeler_and_the_coordinates_network_see_the_rectified_image() -> None:
    lens = replace(CAMERA, distortion=(-0.3, 0.1, 0.0, 0.0))
    image = np.random.default_rng(1).integers(0, 256, (96, 320, 3), np.uint8)
    boxes = np.array([[138.0, 47.0, 178.0, 74.0]])
    seen = rectify(lens, image)
    net = load('surface_coordinates', device='cpu')
    with pytest.raises(ValueError, match='crops are of rectified images'):
        net(image, lens, boxes)
    (crop,) = net(seen, CAMERA, boxes)
    (expected,) = net.engine.infer(seen, CAMERA, boxes)
    np.testing.assert_array_equal(crop.visible, expected.visible)

    fused = load('auto_labeler', mode='fused')
    points = transform_points(invert(LEVEL_T_CAMERA), scene())
    bent = distort_boxes(lens, boxes)
    (label,) = fused(points, image, lens, bent)
    frame = as_frame(points, lens, None, None)
    (own,) = fused.engine.label(frame, undistort_boxes(lens, bent), image=seen)
    assert label.reason == own.reason
    assert label.confidence == pytest.approx(own.confidence)
    with pytest.raises(ValueError, match='need the image'):
        fused(points, None, lens, bent)


@pytest.mark.slow
def test_the_3d_detector_gives_the_engines_boxes() -> None:
    net = load('detector3d', device='cpu', threshold=0.05)
    image = np.random.default_rng(0).integers(0, 256, (96, 320, 3), np.uint8)
    points = transform_points(invert(LEVEL_T_LIDAR), scene())
    found = net(
        points, image, CAMERA, camera_T_points=CAMERA_T_LIDAR, level_T_camera=LEVEL_T_CAMERA
    )
    pose = make_transform(LEVEL_T_CAMERA[:3, :3], LEVEL_T_CAMERA[:3, 3])
    frame = LidarFrame(CAMERA, invert(pose), scene(), LEVEL_T_LIDAR[:3, 3])
    expected = net.engine.detect(frame, image)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        np.testing.assert_allclose(one.box3d.size, other.box3d.size, rtol=1e-2)
