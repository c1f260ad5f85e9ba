"""Losses against their formulas in plain numpy, and their gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.losses import (
    balanced_log_error,
    bootstrapped_cross_entropy,
    gradient_matching,
    silog,
)


def random_case(seed: int, shape: tuple[int, ...] = (2, 9, 11)):
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(shape, generator=generator, dtype=torch.float64)
    target = torch.randn(shape, generator=generator, dtype=torch.float64)
    valid = torch.rand(shape, generator=generator) < 0.7
    return prediction, target, valid


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), lambda_=st.floats(0, 1))
def test_silog_is_its_formula(seed, lambda_):
    prediction, target, valid = random_case(seed)
    expected = []
    for p, t, v in zip(prediction.numpy(), target.numpy(), valid.numpy(), strict=True):
        d = (p - t)[v]
        expected.append(np.sqrt(np.mean(d**2) - lambda_ * np.mean(d) ** 2))
    loss = silog(prediction, target, valid, lambda_)
    assert loss.item() == pytest.approx(np.mean(expected), abs=1e-6)


def test_silog_ignores_scale_with_lambda_one():
    prediction, _, valid = random_case(0)
    loss = silog(prediction + 3.0, prediction, valid, lambda_=1.0)
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_gradient_matching_is_its_formula():
    prediction, target, valid = random_case(1)
    expected = 0.0
    for k in range(3):
        per_image = []
        for p, t, v in zip(prediction.numpy(), target.numpy(), valid.numpy(), strict=True):
            e, m = (p - t)[:: 2**k, :: 2**k], v[:: 2**k, :: 2**k]
            parts = [
                abs(e[y, x] - e[y2, x2])
                for y in range(e.shape[0])
                for x in range(e.shape[1])
                for y2, x2 in ((y + 1, x), (y, x + 1))
                if y2 < e.shape[0] and x2 < e.shape[1] and m[y, x] and m[y2, x2]
            ]
            per_image.append(np.mean(parts))
        expected += np.mean(per_image)
    assert gradient_matching(prediction, target, valid, scales=3).item() == pytest.approx(expected)


def test_balanced_error_is_the_mean_over_ranges_of_depth():
    rng = np.random.default_rng(3)
    # 900 pixels at 3 m, 100 at 50 m: bins of half an octave
    truth = np.concatenate([np.full(900, 3.0), np.full(100, 50.0)]).reshape(1, 20, 50)
    error = np.where(truth < 10, 0.1, 0.5) * rng.choice([-1, 1], truth.shape)
    valid = torch.ones(truth.shape, dtype=torch.bool)
    log_truth = torch.from_numpy(np.log(truth))
    loss = balanced_log_error(log_truth + torch.from_numpy(error), log_truth, valid)
    assert loss.item() == pytest.approx((0.1 + 0.5) / 2)
    # a handful of pixels is no range of its own
    valid[truth > 10] = False
    valid.view(-1)[-5:] = True
    few = balanced_log_error(log_truth + torch.from_numpy(error), log_truth, valid)
    assert few.item() == pytest.approx(0.1)


def test_cross_entropy_takes_the_hardest_pixels_of_each_image():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn((2, 5, 6, 7), generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 5, (2, 6, 7), generator=generator)
    labels[:, :2] = 255
    weights = torch.tensor([1.0, 2.0, 1.0, 0.5, 3.0])
    loss = bootstrapped_cross_entropy(logits, labels, fraction=0.3, class_weights=weights)
    probability = np.exp(logits.numpy())
    probability /= probability.sum(1, keepdims=True)
    expected = []
    for p, label in zip(probability, labels.numpy(), strict=True):
        values = sorted(
            (-np.log(p[label[y, x], y, x]) * weights[label[y, x]].item()
             for y in range(2, 6) for x in range(7)),
            reverse=True,
        )  # fmt: skip
        expected.append(np.mean(values[: round(0.3 * len(values))]))
    assert loss.item() == pytest.approx(np.mean(expected))


def test_plain_cross_entropy_equals_torch():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn((1, 5, 6, 7), generator=generator)
    labels = torch.randint(0, 5, (1, 6, 7), generator=generator)
    ours = bootstrapped_cross_entropy(logits, labels)
    assert ours.item() == pytest.approx(
        torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-6
    )


@pytest.mark.parametrize('loss', [silog, gradient_matching, balanced_log_error])
def test_depth_gradients_match_finite_differences(loss):
    prediction, target, valid = random_case(4, (2, 6, 9))
    prediction.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda p: loss(p, target, valid), (prediction,))


def test_cross_entropy_gradient_matches_finite_differences():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn((2, 4, 4, 5), generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 4, 5), generator=generator)
    logits.requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda x: bootstrapped_cross_entropy(x, labels, fraction=0.5), (logits,)
    )


@pytest.mark.parametrize('loss', [silog, gradient_matching, balanced_log_error])
def test_images_without_truth_do_not_count(loss):
    prediction, target, valid = random_case(6)
    valid[1] = False
    prediction.requires_grad_(True)
    both = loss(prediction, target, valid)
    assert both.item() == pytest.approx(loss(prediction[:1], target[:1], valid[:1]).item())
    nothing = loss(prediction, target, torch.zeros_like(valid))
    nothing.backward()
    assert nothing.item() == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(prediction.grad).all()


def test_a_perfect_prediction_has_a_finite_gradient():
    _, target, valid = random_case(7)
    prediction = target.clone().requires_grad_(True)
    silog(prediction, target, valid).backward()
    assert torch.isfinite(prediction.grad).all()


def test_cross_entropy_without_labels_is_zero_and_bad_fractions_are_refused():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labels = torch.full((1, 2, 2), 255)
    loss = bootstrapped_cross_entropy(logits, labels, fraction=0.3)
    loss.backward()
    assert loss.item() == 0
    with pytest.raises(ValueError, match='fraction'):
        bootstrapped_cross_entropy(logits, labels, fraction=0)
