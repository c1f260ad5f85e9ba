"""Scoring of labels, their calibrated confidence, and KITTI's object folders."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from kitti_folders import CAMERA, write_kitti

from sim_perception.autolabel.labeler import load_labeler
from sim_perception.autolabel.quality.quality import ALL_FEATURES
from sim_perception.geometry.boxes import iou_upright
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.types import Box3D, ShapeLabel
from training.datasets.kitti.object import object_scenes, read_scene
from training.datasets.objects.label_scenes import (
    LabelScene,
    TrueObject,
    cut_box,
    points_in_box,
    simulated_scene,
)
from training.datasets.sample import DatasetError
from training.datasets.scenes import open_scenes
from training.engine.command import command_line
from training.evaluation.autolabel import confidence as autolabel_confidence
from training.evaluation.autolabel.compare import Compared, Population, compare, scores
from training.evaluation.autolabel.confidence import fit_confidence
from training.evaluation.autolabel.evaluate import evaluate_autolabel, label_scenes
from training.evaluation.calibrate import calibrate_any
from training.evaluation.detector3d.scores import Precisions

SIZE = (4.0, 1.8, 1.5)
MODELS = Path(__file__).parents[2] / 'models'


def box(x: float, y: float, yaw: float = 0.0, size: tuple[float, float, float] = SIZE) -> Box3D:
    return Box3D(from_euler(0, 0, yaw, np.array([x, y, size[2] / 2])), size)


def true(placed: Box3D, *, points: int = 100, occluded: float = 0.0) -> TrueObject:
    return TrueObject('car', placed, (10.0, 10.0, 40.0, 30.0), 0.0, occluded, points)


def scene_of(things: tuple[TrueObject, ...]) -> LabelScene:
    frame = LidarFrame(CAMERA, invert(BODY_T_OPTICAL), np.zeros((0, 3)), np.zeros(3))
    return LabelScene('made', frame, np.zeros((100, 200, 3), np.uint8), things)


def label(placed: Box3D | None, confidence: float = 0.8, reason: str = '') -> ShapeLabel:
    return ShapeLabel(10, (10.0, 10.0, 40.0, 30.0), not reason, reason, confidence, placed)


def test_intersection_over_union_of_turned_boxes() -> None:
    cube = (2.0, 2.0, 2.0)
    plan, space = iou_upright(box(0, 0, 0, cube), box(0, 0, np.pi / 4, cube))
    octagon = 8 * (np.sqrt(2) - 1)
    assert plan == pytest.approx(octagon / (8 - octagon), abs=1e-5)
    assert space == pytest.approx(plan, abs=1e-6)
    plan, space = iou_upright(box(0, 0), box(2, 0))
    assert plan == pytest.approx(1 / 3, abs=1e-5)
    assert iou_upright(box(0, 0), box(9, 0)) == (0.0, 0.0)


def test_intersection_of_boxes_that_nearly_coincide() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        placed = box(*rng.uniform(-30, 30, 3))
        near = placed.parent_T_box.copy()
        near[:3, 3] += 10.0 ** rng.uniform(-12, -4) * rng.normal(size=3)
        plan, space = iou_upright(placed, replace(placed, parent_T_box=near))
        assert 0.998 < space <= plan <= 1 + 1e-9


def test_average_precision_is_that_of_accepted_labels() -> None:
    things = (true(box(12, 3)), true(box(20, -2)))
    scene = scene_of(things)

    class Known:
        """Returns labels that are known."""

        def __init__(self, *labels: ShapeLabel) -> None:
            self.labels = labels

        def label(self, *_: object, **__: object) -> tuple[ShapeLabel, ...]:
            return self.labels

    def figures(*labels: ShapeLabel) -> dict[str, float]:
        found = Precisions(['car'])
        label_scenes(Known(*labels), [scene], Population(), precisions=found)  # type: ignore[arg-type]
        return found.figures()

    right = [label(thing.box3d) for thing in things]
    assert figures(*right)['ap_3d_70_hard'] == pytest.approx(1.0)
    rejected = label(things[1].box3d, reason='poor_fit')
    assert figures(right[0], rejected)['ap_3d_70_hard'] == pytest.approx(0.5)
    short = label(box(20, -2, size=(2.6, 1.8, 1.5)))
    halves = figures(right[0], short)
    assert halves['ap_bev_50_hard'] == pytest.approx(1.0)
    assert halves['ap_bev_70_hard'] == pytest.approx(0.5)


def test_comparison_measures_what_was_changed() -> None:
    thing = true(box(10, 2, 0.5))
    moved = replace(box(10, 2, 0.5 + np.pi), size=(4.4, 1.8, 1.5))
    row = compare(scene_of((thing,)), label(moved), thing)
    assert row.yaw == pytest.approx(np.pi)
    np.testing.assert_allclose(row.size, [0.1, 0, 0], atol=1e-9)
    assert row.translation == pytest.approx(0, abs=1e-9)
    assert row.iou_3d == pytest.approx(1 / 1.1, abs=1e-5)
    assert np.isnan(compare(scene_of((thing,)), label(None, 0, 'no_points'), thing).yaw)


def test_population_has_its_limits() -> None:
    population, scene = Population(), scene_of(())
    assert population.has(scene, true(box(39, 0)))
    assert not population.has(scene, true(box(41, 0)))
    assert not population.has(scene, true(box(10, 0), points=29))
    assert not population.has(scene, true(box(10, 0), occluded=0.6))
    assert not population.has(scene, replace(true(box(10, 0)), kind='truck'))


def test_scores_count_by_hand() -> None:
    thing = true(box(10, 0))
    scene = scene_of((thing,))
    rows = [
        compare(scene, label(box(10, 0), 0.9), thing),
        compare(scene, label(box(10.4, 0), 0.7), thing),
        compare(scene, label(box(13, 0), 0.6), thing),
        compare(scene, label(None, 0.0, 'no_points'), thing),
        compare(scene, label(box(30, 0), 0.9), thing, counts=False),
    ]
    figures = scores(rows)
    assert figures['objects'] == 4
    assert figures['acceptance'] == 0.75
    assert figures['precision_bev_50'] == pytest.approx(2 / 3)
    assert figures['precision_bev_50_any'] == pytest.approx(2 / 4)
    assert figures['recall_bev_50'] == 0.5
    assert figures['median_iou_3d'] == pytest.approx(3.6 / 4.4, abs=1e-5)
    assert figures['confidence_rank_correlation'] == pytest.approx(1)
    with pytest.raises(DatasetError, match='no object'):
        scores(rows[-1:])


def rows_whose_overlap_shows(count: int = 300) -> list[Compared]:
    """Return labels whose overlap depends on one of their measures."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        measures = {name: float(rng.normal()) for name in ALL_FEATURES}
        iou = 1 / (1 + np.exp(-(1.0 + 1.5 * measures['box_iou'])))
        shown = replace(label(box(10, 0)), measures=measures)
        row = compare(scene_of(()), shown, true(box(10, 0)))
        rows.append(replace(row, iou_3d=float(iou)))
    return rows


