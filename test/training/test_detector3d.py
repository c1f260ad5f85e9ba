"""The 3D detector's targets, its two kinds of labels, and that it learns from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sim_perception.autolabel.records import LabelledFrame, write_frame
from sim_perception.bags.errors import BagError
from sim_perception.bags.sensors import ANY
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, make_transform
from sim_perception.inference.detector3d import decode
from sim_perception.inference.plan import Plan
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.detector3d import GEOMETRY, Detector3dConfig, Detector3dOutput
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, ShapeLabel
from training.datasets.objects.clouds import points_on
from training.datasets.objects.label_scenes import LabelScene, TrueObject, points_in_box
from training.datasets.sample import DatasetError
from training.engine.config import ConfigError, load_config
from training.evaluation.detector3d.scores import score_scenes
from training.tasks import build_task
from training.tasks.detector3d.data import Detector3dData, Detector3dDataConfig
from training.tasks.detector3d.scenes import (
    ReadyFrame,
    asked_of_labels,
    asked_of_truth,
    labels_of,
    read_ready,
    ready,
    ready_frames,
    write_ready,
)
from training.tasks.detector3d.targets import Asked, Change, middles, plan_maps, resized

CONFIG = Detector3dConfig(x_range=(0.0, 25.6), y_range=(-12.8, 12.8), camera=False)
CAMERA = Camera(320, 96, 186.0, 186.0, 159.5, 47.5)
level_T_camera = make_transform(BODY_T_OPTICAL[:3, :3], np.array([0.0, 0.0, 1.6]))
ROWS = np.array([[9.1, -2.3, 0.8, 0.4, 4.2, 1.8, 1.5], [17.0, 4.0, 0.7, -2.8, 4.8, 1.9, 1.4]])
NOTHING = np.empty((0, 3)), np.empty((0, 2))
ON = points_on('lidar')


def asked(rows=ROWS, unknown=NOTHING[0], wedges=NOTHING[1]):
    return Asked(
        np.zeros(len(rows), np.int64), np.array(rows), np.array(unknown), np.array(wedges)
    )


def decoded(targets):
    """What is found if the network says just what it is asked for."""
    heat = torch.where(targets['heat'] == 1, 5.0, -5.0)[None]
    parts = targets['values'][None].split(list(GEOMETRY.values()), 1)
    _, _, rows = decode(Detector3dOutput(heat, *parts), CONFIG, 0.5)
    return rows[np.argsort(rows[:, 0])]


def same_boxes(found, wanted):
    np.testing.assert_allclose(np.delete(found, 3, 1), np.delete(wanted, 3, 1), atol=1e-4)
    np.testing.assert_allclose(np.cos(found[:, 3] - wanted[:, 3]), 1, atol=1e-6)


def test_what_is_asked_for_is_what_is_decoded():
    same_boxes(decoded(plan_maps(asked(), Change(), CONFIG)), ROWS)


@pytest.mark.parametrize(
    'change',
    [
        Change(mirror=True),
        Change(turn=0.3),
        Change(scale=1.05, shift=(0.3, -0.2)),
        Change(True, -0.2, 0.96, (-0.1, 0.3)),
    ],
)
def test_points_and_boxes_change_alike(change):
    # corners of the boxes as points stay corners
    corners = [(1, 1), (1, -1), (-1, -1)]

    def outlines(rows):
        c, s = np.cos(rows[:, 3]), np.sin(rows[:, 3])
        return np.stack(
            [
                np.stack(
                    [
                        rows[:, 0] + (a * rows[:, 4] * c - b * rows[:, 5] * s) / 2,
                        rows[:, 1] + (a * rows[:, 4] * s + b * rows[:, 5] * c) / 2,
                        rows[:, 2],
                    ],
                    1,
                )
                for a, b in corners
            ]
        )

    moved = change.rows(ROWS)
    points = change.points(outlines(ROWS).reshape(-1, 3).astype(np.float32)).reshape(3, -1, 3)
    wanted = outlines(moved)
    if change.mirror:  # left and right change places
        np.testing.assert_allclose(points[0], wanted[1], atol=1e-4)
        np.testing.assert_allclose(points[1], wanted[0], atol=1e-4)
    else:
        np.testing.assert_allclose(points, wanted, atol=1e-4)
    np.testing.assert_allclose(change.back(moved[:, :2]), ROWS[:, :2], atol=1e-9)
    same_boxes(decoded(plan_maps(asked(), change, CONFIG)), moved)


def in_box(row, share):
    """Points of a box by (K, 3) shares of its half axes."""
    c, s = np.cos(row[3]), np.sin(row[3])
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return (share * row[4:] / 2) @ turn.T + row[:3]


def test_resized_objects_take_their_points_along_and_stand_where_they_stood():
    share = np.random.default_rng(0).uniform(-0.95, 0.95, (40, 3))
    street = np.array([[5.0, 9.0, 0.0], [30.0, 0.0, 1.0]])
    points = np.concatenate([in_box(ROWS[0], share), in_box(ROWS[1], share), street])
    points = np.concatenate([points, np.arange(len(points))[:, None]], 1).astype(np.float32)
    factors = np.array([[1.2, 0.9, 1.1], [0.8, 1.0, 0.95]])
    moved, rows = resized(points, ROWS, factors)
    np.testing.assert_allclose(rows[:, 4:], ROWS[:, 4:] * factors)
    np.testing.assert_allclose(rows[:, 2] - rows[:, 6] / 2, ROWS[:, 2] - ROWS[:, 6] / 2)
    np.testing.assert_allclose(rows[:, [0, 1, 3]], ROWS[:, [0, 1, 3]])
    np.testing.assert_allclose(moved[:40, :3], in_box(rows[0], share), atol=1e-4)
    np.testing.assert_allclose(moved[40:80, :3], in_box(rows[1], share), atol=1e-4)
    np.testing.assert_array_equal(moved[80:], points[80:])
    np.testing.assert_array_equal(moved[:, 3], points[:, 3])


def test_neighbours_are_taught_too_but_less():
    targets = plan_maps(asked(ROWS[:1]), Change(), CONFIG)
    weight = targets['weight'].numpy()
    assert (weight == 1).sum() == 1
    assert 4 <= (weight == 0.5).sum() <= 8
    places = middles(CONFIG)
    taught = weight > 0
    centre = places[taught] + 0.8 * targets['values'][:2].numpy()[:, taught].T
    np.testing.assert_allclose(centre, np.tile(ROWS[0, :2], (taught.sum(), 1)), atol=1e-4)


def test_an_object_beyond_the_plan_is_not_asked_for():
    far = np.array([[60.0, 0, 0.8, 0, 4, 1.8, 1.5]])
    targets = plan_maps(asked(far), Change(), CONFIG)
    assert not targets['heat'].any()
    assert not targets['weight'].any()


def test_where_an_object_may_be_or_not_nothing_is_taught():
    places = middles(CONFIG)
    targets = plan_maps(asked(ROWS[:0], unknown=[[15.0, 0.0, 3.0]]), Change(), CONFIG)
    near = np.hypot(places[..., 0] - 15, places[..., 1]) <= 3
    np.testing.assert_array_equal(targets['heat_weight'][0].numpy() == 0, near)
    turned = Change(mirror=True, turn=0.2)
    targets = plan_maps(asked(ROWS[:1], wedges=[[-0.4, -0.1]]), turned, CONFIG)
    before = turned.back(places)
    inside = (before[..., 1] > -0.4 * before[..., 0]) & (before[..., 1] < -0.1 * before[..., 0])
    unknown = targets['heat_weight'][0].numpy() == 0
    assert unknown[inside].mean() > 0.7
    assert not unknown[~inside].any()
    # a known object inside the wedge is still asked for
    row, column = np.argwhere(targets['heat'][0].numpy() == 1)[0]
    assert not unknown[row, column]


def frame(kinds=('car', 'car'), rows=ROWS, facts=((100, 0.0), (100, 0.0)), name='made_00000'):
    plan = Plan(from_euler(0, 0, 0.2, (1.0, 2.0, 0.0)), np.array([0.01, 0.0, 0.3]))
    return ReadyFrame(
        bag='made',
        name=name,
        plan=plan,
        points=np.zeros((5, 6), np.float32),
        maps=(np.ones((3, 2, 4), np.float16),),
        kinds=tuple(kinds),
        rows=np.array(rows),
        facts=np.array(facts, float),
        sight=(CAMERA.fx, CAMERA.cx),
    )


def test_true_objects_with_few_points_or_hidden_ones_may_be_found_or_not():
    rows = np.concatenate([ROWS, ROWS + np.eye(7)[0] / 2])
    kinds, facts = ('car', 'car', 'car', 'truck'), ((50, 0.1), (3, 0.0), (50, 0.9), (99, 0.0))
    found = asked_of_truth(frame(kinds, rows, facts), ('car',), 20, 0.7)
    np.testing.assert_array_equal(found.rows, rows[:1])
    np.testing.assert_array_equal(found.unknown[:, :2], rows[1:3, :2])
    assert not len(found.wedges)


def labelled(one):
    boxes = one.plan.boxes(ROWS)
    labels = [
        ShapeLabel(10, (100.0, 30.0, 140.0, 60.0), True, '', 0.9, box3d=boxes[0]),
        ShapeLabel(10, (140.5, 30.0, 178.5, 60.0), False, 'few_points', 0.0),
        ShapeLabel(10, (10.0, 30.0, 40.0, 60.0), False, 'low_confidence', 0.2, box3d=boxes[1]),
    ]
    return LabelledFrame(one.name, 0, CAMERA, invert(level_T_camera), tuple(labels))


def test_accepted_labels_are_asked_for_and_rejected_ones_leave_their_bearing_open():
    one = frame()
    found = asked_of_labels(one, labelled(one), ('car',), load_taxonomy())
    same_boxes(found.rows, ROWS[:1])
    assert len(found.wedges) == 2
    np.testing.assert_allclose(found.wedges[0], [-19.0 / 186, 19.0 / 186], atol=1e-6)


def test_a_label_asks_for_an_object_of_its_own_class():
    one, taxonomy = frame(), load_taxonomy()
    boxes = one.plan.boxes(ROWS)
    labels = tuple(
        ShapeLabel(taxonomy.id_of(name), (10.0, 30.0, 40.0, 60.0), True, '', 0.9, box3d=box)
        for name, box in zip(('pedestrian', 'car', 'truck'), [*boxes, boxes[0]], strict=True)
    )
    all_of_it = replace(labelled(one), labels=labels)
    found = asked_of_labels(one, all_of_it, ('car', 'pedestrian'), taxonomy)
    assert found.thing.tolist() == [1, 0]
    same_boxes(found.rows, ROWS)


def test_labels_are_found_by_recording_and_frame(tmp_path):
    one = frame()
    with pytest.raises(DatasetError, match=r'no labels of frame made_00000.*training label'):
        labels_of(one, tmp_path)
    write_frame(labelled(one), tmp_path / 'made' / 'frames' / 'made_00000.json')
    assert len(labels_of(one, tmp_path).accepted) == 1


def test_a_kept_frame_comes_back_as_it_was(tmp_path):
    one = frame()
    write_ready(one, tmp_path / 'one.npz')
    back = read_ready(tmp_path / 'one.npz')
    for name in ('bag', 'name', 'kinds', 'sight'):
        assert getattr(back, name) == getattr(one, name)
    for name in ('points', 'rows', 'facts'):
        np.testing.assert_array_equal(getattr(back, name), getattr(one, name))
    np.testing.assert_array_equal(back.plan.level_T_plan, one.plan.level_T_plan)
    np.testing.assert_array_equal(back.maps[0], one.maps[0])
    (tmp_path / 'bad.npz').write_bytes(b'nothing')
    with pytest.raises(DatasetError, match=r'bad\.npz is no kept frame'):
        read_ready(tmp_path / 'bad.npz')


def test_recordings_of_one_name_in_two_folders_are_kept_apart(tmp_path, monkeypatch):
    places = [tmp_path / name / 'drive' for name in ('a', 'b')]
    bags = [(place, ANY) for place in places]
    monkeypatch.setattr('training.tasks.detector3d.scenes.expand_each', lambda patterns: bags)
    monkeypatch.setattr(
        'training.tasks.detector3d.scenes.scenes_of',
        lambda path, sensors, points: [made_scene(places.index(path))],
    )

    def make(scene, bag):
        return ready(scene, bag, 40.0, lambda *_: [], lambda scene: scene.frame, ON)

    for _ in range(2):  # made, then read
        found = ready_frames(['*'], tmp_path / 'kept', {}, make)
        assert [one.name for one in found] == ['made_0', 'made_1']


def test_recordings_of_one_name_cannot_share_labels(task, tmp_path, monkeypatch):
    bags = [(tmp_path / name / 'drive', ANY) for name in ('a', 'b')]
    monkeypatch.setattr('training.tasks.detector3d.data.expand_each', lambda patterns: bags)
    monkeypatch.setattr('training.tasks.detector3d.data.ready_frames', lambda *_, **__: [])
    settings = Detector3dDataConfig(bags=['*'], labels=str(tmp_path))
    with pytest.raises(DatasetError, match=r'a/drive and .*b/drive have one name.*rename'):
        Detector3dData(settings, task.model, task.preprocess)


def test_points_of_a_depth_image_are_on_what_the_camera_sees():
    whole = TrueObject('car', Box3D(np.eye(4), (4, 2, 2)), (100.0, 20.0, 140.0, 50.0), 0, 0, 7)
    assert points_on('lidar')(whole) == 7
    assert points_on('depth')(whole) == 40 * 30 / 4
    assert points_on('depth')(replace(whole, occluded=0.75)) == 75


def made_scene(seed):
    """A car-sized box of points on flat ground, somewhere before the camera."""
    rng = np.random.default_rng(seed)
    pose = from_euler(
        0, 0, rng.uniform(-3, 3), np.array([rng.uniform(7, 18), rng.uniform(-3, 3), 0.8])
    )
    box = Box3D(pose, (4.4, 1.8, 1.6))
    sides = rng.uniform(-0.5, 0.5, (600, 3))
    sides[np.arange(600), rng.integers(0, 2, 600)] = np.sign(rng.uniform(-1, 1, 600)) / 2
    car = sides * box.size @ pose[:3, :3].T + pose[:3, 3]
    flat = np.concatenate([rng.uniform([2, -12], [25, 12], (1500, 2)), np.zeros((1500, 1))], 1)
    points = np.concatenate([car, flat])
    true = TrueObject('car', box, (100.0, 20.0, 200.0, 70.0), 0.0, 0.0, points_in_box(points, box))
    seen = LidarFrame(CAMERA, invert(level_T_camera), points, np.array([0.0, 0.0, 1.8]))
    return LabelScene(f'made_{seed}', seen, np.full((96, 320, 3), 90, np.uint8), (true,))


@pytest.fixture
def task(tmp_path):
    settings = [
        f'output={tmp_path / "run"}', 'model.camera=false', 'model.channels=[16,24,32]',
        'model.x_range=[0.0,25.6]', 'model.y_range=[-12.8,12.8]', 'data.bags=[none]',
        'data.most_points=2048', 'data.turn_deg=5', 'data.resize=1', 'model.things=[car]',
        'model.pillar_channels=24', 'model.head_channels=32',
    ]  # fmt: skip
    return build_task(load_config('detector3d', settings))


def test_it_learns_to_find_cars_where_they_are(task, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    made = [made_scene(k) for k in range(4)]
    frames = [
        ready(one, 'made', 40.0, lambda image, camera: [], lambda scene: scene.frame, ON)
        for one in made
    ]
    monkeypatch.setattr(
        'training.tasks.detector3d.data.ready_frames', lambda *args, **options: frames
    )
    data = task.training_data()
    assert len(data) == data.objects == 4
    optimizer = torch.optim.AdamW(task.parameters(), 4e-3)
    task.train()
    first = last = None
    for step in range(100):
        # falls in the second half: without, the outcome depends on the processor's rounding
        optimizer.param_groups[0]['lr'] = 4e-3 * min(1.0, 2 - step / 50)
        rng = np.random.default_rng(step)
        batch = torch.utils.data.default_collate([data.sample(k, rng) for k in range(4)])
        loss = task(batch)['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or float(loss.detach()), float(loss.detach())
    assert last < first / 4
    scores = score_scenes(task.eval().engine(), made)
    assert scores['frames'] == scores['objects'] == 4
    assert scores['ap_bev_50'] > 0.9
    config = load_config('detector3d')
    record = {'command': 'made', 'step': 45, 'samples': 4}
    task.save_checkpoint(tmp_path / 'checkpoint', config, record)
    card = (tmp_path / 'checkpoint' / 'README.md').read_text()
    assert 'Trained on the true boxes' in card
    assert load_checkpoint(tmp_path / 'checkpoint').name == 'detector3d'


def test_unusable_settings_are_refused(task, tmp_path):
    with pytest.raises(DatasetError, match=r'name data\.bags'):
        Detector3dData(Detector3dDataConfig(), task.model, task.preprocess)
    with pytest.raises(ConfigError, match='unknown settings'):
        build_task(load_config('detector3d', ['model.wheels=4', 'model.start=null']))
    with pytest.raises(ConfigError, match=r'model\.start: .*none is not a folder'):
        build_task(load_config('detector3d', [f'model.start={tmp_path / "none"}']))
    with pytest.raises(ConfigError, match='labels'):
        build_task(load_config('detector3d', ['data.lables=x']))


def simulate(folder, layers):
    """Write a recording of two frames; return the console that shows nothing."""
    import io

    from rich.console import Console

    from training.simulation.plans import plan_bags
    from training.simulation.simulate import run

    plans = plan_bags(
        'target', 300000, folder, layers=layers, image_format='jpeg', frame_rate=1.0, duration=2.0
    )
    quiet = Console(file=io.StringIO())
    run(plans, 1, quiet)
    return quiet


@pytest.mark.slow
def test_predicted_depth_needs_no_lidar(tmp_path):
    """A recording of a camera alone teaches and scores a detector that sees predicted depth."""
    simulate(tmp_path / 'drive', 'rgb,objects')
    settings = [f'data.bags=[{tmp_path / "drive"}]', 'data.cache=""', 'model.things=[car]']
    task = build_task(load_config('detector3d', ['data.points=depth', *settings]))
    data = task.training_data()
    assert len(data) == 2
    assert data.objects > 0
    street = {'street': f'bag:{tmp_path / "drive"}'}
    task.check_validation(street)
    assert task.validate(street, 1)['street/objects'] > 0
    with pytest.raises(BagError, match='PointCloud2'):
        build_task(load_config('detector3d', settings)).training_data()


@pytest.mark.slow
def test_a_bag_and_its_labels_become_the_same_samples_but_for_their_boxes(tmp_path):
    """Simulate, label, make ready: auto and true labels of the same frames agree."""
    from training.labelling.frames import LabelJob
    from training.labelling.label import label

    quiet = simulate(tmp_path / 'drive', 'rgb,objects,lidar')
    out = tmp_path / 'labels' / 'drive'
    label(
        LabelJob(bag=str(tmp_path / 'drive'), out=str(out), mirrors=True, formats=()),
        console=quiet,
    )
    common = [
        f'data.bags=[{tmp_path / "drive"}]', f'data.cache={tmp_path / "ready"}',
        'model.things=[car]', 'data.resize=1',
    ]  # fmt: skip
    true = build_task(load_config('detector3d', common)).training_data()
    auto = build_task(
        load_config('detector3d_auto', [*common, f'data.labels={tmp_path / "labels"}'])
    ).training_data()
    assert len(true) == len(auto) == 2
    assert any((tmp_path / 'ready').rglob('*.npz'))
    a, b = (data.sample(0, np.random.default_rng(0)) for data in (true, auto))
    torch.testing.assert_close(a['points'], b['points'], equal_nan=True)
    torch.testing.assert_close(a['map0'], b['map0'])
    both = ((a['heat'] == 1) & (b['heat'] == 1)).sum()
    assert both >= 0.5 * (a['heat'] == 1).sum()
