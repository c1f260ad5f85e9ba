"""Labels in KITTI's object layout: ``label_2`` and ``calib``.

KITTI's label frame is the camera's, assumed level: y is down, and boxes turn about y only. A
camera that is not level gets a level label frame at its centre, and its tilt goes into ``P2``, so
that labels and projections stay exact for readers that use the whole matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.export.base import ExportFrame, LabelExport, cut
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.files import write_atomically
from sim_perception.geometry.boxes import box_corners
from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, transform_points
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Box3D, ShapeLabel

Array = npt.NDArray[np.floating]

NAMES = {
    'car': 'Car', 'van': 'Van', 'truck': 'Truck', 'pedestrian': 'Pedestrian', 'cyclist': 'Cyclist',
}  # fmt: skip
"""KITTI's name of the taxonomy's classes; others are ``Misc``."""
_LEVEL_ENOUGH = 1e-6
_PARTLY, _LARGELY = 0.1, 0.5


class KittiExport(LabelExport):
    """``kitti/``: labels and calibration, beside the images and scans."""

    needs_scans = True

    def write_frame(self, item: ExportFrame, out: Path) -> None:
        """Write a frame's ``label_2`` and ``calib`` file."""
        write_kitti(item.frame, item.taxonomy, out / 'kitti', item.hidden)


def level_T_label(frame: LabelledFrame) -> Array:
    """Return the 4x4 pose of the label frame: at the camera, z to its front, y straight down."""
    level_T_camera = invert(np.asarray(frame.camera_T_level, float))
    heading = math.atan2(level_T_camera[1, 2], level_T_camera[0, 2])
    upright = from_euler(0.0, 0.0, heading, level_T_camera[:3, 3]) @ BODY_T_OPTICAL
    if np.abs(upright[:3, :3] - level_T_camera[:3, :3]).max() < _LEVEL_ENOUGH:
        return level_T_camera
    return upright


def label_line(
    label: ShapeLabel, frame: LabelledFrame, taxonomy: Taxonomy, hidden: float = 0.0
) -> str:
    """Return the line of a label with a 3D box; its score is the confidence.

    Args:
        label: the label.
        frame: its frame.
        taxonomy: names the class.
        hidden: share that other labels hide; what else hides it is not known.
    """
    assert label.box3d is not None
    pose = invert(level_T_label(frame)) @ label.box3d.parent_T_box
    length, width, height = label.box3d.size
    x, y, z = (float(v) for v in pose[:3, 3])
    turn = math.atan2(-pose[2, 0], pose[0, 0])
    seen_at = (turn - math.atan2(x, z) + math.pi) % (2 * math.pi) - math.pi
    occluded = int(hidden > _PARTLY) + int(hidden > _LARGELY)
    inside = cut(label.box2d, frame.camera)
    box2d = label.box2d if inside is None else inside.tolist()
    numbers = [
        seen_at, *box2d, height, width, length, x, y + height / 2, z, turn, label.confidence
    ]  # fmt: skip
    name = NAMES.get(taxonomy.names[label.class_id], 'Misc')
    text = ' '.join(f'{number:.6f}' for number in numbers)
    return f'{name} {truncation(label.box3d, frame):.2f} {occluded} {text}'


def truncation(box: Box3D, frame: LabelledFrame) -> float:
    """Return which share of the outline of a box lies beyond the image."""
    corners = transform_points(frame.camera_T_level, box_corners(box))
    camera = frame.camera
    corners[:, 2] = np.maximum(corners[:, 2], 0.1)
    pixels, _ = project(camera, corners)
    low, high = pixels.min(0), pixels.max(0)
    limit = np.array([camera.width, camera.height]) - 1.0
    kept = np.clip(high, 0, limit) - np.clip(low, 0, limit)
    return float(1 - kept.prod() / max((high - low).prod(), 1e-9))


def calibration_text(frame: LabelledFrame) -> str:
    """Return the calibration file of a frame whose scan is given in the level frame."""
    label_T_level = invert(level_T_label(frame))
    camera_R_label = (frame.camera_T_level @ level_T_label(frame))[:3, :3]
    projection: Array = np.zeros((3, 4))
    projection[:, :3] = frame.camera.matrix @ camera_R_label
    if np.abs(camera_R_label - np.eye(3)).max() < _LEVEL_ENOUGH:
        projection[:, :3] = frame.camera.matrix
    rows: dict[str, Array] = {f'P{k}': projection for k in range(4)}
    rows['R0_rect'] = np.eye(3)
    rows['Tr_velo_to_cam'] = label_T_level[:3]
    rows['Tr_imu_to_velo'] = np.eye(4)[:3]
    return ''.join(
        f'{name}: {" ".join(f"{v:.12e}" for v in np.asarray(matrix).reshape(-1))}\n'
        for name, matrix in rows.items()
    )


def write_kitti(
    frame: LabelledFrame, taxonomy: Taxonomy, folder: Path, hidden: Sequence[float] | None = None
) -> None:
    """Write the ``label_2`` and ``calib`` file of a frame; accepted labels only.

    Args:
        frame: the frame.
        taxonomy: names the classes.
        folder: of the data set.
        hidden: share of each accepted label that others hide; None if not known.
    """
    shares = [0.0] * len(frame.accepted) if hidden is None else hidden
    lines = [
        label_line(label, frame, taxonomy, share) + '\n'
        for label, share in zip(frame.accepted, shares, strict=True)
    ]
    write_atomically(folder / 'calib' / f'{frame.name}.txt', calibration_text(frame).encode())
    write_atomically(folder / 'label_2' / f'{frame.name}.txt', ''.join(lines).encode())
