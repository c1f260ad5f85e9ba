"""Real images as samples of the permanence network: what is believed, and what is left open."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sim_perception.models.permanence import BOX_UNIT, OUTPUT_STRIDE, PermanenceOutput
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Detection
from training.datasets.views.views import View
from training.engine.config import load_config
from training.tasks.permatrack.maps import COLUMNS
from training.tasks.permatrack.real_images import (
    Agreed,
    TeacherConfig,
    Teachers,
    drift,
    real_maps,
)
from training.tasks.permatrack.seen_boxes import read_seen_boxes
from training.tasks.permatrack.task import PermaTrackTask

THINGS = ('car', 'truck', 'pedestrian', 'cyclist')
SIZE = (320, 96)
CAMERA = Camera(*SIZE, 200.0, 200.0, 159.5, 47.5)
IMAGE = np.zeros((96, 320, 3), np.uint8)
WHOLE = View(SIZE, SIZE, (0, 0), SIZE)


def agreed(*objects, doubt=()):
    """Objects as (thing, box); doubt as (thing, first column, last column) of maps at stride 4."""
    maps = np.zeros((4, 24, 80), bool)
    for thing, first, last in doubt:
        maps[thing, :, first:last] = True
    boxes = np.array([box for _, box in objects], float).reshape(-1, 4)
    whole = boxes[:, 0] > 0
    return Agreed(np.array([thing for thing, _ in objects], np.int64), boxes, whole, maps)


def test_what_is_agreed_is_there_what_is_doubted_is_open_and_all_else_is_not():
    believed = agreed((2, (100, 20, 120, 80)), doubt=((2, 20, 40), (0, 60, 70)))
    maps = real_maps(believed, [WHOLE], 4)
    heat, weight = maps['heat'][0].numpy(), maps['heat_weight'][0].numpy()
    assert np.argwhere(heat == 1).tolist() == [[2, 12, 27]]
    assert not heat[[0, 1, 3]].any()
    assert weight[2, 12, 27] == 1
    doubted = np.zeros((24, 80), bool)
    doubted[:, 20:40] = True
    doubted[12, 27] = False
    np.testing.assert_array_equal(weight[2] == 0, doubted)
    assert (weight[0, :, 60:70] == 0).all()
    assert (weight[[1, 3]] == 1).all()
    assert not maps['hidden'].any()


def test_boxes_of_whole_objects_are_taught_and_neither_distance_nor_size():
    shifted = View(SIZE, (640, 192), (160, 40), SIZE)
    believed = agreed((2, (100, 20, 121, 80)), (0, (0, 30, 60, 70)))
    maps = real_maps(believed, [WHOLE, shifted], 4)
    assert maps['weight'].sum() == 2  # the car goes on outside of the image
    for t, (centre, half) in enumerate([((110.5, 50), (10.5, 30)), ((61.5, 60.5), (21, 60))]):
        row, column = divmod(int(maps['place'][t]) - t * 24 * 80, 80)
        values = maps['values'][t].numpy()
        at = (np.array([column, row]) + values[COLUMNS['offset']] + 0.5) * OUTPUT_STRIDE - 0.5
        np.testing.assert_allclose(at, centre, atol=1e-4)
        np.testing.assert_allclose(np.exp(values[COLUMNS['box']]) * BOX_UNIT, half * 2, rtol=1e-5)
        for name in ('displacement', 'visibility', 'log_depth', 'log_size', 'heading'):
            assert np.isnan(values[COLUMNS[name]]).all()


def test_unknown_values_have_no_loss_and_no_gradient():
    maps = real_maps(agreed((2, (100, 20, 121, 80))), [WHOLE], 4)
    batch = {name: value[None] for name, value in maps.items()}
    heads = {'heat': 4, 'offset': 2, 'box': 4, 'displacement': 2, 'visibility': 1}
    heads |= {'log_depth': 1, 'log_size': 3, 'heading': 2}
    output = PermanenceOutput(**{
        name: torch.zeros(1, channels, 24, 80, requires_grad=True)
        for name, channels in heads.items()
    })  # fmt: skip
    task = PermaTrackTask(load_config('permatrack', ['model={pretrained: false}']))
    terms = task.terms(output, batch)
    sum(terms.values()).backward()
    learns = {name for name, value in terms.items() if value > 0}
    assert learns == {'heat', 'offset', 'box'}
    for name, value in output._asdict().items():
        gradient = value.grad if value.grad is not None else torch.zeros(1)
        assert gradient.isfinite().all()
        assert bool(gradient.any()) == (name in learns)


def test_views_show_the_object_where_it_is_in_them():
    believed = agreed((0, (100, 20, 140, 60)))
    shifted = View(SIZE, (640, 192), (160, 40), SIZE)
    mirrored = View(SIZE, SIZE, (0, 0), SIZE, mirror=True)
    away = View(SIZE, (640, 192), (320, 40), SIZE)
    heat = real_maps(believed, [WHOLE, shifted, mirrored, away], 4)['heat'].numpy()
    found = [np.argwhere(heat[t, 0] == 1).tolist() for t in range(4)]
    assert found[0] == [[10, 30]]
    assert found[1] == [[10, 20]]  # pixel 240, 80 of the larger image, less the corner
    assert found[2] == [[10, 49]]
    assert found[3] == []


def test_views_wander_within_the_image_by_equal_steps():
    start = View(SIZE, (640, 192), (100, 50), SIZE)
    views = drift(start, 5, 6.0, np.random.default_rng(0))
    corners = np.array([view.corner for view in views])
    assert views[0] == start
    steps = np.diff(corners, axis=0)
    assert (abs(steps) <= 7).all()
    assert (np.ptp(steps, axis=0) <= 1).all()
    edge = drift(View(SIZE, (330, 96), (8, 0), SIZE), 9, 6.0, np.random.default_rng(1))
    assert all(0 <= view.corner[0] <= 10 and view.corner[1] == 0 for view in edge)


@pytest.fixture
def teachers():
    """Teachers whose networks say what the test tells them."""
    made = Teachers.__new__(Teachers)
    made.config, made.things = TeacherConfig(), THINGS
    made.taxonomy = load_taxonomy()
    made._group = {'pedestrian': THINGS[2:], 'cyclist': THINGS[2:], 'car': THINGS[:2],
                   'truck': THINGS[:2]}  # fmt: skip
    made._settings = SimpleNamespace()
    return made


def ask(teachers, monkeypatch, detections, classes, seen=None, sure=16.0):
    """Return what is agreed where pixels' classes are (name, first column, last column)."""
    taxonomy = teachers.taxonomy
    logits = torch.full((1, len(taxonomy.names), 24, 80), 0.0)
    logits[:, taxonomy.id_of('road')] = 8.0
    for name, first, last in classes:
        logits[:, taxonomy.id_of(name), :, first:last] = sure
    inputs = SimpleNamespace(image=None, focal=None)
    monkeypatch.setattr(
        'training.tasks.permatrack.real_images.preprocess', lambda frames, settings: inputs
    )
    teachers._classes = lambda image, focal: SimpleNamespace(logits=logits)
    found = [Detection(taxonomy.id_of(kind), 0.5, box2d=box) for kind, box in detections]
    teachers._objects = SimpleNamespace(reset=lambda: None, update=lambda frame: found)
    return teachers.look(IMAGE, CAMERA, seen)


