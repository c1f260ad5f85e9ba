"""Object permanence: visibility rules, places of hidden objects, maps, losses, training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from simulated_bags import simulate_bag
from typer.testing import CliRunner

from sim_perception.geometry.boxes import project_box
from sim_perception.geometry.transforms import from_euler, invert, make_transform
from sim_perception.inference.object_peaks import upright
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.models.permanence import PermanenceOutput
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, Detection
from training.commands import cli
from training.datasets.bags.track_clips import ObjectTable, TrackClips, appearances
from training.datasets.bags.track_targets import (
    RuleConfig,
    State,
    clip_targets,
    keep_velocity,
    object_states,
)
from training.datasets.sample import DatasetError
from training.datasets.views.views import GeometryConfig, View, draw_view
from training.engine.config import ConfigError, load_config
from training.engine.state import list_states, load_state
from training.evaluation.permanence.scores import match, score_bags
from training.losses import centre_focal, visibility_focal, weighted_l1
from training.tasks import build_task
from training.tasks.permatrack.data import TrackData, TrackDataConfig
from training.tasks.permatrack.maps import COLUMNS, clip_maps
from training.tasks.permatrack.task import at_centres
from training.tasks.train import train

THINGS = ('car', 'truck', 'pedestrian', 'cyclist')
CAMERA = Camera(320, 128, 200.0, 200.0, 159.5, 63.5)
WHOLE = View((320, 128), (320, 128), (0, 0), (320, 128))
A, G, S, H = State.ABSENT, State.IGNORED, State.SEEN, State.HIDDEN
NAN = np.nan


def table_of(positions: np.ndarray, visibility: np.ndarray, poses: np.ndarray) -> ObjectTable:
    """Return cars of 4 x 1.8 x 1.5 m that point away, at (T, N, 3) places of the first camera's
    optical frame, seen by cameras at (T, 4, 4) poses in it."""
    size, frames = (4.0, 1.8, 1.5), len(positions)
    box = np.full((*visibility.shape, 4), np.nan)
    for t in range(frames):
        for n in range(visibility.shape[1]):
            pose = make_transform(upright(0.0), positions[t, n])
            edges = project_box(CAMERA, invert(poses[t]), Box3D(pose, size))
            if edges is not None:
                box[t, n] = edges
    return ObjectTable(
        stamps=np.arange(frames) * 10**8,
        camera=CAMERA,
        world_T_camera=poses,
        thing=np.zeros(visibility.shape[1], np.int64),
        size=np.tile(size, (visibility.shape[1], 1)),
        position=positions,
        forward=np.tile([0.0, 0.0, 1.0], (*visibility.shape, 1)),
        visibility=visibility,
        box=box,
    )


def driving(frames: int, speed: float = 8.0, yaw_rate: float = 0.1) -> np.ndarray:
    """Return poses of a camera that drives forward and turns, in its first optical frame."""
    time = np.arange(frames) * 0.1
    return np.stack(
        [from_euler(0.0, yaw_rate * t, 0.0, np.array([0.0, 0.0, speed * t])) for t in time]
    )


# The rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('fractions', 'expected'),
    [
        ([0.9, 0.9, 0.0, 0.0], [S, S, H, H]),
        ([0.9, 0.0, 0.0, 0.9], [S, A, A, S]),  # one sighting is not enough
        ([0.0, 0.0, 0.9, 0.9], [A, A, S, S]),  # never seen before: background
        ([0.1, 0.1, 0.9, 0.9], [G, G, S, S]),  # partly seen, but never clearly: ignored
        ([0.9, 0.9, 0.1, 0.0], [S, S, S, H]),  # partly seen after sightings: asked for
        ([0.9, 0.0, 0.9, 0.0], [S, A, S, H]),  # sightings need not be neighbours
        ([0.9, 0.9, 0.049, 0.05], [S, S, H, S]),  # the limits
        ([0.15, 0.149, 0.15, NAN], [S, G, S, A]),
        ([0.9, NAN, 0.9, 0.0], [S, A, S, H]),
    ],
)
def test_visibility_rules(fractions, expected):
    visibility = np.array(fractions)[:, None]
    states = object_states(visibility, np.ones((4, 1), bool), RuleConfig())
    assert states[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ('hidden', 'expected'),
    [('none', A), ('true_place', H), ('constant_velocity_2d', H), ('ignored', G)],
)
def test_hidden_objects_can_be_taught_otherwise(hidden, expected):
    visibility = np.array([0.9, 0.9, 0.0])[:, None]
    states = object_states(visibility, np.ones((3, 1), bool), RuleConfig(hidden=hidden))
    assert states[:, 0].tolist() == [S, S, expected]


def test_small_far_and_border_objects_are_ignored_and_not_sighted():
    visibility = np.array([0.9, 0.9, 0.0, 0.1])[:, None]
    states = object_states(visibility, np.zeros((4, 1), bool), RuleConfig())
    assert states[:, 0].tolist() == [G, G, A, G]
    positions = np.array([[[0.0, 1.0, 20.0], [0.0, 1.0, 90.0], [-40.0, 1.0, 20.0]]])
    table = table_of(positions, np.ones((1, 3)), driving(1))
    assert clip_targets(table, WHOLE, RuleConfig()).state[0].tolist() == [S, G, G]
    small = RuleConfig(min_area=1e5)
    assert clip_targets(table, WHOLE, small).state[0, 0] == G


# Hidden places --------------------------------------------------------------------------------


def test_velocity_is_kept_between_the_last_two_sightings():
    seconds = np.array([0.0, 0.1, 0.3, 0.4, 0.9])
    velocity = np.array([3.0, -1.0, 0.5])
    true = np.array([1.0, 2.0, 3.0]) + seconds[:, None, None] * velocity
    true[3:] += 5.0  # what nobody sees
    states = np.array([A, S, S, H, H], np.int8)[:, None]
    believed, hidden_for = keep_velocity(true, seconds, states)
    expected = true[1, 0] + (seconds[:, None] - seconds[1]) * velocity
    np.testing.assert_allclose(believed[3:, 0], expected[3:])
    np.testing.assert_allclose(believed[:3], true[:3])
    np.testing.assert_allclose(hidden_for[:, 0], [0, 0, 0, 0.1, 0.6])


def hidden_scene(mode: str, speed: float) -> tuple[ObjectTable, np.ndarray]:
    """Return the targets of a car that vanishes after 2 of 6 frames and then stops, with the
    place where its velocity would have taken it."""
    time = np.arange(6) * 0.1
    straight = np.array([2.0, 1.0, 20.0]) + time[:, None] * [-speed, 0.0, 1.0]
    true = straight.copy()
    true[2:] = true[1]
    visibility = np.array([1, 1, 0, 0, 0, 0.0])[:, None]
    table = table_of(true[:, None], visibility, driving(6))
    return clip_targets(table, WHOLE, RuleConfig(hidden=mode)), straight


def test_in_3d_hidden_objects_go_on_in_the_world_under_the_true_camera():
    targets, straight = hidden_scene('constant_velocity_3d', 6.0)
    assert targets.state[:, 0].tolist() == [S, S, H, H, H, H]
    poses = driving(6)
    for t in range(6):
        pose = make_transform(upright(0.0), straight[t])
        x, y, z = (invert(poses[t]) @ [*straight[t], 1.0])[:3]
        pixel = [CAMERA.fx * x / z + CAMERA.cx, CAMERA.fy * y / z + CAMERA.cy]
        np.testing.assert_allclose(targets.places.centre[t, 0], pixel)
        assert targets.places.depth[t, 0] == pytest.approx(z)
        edges = project_box(CAMERA, invert(poses[t]), Box3D(pose, (4.0, 1.8, 1.5)))
        np.testing.assert_allclose(targets.box[t, 0], edges, atol=5.0)  # seen from elsewhere


def test_in_2d_they_go_on_in_the_image_and_true_places_are_true():
    flat, straight = hidden_scene('constant_velocity_2d', 6.0)
    steps = np.diff(flat.places.centre[1:, 0], axis=0)
    first = flat.places.centre[1, 0] - flat.places.centre[0, 0]
    np.testing.assert_allclose(steps, np.tile(first, (4, 1)))
    real, _ = hidden_scene('true_place', 6.0)
    standing = invert(driving(6)[5]) @ [*straight[1], 1.0]
    assert real.places.depth[5, 0] == pytest.approx(standing[2])


def test_out_of_view_nothing_is_asked_for_and_the_motion_goes_on():
    targets, _ = hidden_scene('constant_velocity_3d', -80.0)
    assert targets.state[2:, 0].tolist() == [A] * 4
    assert (np.diff(targets.places.centre[2:, 0, 0]) > 0).all()


def test_a_mirrored_view_has_mirrored_targets():
    rng = np.random.default_rng(0)
    positions = rng.uniform([-6, 0.5, 10], [6, 1.5, 40], (1, 5, 3)) + np.zeros((4, 1, 1))
    table = table_of(positions, np.ones((4, 5)), driving(4))
    turned = replace(table, forward=np.tile([0.6, 0.0, 0.8], (4, 5, 1)))
    plain = clip_targets(turned, WHOLE, RuleConfig())
    mirrored = clip_targets(turned, replace(WHOLE, mirror=True), RuleConfig())
    assert (mirrored.state == plain.state).all()
    np.testing.assert_allclose(mirrored.places.heading, -plain.places.heading)
    np.testing.assert_allclose(mirrored.places.centre[..., 0], 319 - plain.places.centre[..., 0])
    np.testing.assert_allclose(mirrored.box[..., 0], 319 - plain.box[..., 2])


def test_views_project_like_their_own_camera():
    rng = np.random.default_rng(3)
    config = GeometryConfig(width=96, height=64, focal=(120, 300), scale=(0.5, 1.6))
    table = table_of(rng.uniform([-6, 0, 8], [6, 2, 40], (1, 6, 3)), np.ones((1, 6)), driving(1))
    view = draw_view((320, 128), 200.0, config, rng)
    seen = appearances(
        table.position, table.forward, table.world_T_camera, view.camera(CAMERA), view.mirror
    )
    pixels = CAMERA.fx * table.position[..., :2] / table.position[..., 2:]
    pixels += [CAMERA.cx, CAMERA.cy]
    expected = np.concatenate([pixels, np.ones((1, 6, 1))], -1) @ view.matrix.T
    np.testing.assert_allclose(seen.centre, expected[..., :2], atol=1e-6)


# Maps -----------------------------------------------------------------------------------------


def test_maps_hold_every_centre_once_with_its_values():
    positions = np.tile([[-2.0, 1.0, 12.0], [3.0, 1.0, 15.0]], (4, 1, 1))
    visibility = np.array([[1, 1], [1, 1], [1, 0], [0.5, 0]], float)
    table, rules = table_of(positions, visibility, driving(4)), RuleConfig(decay_s=0.5)
    targets = clip_targets(table, WHOLE, rules)
    maps = clip_maps(table, targets, (320, 128), 4, rules, hidden_gain=8.0)
    assert maps['heat'].shape == (4, 4, 32, 80)
    counted = maps['weight'] > 0
    assert int(counted.sum()) == 8
    assert int((maps['heat'] == 1).sum()) == 8
    for t in range(4):
        for n in range(2):
            centre = targets.places.centre[t, n]
            cell = np.floor((centre + 0.5) / 4).astype(int)
            row = int(np.flatnonzero(maps['place'] == (t * 32 + cell[1]) * 80 + cell[0])[0])
            values = maps['values'][row].numpy()
            back = (cell + values[COLUMNS['offset']] + 0.5) * 4 - 0.5
            np.testing.assert_allclose(back, centre, atol=1e-4)
            assert np.exp(values[COLUMNS['log_depth']]) == pytest.approx(
                targets.places.depth[t, n], rel=1e-5
            )
            hidden = n == 1 and t >= 2
            assert bool(maps['hidden'][row]) == hidden
            fading = np.exp(-(t - 1) * 0.1 / 0.5) if hidden else 1.0
            assert float(maps['weight'][row]) == pytest.approx(fading)
            expected = 8 * fading if hidden else 1.0
            assert float(maps['heat_weight'][t, 0, cell[1], cell[0]]) == pytest.approx(expected)
            if t:
                moved = (targets.places.centre[t - 1, n] - centre) / 4
                np.testing.assert_allclose(values[COLUMNS['displacement']], moved, atol=1e-4)
            assert (float(maps['displacement_weight'][row]) > 0) == (t > 0)


def test_objects_that_come_back_must_say_where_they_were():
    positions = np.tile([[-2.0, 1.0, 12.0]], (6, 1, 1))
    visibility = np.array([1, 1, 0, 0, 1, 1.0])[:, None]
    table, rules = table_of(positions, visibility, driving(6)), RuleConfig()
    targets = clip_targets(table, WHOLE, rules)
    maps = clip_maps(table, targets, (320, 128), 4, rules, hidden_gain=1.0)
    order = np.argsort(maps['place'][:6].numpy())
    weight = maps['displacement_weight'][:6].numpy()[order] / maps['weight'][:6].numpy()[order]
    np.testing.assert_allclose(weight, [0, 1, 1, 1, 11, 1], rtol=1e-5)


def test_ignored_objects_silence_their_place_for_their_class_only():
    table = table_of(np.array([[[0.0, 1.0, 12.0]]]), np.full((1, 1), 0.1), driving(1))
    rules = RuleConfig()
    targets = clip_targets(table, WHOLE, rules)
    maps = clip_maps(table, targets, (320, 128), 4, rules, hidden_gain=1.0)
    silent = maps['heat_weight'][0] == 0
    x1, y1, x2, y2 = table.box[0, 0] / 4
    width, height = x2 - x1, y2 - y1
    assert width * height < int(silent[0].sum()) < (width + 2) * (height + 2)
    assert not silent[1:].any()
    assert float(maps['weight'].sum()) == 0


# Losses ---------------------------------------------------------------------------------------


def test_the_focal_loss_is_cornernets_formula():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    target[:, :, 1, 2] = 1.0
    p, expected = torch.sigmoid(logits), 0.0
    for q, t in zip(p.flatten().tolist(), target.flatten().tolist(), strict=True):
        if t == 1:
            expected -= (1 - q) ** 2 * np.log(q)
        else:
            expected -= (1 - t) ** 4 * q**2 * np.log(1 - q)
    found = centre_focal(logits, target, torch.ones_like(target))
    assert float(found) == pytest.approx(expected / 6, rel=1e-4)


def test_losses_do_not_see_what_has_no_weight():
    target = torch.zeros(1, 1, 4, 4)
    target[..., 1, 1] = 1.0
    weight = torch.ones_like(target)
    weight[..., 3] = 0.0
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    centre_focal(logits, target, weight).backward()
    assert (logits.grad[..., 3] == 0).all()
    assert (logits.grad[..., :3] != 0).all()
    values = torch.full((2, 3), torch.nan)
    assert float(weighted_l1(values, values, torch.zeros(2))) == 0
    assert float(centre_focal(logits.detach(), target * 0, weight * 0)) == 0
    empty = [float(centre_focal(logits.detach(), target * 0, weight, least=n)) for n in (1, 4)]
    assert empty[0] == pytest.approx(4 * empty[1]) != 0


def test_visibility_is_best_at_its_fraction():
    fraction, weight = torch.tensor([0.3]), torch.ones(1)
    logits = torch.linspace(-4, 4, 81)
    losses = [float(visibility_focal(x[None], fraction, weight)) for x in logits]
    assert torch.sigmoid(logits[int(np.argmin(losses))]) == pytest.approx(0.3, abs=0.02)


def test_values_are_read_at_their_places():
    maps = torch.arange(2 * 3 * 5 * 4 * 6.0).view(6, 5, 4, 6)  # 2 clips of 3 frames
    place = torch.tensor([[(2 * 4 + 3) * 6 + 5, 0], [(1 * 4 + 0) * 6 + 2, 7]])
    found = at_centres(maps, place)
    torch.testing.assert_close(found[0, 0], maps[2, :, 3, 5])
    torch.testing.assert_close(found[1, 0], maps[4, :, 0, 2])
    torch.testing.assert_close(found[1, 1], maps[3, :, 1, 1])


# Scores ---------------------------------------------------------------------------------------


def test_detections_match_the_object_that_counts():
    positions = np.array([[[0.0, 1.0, 12.0], [0.3, 1.0, 12.5], [-6.0, 1.0, 20.0]]])
    table = table_of(positions, np.array([[1.0, 0.0, 1.0]]), driving(1))
    targets = clip_targets(table, WHOLE, RuleConfig())
    assert targets.state[0].tolist() == [S, A, S]

    def at(x: float, z: float, score: float, class_id: int = 10) -> Detection:
        box = Box3D(make_transform(upright(0.0), (x, 1.0, z)), (4.0, 1.8, 1.5))
        return Detection(class_id, score, box3d=box)

    found = [at(0.2, 12.3, 0.9), at(0.1, 12.2, 0.8), at(0.0, 12.0, 0.7), at(-6.0, 20.0, 0.9, 12)]
    matched, extra = match(found, targets, np.full(3, 10), 0, CAMERA)
    assert {n: d.score for n, d in matched.items()} == {0: 0.9, 1: 0.8}
    assert extra == 2  # a third one for two objects, and one of another class


# Bags and training ----------------------------------------------------------------------------

SCENARIO = """
domain: clean
duration_s: 0.8
frame_rate_hz: 10.0
camera: {width: 160, height: 96, horizontal_fov_deg: 70}
lidar: null
ego: {speed_kmh: 20}
street: {building_density: 0.4, furniture_density: 0.3}
traffic: {vehicles_per_km: 60, parked_density: 0.8, pedestrians_per_km: 300, cyclists_per_km: 30}
"""
TINY = [
    'device=cpu', 'batch_size=2', 'workers=0', 'precision=32-true', 'steps=3',
    'checkpoint.every_steps=2', 'log.scalars_every=1', 'log.pictures_every=2',
    'validation.every_steps=100', 'model.start=null', 'model.start_decoder=null',
    'model.pretrained=false', 'model.channels=[16,16,16,16]', 'model.memory_channels=8',
    'model.head_channels=8', 'data.frames=3', 'data.rules.min_area=20',
    'data.geometry={width: 96, height: 64, focal: [80, 140]}',
]  # fmt: skip


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('permatrack')
    return simulate_bag(folder / 'bag', SCENARIO, layers='rgb,objects', image_format='jpeg')


def config_of(bag: Path, output: Path, *changes: str):
    return load_config('permatrack', [*TINY, f'data.bags=[{bag}]', f'output={output}', *changes])


def test_a_bag_gives_clips_whose_truth_fits_its_images(bag):
    clips = TrackClips([bag], 3, (1, 2), load_taxonomy(), THINGS)
    assert len(clips) == 6
    rng = np.random.default_rng(0)
    clip = clips.draw(1, rng)
    images, table = clips.images(clip), clip.table
    assert images.shape == (3, 96, 160, 3)
    assert np.unique(np.diff(table.stamps)).tolist() in ([10**8], [2 * 10**8])
    seen = appearances(table.position, table.forward, table.world_T_camera, table.camera)
    # the projected centre of a 3D box lies inside the amodal image box of the same object
    known = np.isfinite(table.box).all(-1) & (seen.depth > 3)
    assert known.sum() > 10
    inside = (seen.centre >= table.box[..., :2]) & (seen.centre <= table.box[..., 2:])
    assert inside[known].all()


def test_time_can_run_backwards(bag):
    clips = TrackClips([bag], 4, (1,), load_taxonomy(), THINGS)
    forward = clips.draw(0, np.random.default_rng(0), flip=0.0)
    backward = clips.draw(0, np.random.default_rng(0), flip=1.0)
    assert (clips.images(backward) == clips.images(forward)[::-1]).all()
    assert (np.diff(backward.table.stamps) > 0).all()
    poses = forward.table.world_T_camera
    np.testing.assert_allclose(backward.table.world_T_camera, poses[::-1])


def test_single_images_teach_what_is_seen_in_them(bag):
    config = TrackDataConfig(
        bags=[str(bag)], frames=1, strides=(1,), geometry=GeometryConfig(width=96, height=64),
        rules=RuleConfig(min_area=4),
    )  # fmt: skip
    task = build_task(config_of(bag, Path('unused')))
    data = TrackData(config, task.preprocess, task.taxonomy, THINGS)
    samples = [data.sample(i, np.random.default_rng(i)) for i in range(len(data))]
    assert len(data) == len(TrackClips([bag], 2, (1,), task.taxonomy, THINGS)) + 1
    assert all(sample['images'].shape == (1, 3, 64, 96) for sample in samples)
    assert all(sample['dt'].tolist() == [0.0] for sample in samples)
    assert not any(bool(sample['hidden'].any()) for sample in samples)
    assert sum(float(sample['weight'].sum()) for sample in samples) > 0


def test_clips_with_hidden_objects_are_preferred(bag):
    def hidden(candidates: int) -> int:
        geometry = GeometryConfig(width=128, height=96, focal=(100, 140))
        config = TrackDataConfig(
            bags=[str(bag)], frames=4, strides=(1,), candidates=candidates, geometry=geometry,
            rules=RuleConfig(min_area=4, visible=0.6, partly=0.5),
        )  # fmt: skip
        data = TrackData(config, task.preprocess, task.taxonomy, THINGS)
        samples = [data.sample(i, np.random.default_rng(i)) for i in range(len(data))]
        return sum(int(sample['hidden'].sum()) for sample in samples)

    task = build_task(config_of(bag, Path('unused')))
    assert hidden(8) > hidden(1)


def test_the_appearance_is_one_for_the_clip(bag):
    config = TrackDataConfig(
        bags=[str(bag)], frames=3, strides=(1,), geometry=GeometryConfig(width=96, height=64)
    )
    task = build_task(config_of(bag, Path('unused')))
    data = TrackData(config, task.preprocess, task.taxonomy, THINGS)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    assert (data._appearance(image, 5) == data._appearance(image, 5)).all()
    assert (data._appearance(image, 5) != data._appearance(image, 6)).any()
    first, again = (data.sample(2, np.random.default_rng(9)) for _ in range(2))
    for name, value in first.items():
        torch.testing.assert_close(value, again[name], msg=name)


def test_labels_of_visible_objects_say_nothing_of_hidden_ones(bag):
    config = TrackDataConfig(visible_only=[str(bag)], frames=4, strides=(1,))
    task = build_task(config_of(bag, Path('unused')))
    data = TrackData(config, task.preprocess, task.taxonomy, THINGS)
    samples = [data.sample(i, np.random.default_rng(i)) for i in range(len(data))]
    assert not any(bool(sample['hidden'].any()) for sample in samples)
    assert any(bool((sample['heat_weight'] == 0).any()) for sample in samples)


def test_training_resumes_bit_for_bit_and_ships_an_engine(bag, tmp_path):
    whole = config_of(bag, tmp_path / 'whole')
    (tmp_path / 'whole.yaml').write_text(whole.to_yaml())
    train('permatrack', str(tmp_path / 'whole.yaml'))
    parts = whole.model_copy(update={'output': tmp_path / 'parts'})
    (tmp_path / 'parts.yaml').write_text(parts.to_yaml())
    train('permatrack', str(tmp_path / 'parts.yaml'), max_minutes=0.0)
    assert len(list_states(tmp_path / 'parts')) == 1
    train('permatrack', str(tmp_path / 'parts.yaml'), resume=True)
    states = [load_state(list_states(tmp_path / run)[-1]) for run in ('whole', 'parts')]
    for part in ('model', 'ema'):
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name
    assert (tmp_path / 'whole/pictures/clips_00000002.png').exists()
    engine = PermanenceEngine.load(tmp_path / 'whole/checkpoint', device='cpu', threshold=0.0)
    scores = score_bags(engine, [bag], RuleConfig(min_area=20), limit=1)
    assert scores['seen'] > 20
    assert 0 <= scores['recall_seen'] <= 1
    checkpoint = tmp_path / 'whole/checkpoint'
    arguments = ('evaluate', 'permanence', '--checkpoint', str(checkpoint), '--record')
    result = CliRunner().invoke(cli.app, [*arguments, '--data', f'bag:{bag}'])
    assert result.exit_code == 0, result.output
    card = (checkpoint / 'README.md').read_text()
    assert '3 steps, 6 random clips' in card
    assert '| recall_seen |' in card
    wrong = [*arguments, '--data', 'kitti_tracking:val']
    with pytest.raises(DatasetError, match='kitti_object:DIR'):
        CliRunner().invoke(cli.app, wrong, catch_exceptions=False)


def test_every_head_learns(bag):
    task = build_task(config_of(bag, Path('unused'))).train()
    data = task.training_data()
    samples = [data.sample(i, np.random.default_rng(i)) for i in range(3)]
    batch = torch.utils.data.default_collate(samples)
    optimizer = torch.optim.Adam(task.parameters(), 3e-3)
    history = []
    for _ in range(25):
        result = task(batch)
        history.append({name: float(value.detach()) for name, value in result['terms'].items()})
        optimizer.zero_grad()
        result['loss'].backward()
        optimizer.step()
    assert history[-1]['heat'] < 0.7 * history[0]['heat']
    assert history[-1]['log_depth'] < 0.7 * history[0]['log_depth']
    assert PermanenceOutput(**result['outputs']).heat.shape == (9, 4, 16, 24)


def test_it_can_start_from_a_depth_and_segmentation_network(bag, tmp_path):
    torch.manual_seed(5)
    widths = (16, 16, 16, 16)
    net = DepthSegmentationNet(
        DepthSegmentationConfig(depth_channels=widths, semantic_channels=widths)
    )
    folder = save_checkpoint(tmp_path / 'ds', net, taxonomy=load_taxonomy())
    start = (f'model.start={folder}', 'model.start_decoder=depth')
    own = build_task(config_of(bag, tmp_path, *start)).model.state_dict()
    theirs = load_checkpoint(folder).net.state_dict()
    for name in ('blocks.2.fuse.0.weight', 'entry.0.0.weight', 'blocks.0.lateral.bias'):
        assert torch.equal(own[f'decoder.{name}'], theirs[f'depth.{name}'])
    assert all(torch.equal(own[k], v) for k, v in theirs.items() if k.startswith('encoder.'))


def test_bad_configs_and_data_are_refused(bag, tmp_path):
    with pytest.raises(ConfigError, match='start_decoder must be one of'):
        build_task(config_of(bag, tmp_path, 'model.start=x', 'model.start_decoder=motion'))
    with pytest.raises(ConfigError, match=r'needs model\.start'):
        build_task(config_of(bag, tmp_path, 'model.start_decoder=depth'))
    with pytest.raises(ConfigError, match='hidden'):
        build_task(config_of(bag, tmp_path, 'data.rules.hidden=often'))
    with pytest.raises(ConfigError, match='multiples of 8'):
        build_task(config_of(bag, tmp_path, 'model.memory_channels=12'))
    with pytest.raises(DatasetError, match='no training data'):
        build_task(config_of(bag, tmp_path, 'data.bags=[]')).training_data()
    with pytest.raises(DatasetError, match='no bag has 9 frames'):
        TrackClips([bag], 9, (1, 2), load_taxonomy(), THINGS)
