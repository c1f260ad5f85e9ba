"""The permanence network's average precision on single frames."""

import numpy as np
import pytest

from sim_perception.geometry.boxes import project_box
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, make_transform
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, Detection
from training.datasets.objects.label_scenes import LabelScene, TrueObject, cut_box
from training.datasets.sample import Sample
from training.evaluation.permanence.frames import score_frames, score_unlabelled

CAMERA = Camera(1242, 375, 721.5, 721.5, 621.0, 187.0)
camera_T_level = invert(make_transform(BODY_T_OPTICAL[:3, :3], np.array([0.0, 0.0, 1.65])))
SIZES = {'car': (4.0, 1.8, 1.5), 'pedestrian': (0.6, 0.6, 1.8)}


class Told:
    """An engine that finds what it was told, in the camera's frame, and counts its resets."""

    things = ('car', 'pedestrian')
    taxonomy = load_taxonomy()

    def __init__(self, *frames):
        self.frames, self.resets = list(frames), 0

    def reset(self):
        self.resets += 1

    def update(self, frame):
        return self.frames.pop(0)


def thing(kind, x, y=0.0):
    size = SIZES[kind]
    box = Box3D(from_euler(0, 0, 0.1, np.array([x, y, size[2] / 2])), size)
    inside, cut = cut_box(np.array(project_box(CAMERA, camera_T_level, box)), 1242, 375)
    return TrueObject(kind, box, tuple(inside.tolist()), cut, 0.0, 50)


def found(item, score=0.8, aside=0.0):
    pose = camera_T_level @ item.box3d.parent_T_box
    pose[0, 3] += aside
    box = Box3D(pose, item.box3d.size)
    kind = load_taxonomy().id_of(item.kind)
    return Detection(kind, score, box3d=box, box2d=item.box2d)


def scene(*objects):
    frame = LidarFrame(CAMERA, camera_T_level, np.zeros((0, 3)), np.zeros(3))
    return LabelScene('made', frame, np.zeros((375, 1242, 3), np.uint8), objects)


def test_classes_and_dimensions_are_scored_apart():
    car, walker = thing('car', 12.0), thing('pedestrian', 9.0, 3.0)
    engine = Told([found(car), found(walker, aside=0.5)], [])
    scores = score_frames(engine, [scene(car, walker), scene(thing('car', 15.0))])
    assert engine.resets == 2, 'no frame knows another'
    assert scores['frames'] == 2
    assert scores['car_objects'] == 2
    assert scores['pedestrian_objects'] == 1
    # one of two cars, in every respect
    for how in ('image', 'bev', '3d'):
        assert scores[f'car_ap_{how}_50'] == pytest.approx(0.5)
    # the walker's image box is right, and its place half a metre off
    assert scores['pedestrian_ap_image_50'] == pytest.approx(1.0)
    assert scores['pedestrian_ap_bev_50'] == 0.0


def test_a_class_that_is_not_there_has_no_precision():
    scores = score_frames(Told([]), [scene(thing('car', 12.0))])
    assert np.isnan(scores['pedestrian_ap_image_50'])
    assert scores['car_ap_image_50'] == 0.0


def test_images_without_truth_tell_how_much_is_found():
    car, walker = thing('car', 12.0), thing('pedestrian', 9.0, 3.0)
    sample = Sample(np.zeros((375, 1242, 3), np.uint8), CAMERA, None, None, 'image')
    engine = Told([found(car), found(walker, score=0.4), found(walker)], [found(car, score=0.3)])
    scores = score_unlabelled(engine, [sample, sample])
    assert scores == {
        'car_per_image_30': 1.0, 'car_per_image_50': 0.5, 'pedestrian_per_image_30': 1.0,
        'pedestrian_per_image_50': 0.5, 'frames': 2,
    }  # fmt: skip
    assert engine.resets == 2
