"""The permanence network's average precision on single frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sim_perception.geometry.boxes import project_box
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, make_transform
from sim_perception.inference.calibration import ScoreCalibration
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.permanence import PermanenceConfig, PermanenceNet
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, Detection, Frame
from training.datasets.objects.label_scenes import LabelScene, TrueObject, cut_box
from training.datasets.sample import Sample
from training.evaluation.calibrate import calibrate_any
from training.evaluation.permanence import calibrate
from training.evaluation.permanence.calibrate import fit_scores
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


def test_scores_are_fitted_to_what_is_right():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-(0.6 * logit - 1.5)))
    scale, bias = fit_scores(1 / (1 + np.exp(-logit)), right)
    assert scale == pytest.approx(0.6, abs=0.06)
    assert bias == pytest.approx(-1.5, abs=0.12)
    one = np.array([0.9]), np.array([True])
    assert fit_scores(*one) == pytest.approx((1.0, 0.0), abs=0.2), 'one detection tells little'


def test_a_checkpoint_keeps_its_calibration_and_the_engine_answers_by_it(tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = PermanenceNet(PermanenceConfig(things=('car', 'pedestrian'))).eval()
    save_checkpoint(
        tmp_path / 'net', net, taxonomy=load_taxonomy(),
        preprocess=PreprocessConfig(pixels=96 * 64).to_dict(),
    )  # fmt: skip
    walker = thing('pedestrian', 9.0, 3.0)
    wrong = [found(walker, score, aside=30.0) for score in (0.7, 0.6)]
    wrong = [replace(d, box2d=(5.0, 100.0, 30.0, 200.0)) for d in wrong]
    told = Told(*[[found(walker, 0.8), *wrong] for _ in range(30)])
    with monkeypatch.context() as patch:
        patch.setattr(calibrate.PermanenceEngine, 'load', lambda *_, **__: told)
        patch.setattr(calibrate, 'open_scenes', lambda *_, **__: ([scene(walker)] * 30, 30))
        calibrate_any(tmp_path / 'net', ['kitti_object:somewhere'])
        before = load_checkpoint(tmp_path / 'net').calibration
        told = Told(*[[found(walker, 0.8), *wrong[:1]] for _ in range(30)])
        calibrate_any(
            tmp_path / 'net', ['kitti_object:somewhere'], second_opinion=tmp_path / 'other'
        )
    loaded = load_checkpoint(tmp_path / 'net')
    assert set(loaded.calibration) == {'scale', 'bias', 'seconded'}
    assert {k: loaded.calibration[k] for k in before} == before
    assert loaded.metrics['calibration_seconded']['detections']['pedestrian']['wrong'] == 30
    assert loaded.metrics['calibration']['detections'] == {
        'pedestrian': {'right': 30, 'wrong': 60}
    }
    kept = ScoreCalibration.from_dict(loaded.calibration)
    assert set(kept.scale) == {'pedestrian'}, 'nothing is known of cars'
    image = Frame(0, np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    plain, fitted = (
        PermanenceEngine.load(tmp_path / 'net', threshold=0.0, **options).update(image)
        for options in ({'calibration': ScoreCalibration()}, {})
    )
    car, person = (load_taxonomy().id_of(name) for name in ('car', 'pedestrian'))

    def best(detections, class_id):
        return max(d.score for d in detections if d.class_id == class_id)

    assert best(fitted, car) == pytest.approx(best(plain, car), abs=1e-5)
    score = best(plain, person)
    logit = kept.scale['pedestrian'] * np.log(score / (1 - score)) + kept.bias['pedestrian']
    assert best(fitted, person) == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


def test_calibrations_that_cannot_be_are_refused():
    for wrong in ({'scale': {'car': 1}}, {'scale': {'car': 0}, 'bias': {'car': 0}}, {'slope': {}}):
        with pytest.raises(ValueError, match=r'calibration|positive'):
            ScoreCalibration.from_dict(wrong)
