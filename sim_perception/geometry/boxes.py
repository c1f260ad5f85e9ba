"""Oriented boxes and image boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import transform_points
from sim_perception.types import Box3D, Camera

Array = npt.NDArray[np.floating]

_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) / 2
_EDGES = np.array([(i, j) for i in range(8) for j in range(i) if bin(i ^ j).count('1') == 1])


def box_corners(box: Box3D) -> Array:
    """Return the (8, 3) corners in the box's parent frame; index bits are x, y, z signs."""
    return transform_points(box.parent_T_box, _SIGNS * box.size)


def box_edges() -> npt.NDArray[np.integer]:
    """Return the (12, 2) pairs of ``box_corners`` indices that are joined by an edge."""
    return _EDGES


def project_box(
    camera: Camera, camera_T_parent: Array, box: Box3D, near: float = 0.1
) -> tuple[float, float, float, float] | None:
    """Project an oriented box to its tight amodal image box (x1, y1, x2, y2).

    Edges are clipped at ``near`` metres; the result may reach beyond the image. Distortion
    is not applied: an ideal pinhole is assumed.

    Returns:
        The image box in pixels, or None if the box lies behind the near plane.
    """
    corners = transform_points(camera_T_parent, box_corners(box))
    a, b = corners[_EDGES[:, 0]], corners[_EDGES[:, 1]]
    front = corners[corners[:, 2] >= near]
    crossing = (a[:, 2] >= near) != (b[:, 2] >= near)
    a, b = a[crossing], b[crossing]
    s = (near - a[:, 2]) / (b[:, 2] - a[:, 2])
    points = np.concatenate([front, a + s[:, None] * (b - a)])
    if not len(points):
        return None
    uv = points[:, :2] / points[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    (x1, y1), (x2, y2) = uv.min(0), uv.max(0)
    return float(x1), float(y1), float(x2), float(y2)


def iou_2d(a: Array, b: Array) -> Array:
    """Return the (N, M) intersection over union of (N, 4) and (M, 4) x1 y1 x2 y2 boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    union = area_a[:, None] + area_b[None] - intersection
    return intersection / np.maximum(union, np.finfo(float).tiny)


def iou_upright(a: Box3D, b: Box3D) -> tuple[float, float]:
    """Return the intersection over union of two upright boxes, in plan view and in space.

    Both have the same parent frame, whose z axis is up; any tilt of the boxes is ignored.
    """
    centre = 0.5 * (a.parent_T_box[:2, 3] + b.parent_T_box[:2, 3])
    shared = _shared_area(_plan(a) - centre, _plan(b) - centre)
    areas = [box.size[0] * box.size[1] for box in (a, b)]
    plan_iou = shared / max(sum(areas) - shared, np.finfo(float).tiny)
    tops = [box.parent_T_box[2, 3] + box.size[2] / 2 for box in (a, b)]
    floors = [box.parent_T_box[2, 3] - box.size[2] / 2 for box in (a, b)]
    shared *= max(0.0, min(tops) - max(floors))
    volumes = [area * box.size[2] for area, box in zip(areas, (a, b), strict=True)]
    return float(plan_iou), float(shared / max(sum(volumes) - shared, np.finfo(float).tiny))


def _shared_area(first: Array, second: Array) -> float:
    """Return the area that two convex counter-clockwise polygons of (N, 2) corners share.

    Sutherland and Hodgman's clipping. (``cv2.intersectConvexConvex`` fails for polygons that
    nearly coincide.)
    """
    corners = first
    for start, end in zip(second, np.roll(second, -1, axis=0), strict=True):
        along = end - start
        inside = along[0] * (corners[:, 1] - start[1]) - along[1] * (corners[:, 0] - start[0])
        kept = []
        for k in range(len(corners)):
            after = (k + 1) % len(corners)
            if inside[k] >= 0:
                kept.append(corners[k])
            if (inside[k] >= 0) != (inside[after] >= 0):
                share = inside[k] / (inside[k] - inside[after])
                kept.append(corners[k] + share * (corners[after] - corners[k]))
        if len(kept) < 3:
            return 0.0
        corners = np.array(kept)
    x, y = corners.T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _plan(box: Box3D) -> Array:
    """Return the (4, 2) corners in plan view, counter-clockwise."""
    length, width, _ = box.size
    x, y = box.parent_T_box[:2, 0], box.parent_T_box[:2, 1]
    x, y = length / 2 * x / np.linalg.norm(x), width / 2 * y / np.linalg.norm(y)
    corners = [x + y, y - x, -x - y, x - y]
    return np.array(corners) + box.parent_T_box[:2, 3]
