"""Image boxes of objects in a segmented image, where no detector gives any."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


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
