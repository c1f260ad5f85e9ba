"""The permanence engine: maps to boxes, memory per camera, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sim_perception.geometry.boxes import project_box
from sim_perception.inference.calibration import ScoreCalibration
from sim_perception.inference.object_peaks import (
    apart,
    boxes_3d,
    find_peaks,
    upright,
    with_apparent_size,
)
from sim_perception.inference.permanence import (
    LEAST_OPINION,
    MAX_GAP_S,
    OPINION_WEIGHT,
    PermanenceEngine,
)
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import CheckpointError, save_checkpoint
from sim_perception.models.permanence import (
    BOX_UNIT,
    PermanenceConfig,
    PermanenceNet,
    PermanenceOutput,
)
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from sim_perception.types import Box3D, Camera, Frame

CAMERA = Camera(192, 128, 120.0, 120.0, 90.0, 60.0)
SECOND = 10**9


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    torch.manual_seed(0)
    config = PermanenceConfig(channels=(16, 16, 16, 16), memory_channels=8, head_channels=8)
    net = PermanenceNet(config)
    with torch.no_grad():  # so that what is remembered shows
        net.detection_head.weight.mul_(50)
    return save_checkpoint(
        tmp_path_factory.mktemp('permanence') / 'small',
        net,
        taxonomy=load_taxonomy(),
        preprocess=PreprocessConfig(pixels=96 * 64).to_dict(),
    )


@pytest.fixture
def engine(folder) -> PermanenceEngine:
    return PermanenceEngine.load(folder, device='cpu', precision='float32', threshold=0.0)


def frame(number: int, stamp: float, frame_id: str = 'camera') -> Frame:
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (CAMERA.height, CAMERA.width, 3), dtype=np.uint8)
    return Frame(round(stamp * SECOND), image, CAMERA, frame_id)


def empty_maps(height: int = 32, width: int = 48) -> PermanenceOutput:
    channels = (4, 2, 4, 2, 1, 1, 3, 2)
    maps = PermanenceOutput(*(torch.zeros(1, c, height, width) for c in channels))
    return maps._replace(heat=torch.full((1, 4, height, width), -10.0))


def write(maps: PermanenceOutput, thing: int, box: Box3D, camera: Camera, score: float) -> tuple:
    """Write a box into the maps as a perfect network would; return its image box."""
    x, y, z = box.parent_T_box[:3, 3]
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    column, row = round((u + 0.5) / 4 - 0.5), round((v + 0.5) / 4 - 0.5)
    at = (0, slice(None), row, column)
    edges = project_box(camera, np.eye(4), box)
    reach = np.array([u - edges[0], v - edges[1], edges[2] - u, edges[3] - v])
    forward = box.parent_T_box[:3, 0]
    angle = np.arctan2(forward[0], forward[2]) - np.arctan2(x, z)
    maps.heat[0, thing, row, column] = np.log(score / (1 - score))
    maps.offset[at] = torch.tensor([(u + 0.5) / 4 - 0.5 - column, (v + 0.5) / 4 - 0.5 - row])
    maps.box[at] = torch.from_numpy(np.log(reach / BOX_UNIT)).float()
    maps.displacement[at] = torch.tensor([1.0, -0.5])
    maps.log_depth[at] = float(np.log(z))
    maps.log_size[at] = torch.tensor(box.size).log()
    maps.heading[at] = torch.tensor([2 * np.sin(angle), 2 * np.cos(angle)]).float()
    return edges


@pytest.mark.parametrize('azimuth', [0.0, 0.7, -2.0, 3.1])
@pytest.mark.parametrize('place', [(0.0, 1.0, 12.0), (-4.0, 0.3, 8.0), (6.0, 1.0, 15.0)])
def test_perfect_maps_give_the_box_back(azimuth, place):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = upright(azimuth), place
    box = Box3D(pose, (4.2, 1.8, 1.5))
    maps = empty_maps()
    edges = write(maps, 1, box, CAMERA, 0.8)
    peaks = find_peaks(maps, 0.3)
    assert peaks.thing.tolist() == [1]
    assert peaks.score[0] == pytest.approx(0.8, abs=1e-5)
    np.testing.assert_allclose(peaks.box[0], edges, atol=1e-3)
    np.testing.assert_allclose(peaks.previous[0] - peaks.centre[0], [4.0, -2.0], atol=1e-5)
    (found,) = boxes_3d(peaks, CAMERA)
    np.testing.assert_allclose(found.parent_T_box, pose, atol=1e-4)
    np.testing.assert_allclose(found.size, box.size, rtol=1e-5)


@pytest.mark.parametrize('azimuth', [0.0, 0.7, 1.6])
@pytest.mark.parametrize('place', [(0.0, 1.0, 12.0), (-2.0, 0.3, 10.0), (1.0, 1.4, 15.0)])
def test_a_wrong_depth_is_mended_halfway_by_the_apparent_size(azimuth, place):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = upright(azimuth), place
    maps = empty_maps()
    write(maps, 1, Box3D(pose, (4.2, 1.8, 1.5)), CAMERA, 0.8)
    maps.visibility[:] = 3.0
    right = with_apparent_size(find_peaks(maps, 0.3), CAMERA)
    assert right.depth[0] == pytest.approx(place[2], rel=1e-3)
    maps.log_depth[:] += np.log(1.2)
    mended = with_apparent_size(find_peaks(maps, 0.3), CAMERA)
    assert mended.depth[0] == pytest.approx(place[2] * np.sqrt(1.2), rel=0.02)
    maps.visibility[:] = -3.0  # hidden: where its edges appear is a guess
    kept = with_apparent_size(find_peaks(maps, 0.3), CAMERA)
    assert kept.depth[0] == pytest.approx(place[2] * 1.2, rel=1e-4)


def test_rotations_are_rep_103_boxes_in_an_optical_frame():
    ahead = upright(0.0)
    np.testing.assert_allclose(ahead @ [1, 0, 0], [0, 0, 1], atol=1e-12)  # forward: away
    np.testing.assert_allclose(ahead @ [0, 1, 0], [-1, 0, 0], atol=1e-12)  # left
    np.testing.assert_allclose(ahead @ [0, 0, 1], [0, -1, 0], atol=1e-12)  # up
    np.testing.assert_allclose(upright(np.pi / 2) @ [1, 0, 0], [1, 0, 0], atol=1e-12)
    for angle in (0.3, 2.0, -1.1):
        assert np.linalg.det(upright(angle)) == pytest.approx(1.0)


def test_only_the_highest_of_neighbours_is_a_peak_and_the_best_come_first():
    maps = empty_maps()
    for column, logit in ((10, 1.0), (11, 2.0), (20, 3.0), (30, -3.0)):
        maps.heat[0, 0, 5, column] = logit
    maps.heat[0, 2, 5, 10] = 0.5  # another class has its own peaks
    peaks = find_peaks(maps, 0.3)
    np.testing.assert_allclose(peaks.centre[:, 0], [81.5, 45.5, 41.5])
    assert peaks.thing.tolist() == [0, 0, 2]
    assert len(find_peaks(maps, 0.3, limit=2).score) == 2
    assert len(find_peaks(maps, 0.99).score) == 0


def test_nothing_stands_where_something_surer_stands():
    def box(x: float, z: float, length: float) -> Box3D:
        pose = np.eye(4)
        pose[:3, 3] = x, 1.0, z
        return Box3D(pose, (length, 1.8, 1.5))

    boxes = [box(0, 10, 4), box(0.5, 11, 8), box(0.1, 10.1, 0.5), box(0, 13, 4), box(3, 10, 4)]
    # the second is the first again; the third is a person in a car
    assert apart(boxes) == [0, 3, 4]
    # a person half a metre behind another, hidden in the image, is kept
    assert apart([box(0, 10, 0.6), box(0, 10.5, 0.6)]) == [0, 1]
    assert apart([]) == []


def test_lines_of_sight_heed_distortion():
    bent = replace(CAMERA, distortion=(-0.2, 0.05, 0.001, -0.002, 0.0))
    from sim_perception.geometry.cameras import project
    from sim_perception.geometry.lenses import slopes_of

    points = np.array([[0.4, -0.2, 1.0], [-0.5, 0.3, 1.0]])
    pixels, _ = project(bent, points)
    np.testing.assert_allclose(slopes_of(bent, pixels), points[:, :2], atol=1e-6)


def test_detections_are_in_pixels_of_the_original_image(engine):
    found = engine.update(frame(0, 1.0))
    assert found
    assert all(0 <= d.score <= 1 and 0 <= d.visibility <= 1 for d in found)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    names = {engine.taxonomy.names[d.class_id] for d in found}
    assert names <= {'car', 'truck', 'pedestrian', 'cyclist'}
    for d in found:
        x, y, z = d.box3d.parent_T_box[:3, 3]
        u, v = CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy
        # the projected centre lies in the image box, though the network saw a smaller image
        assert d.box2d[0] < u < d.box2d[2]
        assert d.box2d[1] < v < d.box2d[3]


def scores(engine: PermanenceEngine, *frames: Frame) -> list[float]:
    """Return the scores of the last of some frames."""
    return [[d.score for d in engine.update(f)] for f in frames][-1]


def test_cameras_have_memories_of_their_own(engine):
    alone = scores(engine, frame(1, 1.0), frame(2, 1.1))
    engine.reset()
    engine.update(frame(1, 1.0))
    engine.update(frame(7, 1.05, 'other'))
    assert scores(engine, frame(2, 1.1)) == pytest.approx(alone)
    engine.reset()
    assert scores(engine, frame(2, 1.1)) != pytest.approx(alone)


@pytest.mark.parametrize('stamp', [1.0, 0.5, 1.0 + MAX_GAP_S + 0.1])
def test_repeated_stamps_jumps_back_and_long_gaps_begin_anew(engine, stamp):
    fresh = scores(engine, frame(2, stamp))
    engine.reset()
    assert scores(engine, frame(1, 1.0), frame(2, stamp)) == pytest.approx(fresh)


def test_one_camera_can_be_forgotten(engine):
    fresh = scores(engine, frame(2, 1.1))
    engine.reset()
    engine.update(frame(1, 1.0))
    engine.reset('other')
    assert scores(engine, frame(2, 1.1)) != pytest.approx(fresh)
    engine.reset()
    engine.update(frame(1, 1.0))
    engine.reset('camera')
    assert scores(engine, frame(2, 1.1)) == pytest.approx(fresh)


def test_a_changed_image_size_begins_anew(engine):
    engine.update(frame(1, 1.0))
    small = Frame(round(1.1 * SECOND), np.zeros((64, 128, 3), np.uint8), None, 'camera')
    assert engine.update(small) is not None


def test_warming_up_leaves_no_memory(engine):
    fresh = scores(engine, frame(2, 1.1))
    engine.reset()
    engine.warm_up(CAMERA)
    assert scores(engine, frame(2, 1.1)) == pytest.approx(fresh)


class Opinion:
    """What a depth and segmentation engine would see: people everywhere, or nowhere."""

    taxonomy = load_taxonomy()

    def __init__(self, probability: float) -> None:
        self.probability, self.asked = probability, 0

    def class_probabilities(self, _frame: Frame) -> np.ndarray:
        self.asked += 1
        told = np.zeros((len(self.taxonomy.names), 5, 9), np.float32)
        told[self.taxonomy.id_of('cyclist')] = self.probability
        return told


def logits(found) -> dict[int, float]:
    """Return the surest of each class."""
    return {d.class_id: float(np.log(d.score / (1 - d.score))) for d in reversed(found)}


def seconded(probability: float, visibility: float, calibration=None) -> dict[int, float]:
    """Return the logits of a car, a truck, a pedestrian and a cyclist that are found with .5."""
    net = PermanenceNet(
        PermanenceConfig(channels=(8, 8, 8, 8), memory_channels=8, head_channels=8)
    )
    engine = PermanenceEngine(
        net, load_taxonomy(), PreprocessConfig(pixels=192 * 128), device='cpu', threshold=1e-4,
        calibration=calibration, second_opinion=Opinion(probability),
    )  # fmt: skip
    maps = empty_maps(24, 48)
    for thing, x in enumerate((-6.0, -2.0, 2.0, 6.0)):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = upright(0.3), (x, 0.0, 14.0)
        write(maps, thing, Box3D(pose, (1.0, 0.6, 1.7)), CAMERA, 0.5)
    maps.visibility.fill_(np.log(visibility / (1 - visibility)))
    engine._net = lambda *_: (maps, torch.zeros(1, 8, 16, 24))
    return logits(engine.update(frame(0, 1.0)))


def test_people_are_doubted_where_a_second_opinion_sees_none():
    names = [load_taxonomy().id_of(n) for n in ('car', 'truck', 'pedestrian', 'cyclist')]
    agreed, doubted, hidden = seconded(1.0, 0.98), seconded(0.0, 0.98), seconded(0.0, 0.1)
    assert [agreed[n] for n in names] == pytest.approx([0] * 4, abs=1e-4)
    full = 0.98 * OPINION_WEIGHT * np.log(LEAST_OPINION)
    assert [doubted[n] for n in names] == pytest.approx([0, 0, full, full], abs=1e-3)
    least = 0.1 * OPINION_WEIGHT * np.log(LEAST_OPINION)
    assert [hidden[n] for n in names] == pytest.approx([0, 0, least, least], abs=1e-3)


def test_scores_with_a_second_opinion_have_a_calibration_of_their_own():
    alone = ScoreCalibration({'car': 1.0, 'pedestrian': 1.0}, {'car': 1.0, 'pedestrian': -1.0})
    both = replace(alone, seconded=ScoreCalibration({'pedestrian': 2.0}, {'pedestrian': 0.5}))
    car, person = (load_taxonomy().id_of(n) for n in ('car', 'pedestrian'))
    kept = seconded(1.0, 0.98, alone)
    assert (kept[car], kept[person]) == pytest.approx((1.0, -1.0), abs=1e-3)
    own = seconded(0.0, 0.98, both)
    expected = 2 * 0.98 * OPINION_WEIGHT * np.log(LEAST_OPINION) + 0.5
    assert (own[car], own[person]) == pytest.approx((0.0, expected), abs=1e-2)
    assert ScoreCalibration.from_dict(both.to_dict()) == both


def test_a_second_opinion_comes_from_a_checkpoint(folder, small_checkpoint):
    options = {'device': 'cpu', 'precision': 'float32', 'threshold': 0.0}
    plain = PermanenceEngine.load(folder, **options)
    both = PermanenceEngine.load(folder, second_opinion=small_checkpoint, **options)
    taxonomy = plain.taxonomy
    people = {taxonomy.id_of('pedestrian'), taxonomy.id_of('cyclist')}

    def best(engine, wanted):
        found = engine.update(frame(3, 1.0))
        return max(d.score for d in found if (d.class_id in people) == wanted)

    assert best(both, False) == pytest.approx(best(plain, False), abs=1e-6)
    assert best(both, True) < best(plain, True)


def test_nobody_is_asked_about_cars_alone():
    opinion = Opinion(0.0)
    config = PermanenceConfig(
        things=('car',), channels=(8, 8, 8, 8), memory_channels=8, head_channels=8
    )
    PermanenceEngine(
        PermanenceNet(config), load_taxonomy(), PreprocessConfig(pixels=96 * 64), device='cpu',
        second_opinion=opinion,
    ).update(frame(0, 1.0))  # fmt: skip
    assert opinion.asked == 0


def test_bad_options_and_images_are_refused(folder, engine, small_checkpoint):
    with pytest.raises(ValueError, match='threshold'):
        PermanenceEngine.load(folder, threshold=1.5)
    with pytest.raises(ValueError, match='threads'):
        PermanenceEngine.load(folder, threads=0)
    with pytest.raises(CheckpointError, match="need 'permanence'"):
        PermanenceEngine.load(small_checkpoint)
    with pytest.raises(ValueError, match='need uint8'):
        engine.update(Frame(1, np.zeros((64, 64, 3)), None))
    classes = load_taxonomy().to_dict()
    classes['classes'] = [c for c in classes['classes'] if c['name'] != 'cyclist']
    config = PermanenceConfig(channels=(8, 8, 8, 8), memory_channels=8, head_channels=8)
    with pytest.raises(ValueError, match='cyclist'):
        PermanenceEngine(
            PermanenceNet(config), Taxonomy.from_dict(classes), PreprocessConfig(), device='cpu'
        )
    blind = Opinion(0.0)
    blind.taxonomy = Taxonomy.from_dict(classes)
    with pytest.raises(ValueError, match='second opinion has no class cyclist'):
        PermanenceEngine(
            PermanenceNet(config), load_taxonomy(), PreprocessConfig(), device='cpu',
            second_opinion=blind,
        )  # fmt: skip
