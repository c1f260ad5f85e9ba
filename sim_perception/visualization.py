"""Pictures for people: coloured depth, labels, boxes, panels. numpy and OpenCV, RGB uint8."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.boxes import box_corners, box_edges
from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import transform_points
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Box3D, Camera

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.floating]

_COLORMAP = cv2.applyColorMap(
    np.arange(256, dtype=np.uint8)[::-1, None].copy(), cv2.COLORMAP_TURBO
)[:, 0, ::-1].copy()


def write_picture(path: Path, picture: Image) -> None:
    """Write (H, W, 3) RGB to a file; the ending of its name says the format.

    Raises:
        OSError: if that is not possible.
    """
    try:
        written = cv2.imwrite(str(path), picture[..., ::-1])
    except cv2.error as error:
        raise OSError(f'{path} is no name of a picture; end it with .png or .jpg') from error
    if not written:
        raise OSError(f'{path} cannot be written; is there space, and may you write there?')


def color_depth(depth: Array, near: float = 2.0, far: float = 80.0) -> Image:
    """Colour (H, W) metres by log distance: red at ``near``, blue at ``far``, black unknown."""
    known = np.isfinite(depth) & (depth > 0)
    scale = 255.0 / np.log(far / near)
    level = np.log(np.where(known, depth, near) / near) * scale
    colors = _COLORMAP[np.clip(level, 0, 255).astype(np.uint8)]
    colors[~known] = 0
    return colors


def color_labels(labels: npt.NDArray[np.uint8], taxonomy: Taxonomy) -> Image:
    """Colour (H, W) class ids with the taxonomy's palette; unknown ids are black."""
    return taxonomy.palette()[labels]


def color_instances(instances: npt.NDArray[np.integer]) -> Image:
    """Give every id of an (H, W) instance image a colour of its own; 0 is black."""
    ids = np.arange(int(instances.max(initial=0)) + 1, dtype=np.uint32)
    # Weyl steps with the golden ratio spread neighbouring ids around the colour wheel.
    hue = (ids * 2654435769 >> 8) % 180
    hsv = np.stack([hue, np.full_like(hue, 200), np.full_like(hue, 235)], -1).astype(np.uint8)
    table = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    table[0] = 0
    return table[instances]


def color_normals(normals: Array) -> Image:
    """Colour (H, W, 3) unit normals in the usual way; zero vectors are black."""
    colors = ((normals * [1, -1, -1] + 1) * 127.5).astype(np.uint8)
    colors[~np.any(normals, axis=-1)] = 0
    return colors


def color_flow(flow: Array, largest: float | None = None) -> Image:
    """Colour (H, W, 2 or more) pixel motion: hue is direction, brightness is length.

    Args:
        flow: u and v in pixels; a third channel of zeros marks invalid pixels (black).
        largest: length that is drawn brightest, default the 98th percentile.
    """
    u, v = flow[..., 0], flow[..., 1]
    valid = flow[..., 2] > 0 if flow.shape[-1] > 2 else np.ones(u.shape, bool)
    length = np.where(valid, np.hypot(u, v), 0)
    largest = largest or max(float(np.percentile(length, 98)), 1e-6)
    hsv = np.full((*u.shape, 3), 255, np.uint8)
    hsv[..., 0] = (np.arctan2(v, u) / np.pi * 90 + 90).astype(np.uint8) % 180
    hsv[..., 2] = np.clip(length / largest * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def visibility_color(visibility: float) -> tuple[int, int, int]:
    """Return red for hidden (0) over yellow to green for fully visible (1)."""
    share = min(max(visibility, 0.0), 1.0)
    return int(255 * min(1.0, 2 * (1 - share))), int(255 * min(1.0, 2 * share)), 40


def draw_box3d(
    image: Image,
    camera: Camera,
    camera_T_parent: Array,
    box: Box3D,
    color: tuple[int, int, int],
    thickness: int = 1,
    near: float = 0.2,
) -> None:
    """Draw an oriented box's edges into an RGB image, clipped at ``near`` metres."""
    corners = transform_points(camera_T_parent, box_corners(box))
    for i, j in box_edges():
        a, b = corners[i], corners[j]
        if a[2] < near and b[2] < near:
            continue
        if a[2] < near:
            a = a + (near - a[2]) / (b[2] - a[2]) * (b - a)
        elif b[2] < near:
            b = b + (near - b[2]) / (a[2] - b[2]) * (a - b)
        # straight edges are curves in the image of a lens
        way = np.linspace(0, 1, 2 if camera.is_ideal else 9)[:, None]
        pixels, _ = project(camera, a + way * (b - a))
        for start, end in pairwise(np.clip(pixels, -1e4, 1e4)):
            if np.isfinite([start, end]).all():
                first, last = ((round(float(u)), round(float(v))) for u, v in (start, end))
                cv2.line(image, first, last, color, thickness, cv2.LINE_AA)


def caption(image: Image, text: str) -> Image:
    """Return a copy of the image with a small caption in its upper left corner."""
    image = image.copy()
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    image[: height + base + 4, : width + 8] //= 3
    cv2.putText(
        image, text, (4, height + 3), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255,) * 3, 1, cv2.LINE_AA
    )
    return image


def grid(images: Sequence[Image], columns: int) -> Image:
    """Lay images of one size out in rows; missing cells are black.

    Raises:
        ValueError: if the list is empty or the sizes differ.
    """
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise ValueError(f'need images of one size, got {sorted(shapes)}')
    blank = np.zeros_like(images[0])
    cells = [*images, *[blank] * (-len(images) % columns)]
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    return np.vstack(rows)