def test_confidence_learns_what_predicts_the_overlap() -> None:
    rows = rows_whose_overlap_shows()
    model = fit_confidence(rows)
    found = np.array([model(row.label.measures) for row in rows])
    truth = np.array([row.iou_3d for row in rows])
    assert np.corrcoef(found, truth)[0, 1] > 0.97
    assert abs(found.mean() - truth.mean()) < 0.01
    with pytest.raises(DatasetError, match='at least'):
        fit_confidence(rows[:5])


@pytest.mark.parametrize('name', ['shape_car', 'shape_car_sdf'])
def test_both_kinds_of_shape_space_keep_their_calibrated_confidence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    shutil.copytree(MODELS / name, folder)
    rows = rows_whose_overlap_shows(80)
    monkeypatch.setattr(autolabel_confidence, 'open_scenes', lambda spec, limit: (iter(()), 0))
    monkeypatch.setattr(autolabel_confidence, 'label_scenes', lambda *_, **__: rows)
    calibrate_any(folder, ['sim:target:0'])
    loaded = load_labeler('lidar', folder, threads=1)
    assert loaded.confidence == fit_confidence(rows + rows)
    assert load_checkpoint(folder).metrics['confidence']['labels'] == 160


def test_a_coordinates_network_keeps_the_confidence_of_labels_from_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'net'
    shutil.copytree(MODELS / 'surface_coordinates', folder)
    before = load_checkpoint(folder).calibration
    asked = {}
    rows = rows_whose_overlap_shows(80)

    def labeler(mode: str, shape: Path, **networks: object) -> None:
        asked.update(mode=mode, coordinates=networks['coordinates'])

    monkeypatch.setattr(autolabel_confidence, 'load_labeler', labeler)
    monkeypatch.setattr(autolabel_confidence, 'open_scenes', lambda spec, limit: (iter(()), 0))
    monkeypatch.setattr(autolabel_confidence, 'label_scenes', lambda *_, **__: rows)
    calibrate_any(folder, ['sim:target:0'])
    assert asked == {'mode': 'mono', 'coordinates': folder}
    kept = load_checkpoint(folder).calibration
    assert kept['mono']['bias'] == fit_confidence(rows + rows).bias
    assert {key: kept[key] for key in kept if key != 'mono'} == {
        key: before[key] for key in before if key != 'mono'
    }


