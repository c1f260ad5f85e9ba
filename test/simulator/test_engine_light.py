"""Light, weather, lens and sensor: what must get darker, brighter, softer or noisier."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_scenes import Builder, box_mesh, forward_camera, mount, plane_mesh, street

from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import Sensor
from sim_perception.simulator.light.mipmaps import LINEAR, build_pyramids
from sim_perception.simulator.light.sky import make_clouds
from sim_perception.simulator.sensors.camera import Renderer
from sim_perception.simulator.sensors.isp import develop
from sim_perception.simulator.surfaces.lens import make_lens

RGB = frozenset({'rgb'})
DOWN = from_euler(0, np.pi / 2, 0, np.array([0.0, 0.0, 20.0])) @ BODY_T_OPTICAL


def picture(builder, pose=None, camera=None):
    renderer = Renderer(builder.scene(), camera or forward_camera(), 1)
    return renderer.render(builder.state(), mount() if pose is None else pose, layers=RGB).rgb


def test_more_exposure_is_brighter():
    means = []
    for exposure in (0.2, 0.5, 1.0, 2.0):
        builder = street()
        builder.sensor = Sensor(exposure=exposure)
        means.append(picture(builder).mean())
    assert means == sorted(means)
    assert means[-1] - means[0] > 60


def test_more_fog_hides_the_far_wall():
    spreads = []
    for density in (0.0, 0.01, 0.05, 0.2):
        image = picture(street(fog_density=density)).astype(float)
        spreads.append(image[30:45, 60:100].std((0, 1)).max())
    assert all(a > b for a, b in itertools.pairwise(spreads))
    assert spreads[-1] < 2


def test_a_box_casts_its_shadow_where_the_sun_says():
    builder = Builder()
    builder.environment = replace(
        builder.environment, sun_direction=(0.0, 1.0, 1.0), sun_softness=0.001
    )
    builder.materials[1] = replace(builder.materials[1], texture=-1)
    builder.place(plane_mesh(), (0, 0, 0))
    builder.place(box_mesh(np.array([2.0, 2.0, 2.0])), (0, 0, 5.0))
    camera = forward_camera(200, 200, 100.0)
    image = picture(builder, DOWN, camera).astype(float).mean(-1)

    def at(x, y):
        # The camera looks down from 20 m; image right is world -y, image down is world -x.
        return image[round(camera.cy - 100 * x / 20), round(camera.cx - 100 * y / 20)]

    # The sun stands in +y at 45 degrees: the shadow lies 5 m towards -y.
    open_ground = at(0, 5)
    assert at(0, -5) < 0.7 * open_ground
    assert at(0, -7.5) == pytest.approx(open_ground, rel=0.05)
    assert at(2.5, -5) == pytest.approx(open_ground, rel=0.05)


def test_after_sunset_there_are_no_shadows_and_lamps_shine():
    builder = street(sun_color=(0.0, 0.0, 0.0), lamps=0.0)
    dark = picture(builder).astype(int)
    builder.materials[0] = replace(builder.materials[0], emission=3.0)
    builder.environment = replace(builder.environment, lamps=1.0)
    lit = picture(builder).astype(int)
    assert (lit - dark).max() > 60


def test_a_wet_road_mirrors_and_darkens():
    builder = Builder()
    builder.place(plane_mesh(), (0, 0, 0))
    builder.place(box_mesh(np.array([1.0, 3.0, 6.0])), (20, 0, 3.0))
    dry = [picture(builder, pose).astype(float) for pose in (mount(), DOWN)]
    builder.environment = replace(builder.environment, wetness=1.0)
    wet = [picture(builder, pose).astype(float) for pose in (mount(), DOWN)]
    # From above it is darker; ahead, the red box is mirrored below its foot.
    assert wet[1].mean() < 0.85 * dry[1].mean()
    camera = forward_camera()
    row = round(camera.cy + camera.fx * 1.5 / 7)
    column = round(camera.cx)
    beside = round(camera.cx + camera.fx * 4 / 14)

    def redness(image, i):
        patch = image[row - 2 : row + 3, i - 4 : i + 5]
        return (patch[..., 0] - patch[..., 2]).mean()

    mirrored = redness(wet[0], column) - redness(wet[0], beside)
    assert mirrored > 5 + abs(redness(dry[0], column) - redness(dry[0], beside))


def test_cars_darken_the_ground_beneath_them():
    def ground(with_box):
        builder = Builder()
        builder.environment = replace(builder.environment, sun_color=(0.0, 0.0, 0.0))
        builder.materials[1] = replace(builder.materials[1], texture=-1)
        builder.place(plane_mesh(), (0, 0, 0))
        if with_box:
            size = np.array([4.0, 1.8, 1.4])
            builder.add_object(box_mesh(size), (10, 0, 0.7), 0.0, size)
        camera = forward_camera()
        image = picture(builder, camera=camera).astype(float).mean(-1)
        row = round(camera.cy + camera.fx * 1.5 / 7.8)
        return image[row, round(camera.cx)]

    assert ground(True) < ground(False) - 4


def test_supersampling_softens_outlines_only():
    pictures = []
    for factor in (1, 2):
        builder = street()
        builder.sensor = Sensor(supersampling=factor)
        pictures.append(picture(builder).astype(int))
    changed = np.abs(pictures[0] - pictures[1]).max(-1) > 2
    assert 0.005 < changed.mean() < 0.08


def test_a_tiny_distortion_changes_next_to_nothing():
    straight = picture(street(), camera=forward_camera()).astype(int)
    bent = picture(street(), camera=forward_camera(distortion=(1e-6, 0, 0, 0, 0))).astype(int)
    assert (np.abs(straight - bent).max(-1) > 8).mean() < 0.03


@settings(max_examples=20, deadline=None)
@given(k1=st.floats(-0.3, 0.3), k2=st.floats(-0.05, 0.05), p1=st.floats(-0.004, 0.004))
def test_lens_rays_project_back_to_their_pixels(k1, k2, p1):
    camera = forward_camera(focal=200.0, distortion=(k1, k2, p1, 0.0, 0.0))
    rays = make_lens(camera).rays
    points = np.concatenate([rays, np.ones((len(rays), 1))], 1)
    pixels = project(camera, points)[0].reshape(camera.height, camera.width, 2)
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    assert np.abs(pixels - np.stack([u, v], -1)).max() < 1e-3


def test_a_distortion_that_cannot_be_undone_is_refused():
    with pytest.raises(ValueError, match='cannot be undone'):
        make_lens(forward_camera(focal=90.0, distortion=(-0.4, 0.0, 0.0, 0.0, 0.0)))


def test_sensor_noise_has_the_asked_spread():
    light = np.full((64, 64, 3), 0.2, np.float32)
    image = develop(light, Sensor(read_noise=8 / 255), 3, Workers(1)).astype(float)
    assert image.std() == pytest.approx(8, rel=0.1)
    shot = develop(light, Sensor(shot_noise=0.1), 3, Workers(1)).astype(float)
    expected = 255 * 0.1 * np.sqrt(shot.mean() / 255)
    assert shot.std() == pytest.approx(expected, rel=0.1)


def test_vignetting_white_balance_contrast_and_saturation():
    light = np.full((40, 80, 3), (0.3, 0.2, 0.1), np.float32)
    plain = develop(light, Sensor(), 0, Workers(1)).astype(int)
    assert np.ptp(plain, axis=(0, 1)).max() == 0
    dark = develop(light, Sensor(vignetting=0.5), 0, Workers(1)).astype(int)
    assert dark[0, 0].sum() < dark[20, 40].sum() <= plain[20, 40].sum()
    blue = develop(light, Sensor(white_balance=(0.8, 1.0, 1.3)), 0, Workers(1)).astype(int)
    assert blue[0, 0, 0] < plain[0, 0, 0]
    assert blue[0, 0, 2] > plain[0, 0, 2]
    grey = develop(light, Sensor(saturation=0.0), 0, Workers(1)).astype(int)
    assert np.ptp(grey[0, 0]) <= 1
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], (4, 1, 3))
    hard = develop(ramp, Sensor(contrast=1.4), 0, Workers(1)).astype(int)
    soft = develop(ramp, Sensor(), 0, Workers(1)).astype(int)
    assert np.ptp(hard) >= np.ptp(soft)
    assert (np.diff(soft[0, :, 0]) >= 0).all()


def test_texture_levels_keep_the_mean_light():
    texture = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    pyramids = build_pyramids(texture)
    assert pyramids.shape == (2, 1365, 3)
    mean = LINEAR[texture].mean((1, 2))
    assert np.abs(LINEAR[pyramids[:, -1]] - mean).max() < 0.01


@pytest.mark.parametrize(
    'texture', [np.zeros((1, 48, 48, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)]
)
def test_bad_textures_are_refused(texture):
    with pytest.raises(ValueError, match='textures must'):
        build_pyramids(texture)


def test_clouds_tile():
    clouds = make_clouds(3, 128)
    assert clouds.min() == 0
    assert clouds.max() == 1
    inner = np.abs(np.diff(clouds, axis=1)).mean()
    assert np.abs(clouds[:, 0] - clouds[:, -1]).mean() < 1.5 * inner


def test_missing_texture_and_bad_supersampling_are_refused():
    builder = street()
    builder.materials[0] = replace(builder.materials[0], texture=7)
    with pytest.raises(ValueError, match='texture 7'):
        Renderer(builder.scene(), forward_camera(), 1)
    builder = street()
    builder.sensor = Sensor(supersampling=3)
    with pytest.raises(ValueError, match='supersampling'):
        Renderer(builder.scene(), forward_camera(), 1)


@pytest.mark.parametrize('height', [0.0, 12.0])
def test_a_street_lamp_lights_the_ground_below_it(height):
    def ground(lamps):
        builder = Builder()
        builder.environment = replace(
            builder.environment, sun_color=(0.0, 0.0, 0.0), lamps=lamps, ambient=0.1
        )
        builder.materials[0] = replace(builder.materials[0], emission=8.0, color=(1.0, 0.8, 0.5))
        builder.place(plane_mesh(), (0, 0, height))
        lamp = box_mesh(np.array([0.6, 0.3, 0.2]))
        lamp = replace(lamp, vertices=lamp.vertices + np.float32([0, 0, 6]))
        builder.place(lamp, (12, 0, height))
        camera = forward_camera()
        pose = from_euler(0, 0, 0, np.array([0.0, 0.0, height])) @ mount()
        image = picture(builder, pose, camera).astype(float)
        near = image[round(camera.cy + camera.fx * 1.5 / 10), round(camera.cx)]
        far = image[round(camera.cy + camera.fx * 1.5 / 10), 5]
        return near, far

    (dark, _), (near, far) = ground(0.0), ground(1.0)
    assert near.mean() > dark.mean() + 15
    assert near.mean() > far.mean() + 5
    assert near[0] - near[2] > dark[0] - dark[2]
