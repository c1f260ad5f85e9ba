"""Photometric, smoothness, normal and velocity losses: oracles, gradients, masks, minima."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from sim_perception.geometry.warping import pose_matrix, unproject_depth, warp
from sim_perception.models.ego_motion import Matches, cell_rays, rigid_flow
from training.losses import (
    edge_aware_smoothness,
    match_loss,
    minimum_reprojection,
    normal_loss,
    photometric_error,
    ssim,
    velocity_loss,
)
from training.losses.normals import smooth_surface

K = torch.tensor([[[20.0, 0, 11.5], [0, 20.0, 7.5], [0, 0, 1]]], dtype=torch.float64)
EVERYWHERE = torch.ones(1, 16, 24, dtype=torch.bool)


def images(seed: int, count: int = 2, size=(16, 24)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.rand(1, 3, *size, generator=generator, dtype=torch.float64) for _ in range(count)
    ]


def waves(height: int = 16, width: int = 24) -> torch.Tensor:
    """A smooth picture in which every place looks different."""
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    u, v = u.double(), v.double()
    channels = [torch.sin(0.5 * u + 0.2 * v), torch.cos(0.4 * v - 0.3 * u), torch.sin(0.15 * u)]
    return 0.5 + 0.4 * torch.stack(channels)[None]


def test_ssim_is_that_of_torchmetrics_away_from_the_border():
    a, b = images(0)
    _, full = structural_similarity_index_measure(
        a, b, gaussian_kernel=False, kernel_size=3, data_range=1.0, return_full_image=True
    )
    want = full.mean(1)[:, 2:-2, 2:-2]
    torch.testing.assert_close(ssim(a, b)[:, 2:-2, 2:-2], want, atol=1e-6, rtol=0)
    assert ssim(a, b).shape == (1, 16, 24)


def test_an_image_explains_itself():
    (a,) = images(1, 1)
    torch.testing.assert_close(ssim(a, a), torch.ones(1, 16, 24, dtype=torch.float64))
    assert photometric_error(a, a).abs().max() < 1e-12
    black, white = torch.zeros_like(a), torch.ones_like(a)
    assert photometric_error(black, white).min() > 0.5


def test_photometric_gradient_matches_finite_differences():
    a, b = images(2, size=(5, 6))
    a.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: photometric_error(x, b).mean(), (a,))


def test_every_pixel_takes_the_best_source_that_sees_it():
    target, other = images(3)
    left, right = EVERYWHERE.clone(), EVERYWHERE.clone()
    left[:, :, 12:] = False  # sees the left half, and perfectly
    right[:, :4] = False
    perfect, bad = target.clone(), other
    loss, mask = minimum_reprojection(
        target, [other, other], [perfect, bad], [left, right], automask=False
    )
    assert torch.equal(mask, left | right)
    error = photometric_error(bad, target)
    want = torch.where(left, 0.0, error)[mask].mean()
    torch.testing.assert_close(loss, want)


def test_pixels_that_an_unmoved_source_explains_do_not_count():
    target, other = images(4)
    source = target.clone()
    source[..., 12:] = other[..., 12:]  # the right half moved, the left looks the same
    loss, mask = minimum_reprojection(target, [source], [0.9 * target], [EVERYWHERE])
    assert not mask[..., :10].any()
    assert mask[..., 14:].all()
    assert 0 < loss < 0.1
    at_rest, nothing = minimum_reprojection(target, [target], [target], [EVERYWHERE])
    assert at_rest == 0
    assert not nothing.any()


def test_images_without_a_counted_pixel_do_not_dilute_the_mean_nor_break_gradients():
    a, b = images(5)
    target, warped = torch.cat([a, a]), torch.cat([b, b]).requires_grad_(True)
    valid = torch.cat([EVERYWHERE, ~EVERYWHERE])
    loss, mask = minimum_reprojection(target, [target], [warped], [valid], automask=False)
    torch.testing.assert_close(loss, photometric_error(b, a).mean())
    assert not mask[1].any()
    loss.backward()
    assert torch.isfinite(warped.grad).all()
    assert warped.grad[1].abs().max() == 0


def test_lists_of_different_lengths_are_refused():
    a, b = images(6)
    with pytest.raises(ValueError, match='as many warped images'):
        minimum_reprojection(a, [b], [b, b], [EVERYWHERE])
    with pytest.raises(ValueError, match='at least one source'):
        minimum_reprojection(a, [], [], [])


def test_descending_on_the_loss_recovers_depth():
    source, pose = waves(), pose_matrix(torch.tensor([[0.5, 0, 0, 0, 0, 0]]).double())
    true_depth = torch.full((1, 16, 24), 8.0, dtype=torch.float64)
    target, _ = warp(source, true_depth, K, K, pose)
    log_depth = torch.tensor(5.0).double().log().requires_grad_(True)
    optimizer = torch.optim.Adam([log_depth], 0.03)
    for _ in range(80):
        depth = log_depth.exp().expand(1, 16, 24)
        warped, valid = warp(source, depth, K, K, pose)
        loss, _ = minimum_reprojection(target, [source], [warped], [valid])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert log_depth.exp().item() == pytest.approx(8.0, rel=0.02)


def test_smoothness_is_its_formula_and_ignores_scale():
    generator = torch.Generator().manual_seed(7)
    inverse = 0.1 + torch.rand(2, 5, 6, generator=generator, dtype=torch.float64)
    image = torch.rand(2, 3, 5, 6, generator=generator, dtype=torch.float64)
    want = 0.0
    for d, i in zip(inverse.numpy(), image.numpy(), strict=True):
        d = d / d.mean()
        for axis in (0, 1):
            edge = np.abs(np.diff(i, axis=axis + 1)).mean(0)
            want += np.mean(np.abs(np.diff(d, axis=axis)) * np.exp(-edge)) / 2
    got = edge_aware_smoothness(inverse, image)
    assert got.item() == pytest.approx(want)
    torch.testing.assert_close(edge_aware_smoothness(7 * inverse, image), got)
    assert edge_aware_smoothness(torch.ones(1, 5, 6), image[:1]).item() == 0
    inverse.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: edge_aware_smoothness(x, image), (inverse,))


def test_normals_of_scaled_depth_agree_and_tilted_ones_cost_their_angle():
    plane = torch.full((1, 16, 24), 6.0, dtype=torch.float64)
    assert normal_loss((2 * plane).log(), plane, EVERYWHERE, K).item() == pytest.approx(0)
    rays = unproject_depth(torch.ones_like(plane), K)
    normal = torch.tensor([0.5, 0.0, -1.0]).double()
    tilted = -6.0 / torch.einsum('c,bchw->bhw', normal, rays)
    cosine = 1 / np.hypot(1, 0.5)
    got = normal_loss(tilted.log(), plane, EVERYWHERE, K).item()
    assert got == pytest.approx(1 - cosine)


def test_normal_gradient_matches_finite_differences_and_unknown_depth_is_skipped():
    generator = torch.Generator().manual_seed(8)
    true_depth = 6 + 0.05 * torch.rand(2, 5, 6, generator=generator, dtype=torch.float64)
    valid = torch.rand(2, 5, 6, generator=generator) < 0.95
    true_depth[~valid] = torch.nan
    log_depth = torch.randn(2, 5, 6, generator=generator, dtype=torch.float64) * 0.1
    log_depth.requires_grad_(True)
    k = K.expand(2, 3, 3)
    assert torch.autograd.gradcheck(lambda x: normal_loss(x, true_depth, valid, k), (log_depth,))
    nothing = normal_loss(log_depth, true_depth, torch.zeros_like(valid), k)
    nothing.backward()
    assert nothing.item() == 0
    assert torch.isfinite(log_depth.grad).all()


def test_edges_are_no_smooth_surface_but_steep_ground_is():
    v = torch.arange(16, dtype=torch.float64).view(1, 16, 1).expand(1, 16, 24)
    ground = 1.6 * 20.0 / (v + 1)  # depth doubles from row to row at the horizon
    smooth = smooth_surface(ground, EVERYWHERE)
    assert smooth[:, 1:-1, 1:-1].all()
    assert not smooth[:, 0].any()
    step = torch.full((1, 16, 24), 10.0, dtype=torch.float64)
    step[..., 12:] = 14.0
    smooth = smooth_surface(step, EVERYWHERE)
    assert not smooth[..., 11:13].any()
    assert smooth[:, 1:-1, 1:11].all()


def test_velocity_compares_lengths_of_known_distances_only():
    translation = torch.tensor([[3.0, 0.0, 4.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    translation.requires_grad_(True)
    loss = velocity_loss(translation, torch.tensor([4.5, float('nan'), 1.5]))
    assert loss.item() == pytest.approx((0.5 + 1.5) / 2)
    loss.backward()
    assert torch.isfinite(translation.grad).all()
    assert translation.grad[1].abs().max() == 0
    assert velocity_loss(translation, torch.full((3,), torch.nan)).item() == 0


def test_matches_cost_least_at_the_true_motion_with_trust_by_their_errors():
    depth, k = 4 + 10 * torch.rand(2, 1, 8, 12), K.float().expand(2, 3, 3)
    rays = cell_rays(k, (8, 12), 2)
    motion = torch.tensor([[0.1, 0.0, 0.8, 0.0, 0.02, 0.0], [0.0, 0.0, 0.5, 0.0, 0.0, 0.0]])
    flow = rigid_flow(motion, 1 / depth, rays)
    trusting = Matches(flow, torch.full_like(flow, 20.0**2), 1 / depth, rays)
    true = match_loss(trusting, motion, k)
    assert true.item() == pytest.approx(0, abs=1e-4)  # no error, a deviation of one pixel
    assert match_loss(trusting, motion + 0.1, k) > true
    off = trusting._replace(flow=flow + 10)
    doubtful = off._replace(weight=off.weight * 1e-4)
    assert match_loss(doubtful, motion, k) < match_loss(off, motion, k)
    unknown = torch.stack([motion[0], torch.full((6,), torch.nan)])
    one = Matches(*(x[:1] for x in off))
    torch.testing.assert_close(match_loss(off, unknown, k), match_loss(one, motion[:1], k[:1]))
