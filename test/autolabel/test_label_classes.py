"""Objects of several classes in one run, each labelled by the shape space of its class."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('typer', reason='training is not installed')
from lidar_scenes import CHECKPOINT
from rich.console import Console
from simulated_bags import simulate_bag

from sim_perception.autolabel.classes import ClassLabelers, load_shapes
from sim_perception.autolabel.config import KITTI, LabelConfig, for_category
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.autolabel.records import read_frames
from sim_perception.geometry.boxes import iou_upright
from sim_perception.models.checkpoint import CheckpointError
from sim_perception.taxonomy import load_taxonomy
from training.datasets.bags.labelled import bag_scenes
from training.datasets.objects.draws import CATEGORIES
from training.labelling.convert import Conversion, convert
from training.labelling.frames import LabelJob
from training.labelling.label import label

MODELS = Path(__file__).parents[2] / 'models'
PEOPLE = [MODELS / f'shape_{name}' for name in ('pedestrian', 'cyclist')]
TAXONOMY = load_taxonomy()
SCENARIO = """
domain: target
duration_s: 0.5
frame_rate_hz: 4.0
camera: {width: 640, height: 320, horizontal_fov_deg: 80}
ego: {speed_kmh: 18}
traffic: {vehicles_per_km: 40, pedestrians_per_km: 300, cyclists_per_km: 80, truck_fraction: 0}
"""


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp('classes')
    bag = simulate_bag(folder / 'street', SCENARIO, seed=1, layers='rgb,objects,lidar')
    shapes = ','.join(map(str, (CHECKPOINT, *PEOPLE)))
    out = folder / 'labels'
    job = LabelJob(bag=str(bag), out=str(out), shape=shapes, formats=('kitti', 'meshes'))
    summary = label(job, console=Console(file=io.StringIO()))
    return bag, out, summary


def test_people_and_cars_of_one_run_are_where_they_are(labelled):
    bag, out, summary = labelled
    found = {'car': [], 'pedestrian': [], 'cyclist': []}
    for scene, frame in zip(bag_scenes(bag), read_frames(out / 'frames'), strict=True):
        for one in frame.accepted:
            name = TAXONOMY.names[one.class_id]
            true = [t.box3d for t in scene.objects if t.kind == name]
            plan, _ = np.array([iou_upright(one.box3d, box) for box in true]).max(0)
            found[name].append(plan)
    assert summary['accepted'] == sum(map(len, found.values()))
    people = found['pedestrian'] + found['cyclist']
    assert len(found['car']) >= 2
    assert len(people) >= 3
    assert np.median(found['car']) > 0.7
    assert np.median(people) > 0.5


def test_they_are_written_under_their_names_with_meshes_of_their_shapes(labelled, tmp_path):
    _, out, _ = labelled
    lines = [line for path in (out / 'kitti/label_2').glob('*.txt') for line in path.open()]
    assert {'Car', 'Pedestrian'} <= {line.split()[0] for line in lines}
    assert len(list((out / 'meshes').glob('*.ply'))) == len(lines)
    again = Conversion((out,), tmp_path / 'again', ('kitti', 'meshes'))
    convert(again, Console(file=io.StringIO()))
    for path in (out / 'meshes').glob('*.ply'):
        assert (tmp_path / 'again/meshes' / path.name).read_bytes() == path.read_bytes()


def fake(class_id, category):
    def make(_frame, boxes, image=None):
        return [SimpleNamespace(class_id=class_id, box2d=tuple(box)) for box in boxes]

    def masked(frame, boxes, masks):
        assert len(boxes) == len(masks)
        return make(frame, boxes)

    config = SimpleNamespace(category=category)
    return SimpleNamespace(
        class_id=class_id, label=make, label_masked=masked, model=SimpleNamespace(config=config)
    )


@pytest.mark.parametrize('masks', [None, [None] * 4])
def test_labels_come_in_the_order_of_the_boxes(masks):
    labelers = ClassLabelers([fake(5, 'car'), fake(2, 'pedestrian')])
    boxes, ids = np.arange(16.0).reshape(4, 4), np.array([2, 5, 5, 2])
    made = labelers.label(None, boxes, ids, masks=masks)
    assert [one.class_id for one in made] == ids.tolist()
    assert [one.box2d for one in made] == [tuple(box) for box in boxes]
    assert labelers.label(None, np.zeros((0, 4)), np.zeros(0, int)) == []


def test_two_spaces_of_one_class_or_none_are_refused():
    with pytest.raises(ValueError, match='different classes, got: car, car'):
        ClassLabelers([fake(5, 'car'), fake(5, 'car')])
    with pytest.raises(ValueError, match='got: none'):
        ClassLabelers([])
    with pytest.raises(CheckpointError, match='holds no shape space'):
        load_shapes(f'{CHECKPOINT},{MODELS / "permanence"}')


def test_corrections_of_cars_are_for_cars_only():
    config = LabelConfig(mirrors=True)
    assert for_category(config, 'car') is config
    person = for_category(KITTI, 'pedestrian')
    assert person.population == person.size_shift == (0.0, 0.0, 0.0)
    assert person.gap < KITTI.gap
    assert person.edge_sigma == KITTI.edge_sigma
    assert not for_category(config, 'truck').mirrors
    assert ShapeLabeler.load(PEOPLE[0], KITTI).config == person


@pytest.mark.parametrize('category', ['truck', 'pedestrian', 'cyclist'])
def test_objects_are_drawn_alike_from_equal_seeds(category):
    kind = CATEGORIES[category]
    first, again, other = kind.draw(3, 0), kind.draw(3, 0), kind.draw(3, 1)
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.surface.vertices, same.surface.vertices)
        used = one.surface.vertices[np.unique(one.surface.faces)]
        np.testing.assert_allclose(used.max(0), one.size / 2 - one.shell, atol=1e-3)
    assert any((a.size != b.size).any() for a, b in zip(first, other, strict=True))
    usual = {'truck': 2.0, 'pedestrian': 1.2, 'cyclist': 1.2}[category]
    assert all(one.size[2] > usual for one in first)
