"""Cameras: resizing, cropping, rays, projection, boxes. Pixel centres lie on integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.lenses import pixels_of, slopes_of, within_reach
from sim_perception.types import Camera

Array = npt.NDArray[np.floating]


def centred_camera(width: int, height: int, focal_ratio: float) -> Camera:
    """Return an ideal camera with square pixels and the principal point in the middle.

    Args:
        width: image width in pixels.
        height: image height in pixels.
        focal_ratio: focal length / image width.
    """
    focal = focal_ratio * width
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def resize_camera(camera: Camera, width: int, height: int) -> Camera:
    """Return the camera of an image resized to ``width`` x ``height``.

    Pixel centres on integers make the principal point map as ``(c + 0.5) s - 0.5``.
    """
    sx, sy = width / camera.width, height / camera.height
    return replace(
        camera,
        width=width,
        height=height,
        fx=camera.fx * sx,
        fy=camera.fy * sy,
        cx=(camera.cx + 0.5) * sx - 0.5,
        cy=(camera.cy + 0.5) * sy - 0.5,
    )


def crop_camera(camera: Camera, x: int, y: int, width: int, height: int) -> Camera:
    """Return the camera of the crop that starts at pixel (x, y)."""
    return replace(camera, width=width, height=height, cx=camera.cx - x, cy=camera.cy - y)


def bin_camera(camera: Camera, x: int, y: int) -> Camera:
    """Return the camera of an image whose pixels are each x columns and y rows of another's.

    What is left over at the right and at the bottom is lost.
    """
    return replace(
        camera,
        width=camera.width // x,
        height=camera.height // y,
        fx=camera.fx / x,
        fy=camera.fy / y,
        cx=(camera.cx + 0.5) / x - 0.5,
        cy=(camera.cy + 0.5) / y - 0.5,
    )


def pixel_rays(camera: Camera) -> Array:
    """Return (H, W, 3) float64 viewing rays in the optical frame with z = 1, undistorted.

    NaN where the lens sees nothing that z = 1 can be told of: beyond a fisheye's 90 degrees.
    """
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    slopes = slopes_of(camera, np.stack([u, v], -1).astype(np.float64))
    return np.concatenate([slopes, np.ones((*slopes.shape[:2], 1))], -1)


def project(camera: Camera, points: Array) -> tuple[Array, Array]:
    """Project points to pixels.

    Args:
        camera: intrinsics; distortion is applied when present.
        points: (..., 3) in the optical frame.

    Returns:
        (..., 2) pixels, NaN for points not in front of the camera or beyond what its lens model
        can tell, and (...) depths z.
    """
    points = np.asarray(points, float)
    depth = points[..., 2]
    safe = np.where(depth > 1e-9, depth, np.nan)
    return pixels_of(camera, points[..., :2] / safe[..., None]), depth


def unproject(camera: Camera, depth: Array) -> Array:
    """Return (H, W, 3) optical-frame points of an (H, W) depth image (z along the axis).

    Raises:
        ValueError: if the depth image's size differs from the camera's.
    """
    if depth.shape != (camera.height, camera.width):
        raise ValueError(
            f'depth is {depth.shape[1]}x{depth.shape[0]} but the camera is '
            f'{camera.width}x{camera.height}; resize the camera to the image'
        )
    return pixel_rays(camera) * depth[..., None]


def undistort_boxes(camera: Camera, boxes: Array) -> Array:
    """Return (N, 4) image boxes as the camera without distortion has them.

    A box becomes the one through the middles of its sides. Sides that no line of sight leads to
    are NaN.
    """
    return boxes_between(camera, camera.ideal, boxes)


def straight_boxes(camera: Camera, boxes: Array) -> Array:
    """Return (N, 4) image boxes as labels are fitted to them: undistorted, within the image."""
    limit = np.array([camera.width, camera.height] * 2) - 1.0
    return np.asarray(np.clip(undistort_boxes(camera, boxes), 0, limit))


def distort_boxes(camera: Camera, boxes: Array) -> Array:
    """Return (N, 4) image boxes of the camera without distortion as the camera has them.

    The inverse of ``undistort_boxes`` as far as one box can tell. Sides beyond what the lens
    shows are put to its edge.
    """
    return boxes_between(camera.ideal, camera, boxes)


def boxes_between(source: Camera, target: Camera, boxes: Array) -> Array:
    """Return (N, 4) image boxes of one camera in pixels of another at the same place."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    if source == target:
        return boxes
    x1, y1, x2, y2 = boxes.T
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    middles = np.stack([x1, y, x, y1, x2, y, x, y2], 1).reshape(-1, 4, 2)
    moved = pixels_of(target, within_reach(target, slopes_of(source, middles)))
    return np.stack([moved[:, 0, 0], moved[:, 1, 1], moved[:, 2, 0], moved[:, 3, 1]], 1)
