"""Rendered shapes against closed formulas, and derivatives against finite differences."""

import itertools

import numpy as np
import pytest
import torch

from sim_perception.autolabel.rendering import (
    PosedShapes,
    RenderSettings,
    crop_pixels,
    render,
    shade,
)
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.types import Camera

torch.set_num_threads(1)
CAMERA = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)
FINE = RenderSettings(steps=60, refinements=20, tolerance=1e-5)


def sphere(points, latent):
    """Radius 0.5, changed by the latent."""
    return points.norm(dim=-1) - 0.5 - latent[:, :1]


def ellipsoid(points, latent):
    """Stretched by the latent along x; a bound of the distance, as interpolated ones are."""
    axes = torch.tensor([1.5, 0.8, 0.7], dtype=points.dtype) * torch.cat(
        [torch.exp(latent), torch.ones_like(latent), torch.ones_like(latent)], 1
    )
    return (((points / axes[:, None]).norm(dim=-1)) - 1) * 0.7


def rounded_box(points, latent):
    """Half sides 1, 0.5, 0.4, edges rounded by 0.1, grown by the latent."""
    half = torch.tensor([1.0, 0.5, 0.4], dtype=points.dtype) - 0.1
    q = points.abs() - half
    outside = (q.clamp(min=0).square().sum(-1) + 1e-20).sqrt()
    return outside + q.max(-1).values.clamp(max=0) - 0.1 - latent[:, :1]


def posed(yaws, places, sizes, latents, mean=(1.0, 1.0, 1.0)):
    turn = [invert(BODY_T_OPTICAL)[:3, :3] @ from_euler(0, 0, y, (0, 0, 0))[:3, :3] for y in yaws]
    return PosedShapes(
        torch.tensor(np.array(turn)),
        torch.tensor(places, dtype=torch.float64),
        torch.tensor(sizes, dtype=torch.float64),
        torch.tensor(latents, dtype=torch.float64),
        torch.tensor(mean, dtype=torch.float64),
    )


def rays_of(pixels):
    centre, focal = torch.tensor([CAMERA.cx, CAMERA.cy]), torch.tensor([CAMERA.fx, CAMERA.fy])
    flat = (pixels - centre) / focal
    return torch.cat([flat, torch.ones_like(flat[..., :1])], -1)


def test_a_sphere_has_the_depth_normals_and_coordinates_of_its_formula():
    places = [[0.2, -0.1, 4.0], [-0.5, 0.3, 7.0]]
    shapes = posed([0.3, -1.0], places, [[2.0] * 3, [1.0] * 3], [[0.0], [0.1]])
    boxes = torch.tensor([[60.0, 20.0, 280.0, 200.0], [90.0, 90.0, 180.0, 180.0]]).double()
    pixels = crop_pixels(boxes, 40, 32)
    seen = render(sphere, shapes, CAMERA, pixels, FINE)
    rays = rays_of(pixels)
    for k, radius in enumerate((1.0, 0.6)):
        centre = shapes.translation[k]
        b = (rays[k] @ centre) / rays[k].square().sum(-1)
        c = (centre @ centre - radius**2) / rays[k].square().sum(-1)
        inside = b * b - c
        hit, clear = inside > 0.02, inside.abs() > 0.02
        depth = b - inside.clamp(min=0).sqrt()
        assert torch.equal(seen.hit[k][clear], hit[clear])
        assert 0.05 < seen.hit[k].double().mean() < 0.9
        torch.testing.assert_close(seen.depth[k][hit], depth[hit], atol=1e-4, rtol=0)
        normal = (depth[..., None] * rays[k] - centre) / radius
        torch.testing.assert_close(seen.normals[k][hit], normal[hit], atol=2e-3, rtol=0)
        placed = (depth[..., None] * rays[k] - centre) @ shapes.rotation[k] / shapes.size[k]
        torch.testing.assert_close(seen.coordinates[k][hit], placed[hit], atol=1e-4, rtol=0)
        assert not seen.depth[k][~seen.hit[k]].any()


