"""Average precision against cases worked out by hand, and what is ignored."""

import numpy as np
import pytest

from sim_perception.geometry.boxes import project_box
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, make_transform
from sim_perception.types import Box3D, Camera, Detection
from training.datasets.objects.label_scenes import LabelScene, TrueObject, cut_box
from training.evaluation.detector3d.average_precision import (
    DIFFICULTIES,
    KITTI_FOCAL,
    Compared,
    Difficulty,
    average_precision,
    compare,
    compare_in_image,
    height_of,
    match,
)

CAMERA = Camera(1242, 375, KITTI_FOCAL, KITTI_FOCAL, 621.0, 187.0)
camera_T_level = invert(make_transform(BODY_T_OPTICAL[:3, :3], np.array([0.0, 0.0, 1.65])))


def compared(score, iou, ignored_truth=None, ignored_found=None):
    iou = np.array(iou, float).reshape(len(score), -1)
    truth = np.zeros(iou.shape[1], bool) if ignored_truth is None else np.array(ignored_truth)
    found = np.zeros(len(score), bool) if ignored_found is None else np.array(ignored_found)
    return Compared(np.array(score, float), iou, truth, found)


def test_everything_found_and_nothing_else_is_one():
    frames = [compared([0.9, 0.8], np.eye(2)), compared([0.7], [[0.6]])]
    assert average_precision(frames, 0.5) == pytest.approx(1.0)


def test_nothing_found_is_nought_and_nothing_there_is_undefined():
    nothing = Compared(np.zeros(0), np.zeros((0, 3)), np.zeros(3, bool), np.zeros(0, bool))
    assert average_precision([nothing], 0.5) == 0.0
    assert np.isnan(average_precision([compared([0.9], np.zeros((1, 0)))], 0.5))


def test_half_found_is_half():
    frame = compared([0.9], [[0.8, 0.0]])
    # precision 1 up to recall 1/2: 20 of 40 positions
    assert average_precision([frame], 0.5) == pytest.approx(0.5)


def test_a_false_alarm_above_costs_more_than_one_below():
    below = compared([0.9, 0.8, 0.1], [[0.7, 0], [0, 0.7], [0, 0]])
    assert average_precision([below], 0.5) == pytest.approx(1.0)
    # false first: precision is 1/2 at recall 1/2 and 2/3 at recall 1; the best at or beyond counts
    above = compared([0.9, 0.8, 0.95], [[0.7, 0], [0, 0.7], [0, 0]])
    assert average_precision([above], 0.5) == pytest.approx(2 / 3)


def test_a_staircase_worked_out_by_hand():
    # four objects, judged: right, wrong, right, wrong, wrong, right; one is never found
    verdicts = [1, 0, 1, 0, 0, 1]
    iou = np.zeros((6, 4))
    for row, column in zip(np.flatnonzero(verdicts), range(3), strict=True):
        iou[row, column] = 0.9
    frame = compared(np.linspace(0.9, 0.4, 6), iou)
    # recall 1/4: 1, recall 2/4: 2/3, recall 3/4: 3/6, recall 1: never; 10 positions each
    assert average_precision([frame], 0.7) == pytest.approx((1 + 2 / 3 + 1 / 2) / 4)


def test_two_detections_of_one_object_are_one_right_and_one_wrong():
    frame = compared([0.6, 0.9], [[0.9], [0.6]])
    assert match(frame, 0.5).tolist() == [-1, 1]
    assert match(frame, 0.7).tolist() == [1, -1]


def test_the_object_overlapped_most_is_taken():
    frame = compared([0.9, 0.8], [[0.6, 0.8], [0.7, 0.75]])
    assert match(frame, 0.5).tolist() == [1, 1]
    assert match(frame, 0.72).tolist() == [1, -1]


def test_ignored_objects_and_detections_cost_nothing():
    frame = compared(
        [0.9, 0.8, 0.7], [[0.9, 0], [0, 0.9], [0, 0]], [False, True], [False, False, True]
    )
    assert match(frame, 0.5).tolist() == [1, 0, 0]
    assert average_precision([frame], 0.5) == pytest.approx(1.0)


def test_an_object_that_counts_is_preferred_to_an_ignored_one_with_more_overlap():
    frame = compared([0.9], [[0.6, 0.9]], [False, True])
    assert match(frame, 0.5).tolist() == [1]


def test_the_order_of_frames_does_not_matter():
    rng = np.random.default_rng(0)
    frames = [
        compared(rng.random(6), rng.random((6, 4)) * (rng.random((6, 4)) < 0.4)) for _ in range(9)
    ]
    assert average_precision(frames, 0.5) == pytest.approx(average_precision(frames[::-1], 0.5))


