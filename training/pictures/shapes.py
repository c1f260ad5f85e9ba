"""Pictures of shapes and of labels over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.boxes import box_corners, box_edges
from sim_perception.geometry.cameras import project
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import transform_points
from sim_perception.models.shape import SIZE, ShapeModel, Surface, decode_mesh
from sim_perception.simulator.catalogue import FAMILIES
from sim_perception.types import ShapeLabel

Image = npt.NDArray[np.uint8]

_LIGHT = np.array([0.35, 0.45, 0.82])
_PAINT = np.array([150, 175, 205.0])
_SPACING = 0.06


def draw_surface(
    surface: Surface, turn: float, *, width: int = 240, height: int = 140, metres: float = 6.0
) -> Image:
    """Draw a mesh from the side and slightly above, without perspective.

    Args:
        surface: metres, x forward, y left, z up, about the origin.
        turn: radians about z before drawing; 0 shows the right side, front to the right.
        width, height: of the picture, pixels.
        metres: that the width spans.

    Returns:
        (height, width, 3) RGB.
    """
    c, s = np.cos(turn), np.sin(turn)
    spun = surface.vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]).T
    tilt = 0.3
    right, up = spun[:, 0], spun[:, 2] * np.cos(tilt) + spun[:, 1] * np.sin(tilt)
    away = spun[:, 1] * np.cos(tilt) - spun[:, 2] * np.sin(tilt)
    scale = width / metres
    pixels = np.stack([width / 2 + scale * right, height / 2 - scale * up], 1)
    a, b, c3 = (spun[surface.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c3 - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1), 1e-12)[:, None]
    # Towards the eye: y is away from it.
    shade = 0.35 + 0.65 * np.clip(normal @ (_LIGHT * [1, -1, 1]), 0, 1)
    picture = np.full((height, width, 3), 245, np.uint8)
    polygons = np.rint(pixels[surface.faces] * 16).astype(np.int32)
    for face in np.argsort(-away[surface.faces].mean(1)):
        color = (_PAINT * shade[face]).tolist()
        cv2.fillConvexPoly(picture, polygons[face], color, cv2.LINE_AA, shift=4)
    return picture


def draw_members(
    model: ShapeModel, members: npt.NDArray[np.floating], turn: float = 0.6, *, width: int = 240
) -> Image:
    """Draw members of a shape space side by side.

    Args:
        model: the shape space.
        members: (M, 3 + K) log sizes and latents.
        turn: see ``draw_surface``.
        width: of each, pixels.
    """
    pictures = []
    for member in members:
        length, w, height = (float(s) for s in np.exp(member[:SIZE]))
        surface = decode_mesh(model, member[SIZE:], (length, w, height), spacing=_SPACING)
        pictures.append(draw_surface(surface, turn, width=width, height=round(0.58 * width)))
    return np.hstack(pictures)


def draw_paths(
    model: ShapeModel, members: npt.NDArray[np.floating], pairs: Sequence[tuple[int, int]],
    steps: int = 6,
) -> Image:  # fmt: skip
    """Draw ways from member to member, straight in log size and latent, one per row.

    Args:
        model: the shape space.
        members: (M, 3 + K).
        pairs: rows of ``members`` that a way leads from and to.
        steps: shapes per way, its ends included.
    """
    share = np.linspace(0, 1, steps)[:, None]
    return np.concatenate(
        [draw_members(model, (1 - share) * members[a] + share * members[b]) for a, b in pairs]
    )


def pairs_of_families(category: str) -> tuple[tuple[int, int], ...]:
    """Return numbers of the simulator's families that look least alike, by pairs."""
    if category != 'car':
        return ((0, 0),)
    names = (('sedan', 'hatchback'), ('hatchback', 'van'), ('suv', 'pickup'), ('wagon', 'suv'))
    return tuple((FAMILIES.index(a), FAMILIES.index(b)) for a, b in names)


def draw_labels(
    image: Image,
    frame: LidarFrame,
    labels: Sequence[ShapeLabel],
    shapes: Mapping[int, ShapeModel],
) -> Image:
    """Draw labels over an image: image box, mesh, 3D box, confidence or reason.

    Args:
        image: (H, W, 3) RGB.
        frame: the camera and its place in the level frame.
        labels: accepted ones are green, rejected ones red.
        shapes: the shape spaces of the labels by class id.
    """
    camera = frame.camera
    picture = image.copy()
    for label in labels:
        color = (60, 220, 60) if label.accepted else (235, 60, 50)
        x1, y1, x2, y2 = (round(v) for v in label.box2d)
        cv2.rectangle(picture, (x1, y1), (x2, y2), color, 1)
        if label.box3d is not None and label.latent is not None:
            surface = decode_mesh(shapes[label.class_id], label.latent, label.body_size)
            points = transform_points(label.box3d.parent_T_box, surface.vertices)
            seen = transform_points(frame.camera_T_level, points)
            if seen[:, 2].min() > 0.5:
                uv, _ = project(camera, seen)
                _overlay(picture, uv, seen, surface, color)
            corners = transform_points(frame.camera_T_level, box_corners(label.box3d))
            if corners[:, 2].min() > 0.5:
                uv, _ = project(camera, corners)
                for a, b in box_edges():
                    ends = [tuple(int(v) for v in np.rint(uv[k])) for k in (a, b)]
                    cv2.line(picture, ends[0], ends[1], color, 1, cv2.LINE_AA)
        text = f'{label.confidence:.2f}' if label.accepted else label.reason
        cv2.putText(
            picture, text, (x1, max(y1 - 3, 8)), cv2.FONT_HERSHEY_SIMPLEX, 0.35, color, 1,
            cv2.LINE_AA,
        )  # fmt: skip
    return picture


def _overlay(
    picture: Image,
    uv: npt.NDArray[np.floating],
    seen: npt.NDArray[np.floating],
    surface: Surface,
    color: tuple[int, int, int],
) -> None:
    """Blend the faces of a mesh that look at the camera over a picture, far ones first."""
    corners = seen[surface.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middle = corners.mean(1)
    facing = -(normal * middle).sum(1)
    length = np.linalg.norm(normal, axis=1) * np.linalg.norm(middle, axis=1)
    shade = facing / np.maximum(length, 1e-12)
    layer = picture.copy()
    polygons = np.rint(uv[surface.faces] * 16).astype(np.int32)
    for face in np.argsort(-middle[:, 2]):
        if shade[face] > 0:
            tone = tuple(float(c) * (0.35 + 0.65 * shade[face]) for c in color)
            cv2.fillConvexPoly(layer, polygons[face], tone, cv2.LINE_AA, shift=4)
    picture[:] = cv2.addWeighted(picture, 0.55, layer, 0.45, 0)
