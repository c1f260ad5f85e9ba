"""Samples of a distorting lens as an ideal pinhole sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sim_perception.geometry.rectification import rectify
from training.datasets.sample import IGNORE, Sample


def undistorted(sample: Sample) -> Sample:
    """Return the sample as an ideal pinhole with the same camera matrix sees it.

    Depth is along the optical axis, so its values stay and only move in the image. Where nothing
    was seen the image repeats its border, and depth and classes are unknown.
    """
    camera = sample.camera
    if camera is None or camera.is_ideal:
        return sample

    def moved(layer: Any, fill: float | None) -> Any:
        return None if layer is None else rectify(camera, layer, fill)

    return replace(
        sample,
        image=moved(sample.image, None),
        camera=camera.ideal,
        depth=moved(sample.depth, np.nan),
        semantic=moved(sample.semantic, IGNORE),
        instance=None,
        normals=None,
        flow=None,
    )
