"""Depth, ids and normals against analytic answers and against Embree's first hits."""

import numpy as np
import pytest
from synthetic_scenes import (
    BUILDING,
    CAR,
    ROAD,
    Builder,
    box_mesh,
    forward_camera,
    mount,
    plane_mesh,
    sphere_mesh,
    street,
)

from sim_perception.geometry.cameras import pixel_rays, unproject
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.sensors.camera import Renderer
from sim_perception.simulator.surfaces.tracing import EmbreeTracer, PythonTracer
from sim_perception.taxonomy import load_taxonomy

LABELS = frozenset({'depth', 'semantic', 'instance', 'normals'})
SKY = load_taxonomy().id_of('sky')


def world_points(camera, depth, base_T_camera):
    return transform_points(base_T_camera, unproject(camera, depth))


@pytest.mark.parametrize('distortion', [(), (-0.2, 0.05, 0.001, -0.002, 0.0)])
@pytest.mark.parametrize('pitch', [0.0, 0.2])
def test_depth_times_ray_lies_on_the_ground_plane(pitch, distortion):
    builder = Builder()
    builder.place(plane_mesh(), (0, 0, 0))
    camera, pose = forward_camera(distortion=distortion), mount(1.5, pitch)
    sample = Renderer(builder.scene(), camera, 1).render(builder.state(), pose, layers=LABELS)
    points = world_points(camera, sample.depth, pose)
    seen = np.isfinite(sample.depth)
    assert seen.mean() > 0.3
    close = seen & (sample.depth < 60)
    assert np.abs(points[close][:, 2]).max() < 1e-3
    # Every pixel that looks down at less than the plane's extent must see it.
    down = pixel_rays(camera) @ pose[:3, :3].T
    reach = np.where(down[..., 2] < 0, -1.5 / np.minimum(down[..., 2], -1e-9), np.inf)
    # With distortion a pixel's nearest sample may already lie beyond the plane's edge.
    extent = 100 if distortion else 199
    inside = np.abs(down[..., :2] * reach[..., None]).max(-1) < extent
    assert seen[inside].all()
    assert (sample.semantic[seen] == ROAD).all()
    assert (sample.semantic[~seen] == SKY).all()


def test_depth_times_ray_lies_on_a_turned_box():
    builder = Builder()
    size = np.array([4.0, 2.0, 1.5])
    builder.add_object(box_mesh(size), (10, 0.5, 1.2), 0.6, size)
    camera, pose = forward_camera(), mount()
    sample = Renderer(builder.scene(), camera, 1).render(builder.state(), pose, layers=LABELS)
    points = world_points(camera, sample.depth, pose)[sample.instance == 1]
    local = transform_points(invert(builder.state().world_T_object[0]), points)
    outside = np.abs(np.abs(local) - size / 2).min(-1)
    assert len(points) > 500
    assert outside.max() < 1e-3
    assert (np.abs(local) < size / 2 + 1e-3).all()


def test_normals_of_a_sphere_point_from_its_centre_to_the_camera():
    builder = Builder()
    builder.add_object(sphere_mesh(2.0, 90, 180), (10, 0, 1.5), 0.0, (4, 4, 4))
    camera, pose = forward_camera(focal=200.0), mount()
    sample = Renderer(builder.scene(), camera, 1).render(builder.state(), pose, layers=LABELS)
    on = sample.instance == 1
    points = unproject(camera, sample.depth)[on]
    center = transform_points(invert(pose), np.array([10, 0, 1.5]))
    expected = (points - center) / np.linalg.norm(points - center, axis=1, keepdims=True)
    facing = (expected * points).sum(1) / np.linalg.norm(points, axis=1) < -0.1
    got = sample.normals[on]
    assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    assert (got * expected).sum(1)[facing].min() > 0.9995
    assert (got * points).sum(1).max() <= 1e-6
    assert not sample.normals[np.isnan(sample.depth)].any()


