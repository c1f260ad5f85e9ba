"""Optical flow against reprojection."""

import numpy as np
import pytest
from synthetic_scenes import Builder, box_mesh, forward_camera, mount, plane_mesh, street

from sim_perception.geometry.cameras import pixel_rays, project, unproject
from sim_perception.geometry.transforms import from_euler, invert, transform_points
from sim_perception.simulator.sensors.camera import Renderer

LAYERS = frozenset({'depth', 'flow', 'instance'})


def pixels(camera):
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.stack([u, v], -1)


def static_scene():
    builder = Builder()
    builder.place(plane_mesh(), (0, 0, 0))
    builder.place(box_mesh(np.array([2.0, 2.0, 3.0])), (9, 1.5, 1.5), 0.3)
    builder.place(box_mesh(np.array([1.0, 30.0, 12.0])), (30, 0, 5.0))
    return builder


@pytest.mark.parametrize('distortion', [(), (-0.2, 0.05, 0.001, -0.002, 0.0)])
def test_flow_of_a_static_scene_is_reprojection_by_ego_motion(distortion):
    builder, camera, pose = static_scene(), forward_camera(distortion=distortion), mount()
    before = builder.state(0.0, from_euler(0, 0, 0.01, np.array([-0.6, 0.05, 0.0])))
    now = builder.state(0.1)
    sample = Renderer(builder.scene(), camera, 2).render(now, pose, layers=LAYERS, previous=before)
    world = transform_points(pose, unproject(camera, sample.depth))
    then = transform_points(invert(before.world_T_base @ pose), world)
    expected = project(camera, then)[0] - pixels(camera)
    valid = sample.flow[..., 2] == 1
    assert valid.mean() > 0.7
    seen = valid & np.isfinite(sample.depth)
    assert np.abs(sample.flow[..., :2] - expected)[seen].max() < 2e-3


def test_flow_of_the_sky_is_rotation_only():
    builder, camera, pose = static_scene(), forward_camera(), mount()
    before = builder.state(0.0, from_euler(0, 0.02, 0.03, np.array([-0.6, 0.0, 0.0])))
    sample = Renderer(builder.scene(), camera, 1).render(
        builder.state(0.1), pose, layers=LAYERS, previous=before
    )
    turn = invert(before.world_T_base @ pose)[:3, :3] @ pose[:3, :3]
    expected = project(camera, pixel_rays(camera) @ turn.T)[0] - pixels(camera)
    sky = np.isnan(sample.depth) & (sample.flow[..., 2] == 1)
    assert sky.sum() > 100
    assert np.abs(sample.flow[..., :2] - expected)[sky].max() < 1e-3


def test_flow_of_a_moving_object_follows_its_motion():
    builder, camera, pose = street(), forward_camera(), mount()
    before, now = builder.state(0.0, base_velocity=(5, 0, 0)), builder.state(0.1)
    sample = Renderer(builder.scene(), camera, 2).render(now, pose, layers=LAYERS, previous=before)
    world = transform_points(pose, unproject(camera, sample.depth))
    for row in range(3):
        mask = (sample.instance == row + 1) & (sample.flow[..., 2] == 1)
        assert mask.sum() > 50
        moved = before.world_T_object[row] @ invert(now.world_T_object[row])
        then = transform_points(invert(before.world_T_base @ pose) @ moved, world)
        expected = project(camera, then)[0] - pixels(camera)
        assert np.abs(sample.flow[..., :2] - expected)[mask].max() < 2e-3


def test_what_comes_out_from_behind_or_into_the_image_is_not_valid():
    builder = Builder()
    builder.place(box_mesh(np.array([1.0, 60.0, 30.0])), (20, 0, 5.0))
    builder.add_object(
        box_mesh(np.array([0.5, 2.0, 2.0])), (8, 0, 1.5), 0, (1, 1, 1), velocity=(0, 6, 0)
    )
    camera, pose = forward_camera(), mount()
    sample = Renderer(builder.scene(), camera, 1).render(
        builder.state(0.1), pose, layers=LAYERS, previous=builder.state(0.0)
    )
    # The box moved left by 0.6 m at 7.75 m: what it uncovered is on its right.
    edge = camera.cx + camera.fx * 1.0 / 7.75
    uncovered = 0.6 * camera.fx / 7.75
    row = sample.flow[int(camera.cy), :, 2]
    assert not row[int(edge - uncovered) + 2 : int(edge) - 1].any()
    assert row[int(edge) + 3 : int(edge) + 20].all()
    turned = Renderer(builder.scene(), camera, 1).render(
        builder.state(0.1),
        pose,
        layers=LAYERS,
        previous=builder.state(0.1, from_euler(0, 0, 0.2, np.zeros(3))),
    )
    shift = camera.fx * np.tan(0.2)
    assert (
        not turned.flow[48, : int(shift * 0.8), 2].any()
        or not turned.flow[48, -int(shift * 0.8) :, 2].any()
    )


def test_without_a_previous_state_no_flow_is_valid():
    builder = street()
    sample = Renderer(builder.scene(), forward_camera(), 1).render(
        builder.state(), mount(), layers=LAYERS
    )
    assert not sample.flow.any()


def test_flow_does_not_depend_on_what_was_rendered_before():
    builder, camera, pose = street(), forward_camera(), mount()
    fresh = Renderer(builder.scene(), camera, 1)
    used = Renderer(builder.scene(), camera, 1)
    used.render(builder.state(0.0), pose, layers=LAYERS)
    now, before = builder.state(0.1), builder.state(0.0)
    a = fresh.render(now, pose, layers=LAYERS, previous=before).flow
    b = used.render(now, pose, layers=LAYERS, previous=before).flow
    assert np.array_equal(a, b)
