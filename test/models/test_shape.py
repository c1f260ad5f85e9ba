"""The shape space of cars: distances, gradients, meshes, and what it was learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.shape import ShapeConfig, ShapePca, decode_mesh
from sim_perception.taxonomy import load_taxonomy

SHIPPED = Path(__file__).parents[2] / 'models' / 'shape_car'


def ellipsoids(config: ShapeConfig) -> ShapePca:
    """Return a space of boxy balls: component 1 grows the ball by a tenth of a metre."""
    radius = np.linalg.norm(config.node_positions(), axis=-1)
    grid = np.stack([radius - 0.7, np.full(config.nodes, -0.1)])
    return ShapePca.from_arrays(config, grid, np.zeros(4), np.eye(4), np.zeros((config.seeds, 4)))


@pytest.fixture(scope='module')
def ball() -> ShapePca:
    return ellipsoids(ShapeConfig('ball', (1.4, 1.4, 1.4), components=1, spacing=0.05))


@pytest.fixture(scope='module')
def cars() -> ShapePca:
    net = load_checkpoint(SHIPPED, network='shape_pca').net
    assert isinstance(net, ShapePca)
    return net


def test_distance_of_a_ball_inside_outside_and_beyond_the_grid(ball: ShapePca) -> None:
    points = torch.tensor([[[0.3, 0.1, 0.0], [0.0, 0.9, 0.2], [0.0, 0.0, 3.0]]])
    distance, gradient = ball.sdf(points, torch.tensor([[0.5]]))
    expected = points.norm(dim=-1) - 0.7 - 0.05
    torch.testing.assert_close(distance, expected, atol=5e-3, rtol=0)
    unit = points / points.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(gradient[:, 1:], unit[:, 1:], atol=0.05, rtol=0)


def test_gradient_is_the_derivative_of_the_distance(cars: ShapePca) -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([2.0, 0.9, 0.8])
    points = torch.randn(2, 200, 3, generator=generator, dtype=torch.float64) * spread
    latent = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    model = cars.double()
    points.requires_grad_(True)
    distance, gradient = model.sdf(points, latent)
    (by_autograd,) = torch.autograd.grad(distance.sum(), points)
    cars.float()
    torch.testing.assert_close(gradient, by_autograd, atol=1e-6, rtol=1e-5)


def test_linear_grid_gives_the_same_distances(cars: ShapePca) -> None:
    latent = np.array([0.5, -1.0, 0.3, 0.0, 1.2], np.float32)
    nodes = cars.config.node_positions()[5:-5:7, 3:-3:5, 3:-3:5].reshape(-1, 3)
    from_grid = (cars.linear_grid() @ np.r_[1, latent])[5:-5:7, 3:-3:5, 3:-3:5].ravel()
    points = torch.as_tensor(nodes[None].astype(np.float32))
    distance, _ = cars.sdf(points, torch.as_tensor(latent)[None])
    np.testing.assert_allclose(distance[0].numpy(), from_grid, atol=2e-3)


def test_volumes_give_the_same_distances_inside_and_beyond(cars: ShapePca) -> None:
    generator = torch.Generator().manual_seed(1)
    points = 3 * torch.randn(2, 300, 3, generator=generator)
    latent = torch.randn(2, 5, generator=generator)
    expected, _ = cars.sdf(points, latent)
    found = cars.sample(cars.volumes(latent), points)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


def test_jacobian_is_the_grids_at_any_latent(cars: ShapePca) -> None:
    points = np.random.default_rng(0).normal(size=(40, 3))
    latent = np.array([0.5, -1.0, 0.3, 0.0, 1.2])
    values, slopes = cars.jacobian(points, latent)
    places = torch.as_tensor(points[None], dtype=torch.float32)
    direct, _ = cars.sdf(places, torch.as_tensor(latent[None], dtype=torch.float32))
    np.testing.assert_allclose(values, direct[0].numpy(), atol=1e-5)
    assert slopes.shape == (40, 5)


def test_mesh_is_closed_looks_outwards_and_fills_its_box(cars: ShapePca) -> None:
    size = (4.2, 1.7, 1.5)
    mesh = decode_mesh(cars, np.zeros(5), size)
    corners = mesh.vertices[mesh.faces].astype(float)
    volume = np.einsum('ij,ij->', corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 0.4 < volume / np.prod(size) < 0.75
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert (count == 2).all()
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), size, atol=0.08)


def test_shapes_between_cars_are_in_one_piece(cars: ShapePca) -> None:
    from scipy import ndimage

    seeds = cars.seeds.numpy()
    for a, b in ((0, 4), (1, 5), (2, 3)):
        for t in (0.25, 0.5, 0.75):
            latent = (1 - t) * seeds[a] + t * seeds[b]
            volume = cars.linear_grid() @ np.r_[1, latent[3:]]
            pieces, count = ndimage.label(volume < 0)
            sizes = np.bincount(pieces.ravel())[1:]
            assert count >= 1
            assert sizes.max() / sizes.sum() > 0.97


def test_cars_are_mirrored(cars: ShapePca) -> None:
    grid = cars.linear_grid()
    np.testing.assert_allclose(grid, grid[:, ::-1], atol=2e-3)


def test_checkpoint_gives_the_space_back(ball: ShapePca, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / 'ball', ball, taxonomy=load_taxonomy())
    net = load_checkpoint(folder, network='shape_pca').net
    assert isinstance(net, ShapePca)
    assert net.config == ball.config
    torch.testing.assert_close(net.grid, ball.grid, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    'values', [{'mean_size': (1.0, 2.0)}, {'components': 0}, {'spacing': 0.0}, {'margin': 0.01}]
)
def test_bad_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match='must be'):
        ShapeConfig(**values)  # type: ignore[arg-type]


def test_wrong_arrays_are_refused(ball: ShapePca) -> None:
    config = ball.config
    with pytest.raises(ValueError, match='grid must be'):
        ShapePca.from_arrays(
            config, np.zeros((2, 3, 3, 3)), np.zeros(4), np.eye(4), np.zeros((config.seeds, 4))
        )
    with pytest.raises(ValueError, match='not positive definite'):
        ShapePca.from_arrays(
            config, np.zeros((2, *config.nodes)), np.zeros(4), -np.eye(4), np.zeros((6, 4))
        )


def test_a_latent_without_a_surface_is_refused(ball: ShapePca) -> None:
    with pytest.raises(ValueError, match='no surface'):
        decode_mesh(ball, np.array([-20.0]))
