"""Random views keep image, truth and camera together; appearances keep the geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_perception.geometry.cameras import pixel_rays
from sim_perception.types import Camera
from training.datasets.views.appearance import (
    AppearanceConfig,
    GeometryConfig,
    LabelledImage,
    random_appearance,
    random_view,
)


def plane_image() -> LabelledImage:
    """Show a plane 1.5 m below a level camera: depth and colour say where each pixel looks."""
    camera = Camera(320, 160, 200.0, 200.0, 159.5, 60.0)
    rays = pixel_rays(camera)
    with np.errstate(divide='ignore'):
        depth = np.where(rays[..., 1] > 0.02, 1.5 / rays[..., 1], np.nan).astype(np.float32)
    semantic = np.where(np.isnan(depth), 9, 0).astype(np.uint8)
    image = np.zeros((160, 320, 3), np.uint8)
    image[semantic == 9] = 200
    return LabelledImage(image, depth, semantic, camera)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_the_views_own_camera_still_sees_the_plane(seed):
    config = GeometryConfig(width=128, height=64, focal=(120, 400), aspect=1.1)
    view = random_view(plane_image(), config, np.random.default_rng(seed))
    assert view.image.shape == (64, 128, 3)
    assert (view.camera.width, view.camera.height) == (128, 64)
    height = pixel_rays(view.camera)[..., 1] * view.depth
    known = np.isfinite(height) & (view.depth < 20)
    # nearest-pixel sampling moves a point by up to half a source pixel
    slack = 0.5 * view.depth[known] / 200 + 0.02
    assert (np.abs(height[known] - 1.5) <= slack).all()
    assert np.array_equal(view.semantic == 9, np.isnan(view.depth))
    brightness = view.image[..., 0].astype(int)
    inner = np.abs(np.diff(brightness, axis=0)).max(1) == 0
    rows = np.nonzero(inner)[0]
    assert ((brightness[rows] > 100) == (view.semantic[rows] == 9)).mean() > 0.97


def test_views_vary_in_focal_length_and_mirror_the_principal_point():
    config = GeometryConfig(width=128, height=64, focal=(120, 400), mirror=1.0)
    views = [random_view(plane_image(), config, np.random.default_rng(i)) for i in range(40)]
    focals = [view.camera.fx for view in views]
    assert min(focals) < 150
    assert max(focals) > 300
    plain = config.model_copy(update={'mirror': 0.0})
    for i, mirrored in enumerate(views[:10]):
        straight = random_view(plane_image(), plain, np.random.default_rng(i))
        assert mirrored.camera.cx == pytest.approx(127 - straight.camera.cx)
        assert np.array_equal(mirrored.image, straight.image[:, ::-1])


def test_every_appearance_change_works_and_repeats():
    sample = plane_image()
    config = AppearanceConfig(
        **{
            name: 1.0
            for name in AppearanceConfig.model_fields
            if name not in ('strength', 'gray', 'sharpen')
        },
        gray=0.5,
        sharpen=0.5,
    )
    first = random_appearance(sample.image, sample.depth, config, np.random.default_rng(3))
    again = random_appearance(sample.image, sample.depth, config, np.random.default_rng(3))
    other = random_appearance(sample.image, sample.depth, config, np.random.default_rng(4))
    assert first.dtype == np.uint8
    assert first.shape == sample.image.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_with_all_probabilities_zero_nothing_changes():
    sample = plane_image()
    names = [name for name in AppearanceConfig.model_fields if name != 'strength']
    config = AppearanceConfig(**dict.fromkeys(names, 0.0))
    result = random_appearance(sample.image, sample.depth, config, np.random.default_rng(0))
    assert np.array_equal(result, sample.image)
