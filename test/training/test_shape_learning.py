"""Learning shapes: solids of the simulator's cars, and the space fitted to them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sim_perception.autolabel.classes import load_shape
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint
from sim_perception.models.shape import ShapeConfig, Surface, decode_mesh
from sim_perception.models.shape_sdf import ShapeSdf
from training.datasets.objects.draws import CATEGORIES, draw_cars
from training.datasets.objects.shapes import (
    ShapeSample,
    Solid,
    car_sample,
    distance_samples,
    sample_surface,
)
from training.datasets.sample import DatasetError
from training.engine.config import ConfigError, TrainConfig
from training.engine.loop import fit
from training.evaluation.shape.evaluate import evaluate_shape, keep_scores
from training.evaluation.shape.scores import (
    nearest_member,
    parse_cars,
    reconstruction,
    score_shapes,
)
from training.tasks.shape_pca.fit import fit_pca
from training.tasks.shape_sdf.task import ShapeSdfTask


def box_surface(length: float, width: float, height: float) -> Surface:
    half = np.array([length, width, height]) / 2
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
             [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]  # fmt: skip
    return Surface((signs * half).astype(np.float32), np.array(faces, np.int32))


def test_distance_to_a_box_stretched_to_another_box() -> None:
    size = np.array([4.0, 1.6, 1.4])
    solid = Solid(ShapeSample('box', box_surface(*size), size))
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
    values, slopes = model.jacobian(place.reshape(-1, 3), np.zeros(2))
    latent = np.linalg.lstsq(slopes, (grids.reshape(20, -1) - values).T, rcond=None)[0].T
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
    chamfer, score, fine = reconstruction(surface, 0.7 * truth, count=5000)
    assert chamfer < 0.02
    assert score > 0.99
    assert fine <= score
    chamfer, score, _ = reconstruction(surface, 0.8 * truth, count=5000)
    assert chamfer == pytest.approx(0.1, abs=0.02)
    assert score < 0.05


def test_measured_distances_are_those_of_the_stretched_body() -> None:
    size, config = np.array([4.0, 1.6, 1.4]), ShapeConfig('box', (4.4, 1.8, 1.6))
    points, distances = distance_samples(
        ShapeSample('box', box_surface(*size), size), config, 1000, seed=3
    )
    q = np.abs(points) - np.array(config.mean_size) / 2
    exact = np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)
    assert (np.abs(exact) < 0.06).mean() > 0.4  # most are where the form shows
    assert exact.max() > 0.4  # but some are far off
    np.testing.assert_allclose(distances, exact, atol=0.05)


def test_nearest_member_is_the_one_that_a_car_was_made_from() -> None:
    config = ShapeConfig('box', (4.0, 1.6, 1.4), components=1, spacing=0.1, seeds=1)
    q = np.abs(config.node_positions()) - np.array(config.mean_size) / 2
    exact = np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)
    grids = np.stack([exact - shrink for shrink in (-0.3, -0.2, -0.1, 0.0)])
    model, _ = fit_pca(config, grids, np.full((4, 3), config.mean_size), np.zeros(4, int))
    car = ShapeSample('box', box_surface(*config.mean_size), np.array(config.mean_size))
    latent = nearest_member(model, car)
    spread = 1 / np.std([0.3, 0.2, 0.1, 0.0])
    assert abs(latent[0]) == pytest.approx(0.15 * spread, abs=0.1)
    found = score_shapes(model, [car])
    assert found['chamfer_m'] < 0.02
    assert found['chamfer_floor_m'] < 0.01
    assert found['f_score_worst'] > 0.9


def test_a_network_learns_cars_and_keeps_what_it_knows_of_them(tmp_path: Path) -> None:
    config = TrainConfig.model_validate({
        'task': 'shape_sdf', 'output': tmp_path / 'run', 'steps': 200, 'batch_size': 2,
        'workers': 0, 'device': 'cpu', 'precision': '32-true', 'ema_decay': 0.0,
        'optimizer': {'learning_rate': 1e-2, 'weight_decay': 0},
        'schedule': {'warmup_steps': 1},
        'log': {'pictures_every': 1000},
        'data': {'cars': 2, 'points': 400, 'drawn': 200},
        'model': {'components': 1, 'hidden': 24, 'layers': 2, 'octaves': 1, 'spacing': 0.3},
    })  # fmt: skip
    folder = fit(config, ShapeSdfTask(config))
    net = load_checkpoint(folder, network='shape_sdf').net
    assert isinstance(net, ShapeSdf)
    car = draw_cars(2, 0)[0]
    points, wanted = distance_samples(car, net.config, 400, 0)
    # Two members lie one deviation to both sides of their mean.
    near = np.abs(wanted) < 0.1
    errors = [np.abs(net.jacobian(points, [z])[0] - wanted)[near].mean() for z in (-1.0, 1.0)]
    assert min(errors) < 0.06
    assert net.config.mirror_offset > 0
    np.testing.assert_allclose(net.prior_mean.numpy()[3:], 0, atol=1e-5)


def test_unusable_settings_of_the_network_are_refused() -> None:
    with pytest.raises(ConfigError, match='layers'):
        ShapeSdfTask(TrainConfig.model_validate({
            'task': 'shape_sdf', 'data': {'cars': 2}, 'model': {'layers': 1},
        }))  # fmt: skip
    with pytest.raises(DatasetError, match='cars:SEED'):
        parse_cars('sim:target', 3)


def test_scores_of_a_space_are_kept_beside_it(tmp_path: Path) -> None:
    folder = shutil.copytree(Path(__file__).parents[2] / 'models/shape_car', tmp_path / 'cars')
    for _ in range(2):  # a second time replaces the first
        report = evaluate_shape([folder], 'cars:7', limit=1)
        keep_scores(folder, report)
    scores = report['shapes'][str(folder)]
    assert scores['chamfer_floor_m'] < scores['chamfer_m'] < 0.04
    assert scores['f_score_fine'] <= scores['f_score'] <= 1
    kept = load_checkpoint(folder)
    assert kept.metrics['evaluations']['cars:7']['chamfer_m'] == scores['chamfer_m']
    card = (folder / 'README.md').read_text()
    assert card.count('Cars that it has not seen') == 1
    with pytest.raises(CheckpointError, match='holds no shape space'):
        load_shape(Path(__file__).parents[2] / 'models/depth_segmentation')


def test_a_lorry_is_solid_and_a_thickened_box_is_larger() -> None:
    lorry = CATEGORIES['truck'].draw(1, 0)[0]
    x, y, z = (np.linspace(-0.4, 0.4, 9) * side for side in lorry.size)
    middle = np.stack(np.meshgrid(x, y, z * 0.4), -1).reshape(-1, 3)
    assert (Solid(lorry).distance(middle, lorry.size) < 0).mean() > 0.5
    size = np.array([1.0, 0.6, 0.4])
    thick = ShapeSample('box', box_surface(*size), size + 0.1, 0.05)
    outside = np.array([[0.0, 0.0, 0.2 + 0.05 + 0.03]])
    assert Solid(thick).distance(outside, thick.size)[0] == pytest.approx(0.03, abs=0.01)
