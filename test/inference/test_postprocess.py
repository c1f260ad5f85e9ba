"""Compiled upsampling against torch's, which defines it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_perception.inference.postprocess import (
    depth_image,
    label_confidence_image,
    label_image,
)
from sim_perception.models.decoders import upsample


def scores(rows, columns, classes, seed):
    return np.random.default_rng(seed).normal(size=(rows, columns, classes)).astype(np.float32)


def upsampled(logits, size):
    return upsample(torch.from_numpy(logits).permute(2, 0, 1)[None], size)[0]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    classes=st.integers(2, 15),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_labels_equal_those_of_upsampled_scores(rows, columns, classes, height, width, seed):
    logits = scores(rows, columns, classes, seed)
    expected = upsampled(logits, (height, width))
    labels = label_image(logits, (height, width))
    assert labels.shape == (height, width)
    assert labels.dtype == np.uint8
    # where rounding makes two classes tie, either is right
    chosen = expected.gather(0, torch.from_numpy(labels.astype(np.int64))[None])[0]
    assert torch.all(expected.max(0).values - chosen < 1e-5)
    same, confidence = label_confidence_image(logits, (height, width))
    assert (same == labels).mean() > 0.99
    probability = expected.softmax(0).max(0).values.numpy()
    np.testing.assert_allclose(confidence, probability, atol=1e-5)


def test_smooth_scores_give_exactly_the_same_labels():
    logits = scores(6, 20, 14, 0).repeat(4, 0).repeat(4, 1)
    labels = label_image(logits, (192, 640))
    assert np.array_equal(labels, upsampled(logits, (192, 640)).argmax(0).numpy())
    assert len(np.unique(labels)) > 5


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_depth_is_interpolated_in_the_logarithm(rows, columns, height, width, seed):
    log_depth = scores(rows, columns, 1, seed)[..., 0]
    expected = upsample(torch.from_numpy(log_depth)[None, None], (height, width)).exp()
    depth = depth_image(log_depth, (height, width), 1e-3, 1e3)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, expected[0, 0].numpy(), rtol=1e-4)


@pytest.mark.parametrize('value', [-1e4, 1e4, 2.0])
def test_depth_stays_within_its_limits(value):
    depth = depth_image(np.full((3, 4), value, np.float32), (12, 16), 0.5, 80.0)
    assert depth.min() >= 0.5
    assert depth.max() <= 80.0


def test_depth_does_not_change_its_input():
    log_depth = np.full((3, 4), 50.0, np.float32)
    depth_image(log_depth, (3, 4), 0.5, 80.0)
    assert np.all(log_depth == 50.0)