def test_ids_equal_embree_first_hits():
    builder = street()
    camera, pose = forward_camera(320, 192, 240.0), mount()
    renderer = Renderer(builder.scene(), camera, 2)
    state = builder.state()
    sample = renderer.render(state, pose, layers=LABELS)
    rays = (pixel_rays(camera) @ pose[:3, :3].T).reshape(-1, 3).astype(np.float32)
    origins = np.tile(pose[:3, 3].astype(np.float32), (len(rays), 1))
    times = np.zeros(len(rays), np.float32)
    tracers = [
        EmbreeTracer(renderer._meshes, renderer._instances, Workers(2), motion=False),
        PythonTracer(renderer._meshes, renderer._instances),
    ]
    for tracer in tracers:
        tracer.pose(state.world_T_instance)
        distance, instance, face = tracer.first_hits(origins, rays, times, 1e6)
        owner = np.append(builder.owners, -1)[instance] + 1
        differing = owner.reshape(sample.instance.shape) != sample.instance
        # Only rays that graze an outline may fall to either side.
        assert differing.sum() <= 3
        both = np.isfinite(distance) & np.isfinite(sample.depth.ravel()) & ~differing.ravel()
        relative = np.abs(distance - sample.depth.ravel())[both] / sample.depth.ravel()[both]
        assert np.quantile(relative, 0.999) < 1e-3
        starts = renderer._meshes.face_start[renderer._instances.mesh[instance[both]]]
        agree = renderer._meshes.semantic[starts + face[both]] == sample.semantic.ravel()[both]
        assert agree.mean() > 0.9999


def test_semantic_and_object_ids():
    builder = street()
    camera = forward_camera()
    sample = Renderer(builder.scene(), camera, 1).render(builder.state(), mount(), layers=LABELS)
    assert set(np.unique(sample.instance)) == {0, 1, 2, 3}
    assert (sample.semantic[sample.instance > 0] == CAR).all()
    assert set(np.unique(sample.semantic[sample.instance == 0])) == {SKY, ROAD, BUILDING}


def test_geometry_that_crosses_the_camera_is_clipped():
    builder = Builder()
    wall = np.array([60.0, 0.2, 3.0])
    builder.add_object(box_mesh(wall), (0, 1.0, 1.5), 0.0, wall)
    camera, pose = forward_camera(), mount()
    sample = Renderer(builder.scene(), camera, 1).render(builder.state(), pose, layers=LABELS)
    points = world_points(camera, sample.depth, pose)[sample.instance == 1]
    assert len(points) > 1000
    assert np.abs(points[:, 1] - 0.9).max() < 1e-3
    assert np.isfinite(sample.box_amodal[0]).all()


def test_only_requested_layers_are_returned():
    builder = street()
    renderer = Renderer(builder.scene(), forward_camera(), 1)
    sample = renderer.render(builder.state(), mount(), layers=frozenset({'depth'}))
    assert sample.rgb is sample.flow is sample.normals is sample.semantic is None
    assert sample.depth is not None
    assert len(sample.visibility) == 3


def test_unknown_layer_and_foreign_state_are_refused():
    builder = street()
    renderer = Renderer(builder.scene(), forward_camera(), 1)
    with pytest.raises(ValueError, match='unknown layers'):
        renderer.render(builder.state(), mount(), layers=frozenset({'albedo'}))
    other = Builder()
    other.place(plane_mesh(), (0, 0, 0))
    with pytest.raises(ValueError, match='another scene'):
        renderer.render(other.state(), mount())


def test_samples_do_not_change_when_the_next_frame_is_rendered():
    builder = street()
    renderer = Renderer(builder.scene(), forward_camera(), 2)
    first = renderer.render(builder.state(0.0), mount(), previous=builder.state(-0.1))
    copies = {k: np.copy(v) for k, v in vars(first).items()}
    renderer.render(builder.state(0.5), mount(yaw=0.2), previous=builder.state(0.4))
    for name, value in copies.items():
        assert np.array_equal(value, getattr(first, name), equal_nan=True), name
