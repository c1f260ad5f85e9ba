"""The fit's loops: distances, outlines and derivatives, and convergence to a known car."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lidar_scenes import CAMERA, CAMERA_T_LEVEL, car_state, shape_model

from sim_perception.autolabel.fit.kernels import solve
from sim_perception.autolabel.fit.posed_shape import SHAPE, edge_row, point_residual, silhouette
from sim_perception.autolabel.fit.refine import make_space, make_view
from sim_perception.geometry.boxes import project_box
from sim_perception.geometry.transforms import from_euler
from sim_perception.models.shape import decode_mesh
from sim_perception.types import Box3D


@pytest.fixture(scope='module')
def space():  # type: ignore[no-untyped-def]
    return make_space(shape_model())


def test_distance_is_that_of_the_shape_model(space) -> None:  # type: ignore[no-untyped-def]
    model, state = shape_model(), car_state(1)
    rng = np.random.default_rng(0)
    place, gradient, row = np.empty(3), np.empty(3), np.empty(len(state))
    ours, places = [], []
    for point in state[:3] + rng.normal(size=(50, 3)) * [1.5, 1.5, 0.6]:
        ours.append(point_residual(space, point, state, place, gradient, row))
        places.append(place.copy())
    latent = torch.as_tensor(state[None, SHAPE:].astype(np.float32))
    theirs, _ = model.sdf(torch.as_tensor(np.array(places)[None].astype(np.float32)), latent)
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-4)


def test_derivative_of_distances(space) -> None:  # type: ignore[no-untyped-def]
    state = car_state(2)
    place, gradient, row = np.empty(3), np.empty(3), np.empty(len(state))

    def distance(point: np.ndarray, at: np.ndarray) -> float:
        return float(point_residual(space, point, at, place, gradient, np.empty(len(at))))

    rng = np.random.default_rng(0)
    for point in state[:3] + rng.normal(size=(40, 3)) * [1.5, 1.5, 0.5]:
        point_residual(space, point, state, place, gradient, row)
        for k, derivative in enumerate(row):
            change = np.zeros(len(state))
            change[k] = 1e-6
            slope = (distance(point, state + change) - distance(point, state - change)) / 2e-6
            assert derivative == pytest.approx(slope, abs=2e-3)


def test_outline_is_that_of_the_mesh(space) -> None:  # type: ignore[no-untyped-def]
    state = car_state(3)
    bare = space._replace(beside=np.zeros((0, 3)))
    touch, pixel = np.empty((4, 3)), np.empty(4)
    assert silhouette(bare, state, make_view(CAMERA, CAMERA_T_LEVEL), touch, pixel)
    length, width, height = (float(s) for s in np.exp(state[4:7]))
    mesh = decode_mesh(shape_model(), state[SHAPE:], (length, width, height), spacing=0.05)
    c, s = np.cos(state[3]), np.sin(state[3])
    points = mesh.vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + state[:3]
    seen = points @ CAMERA_T_LEVEL[:3, :3].T + CAMERA_T_LEVEL[:3, 3]
    uv = seen[:, :2] / seen[:, 2:] * [CAMERA.fx, CAMERA.fy] + [CAMERA.cx, CAMERA.cy]
    np.testing.assert_allclose(pixel, [*uv.min(0), *uv.max(0)], atol=1.5)


def test_derivative_of_the_outline(space) -> None:  # type: ignore[no-untyped-def]
    state, view = car_state(4), make_view(CAMERA, CAMERA_T_LEVEL)
    bare = space._replace(beside=np.zeros((0, 3)))
    touch, pixel, row = np.empty((4, 3)), np.empty(4), np.empty(len(state))

    def outline(at: np.ndarray) -> np.ndarray:
        found = np.empty(4)
        assert silhouette(bare, at, view, np.empty((4, 3)), found)
        return found

    silhouette(bare, state, view, touch, pixel)
    for edge in range(4):
        edge_row(bare, state, view, touch[edge], edge % 2, row)
        for k in range(SHAPE):
            change = np.zeros(len(state))
            change[k] = 1e-4
            slope = (outline(state + change) - outline(state - change))[edge] / 2e-4
            assert row[k] == pytest.approx(slope, abs=1.5)


def test_cuboid_boxes_are_those_of_the_corners_whatever_the_shape() -> None:
    state, view = car_state(5), make_view(CAMERA, CAMERA_T_LEVEL)
    space = make_space(shape_model(), cuboid=True)
    touch, pixel, row = np.empty((4, 3)), np.empty(4), np.empty(len(state))

    def corners(at: np.ndarray) -> np.ndarray:
        length, width, height = (float(s) for s in np.exp(at[4:SHAPE]))
        box = Box3D(from_euler(0, 0, at[3], at[:3]), (length, width, height))
        return np.array(project_box(CAMERA, CAMERA_T_LEVEL, box))

    assert silhouette(space, state, view, touch, pixel)
    np.testing.assert_allclose(pixel, corners(state), atol=1e-6)
    for edge in range(4):
        edge_row(space, state, view, touch[edge], edge % 2, row)
        for k in range(len(state)):
            change = np.zeros(len(state))
            change[k] = 1e-5
            slope = (corners(state + change) - corners(state - change))[edge] / 2e-5
            assert row[k] == pytest.approx(slope, abs=1e-3)


def test_solver_agrees_with_numpy_and_refuses_indefinite_matrices() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(12, 12))
    matrix, slope, step = half @ half.T + np.eye(12), rng.normal(size=12), np.empty(12)
    assert solve(np.tril(matrix), slope, 0.0, step)
    np.testing.assert_allclose(step, -np.linalg.solve(matrix, slope), rtol=1e-8)
    assert not solve(-np.eye(12), slope, 0.0, step)
