"""What a real camera does to light: directions, amounts, and that no label changes."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_scenes import CAR, Builder, box_mesh, forward_camera, mount, plane_mesh, street

from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import Sensor
from sim_perception.simulator.light.lamps import LampMap
from sim_perception.simulator.light.weather import add_streaks
from sim_perception.simulator.scenario import parse_scenario
from sim_perception.simulator.sensors.camera import Renderer
from sim_perception.simulator.sensors.dirty_lens import DirtyLens
from sim_perception.simulator.sensors.glare import add_glare
from sim_perception.simulator.sensors.isp import develop
from sim_perception.simulator.sensors.metering import STEP, Meter
from sim_perception.simulator.sensors.shutter import roll, smear
from sim_perception.simulator.street.draws import draw_sensor

ALL = {
    'shutter': 0.02, 'readout': 0.03, 'bloom': 1.0, 'flare': 1.0, 'dirt': 1.0, 'drops': 1.0,
    'lens_seed': 3, 'auto_exposure': 1.0, 'bayer': True, 'sharpening': 1.0, 'shot_noise': 0.02,
}  # fmt: skip
CAMERA = forward_camera()


def spot(height=60, width=120, at=(30, 60), value=1.0):
    light = np.zeros((height, width, 3), np.float32)
    light[at] = value
    return light


def spread(image):
    """Return the standard deviations in y and x of what shines."""
    weight = image.sum(-1).astype(float)
    y, x = np.indices(weight.shape)
    total = weight.sum()
    my, mx = (weight * y).sum() / total, (weight * x).sum() / total
    return np.sqrt(
        [(weight * (y - my) ** 2).sum() / total, (weight * (x - mx) ** 2).sum() / total]
    )


@pytest.mark.parametrize('name', [*ALL, None])
def test_no_effect_touches_a_label(name):
    builder = street()
    state = builder.state(0.5, base_velocity=(10, 0, 0))
    frames = []
    for changes in ({}, ALL if name is None else {name: ALL[name]}):
        builder.sensor = Sensor(**changes)
        renderer = Renderer(builder.scene(), CAMERA, 1)

        def states(t, builder=builder):
            return builder.state(t, base_velocity=(10, 0, 0))

        frames.append(renderer.render(state, mount(), previous=states(0.4), states=states))
    plain, changed = frames
    for layer in ('depth', 'semantic', 'instance', 'normals', 'flow', 'box_amodal', 'visibility'):
        np.testing.assert_array_equal(getattr(plain, layer), getattr(changed, layer))
    if name not in ('lens_seed', 'bloom', 'flare', 'drops'):
        assert (plain.rgb != changed.rgb).any()


@pytest.mark.parametrize('velocity', [(600.0, 0.0), (0.0, -500.0), (400.0, 400.0)])
def test_blur_follows_the_motion_and_keeps_light_and_place(velocity):
    light, flow = spot(), np.empty((60, 120, 2), np.float32)
    flow[:] = velocity
    out = smear(light, flow, np.ones((60, 120), np.float32), 0.02, Workers(1))
    length = np.multiply(velocity, 0.02)
    assert out.sum() == pytest.approx(light.sum(), rel=0.15)
    ys, xs = np.nonzero(out[..., 0] > 0.01)
    assert ys.mean() == pytest.approx(30, abs=0.6)
    assert xs.mean() == pytest.approx(60, abs=0.6)
    assert np.ptp(xs) == pytest.approx(abs(length[0]), abs=2)
    assert np.ptp(ys) == pytest.approx(abs(length[1]), abs=2)


def test_blur_in_a_scene_lies_along_the_flow():
    """A car passes sideways before a wall: it blurs left and right, the wall stays sharp."""
    builder = Builder()
    builder.place(box_mesh(np.array([1.0, 80.0, 40.0]), 1), (30, 0, 0))
    size = np.array([2.0, 4.0, 1.5])
    builder.add_object(box_mesh(size, 0, CAR), (10, 0, 1.5), 0, size, velocity=(0, 12, 0))
    images = []
    for shutter in (0.0, 0.04):
        builder.sensor = Sensor(shutter=shutter)
        renderer = Renderer(builder.scene(), CAMERA, 1)
        sample = renderer.render(builder.state(), mount(), states=builder.state)
        images.append(sample.rgb.astype(int))
    changed = np.abs(images[1] - images[0]).max(-1) > 12
    x1, y1, x2, y2 = sample.box_visible[0]
    ys, xs = np.nonzero(changed)
    # 0.48 m at 9 m are 6.4 pixels, half of it to each side of the car's edges.
    beside = np.minimum(np.abs(xs - x1), np.abs(xs - x2))
    assert len(xs) > 30
    assert np.percentile(beside, 95) < 5
    assert y1 - 1.5 < ys.min() <= ys.max() < y2 + 1.5


def test_a_rolling_shutter_leans_what_moves_and_keeps_the_middle_row():
    light = np.zeros((61, 120, 3), np.float32)
    light[:, 58:63] = 1.0
    flow = np.zeros((61, 120, 2), np.float32)
    flow[..., 0] = 400.0
    out, moved, _ = roll(light, flow, np.ones((61, 120), np.float32), 0.05)
    x = np.arange(120)
    middle = (out[..., 0] * x).sum(1) / out[..., 0].sum(1)
    expected = 60 + 400 * 0.05 * (np.arange(61) / 60 - 0.5)
    np.testing.assert_allclose(middle, expected, atol=0.1)
    np.testing.assert_array_equal(moved, flow)


def test_glow_surrounds_only_what_is_brighter_than_white_and_ghosts_lie_opposite():
    dim = spot(value=0.9)
    np.testing.assert_array_equal(add_glare(dim, CAMERA, 1.0, 1.0, 1.0), dim)
    camera = replace(CAMERA, width=120, height=60, cx=59.5, cy=29.5)
    lamp = np.zeros((60, 120, 3), np.float32)
    lamp[8:12, 18:22] = 5.0
    glow = add_glare(lamp, camera, 1.0, 1.0, 0.0) - lamp
    assert glow.min() >= 0
    assert glow[10, 20].min() > glow[10, 40].min() > glow[10, 100].min()
    ghosts = add_glare(lamp, camera, 1.0, 0.0, 1.0) - lamp
    # On the line through the principal point, at .45 and .85 of the lamp's distance from it.
    for place in (0.45, 0.85):
        x, y = round(59.5 + place * 39.5), round(29.5 + place * 19.5)
        assert ghosts[y - 2 : y + 3, x - 2 : x + 3].max() > 0.02
        assert ghosts[y - 2 : y + 3, 119 - x - 2 : 119 - x + 3].max() < 0.01


def test_dirt_stays_and_drops_come_and_go():
    rng = np.random.default_rng(0)
    light = rng.uniform(0.2, 0.8, (72, 208, 3)).astype(np.float32)
    dirty = DirtyLens(208, 72, 0.6, 0.0, 7)
    first, later = dirty.apply(light, 0.0), dirty.apply(light, 9.0)
    np.testing.assert_array_equal(first, later)
    touched = (np.abs(first - light).max(-1) > 0.02).mean()
    assert 0.02 < touched < 0.6
    little = (np.abs(DirtyLens(208, 72, 0.1, 0.0, 7).apply(light, 0.0) - light) > 0.02).mean()
    assert little < touched
    wet = DirtyLens(208, 72, 0.0, 0.8, 7)
    drops = [np.abs(wet.apply(light, t) - light).max(-1) > 0.02 for t in (0.0, 0.05, 8.0)]
    assert 0.02 < drops[0].mean() < 0.6
    same = [(drops[0] & other).sum() / (drops[0] | other).sum() for other in drops[1:]]
    assert same[0] > 0.7 > 0.5 > same[1]
    np.testing.assert_array_equal(
        wet.apply(light, 3.3), DirtyLens(208, 72, 0, 0.8, 7).apply(light, 3.3)
    )


def test_noise_before_demosaicing_is_coloured_and_correlated():
    grey = np.full((96, 96, 3), 0.2, np.float32)
    sensor = Sensor(shot_noise=0.05, read_noise=0.01)

    def noise(bayer):
        image = develop(grey, replace(sensor, bayer=bayer), 3, Workers(1)).astype(float)
        image = image[4:-4, 4:-4] - image[4:-4, 4:-4].mean((0, 1))
        beside = (image[:, 1:] * image[:, :-1]).mean() / (image**2).mean()
        return image, beside

    (white, none), (mosaic, neighbours) = noise(False), noise(True)
    assert abs(none) < 0.05 < 0.2 < neighbours
    assert 0.3 < mosaic.std() / white.std() < 3
    clean = develop(grey, Sensor(bayer=True), 3, Workers(1))
    np.testing.assert_array_equal(clean, develop(grey, Sensor(), 3, Workers(1)))


def test_sharpening_overshoots_at_edges():
    step = np.full((20, 40, 3), 0.1, np.float32)
    step[:, 20:] = 0.3
    plain = develop(step, Sensor(), 0, Workers(1)).astype(int)
    sharp = develop(step, Sensor(sharpening=1.5), 0, Workers(1)).astype(int)
    np.testing.assert_array_equal(sharp[:, :10], plain[:, :10])
    assert sharp[:, 20].min() > plain[:, 20].max() + 5
    assert sharp[:, 19].max() < plain[:, 19].min() - 5


def test_auto_exposure_follows_with_a_delay_and_whatever_was_asked_before():
    def read(time):
        return np.full((4, 8, 3), 0.25 if time < 2.0 else 0.05, np.float32)

    meter = Meter(read, 1.0, 0.5)
    gains = [meter.gain(t) for t in np.arange(0, 6, 0.1)]
    assert gains[0] == pytest.approx(1.0)
    assert gains[15] == pytest.approx(1.0)
    assert (np.diff(gains) >= -1e-9).all()
    assert gains[21] < 3 < gains[-1]
    assert gains[-1] == pytest.approx(5.0, rel=0.05)
    assert Meter(read, 1.0, 0.5).gain(2.7) == meter.gain(2.7)
    assert Meter(read, 0.0, 0.5).gain(4.0) == pytest.approx(1.0)
    assert STEP < 0.5


def test_auto_exposure_evens_out_dark_and_bright_scenes():
    means = {}
    for strength in (0.0, 1.0):
        for ambient in (0.1, 1.0):
            builder = street(ambient=ambient, sun_color=(0.0, 0.0, 0.0))
            builder.sensor = Sensor(auto_exposure=strength)
            renderer = Renderer(builder.scene(), CAMERA, 1)
            sample = renderer.render(
                builder.state(), mount(), layers=frozenset({'rgb'}), states=builder.state
            )
            means[strength, ambient] = sample.rgb[60:].mean()
    plain, evened = (means[s, 1.0] - means[s, 0.1] for s in (0.0, 1.0))
    assert evened < 0.8 * plain


def test_own_headlights_light_the_road_ahead_only_at_night_and_where_asked():
    builder = Builder()
    builder.environment = replace(
        builder.environment, sun_color=(0.0, 0.0, 0.0), ambient=0.02,
        zenith_color=(0.02,) * 3, horizon_color=(0.02,) * 3,
    )  # fmt: skip
    builder.place(plane_mesh(), (0, 0, 0))

    def road(headlights, base):
        builder.environment = replace(builder.environment, headlights=headlights)
        renderer = Renderer(builder.scene(), CAMERA, 1)
        image = renderer.render(builder.state(base=base), mount(), layers=frozenset({'rgb'})).rgb
        return image[55:].astype(float)

    turned = np.eye(4)
    turned[:2, :2] = [[0, -1], [1, 0]]
    for base in (np.eye(4), turned):
        dark, lit = road(0.0, base), road(1.0, base)
        assert lit.mean() > dark.mean() + 20
        # Near the middle it is brighter than far to the sides.
        assert lit[10:20, 70:90].mean() > lit[10:20, :10].mean()
    assert LampMap.__init__.__defaults__ == (0.0,)


def test_rain_streaks_are_longer_the_longer_the_exposure_and_lean_with_the_speed():
    camera = replace(CAMERA, width=200, height=120, fx=500.0, fy=500.0, cx=99.5, cy=59.5)
    sky = np.full(3, 0.7)

    def image(velocity, shutter):
        light = np.zeros((120, 200, 3), np.float32)
        add_streaks(light, 0.05, camera, np.array(velocity), shutter, sky, 4)
        return light[..., 0]

    short, long = image((0, 7.0, 0), 0.004), image((0, 7.0, 0), 0.03)
    assert (long > 0.005).sum() > 2 * (short > 0.005).sum()

    def upright(light):
        """Return how much rougher it is across than along columns."""
        return np.abs(np.diff(light, axis=1)).sum() / np.abs(np.diff(light, axis=0)).sum()

    assert upright(long) > 2
    # At speed, drops fly out of the direction of travel: at the sides, streaks lie flat.
    fast = image((0, 2.0, -40.0), 0.03)
    sides = np.concatenate([fast[:, :40], fast[:, -40:]], 1)
    assert upright(sides) < 0.5 * upright(long)


def test_fields_are_drawn_on_their_own_and_off_by_default():
    plain, moved = parse_scenario({}), parse_scenario({'camera': {'exposure_ms': [5, 20]}})
    assert 'exposure_ms' not in plain.model_dump()['camera']
    assert 'headlights' not in plain.model_dump()['weather']
    first, second = draw_sensor(plain), draw_sensor(moved)
    assert 0.005 <= second.shutter <= 0.02
    assert replace(second, shutter=0.0) == first
    off = Sensor()
    for name in ALL:
        if name not in ('lens_seed', 'shot_noise'):
            assert getattr(first, name) == getattr(off, name)
