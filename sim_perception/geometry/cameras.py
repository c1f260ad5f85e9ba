"""Pinhole cameras: resizing, cropping, rays, projection. Pixel centres lie on integers."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

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


def pixel_rays(camera: Camera) -> Array:
    """Return (H, W, 3) float64 viewing rays in the optical frame with z = 1, undistorted."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    pixels = np.stack([u, v], -1).astype(np.float64)
    if camera.distortion:
        # OpenCV's default of five iterations leaves errors of a pixel in wide images.
        flat = cv2.undistortPointsIter(
            pixels.reshape(-1, 1, 2),
            camera.matrix,
            np.asarray(camera.distortion),
            np.eye(3),
            np.eye(3),
            (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9),
        )
        xy = flat.reshape(camera.height, camera.width, 2)
    else:
        xy = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    return np.concatenate([xy, np.ones((*xy.shape[:2], 1))], -1)


def project(camera: Camera, points: Array) -> tuple[Array, Array]:
    """Project points to pixels.

    Args:
        camera: intrinsics; distortion is applied when present.
        points: (..., 3) in the optical frame.

    Returns:
        (..., 2) pixels, NaN for points not in front of the camera, and (...) depths z.
    """
    points = np.asarray(points, float)
    depth = points[..., 2]
    safe = np.where(depth > 1e-9, depth, np.nan)
    xy = points[..., :2] / safe[..., None]
    if camera.distortion:
        k1, k2, p1, p2, k3 = (*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        x, y = xy[..., 0], xy[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        xy = np.stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
            ],
            -1,
        )
    return xy * [camera.fx, camera.fy] + [camera.cx, camera.cy], depth


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
    """Return (N, 4) image boxes, by their corners, as the camera without distortion has them."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    if not len(boxes) or not any(camera.distortion):
        return boxes
    coefficients = np.array(camera.distortion)
    corners = boxes.reshape(-1, 1, 2)
    moved = cv2.undistortPoints(corners, camera.matrix, coefficients, P=camera.matrix)
    return np.asarray(moved, float).reshape(-1, 4)
