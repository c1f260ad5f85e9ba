"""The ego-motion head: its geometry is exact, its matching learns, its interface holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from sim_perception.geometry.cameras import pixel_rays, resize_camera
from sim_perception.geometry.warping import (
    pose_matrix,
    project_points,
    transform_points,
    unproject_depth,
    warp,
)
from sim_perception.models.ego_motion import (
    EgoMotionConfig,
    EgoMotionHead,
    aligned,
    cell_rays,
    correlation,
    expected_shift,
    rigid_flow,
    solve_motion,
)
from sim_perception.types import Camera

STRIDE = 8
CAMERA = Camera(32 * STRIDE, 12 * STRIDE, 150.0, 150.0, 127.5, 45.5)
SMALL = EgoMotionConfig(channels=16, projection=16, width=16)
PRIOR = torch.zeros(6), torch.full((6,), 10.0)


def intrinsics(camera: Camera, batch: int = 1) -> torch.Tensor:
    return torch.from_numpy(camera.matrix).float().expand(batch, 3, 3)


def street(generator: torch.Generator, batch: int, noise: float = 0.5):
    """Random features of both frames of a drive past walls, log depth, K and motion."""
    cells = resize_camera(CAMERA, 32, 12)
    k = intrinsics(cells, batch)
    coarse = torch.randn(batch, SMALL.channels, 7, 17, generator=generator)
    source = functional.interpolate(coarse, size=(12, 32), mode='bilinear', align_corners=True)
    rows = torch.arange(12).view(1, 12, 1)
    ground = 1.6 * cells.fy / (rows - cells.cy).clamp(min=1e-3)
    walls = 5 + 35 * torch.rand(batch, 1, 4, generator=generator).repeat_interleave(8, 2)
    depth = torch.minimum(ground, walls)
    spread = torch.tensor([0.05, 0.0, 0.7, 0.004, 0.02, 0.002])
    mean = torch.tensor([0.0, 0.0, 0.6, 0.0, 0.0, 0.0])
    motion = mean + spread * torch.randn(batch, 6, generator=generator)
    target, _ = warp(source, depth, k, k, pose_matrix(motion))
    target = target + noise * torch.randn(target.shape, generator=generator)
    return (target, source, depth.log()[:, None], intrinsics(CAMERA, batch)), motion


def translation_error(predicted: torch.Tensor, true: torch.Tensor) -> float:
    return (predicted - true)[:, :3].norm(dim=1).mean().item()


@pytest.mark.parametrize('width', [5, 16, 33])
def test_correlation_is_the_inner_product_at_every_shift(width):
    target, source = torch.randn(2, 2, 7, 6, width)
    got = correlation(target, source, 2)
    padded = functional.pad(source, (2,) * 4)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            shifted = padded[:, :, 2 + dy : 8 + dy, 2 + dx : 2 + dx + width]
            want = (target * shifted).sum(1)
            torch.testing.assert_close(got[:, (dy + 2) * 5 + dx + 2], want)


def test_expected_shift_finds_where_the_features_went():
    source = functional.normalize(torch.randn(1, 16, 10, 20), dim=1)
    target = torch.roll(source, (1, -2), (2, 3))  # what the target shows is 2 right, 1 up
    shift = expected_shift(correlation(target, source, 3), torch.tensor(50.0))
    inner = shift[:, :, 4:-4, 4:-4]
    want = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand_as(inner)
    torch.testing.assert_close(inner, want, atol=0.05, rtol=0)


def test_cell_rays_are_those_of_the_resized_camera():
    want = pixel_rays(resize_camera(CAMERA, 32, 12))[..., :2]
    got = cell_rays(intrinsics(CAMERA), (12, 32), STRIDE)[0].permute(1, 2, 0)
    np.testing.assert_allclose(got, want, atol=1e-5)


def exact_flow(motion: torch.Tensor, depth: torch.Tensor):
    k = intrinsics(resize_camera(CAMERA, 32, 12), len(depth))
    points = transform_points(pose_matrix(motion), unproject_depth(depth, k))
    rays = cell_rays(intrinsics(CAMERA, len(depth)), (12, 32), STRIDE)
    pixels, _ = project_points(points, torch.eye(3).expand(len(depth), 3, 3))
    return pixels - rays, rays


def test_exact_matches_give_the_exact_motion_however_near_and_fast():
    depth = 3 + 20 * torch.rand(2, 12, 32)
    motion = torch.tensor([[0.1, -0.05, 1.5, 0.0, 0.0, 0.0], [-0.3, 0.0, -1.0, 0.0, 0.0, 0.0]])
    flow, rays = exact_flow(motion, depth)
    got = solve_motion(flow, torch.full_like(flow, 1e4), 1 / depth[:, None], rays, *PRIOR)
    torch.testing.assert_close(got, motion, atol=1e-3, rtol=0)


def test_rigid_flow_is_projection():
    depth = 3 + 20 * torch.rand(1, 12, 32)
    motion = torch.tensor([[0.1, -0.05, 0.7, 0.01, -0.03, 0.02]])
    flow, rays = exact_flow(motion, depth)
    got = rigid_flow(motion, 1 / depth[:, None], rays)
    torch.testing.assert_close(got, flow, atol=1e-5, rtol=1e-4)


def test_small_rotations_are_solved_to_second_order():
    depth = 3 + 20 * torch.rand(1, 12, 32)
    motion = torch.tensor([[0.1, 0.0, 1.0, 0.005, -0.03, 0.01]])
    flow, rays = exact_flow(motion, depth)
    got = solve_motion(flow, torch.full_like(flow, 1e4), 1 / depth[:, None], rays, *PRIOR)
    assert (got - motion)[:, 3:].abs().max() < 1e-3
    assert (got - motion)[:, :3].abs().max() < 0.02


def test_distrusted_cells_do_not_count_and_without_any_the_prior_remains():
    depth = 3 + 20 * torch.rand(1, 12, 32)
    motion = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
    flow, rays = exact_flow(motion, depth)
    flow[..., :16] += torch.randn(1, 2, 12, 16)
    weight = torch.full_like(flow, 1e4)
    weight[..., :16] = 0
    args = 1 / depth[:, None], rays
    got = solve_motion(flow, weight, *args, *PRIOR)
    torch.testing.assert_close(got, motion, atol=1e-3, rtol=0)
    prior = torch.arange(6.0), torch.ones(6)
    got = solve_motion(flow, torch.zeros_like(flow), *args, *prior)
    torch.testing.assert_close(got, prior[0][None])


def test_an_untrained_head_expects_gentle_forward_motion_where_nothing_can_be_seen():
    torch.manual_seed(0)
    head = EgoMotionHead(SMALL)
    blank = torch.zeros(1, 16, 12, 32)
    with torch.no_grad():
        motion = head(blank, blank, torch.full((1, 1, 6, 16), 6.0), intrinsics(CAMERA), STRIDE)[0]
    assert 0 < motion[2] < 1
    assert motion[3:].abs().max() < 0.05


def test_training_brings_the_error_far_below_that_of_no_motion():
    torch.manual_seed(0)
    head = EgoMotionHead(SMALL)
    generator = torch.Generator().manual_seed(1)
    inputs, motion = street(torch.Generator().manual_seed(2), 32)
    standing = translation_error(torch.zeros_like(motion), motion)
    with torch.no_grad():
        before = translation_error(head(*inputs, STRIDE), motion)
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(20):
        batch, true = street(generator, 4)
        error = (head(*batch, STRIDE) - true).abs()
        loss = error[:, :3].mean() + 10 * error[:, 3:].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        after = translation_error(head(*inputs, STRIDE), motion)
    assert before < 0.3 * standing
    assert after < 0.9 * before
    assert after < 0.2 * standing


def test_images_of_a_batch_do_not_influence_each_other():
    head = EgoMotionHead(SMALL).eval()
    inputs, _ = street(torch.Generator().manual_seed(3), 3)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        together = head(*inputs, STRIDE)
        permuted = head(*(x[order] for x in inputs), STRIDE)
    torch.testing.assert_close(permuted, together[order], atol=1e-4, rtol=1e-4)


def test_every_parameter_learns_and_gradients_are_finite_even_for_blank_features():
    head = EgoMotionHead(SMALL)
    torch.nn.init.normal_(head.match.weight, std=0.1)
    inputs, motion = street(torch.Generator().manual_seed(4), 2)
    (head(*inputs, STRIDE) - motion).abs().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    blank = torch.zeros(1, 16, 12, 32, requires_grad=True)
    head(blank, blank, inputs[2][:1], inputs[3][:1], STRIDE).sum().backward()
    assert torch.isfinite(blank.grad).all()


def test_autocast_and_channels_last_keep_the_result_in_float32():
    torch.manual_seed(0)
    head = EgoMotionHead(SMALL).eval()
    inputs, _ = street(torch.Generator().manual_seed(5), 2)
    with torch.no_grad():
        want = head(*inputs, STRIDE)
        last = [x.contiguous(memory_format=torch.channels_last) for x in inputs[:2]]
        torch.testing.assert_close(head(*last, *inputs[2:], STRIDE), want, atol=1e-4, rtol=1e-4)
        with torch.autocast('cpu', torch.bfloat16):
            half = head(*inputs, STRIDE)
    assert half.dtype == torch.float32
    assert (half - want)[:, :3].norm(dim=1).max() < 0.1


def test_the_default_head_is_small():
    assert sum(p.numel() for p in EgoMotionHead().parameters()) < 500_000


def test_maps_that_do_not_fit_are_refused():
    head = EgoMotionHead(SMALL)
    inputs, _ = street(torch.Generator().manual_seed(6), 1)
    with pytest.raises(ValueError, match='features differ'):
        head(inputs[0], inputs[1][:, :, :6], *inputs[2:], STRIDE)
    odd = torch.zeros(1, 16, 11, 32)
    with pytest.raises(ValueError, match='even sides'):
        head(odd, odd, *inputs[2:], STRIDE)
    with pytest.raises(ValueError, match='multiple of 8'):
        EgoMotionConfig(width=20)
    with pytest.raises(ValueError, match='radius must be positive'):
        EgoMotionConfig(radius=0)


def test_alignment_shows_the_source_as_the_target_saw_it():
    generator = torch.Generator().manual_seed(3)
    (target, source, log_depth, k), motion = street(generator, 2, noise=0.0)
    found = aligned(source, log_depth, k, STRIDE, motion)
    inner = (slice(None), slice(None), slice(2, -3), slice(6, -6))
    apart = (source - target)[inner].abs().mean()
    assert (found - target)[inner].abs().mean() < 0.2 * apart


def test_matches_around_a_motion_contain_it():
    torch.manual_seed(0)
    head = EgoMotionHead(EgoMotionConfig(channels=8, projection=8, width=8)).eval()
    blank = torch.zeros(2, 8, 12, 20)
    log_depth = torch.full((2, 1, 12, 20), 2.0)
    K = torch.tensor([[80.0, 0, 79.5], [0, 80.0, 47.5], [0, 0, 1]]).expand(2, 3, 3)
    motion = torch.tensor([[0.1, 0, 0.5, 0, 0.03, 0], [0, 0, 1.0, 0, 0, 0]], requires_grad=True)
    still = head.matches(blank, blank, log_depth, K, 8)
    around = head.matches(blank, blank, log_depth, K, 8, motion)
    expected = still.flow + rigid_flow(motion, still.inverse_depth, still.rays)
    torch.testing.assert_close(around.flow, expected)
    assert not around.rays.requires_grad
    around.flow.sum().backward()
    assert motion.grad is None