def test_ways_to_fit_that_do_not_exist_are_refused() -> None:
    with pytest.raises(DatasetError, match="unknown refinement 'newton'; known: fit, sdflabel"):
        evaluate_autolabel('sim:target:0', refine='newton')
    with pytest.raises(DatasetError, match="'photometric' does not work in mode 'lidar', but in"):
        evaluate_autolabel('sim:target:0', refine='photometric')
    with pytest.raises(DatasetError, match="unknown mode 'radar'; known: lidar, mono, fused"):
        evaluate_autolabel('sim:target:0', mode='radar')


@pytest.mark.parametrize(
    ('program', 'said'),
    [
        ('benchmark/__main__.py', 'python -m benchmark autolabel'),
        ('training/__main__.py', 'python -m training autolabel'),
        ('bin/pytest', 'python -m training autolabel'),
    ],
)
def test_figures_name_the_command_that_made_them(
    program: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('sys.argv', [program, 'autolabel', '--modes', 'a b'])
    assert command_line() == said + " --modes 'a b'"


def test_boxes_are_cut_at_the_border_and_points_counted() -> None:
    inside, share = cut_box(np.array([-50.0, 20, 50, 40]), 200, 100)
    np.testing.assert_allclose(inside, [0, 20, 50, 40])
    assert share == pytest.approx(0.5)
    points = np.array([[10, 0, 0.7], [11.9, 0, 1.4], [10, 0, 0.02], [13, 0, 0.7]])
    assert points_in_box(points, box(10, 0)) == 2


def test_kitti_folder_comes_back_as_written(tmp_path: Path) -> None:
    placed = box(12, -2, 0.7)
    points = np.array([[12, -2, 0.8], [12.1, -2.2, 1.0], [30, 5, 0.0]])
    write_kitti(tmp_path, placed, points)
    scenes, count = open_scenes(f'kitti_object:{tmp_path}')
    assert count == 1
    (scene,) = scenes
    np.testing.assert_allclose(scene.frame.points, points, atol=1e-5)
    np.testing.assert_allclose(scene.frame.sensor, [-0.27, 0, 0.08])
    assert scene.frame.camera == CAMERA
    assert scene.image.shape == (100, 200, 3)
    (thing,) = scene.objects
    assert iou_upright(thing.box3d, placed)[1] == pytest.approx(1, abs=1e-5)
    assert (thing.kind, thing.points, thing.truncated, thing.occluded) == ('car', 2, 0.1, 0.4)
    assert thing.box2d == (20, 30, 90, 70)


def test_without_points_a_kitti_folder_needs_no_scans(tmp_path: Path) -> None:
    write_kitti(tmp_path, box(12, -2, 0.7), np.zeros((3, 3)))
    (tmp_path / 'velodyne' / '000003.bin').unlink()
    (scene,) = open_scenes(f'kitti_object:{tmp_path}', points=False)[0]
    assert scene.frame.points.shape == (0, 3)
    assert scene.objects[0].kind == 'car'
    with pytest.raises(DatasetError, match=r'000003\.bin is no KITTI scan'):
        next(open_scenes(f'kitti_object:{tmp_path}')[0])


def test_streets_without_lidar_say_so() -> None:
    blind = SimpleNamespace(lidar_spec=None)
    with pytest.raises(DatasetError, match='city_3_00: the scenario has no LiDAR'):
        simulated_scene(blind, 0.0, ('car',), 'city_3_00')  # type: ignore[arg-type]


def test_streets_without_lidar_do_for_cameras() -> None:
    with pytest.raises(DatasetError, match='has no LiDAR'):
        next(open_scenes('sim:queue:300000', 1)[0])
    scene = next(open_scenes('sim:queue:300000', 1, points=False)[0])
    assert scene.frame.points.shape == (0, 3)
    assert scene.image.any()
    assert scene.objects


def test_broken_kitti_folders_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='label_2'):
        next(object_scenes(tmp_path))
    write_kitti(tmp_path, box(12, 0), np.zeros((3, 3)))
    (tmp_path / 'velodyne' / '000003.bin').write_bytes(b'12345678')
    with pytest.raises(DatasetError, match='no KITTI scan'):
        read_scene(tmp_path, '000003')
    (tmp_path / 'calib' / '000003.txt').write_text('P2: 1 2 3\n')
    with pytest.raises(DatasetError, match='P2'):
        read_scene(tmp_path, '000003')
    with pytest.raises(DatasetError, match='is none of'):
        open_scenes('kitti_objects')
