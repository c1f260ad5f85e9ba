"""Learning shapes: solids of the simulator's cars, and the space fitted to them."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.models.shape import ShapeConfig, Surface, decode_mesh
from training.datasets.shapes import CarSample, Solid, car_sample, sample_surface
from training.shape import reconstruction
from training.tasks.shape_pca import fit_pca, project


def box_surface(length: float, width: float, height: float) -> Surface:
    half = np.array([length, width, height]) / 2
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
             [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]  # fmt: skip
    return Surface((signs * half).astype(np.float32), np.array(faces, np.int32))


def test_distance_to_a_box_stretched_to_another_box() -> None:
    size = np.array([4.0, 1.6, 1.4])
    solid = Solid(CarSample('box', box_surface(*size), size))
    mean = np.array([4.4, 1.8, 1.6])
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (500, 3)) * (mean / 2 + 0.5)
    q = np.abs(points) - mean / 2
    exact = np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)
    found = solid.distance(points, mean)
    near = np.abs(exact) < 0.2
    np.testing.assert_allclose(found[near], exact[near], atol=0.02)
    np.testing.assert_allclose(found, exact, atol=0.06)


def test_a_car_is_solid_without_mirrors_and_centred() -> None:
    car = car_sample('suv', 3)
    used = car.surface.vertices[np.unique(car.surface.faces)]
    np.testing.assert_allclose(used.min(0), -used.max(0), atol=1e-3)
    assert 1.75 < car.size[1] < 2.02
    solid = Solid(car)
    inside = solid.distance(np.array([[0.0, 0, 0], [0, 0, -0.3], [0, 0, 1.5]]), car.size)
    assert inside[0] < -0.3
    assert inside[1] < 0
    assert inside[2] > 0.5
    # The rear left wheel is no bowl: its middle is inside.
    back = car.surface.vertices
    lowest = back[back[:, 2] < car.size[2] * -0.499]
    wheel = lowest[(lowest[:, 0] < 0) & (lowest[:, 1] > 0)].mean(0) + np.array([0, 0, 0.3])
    assert solid.distance(wheel[None].astype(float), car.size)[0] < 0


def test_samples_lie_on_the_surface_with_outward_normals() -> None:
    points, normals = sample_surface(box_surface(2, 2, 2), 2000, np.random.default_rng(0))
    np.testing.assert_allclose(np.abs(points).max(1), 1, atol=1e-6)
    assert ((points * normals).sum(1) > 0.99).all()


def test_space_gives_back_the_members_it_was_learnt_from() -> None:
    config = ShapeConfig('ball', (1.4, 1.4, 1.4), components=2, spacing=0.1, seeds=2)
    place = config.node_positions()
    rng = np.random.default_rng(0)
    bumps = rng.normal(size=(20, 2)) * 0.05
    radius = np.linalg.norm(place, axis=-1)
    grids = np.array([radius - 0.7 + a * place[..., 0] + b * place[..., 2] ** 2 for a, b in bumps])
    sizes = np.exp(rng.normal(size=(20, 3)) * 0.05) * 1.4
    model, explained = fit_pca(config, grids, sizes, np.arange(20) % 2)
    assert explained > 0.999
    latent = project(model, grids)
    np.testing.assert_allclose(latent.std(0), 1, atol=1e-3)
    rebuilt = model.linear_grid() @ np.concatenate([np.ones((20, 1)), latent], 1).T
    np.testing.assert_allclose(np.moveaxis(rebuilt, -1, 0), grids, atol=1e-3)
    np.testing.assert_allclose(model.seeds.numpy().mean(0), model.prior_mean.numpy(), atol=0.05)
    covariance = model.prior_covariance()
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_reconstruction_scores_a_shift() -> None:
    config = ShapeConfig('ball', (1.4, 1.4, 1.4), components=2, spacing=0.1, seeds=1)
    radius = np.linalg.norm(config.node_positions(), axis=-1)
    grids = np.stack([radius - r for r in np.linspace(0.6, 0.8, 8)])
    model, _ = fit_pca(config, grids, np.full((8, 3), 1.4), np.zeros(8, int))
    surface = decode_mesh(model, np.zeros(2))
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(5000, 3))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    chamfer, score = reconstruction(surface, 0.7 * truth, count=5000)
    assert chamfer < 0.02
    assert score > 0.99
    chamfer, score = reconstruction(surface, 0.8 * truth, count=5000)
    assert chamfer == pytest.approx(0.1, abs=0.02)
    assert score < 0.05