def test_an_object_needs_both_teachers(teachers, monkeypatch):
    seen = [('pedestrian', (80.0, 10.0, 119.0, 90.0)), ('car', (200.0, 20.0, 260.0, 80.0))]
    told = ask(teachers, monkeypatch, seen, [('pedestrian', 20, 30)])
    assert told.thing.tolist() == [2], 'no pixel says car'
    np.testing.assert_allclose(told.box, [seen[0][1]])
    assert told.doubt[2, :, 20:30].all()
    assert not told.doubt[2, :, 40:].any()
    np.testing.assert_array_equal(told.doubt[2], told.doubt[3])
    assert not told.doubt[:2].any()


def test_classes_decide_between_a_walker_and_a_rider(teachers, monkeypatch):
    seen = [('pedestrian', (80.0, 10.0, 119.0, 90.0))]
    assert ask(teachers, monkeypatch, seen, [('cyclist', 20, 30)]).thing.tolist() == [3]


def test_one_object_counts_once(teachers, monkeypatch):
    seen = [('car', (80.0, 10.0, 160.0, 90.0)), ('truck', (82.0, 12.0, 160.0, 90.0)),
            ('car', (150.0, 10.0, 220.0, 90.0))]  # fmt: skip
    told = ask(teachers, monkeypatch, seen, [('car', 20, 60)])
    np.testing.assert_allclose(told.box, [seen[0][1], seen[2][1]])


