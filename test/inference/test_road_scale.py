"""Metric scale from the camera's height above the road."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.inference.road_scale import MOST, RoadScale
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

CAMERA = Camera(320, 128, 180.0, 180.0, 159.5, 50.0)
TAXONOMY = load_taxonomy()


def road(height: float, pitch: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return depth and classes of a level road below a camera that looks up by ``pitch``."""
    rows = np.mgrid[: CAMERA.height, : CAMERA.width][0]
    down = (rows - CAMERA.cy) / CAMERA.fy
    normal = np.array([np.cos(pitch), np.sin(pitch)])
    slope = normal[0] * down + normal[1]
    depth = np.where(slope > 1e-3, height / np.maximum(slope, 1e-3), 80.0).clip(0, 80)
    below = slope > 0.02
    classes = np.where(below, TAXONOMY.id_of('road'), TAXONOMY.id_of('sky'))
    return depth.astype(np.float32), classes.astype(np.uint8)


@pytest.mark.parametrize('pitch', [-0.05, 0.0, 0.06])
def test_depth_is_scaled_to_the_known_height(pitch):
    scale = RoadScale(TAXONOMY, 1.8)
    assert scale.factor(*road(1.5, pitch), CAMERA) == pytest.approx(1.2, rel=0.01)
    assert scale.predicted_height == pytest.approx(1.5, rel=0.01)
    assert scale.believed


def test_heights_are_averaged_over_images():
    scale = RoadScale(TAXONOMY, 1.5)
    for height in (1.5, 1.5, 1.5, 1.9):
        factor = scale.factor(*road(height), CAMERA)
    assert factor == pytest.approx(1.0, rel=0.01)


def test_what_is_not_a_matter_of_scale_is_left_alone():
    assert RoadScale(TAXONOMY).factor(*road(1.5), CAMERA) == 1.0
    wrong = RoadScale(TAXONOMY, 1.5 * MOST * 1.1)
    assert wrong.factor(*road(1.5), CAMERA) == 1.0
    assert not wrong.believed
    depth, classes = road(1.5)
    nowhere = RoadScale(TAXONOMY, 1.8)
    assert nowhere.factor(depth, np.full_like(classes, TAXONOMY.id_of('building')), CAMERA) == 1.0
    assert nowhere.factor(depth, classes, None) == 1.0


def test_another_camera_starts_afresh():
    scale = RoadScale(TAXONOMY, 1.8)
    scale.factor(*road(1.5), CAMERA)
    other = Camera(320, 128, 180.0, 180.0, 159.5, 50.1)
    scale.factor(*road(1.7), other)
    assert scale.predicted_height == pytest.approx(1.7, rel=0.02)


def test_heights_must_be_positive():
    with pytest.raises(ValueError, match='positive'):
        RoadScale(TAXONOMY, 0.0)