def car(x, y=0.0, yaw=0.0, size=(4.0, 1.8, 1.5), kind='car', occluded=0.0):
    box = Box3D(from_euler(0, 0, yaw, np.array([x, y, size[2] / 2])), size)
    amodal = project_box(CAMERA, camera_T_level, box)
    inside, truncated = cut_box(np.array(amodal), CAMERA.width, CAMERA.height)
    return TrueObject(kind, box, tuple(inside.tolist()), truncated, occluded, 100)


def scene(*objects, regions=()):
    frame = LidarFrame(CAMERA, camera_T_level, np.zeros((0, 3)), np.array([0.0, 0.0, 1.7]))
    image = np.zeros((375, 1242, 3), np.uint8)
    return LabelScene('made', frame, image, objects, regions=regions)


def found(item, score=0.9, shift=0.0):
    pose = np.array(item.box3d.parent_T_box)
    pose[0, 3] += shift
    return Detection(10, score, box3d=Box3D(pose, item.box3d.size))


def test_overlap_of_a_shifted_box_is_that_of_two_rectangles():
    item = car(15.0)
    plan, space = compare(scene(item), [found(item, shift=1.0)], 'car', DIFFICULTIES['easy'])
    assert plan.iou[0, 0] == pytest.approx(3 / 5, abs=1e-4)
    assert space.iou[0, 0] == pytest.approx(3 / 5, abs=1e-4)
    lower = Detection(10, 0.9, box3d=Box3D(
        item.box3d.parent_T_box + np.outer([0, 0, 1, 0], [0, 0, 0, 0.5]), item.box3d.size
    ))  # fmt: skip
    plan, space = compare(scene(item), [lower], 'car', DIFFICULTIES['easy'])
    assert plan.iou[0, 0] == pytest.approx(1.0, abs=1e-4)
    assert space.iou[0, 0] == pytest.approx(1.0 / 2.0, abs=1e-4)


def test_small_hidden_and_cut_objects_do_not_count():
    near, far, hidden = car(10.0), car(60.0), car(20.0, 5.0, occluded=0.6)
    cut = car(5.0, 4.2)
    assert cut.truncated > 0.3
    frame = scene(near, far, hidden, cut)
    plan, _ = compare(frame, [], 'car', DIFFICULTIES['moderate'])
    assert plan.ignored_truth.tolist() == [False, True, True, True]
    everything = Difficulty(0.0, 1.0, 1.0)
    assert not compare(frame, [], 'car', everything)[0].ignored_truth.any()


def test_heights_mean_the_same_at_any_resolution():
    half = Camera(621, 187, KITTI_FOCAL / 2, KITTI_FOCAL / 2, 310.0, 93.0)
    assert height_of((0, 0, 9, 20), half) == pytest.approx(height_of((0, 0, 9, 40), CAMERA))


def test_vans_regions_without_labels_and_small_detections_are_no_false_alarms():
    van, lone = car(12.0, -3.0, kind='van'), car(18.0, 6.0)
    tiny = car(90.0, 10.0)
    detections = [found(van), found(lone), found(tiny)]
    plan, _ = compare(scene(van), detections, 'car', DIFFICULTIES['moderate'])
    assert match(plan, 0.5).tolist() == [0, -1, 0]
    unlabelled = scene(van, regions=(lone.box2d,))
    plan, _ = compare(unlabelled, detections, 'car', DIFFICULTIES['moderate'])
    assert match(plan, 0.5).tolist() == [0, 0, 0]
    assert len(compare(scene(car(9.0, kind='truck')), [], 'car', DIFFICULTIES['hard'])[0].iou) == 0


def test_image_boxes_overlap_within_the_image():
    item = car(15.0)
    x1, y1, x2, y2 = item.box2d
    half = Detection(10, 0.9, box2d=(x1, y1, (x1 + x2) / 2, y2))
    flat = compare_in_image(scene(item), [half], 'car', DIFFICULTIES['moderate'])
    assert flat.iou[0, 0] == pytest.approx(0.5)
    edge = TrueObject('car', item.box3d, (0.0, 100.0, 100.0, 200.0), 0.3, 0.0, 100)
    amodal = Detection(10, 0.9, box2d=(-80.0, 100.0, 100.0, 200.0))
    flat = compare_in_image(scene(edge), [amodal], 'car', DIFFICULTIES['moderate'])
    assert flat.iou[0, 0] == pytest.approx(1.0)
    nothing = compare_in_image(scene(item), [], 'car', DIFFICULTIES['moderate'])
    assert nothing.iou.shape == (0, 1)
    assert compare_in_image(scene(), [half], 'car', DIFFICULTIES['moderate']).iou.shape == (1, 0)