def test_a_box_within_another_of_its_kind_is_a_part_of_it(teachers, monkeypatch):
    seen = [('car', (80.0, 10.0, 160.0, 90.0)), ('car', (90.0, 20.0, 120.0, 50.0))]
    assert len(ask(teachers, monkeypatch, seen, [('car', 20, 60)]).box) == 1


def test_another_detector_proposes_what_classes_confirm(teachers, monkeypatch):
    pedestrian, car = (teachers.taxonomy.id_of(name) for name in ('pedestrian', 'car'))
    walker, ghost = (80.0, 10.0, 119.0, 90.0), (200.0, 10.0, 239.0, 90.0)
    seen = [
        Detection(pedestrian, 0.35, box2d=walker),
        Detection(pedestrian, 0.9, box2d=ghost),
        Detection(car, 0.35, box2d=walker),
    ]
    told = ask(teachers, monkeypatch, [], [('pedestrian', 20, 30)], seen)
    assert told.thing.tolist() == [2]
    np.testing.assert_allclose(told.box, [walker])
    own = ask(teachers, monkeypatch, [('pedestrian', walker)], [('pedestrian', 20, 30)], seen)
    assert len(own.box) == 1, 'seen by both, there once'


def test_where_another_detector_sees_nothing_a_faint_class_is_no_doubt(teachers, monkeypatch):
    pedestrian = teachers.taxonomy.id_of('pedestrian')
    faint = [('pedestrian', 20, 30), ('pedestrian', 50, 60)]  # as probable as the road
    weak = [Detection(pedestrian, 0.1, box2d=(80.0, 10.0, 119.0, 90.0))]
    told = ask(teachers, monkeypatch, [], faint, weak, sure=7.8)
    assert told.doubt[2, 12, 25], 'even a weak box leaves it open'
    assert not told.doubt[2, :, 45:].any()
    assert ask(teachers, monkeypatch, [], faint, sure=7.8).doubt[2, :, 50:60].all()
    certain = ask(teachers, monkeypatch, [], faint, weak)
    assert certain.doubt[2, :, 50:60].all(), 'classes that are sure leave it open as well'


def test_boxes_of_a_file_by_the_names_of_images(tmp_path):
    def row(number, image, category, x, y, w, h, score):
        return {'id': number, 'image_id': image, 'category_id': category, 'bbox': [x, y, w, h],
                'score': score}  # fmt: skip

    names = ('person', 'bicycle', 'car', 'bus', 'kite', 'truck')
    path = tmp_path / 'seen.json'
    path.write_text(
        json.dumps(
            {
                'images': [
                    {'id': 4, 'file_name': 'a/000001.jpg'},
                    {'id': 7, 'file_name': 'b.png'},
                ],
                'categories': [{'id': k, 'name': name} for k, name in enumerate(names)],
                'annotations': [
                    row(0, 4, 0, 10, 10, 20, 50, 0.4),
                    row(1, 4, 1, 8, 35, 24, 40, 0.2),
                    row(2, 4, 0, 100, 10, 20, 50, 0.9),
                    row(3, 4, 4, 50, 0, 9, 9, 0.9),
                    row(4, 4, 3, 200, 0, 90, 90, 0.3),
                ],
            }
        )
    )
    taxonomy = load_taxonomy()
    seen = read_seen_boxes(path, taxonomy)
    assert set(seen) == {'000001', 'b'}
    assert seen['b'] == ()
    found = [(taxonomy.names[each.class_id], each.score) for each in seen['000001']]
    assert found == [('pedestrian', 0.9), ('cyclist', 0.4), ('truck', 0.3)]
    # edges of pixels in the file, middles here; the rider and the bicycle together
    assert seen['000001'][1].box2d == (7.5, 9.5, 31.5, 74.5)
