"""Visibility, coverage and boxes against counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_scenes import Builder, box_mesh, forward_camera, mount, plane_mesh, sphere_mesh

from sim_perception.simulator.sensors.camera import Renderer

ID = frozenset({'instance'})


def render(builder, camera, pose, threads=1):
    return Renderer(builder.scene(), camera, threads).render(builder.state(), pose, layers=ID)


@pytest.mark.parametrize('distortion', [(), (-0.25, 0.06, 0.0, 0.0, 0.0)])
def test_an_unoccluded_object_is_wholly_visible(distortion):
    builder = Builder()
    builder.place(plane_mesh(), (0, 0, 0))
    size = np.array([3.0, 1.5, 1.4])
    builder.add_object(box_mesh(size), (9, 0, 0.8), 0.4, size)
    sample = render(builder, forward_camera(distortion=distortion), mount())
    assert sample.visibility[0] == 1.0
    assert sample.coverage[0] == (sample.instance == 1).sum() > 0


@pytest.mark.parametrize('distortion', [(), (0.15, -0.02, 0.002, 0.001, 0.0)])
def test_a_hidden_part_is_counted_exactly(distortion):
    size = np.array([1.0, 4.0, 2.0])
    camera, pose = forward_camera(distortion=distortion), mount()

    def scene(with_wall):
        builder = Builder()
        builder.add_object(box_mesh(size), (15, 0, 1.2), 0.0, size)
        if with_wall:
            builder.place(box_mesh(np.array([0.2, 5.0, 6.0])), (8, 2.1, 1.0))
        return render(builder, camera, pose)

    alone, hidden = scene(False), scene(True)
    left = (hidden.instance == 1).sum()
    assert 0 < left < (alone.instance == 1).sum()
    assert hidden.coverage[0] == (alone.instance == 1).sum()
    assert hidden.visibility[0] == np.float32(left / hidden.coverage[0])


def test_a_wholly_hidden_object_keeps_coverage_and_box():
    builder = Builder()
    builder.place(box_mesh(np.array([0.5, 20.0, 10.0])), (6, 0, 2))
    builder.add_object(sphere_mesh(1.0), (12, 0.5, 1.3), 0.0, (2, 2, 2))
    sample = render(builder, forward_camera(), mount())
    assert sample.visibility[0] == 0.0
    assert sample.coverage[0] > 100
    assert np.isfinite(sample.box_amodal[0]).all()
    assert np.isnan(sample.box_visible[0]).all()


def test_an_object_of_several_instances_counts_each_pixel_once():
    builder = Builder()
    size = np.array([2.0, 2.0, 2.0])
    row = builder.add_object(box_mesh(size), (10, 0, 1.0), 0.0, size)
    builder.place(box_mesh(size), (10.5, 0.4, 1.2), 0.3, row)
    sample = render(builder, forward_camera(), mount())
    assert sample.visibility[0] == 1.0
    assert sample.coverage[0] == (sample.instance == 1).sum()


def test_an_object_behind_the_camera_has_no_box():
    builder = Builder()
    builder.add_object(sphere_mesh(1.0), (-10, 0, 1.0), 0.0, (2, 2, 2))
    sample = render(builder, forward_camera(), mount())
    assert np.isnan(sample.box_amodal[0]).all()
    assert sample.coverage[0] == 0
    assert sample.visibility[0] == 0


def test_a_box_reaches_beyond_the_image():
    builder = Builder()
    size = np.array([1.0, 4.0, 2.0])
    builder.add_object(box_mesh(size), (8, 5.0, 1.5), 0.0, size)
    camera = forward_camera()
    sample = render(builder, camera, mount())
    x1, _, x2, _ = sample.box_amodal[0]
    assert x1 < 0 < x2
    # The front face's left edge at x = 7.5 m, y = 7 m; the far one is nearer to the middle.
    assert x1 == pytest.approx(camera.cx - camera.fx * 7 / 7.5, abs=1e-2)
    assert sample.box_visible[0][0] == 0


def test_more_objects_than_a_machine_word_has_bits():
    builder = Builder()
    size = np.array([0.4, 0.4, 0.4])
    for k in range(150):
        builder.add_object(box_mesh(size), (12 + k % 3, (k // 3 - 25) * 0.5, 1.5), 0, size)
    camera = forward_camera(320, 96, 130.0)
    sample = render(builder, camera, mount(), 2)
    seen = np.bincount(sample.instance.ravel(), minlength=151)[1:]
    assert (sample.coverage > 0).sum() > 100
    assert np.array_equal(sample.visibility, (seen / np.maximum(sample.coverage, 1)).astype('f4'))
    assert (sample.visibility <= 1).all()


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(2.0, 40.0),
    y=st.floats(-6.0, 6.0),
    z=st.floats(-1.0, 4.0),
    yaw=st.floats(-3.2, 3.2),
    wall=st.floats(-3.0, 3.0),
)
def test_boxes_contain_the_pixels(x, y, z, yaw, wall):
    builder = Builder()
    size = np.array([3.0, 1.6, 1.4])
    builder.add_object(box_mesh(size), (x, y, z), yaw, size)
    builder.place(box_mesh(np.array([0.1, 1.0, 5.0])), (1.5, wall, 1.0))
    camera = forward_camera(120, 72, 80.0)
    sample = render(builder, camera, mount())
    rows, columns = np.nonzero(sample.instance == 1)
    assert sample.coverage[0] >= len(rows)
    if len(rows):
        x1, y1, x2, y2 = sample.box_amodal[0]
        assert x1 - 1e-3 <= columns.min() <= columns.max() <= x2 + 1e-3
        assert y1 - 1e-3 <= rows.min() <= rows.max() <= y2 + 1e-3
        assert sample.box_visible[0].tolist() == [
            columns.min(), rows.min(), columns.max(), rows.max()
        ]  # fmt: skip