@pytest.mark.parametrize('cells', [24, 48, 96])
def test_the_silhouette_covers_the_area_of_the_outline_at_any_resolution(cells):
    shapes = posed([0.0], [[0.0, 0.0, 5.0]], [[2.0] * 3], [[0.0]])
    boxes = torch.tensor([[69.5, 29.5, 249.5, 209.5]]).double()
    seen = render(sphere, shapes, CAMERA, crop_pixels(boxes, cells, cells), FINE)
    radius = CAMERA.fx / np.sqrt(5.0**2 - 1)  # of the outline: the tangent cone's
    area = float(seen.silhouette.sum()) * (180 / cells) ** 2
    assert area == pytest.approx(np.pi * radius**2, rel=0.02)


def test_a_turned_box_shows_its_side_where_it_stands():
    """Seen along its x axis, the front of a box lies half a length before its centre."""
    shapes = posed([np.pi], [[0.0, 0.0, 6.0]], [[4.0, 2.0, 1.6]], [[0.0]], (2.0, 1.0, 0.8))
    pixels = torch.tensor([[[[CAMERA.cx, CAMERA.cy]]]]).double()
    seen = render(rounded_box, shapes, CAMERA, pixels, FINE)
    assert float(seen.depth) == pytest.approx(4.0, abs=1e-4)
    np.testing.assert_allclose(seen.normals.reshape(3), [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(seen.coordinates.reshape(3), [0.5, 0, 0], atol=1e-4)


def state_of(vector):
    """x y z yaw, log size (3), latent of one object before the camera."""
    c, s = torch.cos(vector[3]), torch.sin(vector[3])
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    yaw = torch.stack([torch.stack([c, -s, zero]), torch.stack([s, c, zero]),
                       torch.stack([zero, zero, one])])  # fmt: skip
    optical_T_body = torch.tensor(invert(BODY_T_OPTICAL)[:3, :3].copy())
    return PosedShapes(
        (optical_T_body @ yaw)[None],
        vector[None, :3],
        vector[None, 4:7].exp(),
        vector[None, 7:],
        torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64),
    )


@pytest.mark.parametrize(
    ('shape', 'output'),
    [
        *itertools.product([sphere, ellipsoid], ['depth', 'silhouette', 'coordinates', 'normals']),
        # Its curvature jumps, so its normals have no derivative everywhere.
        *itertools.product([rounded_box], ['depth', 'silhouette', 'coordinates']),
    ],
)
def test_derivatives_are_those_of_finite_differences(shape, output):
    start = torch.tensor([0.3, 0.1, 5.0, 0.5, 0.7, 0.1, 0.2, 0.05], dtype=torch.float64)
    pixels = crop_pixels(torch.tensor([[60.0, 60.0, 260.0, 180.0]]).double(), 18, 12)
    weight = torch.rand(1, 12, 18, 1, generator=torch.Generator().manual_seed(0)).double()

    def outcome(vector, mask=None):
        seen = render(shape, state_of(vector), CAMERA, pixels, FINE)
        value = getattr(seen, output)
        value = value[..., None] if value.ndim == 3 else value
        if mask is None:
            # Away from the rim: there a small move changes which pixels hit.
            mask = (seen.silhouette > 0.99) if output != 'silhouette' else seen.silhouette > 0.01
        return (value * weight * mask[..., None]).sum(), mask.detach()

    vector = start.clone().requires_grad_()
    value, mask = outcome(vector)
    value.backward()
    assert mask.sum() >= 10
    # The place nearest to an edge of a box jumps from end to end of it, so its slope is coarse.
    relative = 3e-2 if (shape, output) == (rounded_box, 'silhouette') else 2e-3
    step = 1e-5
    for k in range(len(start)):
        move = torch.zeros_like(start)
        move[k] = step
        with torch.no_grad():
            ends = [outcome(start + sign * move, mask)[0] for sign in (1, -1)]
        expected = float(ends[0] - ends[1]) / (2 * step)
        assert float(vector.grad[k]) == pytest.approx(expected, rel=relative, abs=2e-3)


def test_pose_size_and_shape_are_found_by_descent_on_depth_and_silhouette():
    truth = torch.tensor([0.2, 0.0, 5.0, 0.4, 0.7, 0.0, 0.1, 0.05], dtype=torch.float64)
    pixels = crop_pixels(torch.tensor([[50.0, 50.0, 270.0, 190.0]]).double(), 24, 16)
    with torch.no_grad():
        wanted = render(ellipsoid, state_of(truth), CAMERA, pixels)
    state = truth + torch.tensor([0.1, 0.05, 0.2, 0.15, -0.1, 0.0, 0.0, 0.0]).double()
    state.requires_grad_()
    solver = torch.optim.Adam([state], lr=0.03)
    losses = []
    for _ in range(60):
        seen = render(ellipsoid, state_of(state), CAMERA, pixels)
        both = seen.hit & wanted.hit
        loss = (seen.silhouette - wanted.silhouette).square().mean()
        loss = loss + (seen.depth - wanted.depth)[both].square().mean()
        solver.zero_grad()
        loss.backward()
        solver.step()
        losses.append(float(loss.detach()))
    assert min(losses) < 0.03 * losses[0]
    np.testing.assert_allclose(state.detach()[:4], truth[:4], atol=0.1)


def test_paint_is_brightest_towards_the_light_and_its_colour_is_recovered():
    shapes = posed([0.0], [[0.0, 0.0, 4.0]], [[2.0] * 3], [[0.0]])
    pixels = crop_pixels(torch.tensor([[69.5, 29.5, 249.5, 209.5]]).double(), 31, 31)
    seen = render(sphere, shapes, CAMERA, pixels)
    color = torch.tensor([[0.8, 0.4, 0.2]], dtype=torch.float64)
    light = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    image = shade(seen, color, light, ambient=0.3)[0]
    above, below = image[8, 15], image[22, 15]
    assert (above > below * 1.5).all()
    np.testing.assert_allclose(below, 0.3 * color[0], rtol=1e-6)
    assert not image[0, 0].any()
    white = shade(seen, color, light, background=torch.ones_like(seen.normals))[0]
    np.testing.assert_allclose(white[0, 0], 1.0)
    guess = torch.full((1, 3), 0.5, dtype=torch.float64, requires_grad=True)
    difference = shade(seen, guess, light, ambient=0.3) - image
    (slope,) = torch.autograd.grad(difference.square().sum(), guess)
    assert torch.equal(slope.sign(), (guess - color).sign())


def test_a_learnt_space_works_as_distance():
    from sim_perception.models.shape import ShapeConfig, ShapePca

    config = ShapeConfig(components=1, mean_size=(2.0, 1.0, 0.8), spacing=0.05)
    model = ShapePca(config)
    nodes = torch.tensor(config.node_positions().reshape(1, -1, 3))
    model.grid[0] = rounded_box(nodes, torch.zeros(1, 1)).reshape(config.nodes)
    model.grid[1] = -0.05
    shapes = posed([0.6], [[0.1, 0.0, 7.0]], [[4.0, 2.0, 1.6]], [[0.0]], (2.0, 1.0, 0.8))
    shapes = PosedShapes(
        *(getattr(shapes, name).float() for name in PosedShapes.__dataclass_fields__)
    )
    pixels = crop_pixels(torch.tensor([[80.0, 70.0, 240.0, 160.0]]), 40, 24)
    exact = render(rounded_box, shapes, CAMERA, pixels)
    grid = render(lambda p, z: model.sdf(p, z)[0], shapes, CAMERA, pixels)
    assert (exact.hit ^ grid.hit).float().mean() < 0.02
    both = exact.hit & grid.hit
    assert (exact.depth - grid.depth)[both].abs().median() < 0.02


def test_unusable_arguments_are_refused():
    shapes = posed([0.0], [[0.0, 0.0, 4.0]], [[2.0] * 3], [[0.0]])
    with pytest.raises(ValueError, match=r'pixels must be \(1, H, W, 2\)'):
        render(sphere, shapes, CAMERA, torch.zeros(2, 4, 4, 2))
    bent = Camera(320, 240, 300.0, 300.0, 159.5, 119.5, (0.1,))
    with pytest.raises(ValueError, match='undistorted'):
        render(sphere, shapes, bent, torch.zeros(1, 4, 4, 2))
    with pytest.raises(ValueError, match=r'size must be \(1, 3\)'):
        PosedShapes(shapes.rotation, shapes.translation, torch.ones(2, 3), shapes.latent,
                    shapes.mean_size)  # fmt: skip
