"""Samples of a distorting lens as an ideal pinhole sees them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.cameras import pixel_rays, project
from sim_perception.types import Camera
from training.datasets.sample import Sample


@lru_cache(maxsize=4)
def _sources_of(camera: Camera) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the (H, W) columns and rows of a distorted image that an ideal one shows."""
    places, _ = project(camera, pixel_rays(replace(camera, distortion=())))
    u, v = (np.ascontiguousarray(places[..., i], np.float32) for i in (0, 1))
    return u, v


def undistorted(sample: Sample) -> Sample:
    """Return the sample as an ideal pinhole with the same camera matrix sees it.

    Depth is along the optical axis, so its values stay and only move in the image. Pixels
    without a source repeat the border.
    """
    if sample.camera is None or not sample.camera.distortion:
        return sample
    u, v = _sources_of(sample.camera)

    def moved(layer: npt.NDArray[Any], how: int) -> Any:
        return cv2.remap(layer, u, v, how, borderMode=cv2.BORDER_REPLICATE)

    depth, semantic = sample.depth, sample.semantic
    return replace(
        sample,
        image=moved(sample.image, cv2.INTER_LINEAR),
        camera=replace(sample.camera, distortion=()),
        depth=None if depth is None else moved(depth, cv2.INTER_NEAREST),
        semantic=None if semantic is None else moved(semantic, cv2.INTER_NEAREST),
        instance=None,
        normals=None,
        flow=None,
    )
