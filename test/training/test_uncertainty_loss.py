"""The Laplace likelihood: its minimum, its gradients, and what does not count."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses import laplace_nll


def random_maps(seed=0, shape=(2, 5, 7)):
    generator = torch.Generator().manual_seed(seed)
    prediction, target, log_scale = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    valid = torch.rand(shape, generator=generator) < 0.7
    return prediction, target, 0.5 * log_scale, valid


def test_equals_torchs_laplace_distribution():
    prediction, target, log_scale, valid = random_maps()
    density = torch.distributions.Laplace(prediction, log_scale.exp()).log_prob(target)
    expected = torch.stack([-d[v].mean() for d, v in zip(density, valid, strict=True)]).mean()
    torch.testing.assert_close(laplace_nll(prediction, target, log_scale, valid), expected)


def test_is_least_at_the_mean_absolute_error():
    prediction, target, _, _ = random_maps(shape=(1, 20, 20))
    valid = torch.ones(1, 20, 20, dtype=torch.bool)
    best = (prediction - target).abs().mean().log()

    def loss(offset):
        return laplace_nll(prediction, target, (best + offset).expand(1, 20, 20), valid).item()

    assert loss(0.0) < min(loss(-0.05), loss(0.05))


def test_gradients_match_finite_differences():
    prediction, target, log_scale, valid = random_maps(shape=(2, 3, 3))
    leaves = prediction.requires_grad_(), log_scale.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p, s: laplace_nll(p, target, s, valid, detach_prediction=False), leaves
    )


@pytest.mark.parametrize('detach', [True, False])
def test_depth_gets_a_gradient_only_if_asked(detach):
    prediction, target, log_scale, valid = random_maps()
    prediction.requires_grad_()
    log_scale.requires_grad_()
    laplace_nll(prediction, target, log_scale, valid, detach_prediction=detach).backward()
    assert (prediction.grad is None) is detach
    assert log_scale.grad.abs().sum() > 0


def test_invalid_pixels_and_images_do_not_count():
    prediction, target, log_scale, valid = random_maps()
    valid[1] = False
    log_scale.requires_grad_()
    bad = target.masked_fill(~valid, math.nan)
    loss = laplace_nll(prediction, bad, log_scale, valid)
    torch.testing.assert_close(
        loss, laplace_nll(prediction[:1], target[:1], log_scale[:1], valid[:1])
    )
    loss.backward()
    assert torch.isfinite(log_scale.grad).all()
    assert not log_scale.grad[~valid].any()
    assert laplace_nll(prediction, bad, log_scale, torch.zeros_like(valid)).item() == 0
