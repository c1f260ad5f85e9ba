"""Surfaces of labels: decoded, and drawn as masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.records import LabelledFrame
from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import transform_points
from sim_perception.models.shape import ShapeModel, Surface, decode_mesh
from sim_perception.types import Camera, ShapeLabel

Mask = npt.NDArray[np.bool_]

_NEAREST = 0.3
_BITS = 4  # of subpixels in drawing


def surface_of(label: ShapeLabel, model: ShapeModel, spacing: float | None = None) -> Surface:
    """Return the mesh of a label, metres of its box frame.

    Args:
        label: one with a fit.
        model: the shape space that it was made with.
        spacing: of the marching cubes, metres; None for the space's own.

    Raises:
        ValueError: for a label without a fit.
        ImportError: if scikit-image is not installed.
    """
    if label.latent is None:
        raise ValueError('a label without a fit has no mesh')
    return decode_mesh(model, np.asarray(label.latent), label.body_size, spacing)


def silhouette_mask(
    surface: Surface, camera_T_box: npt.NDArray[np.floating], camera: Camera
) -> Mask:
    """Return the (H, W) pixels that a mesh covers; none if a part is behind the camera."""
    covered = np.zeros((camera.height, camera.width), np.uint8)
    seen = transform_points(camera_T_box, surface.vertices.astype(np.float64))
    if seen[:, 2].min() < _NEAREST:
        return covered.astype(bool)
    uv, _ = project(camera, seen)
    triangles = uv[surface.faces]
    size = np.array([camera.width, camera.height])
    inside = (triangles.max(1) > -1).all(1) & (triangles.min(1) < size).all(1)
    corners = np.rint(triangles[inside] * 2**_BITS).astype(np.int32)
    for triangle in corners:
        cv2.fillConvexPoly(covered, triangle, 1, shift=_BITS)
    return covered.astype(bool)


def frame_masks(
    frame: LabelledFrame, labels: Sequence[ShapeLabel], surfaces: Sequence[Surface]
) -> tuple[list[Mask], list[float]]:
    """Return what is seen of each label, and which share of it other labels hide.

    Nearer labels hide farther ones; what else hides them is not known.

    Args:
        frame: gives the camera.
        labels: of the frame, with 3D boxes.
        surfaces: their meshes.
    """
    poses = [
        frame.camera_T_level @ label.box3d.parent_T_box
        for label in labels
        if label.box3d is not None
    ]
    whole = [
        silhouette_mask(surface, pose, frame.camera)
        for surface, pose in zip(surfaces, poses, strict=True)
    ]
    taken = np.zeros((frame.camera.height, frame.camera.width), bool)
    seen: list[Mask] = [taken] * len(whole)
    for k in np.argsort([pose[2, 3] for pose in poses]):
        seen[k] = whole[k] & ~taken
        taken = taken | whole[k]
    hidden = [
        1 - float(part.sum()) / max(float(full.sum()), 1.0)
        for part, full in zip(seen, whole, strict=True)
    ]
    return seen, hidden
