"""Image boxes of objects in a segmented image, where no detector gives any."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.evidence.initialise import cluster
from sim_perception.geometry.lidar_frame import PreparedFrame

F64 = npt.NDArray[np.float64]

_INSIDE = 0.6
"""A region of which so much lies in a nearer one's box is part of it or hidden by it."""


def boxes_from_segmentation(
    segmentation: npt.NDArray[np.uint8],
    depth: npt.NDArray[np.floating] | None,
    class_id: int,
    *,
    least_side: int = 12,
    depth_step: float = 0.12,
) -> F64:
    """Return (M, 4) boxes x1 y1 x2 y2 of connected regions of a class, the largest first.

    Objects that overlap in the image are one region unless their depths part them.

    Args:
        segmentation: (H, W) class ids.
        depth: (H, W) metres, or None; regions are cut where neighbours' depths differ.
        class_id: the class.
        least_side: smaller regions are left out, pixels.
        depth_step: relative difference of depths that cuts.

    Raises:
        ValueError: if the images differ in size.
    """
    mask = (segmentation == class_id).astype(np.uint8)
    cut = mask
    if depth is not None:
        if depth.shape != segmentation.shape:
            raise ValueError(f'depth is {depth.shape}, segmentation {segmentation.shape}')
        cut = mask & ~_steps(depth, depth_step)
    # Thin bridges to neighbours and specks go.
    side = 2 * max(1, segmentation.shape[1] // 400) + 1
    cut = cv2.morphologyEx(cut, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    stats = cv2.connectedComponentsWithStats(cut, connectivity=4)[2]
    boxes = []
    for k in np.argsort(-stats[1:, cv2.CC_STAT_AREA]) + 1:
        x, y, width, height, _ = (int(v) for v in stats[k])
        if min(width, height) >= least_side:
            boxes.append((x, y, x + width - 1, y + height - 1))
    return np.array(boxes, np.float64).reshape(-1, 4)


def _steps(depth: npt.NDArray[np.floating], step: float) -> npt.NDArray[np.uint8]:
    """Return 1 where depth jumps to a neighbour, on both sides of the jump."""
    with np.errstate(divide='ignore', invalid='ignore'):
        logarithm = np.log(depth)
    jump = np.zeros(depth.shape, np.uint8)
    for axis in (0, 1):
        far = np.abs(np.diff(logarithm, axis=axis)) > step
        first, second = (slice(None, -1), slice(1, None))
        for part in (first, second):
            place = (part, slice(None)) if axis == 0 else (slice(None), part)
            jump[place] |= far.astype(np.uint8)
    return jump


def _shared(box: F64, other: F64) -> float:
    """Return the share of a box that lies in another."""
    common = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.clip(common, 0, None).prod() / max((box[2:] - box[:2]).prod(), 1e-9))


def boxes_from_clusters(
    segmentation: npt.NDArray[np.uint8],
    prepared: PreparedFrame,
    class_id: int,
    config: LabelConfig,
    *,
    least_side: int = 12,
) -> tuple[F64, npt.NDArray[np.int64]]:
    """Return boxes and regions of a class's LiDAR clusters, the largest first.

    What stands above the ground and projects onto the class is parted in plan view, so that
    objects that touch in the image do not become one. A cluster's box is that of the pixels of
    the class nearest to its points, cut to where its points reach: segmentations spread over
    borders. Above, glass and roofs return few points, and the segmentation alone decides.

    Args:
        segmentation: (H, W) class ids.
        prepared: the frame with its points.
        class_id: the class.
        config: settings of clusters.
        least_side: smaller boxes are left out, pixels.

    Returns:
        (M, 4) boxes x1 y1 x2 y2, and (H, W) the number of the box that a pixel belongs to, or -1.
    """
    height, width = segmentation.shape
    mask = segmentation == class_id
    stands = (prepared.height > config.ground_margin) & (prepared.height < config.max_height)
    u, v = np.nan_to_num(prepared.pixels, nan=-1.0).round().astype(np.int64).T
    shown = stands & (u >= 0) & (v >= 0) & (u < width) & (v < height)
    rows = np.flatnonzero(shown)
    rows = rows[mask[v[rows], u[rows]]]
    if len(rows) < config.least_points:
        return np.zeros((0, 4)), np.full(mask.shape, -1, np.int64)
    sensor = np.asarray(prepared.frame.sensor, np.float64)
    label = cluster(prepared.points[rows], sensor, config)
    # Farther points first, so that nearer ones stay where several share a pixel.
    order = np.argsort(-np.linalg.norm(prepared.points[rows] - sensor, axis=1))
    owner = np.full(mask.shape, -1, np.int64)
    owner[v[rows[order]], u[rows[order]]] = label[order]
    nearest = distance_transform_edt(owner < 0, return_distances=False, return_indices=True)
    owner = np.where(mask, owner[tuple(nearest)], -1)
    found = _cluster_boxes(prepared, rows, label, owner, config, least_side)
    boxes = np.array([box for _, box in found], np.float64).reshape(-1, 4)
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(1))
    regions = np.full(mask.shape, -1, np.int64)
    for place, k in enumerate(order):
        x1, y1, x2, y2 = np.round(boxes[k]).astype(np.int64)
        window = (slice(max(y1, 0), y2 + 1), slice(max(x1, 0), x2 + 1))
        regions[window][owner[window] == found[k][0]] = place
    return boxes[order], regions


def _cluster_boxes(
    prepared: PreparedFrame,
    rows: npt.NDArray[np.int64],
    label: npt.NDArray[np.integer],
    owner: npt.NDArray[np.int64],
    config: LabelConfig,
    least_side: int,
) -> list[tuple[int, F64]]:
    """Return numbers and boxes of the clusters that are objects, the nearest first."""
    found: list[tuple[int, F64]] = []
    sensor = np.asarray(prepared.frame.sensor, np.float64)
    reach = np.linalg.norm(prepared.points[rows] - sensor, axis=1)
    depth = [float(np.median(reach[label == number])) for number in range(label.max() + 1)]
    for number in np.argsort(depth):
        own = prepared.pixels[rows[label == number]]
        if len(own) < config.least_points:
            continue
        ys, xs = np.nonzero(owner == number)
        pad = 3.0 + 0.02 * np.ptp(own[:, 0])
        left, right = own[:, 0].min() - pad, own[:, 0].max() + pad
        inside = (xs >= left) & (xs <= right)
        if not inside.any():
            continue
        foot = own[:, 1].max() + pad + 0.12 * np.ptp(own[:, 1])
        top, low = np.percentile(ys[inside], [0.5, 99.5])
        box = np.array(
            [max(left, xs[inside].min()), top, min(right, xs[inside].max()), min(foot, low)]
        )
        # What is seen through a nearer one's windows, or over it, is no object to label.
        hidden = any(_shared(box, nearer) > _INSIDE for _, nearer in found)
        if not hidden and (box[2:] - box[:2]).min() >= least_side:
            found.append((int(number), box))
    return found
