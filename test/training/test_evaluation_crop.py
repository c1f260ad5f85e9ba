"""Scoring as if by another camera: crops with their own intrinsics, the same pixels of truth."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.geometry.cameras import pixel_rays
from sim_perception.types import Camera
from training.datasets.sample import DatasetError, Sample
from training.evaluation.specs import EvaluationData, cropped, middle


def sample(height: int = 40, width: int = 100) -> Sample:
    rng = np.random.default_rng(0)
    return Sample(
        image=rng.integers(0, 256, (height, width, 3), np.uint8),
        camera=Camera(width, height, 80.0, 82.0, 47.0, 21.0),
        depth=rng.uniform(2, 60, (height, width)).astype(np.float32),
        semantic=rng.integers(0, 14, (height, width), np.uint8),
        name='one',
    )


class One:
    label_space = 'taxonomy'

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return sample()


def test_a_cropped_pixel_keeps_its_ray_and_its_truth():
    whole, part = sample(), cropped(sample(), 0.6)
    assert part.image.shape == (24, 60, 3)
    rows, columns = middle(np.empty((40, 100)), 0.6)
    assert part.camera is not None
    assert whole.camera is not None
    np.testing.assert_allclose(pixel_rays(part.camera), pixel_rays(whole.camera)[rows, columns])
    np.testing.assert_array_equal(part.depth, whole.depth[rows, columns])
    np.testing.assert_array_equal(part.semantic, whole.semantic[rows, columns])
    assert part.normals is None


def test_crop_and_window_count_the_same_pixels():
    (crop,) = EvaluationData(One(), (0,), crop=0.6)
    (window,) = EvaluationData(One(), (0,), window=0.6)
    assert window.image.shape == (40, 100, 3)
    assert np.isfinite(window.depth).sum() == np.isfinite(crop.depth).sum() == 24 * 60
    np.testing.assert_array_equal(window.depth[middle(np.empty((40, 100)), 0.6)], crop.depth)


@pytest.mark.parametrize('share', [0.0, -1.0, 1.2])
def test_impossible_shares_are_refused(share):
    with pytest.raises(DatasetError, match=r'in \(0, 1\]'):
        cropped(sample(), share)
