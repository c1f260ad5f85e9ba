"""KITTI tracking: labels, calibrations and 3D detections of its sequences, in REP-103 frames.

A folder holds ``label_02/``, ``calib/`` and ``pointrcnn/CLASS/``, each with one ``SEQ.txt`` per
sequence; detections are in AB3DMOT's format (``frame,type,x1,y1,x2,y2,score,h,w,l,x,y,z,ry,alpha``
with the score as log-odds), those in ``rrc/CLASS/`` image boxes alone (``frame,x1,y1,x2,y2,score``
with a score in [0, 1]). A folder of poses, as any visual odometry writes them, may stand beside
them. Boxes are rows ``x y z yaw length width height`` of the centre in the
*vehicle frame*: the frame of the label's camera turned to x forward, y left, z up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.files import read_text
from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert, make_transform
from sim_perception.tracking.tables import logit
from sim_perception.types import Camera
from training.datasets.kitti.poses import read_poses
from training.datasets.sample import DatasetError

FRAME_RATE = 10.0
CLASSES = ('Car', 'Pedestrian', 'Cyclist')
"""The detector's classes, named as in the label files."""

Array = npt.NDArray[np.float64]
DETECTORS = ('pointrcnn', 'rrc')
"""Folders of detections: 3D boxes, and image boxes."""
_DETECTION_COLUMNS = {'pointrcnn': 15, 'rrc': 6}
_LABEL_COLUMNS = 17


@dataclass(frozen=True)
class KittiLabels:
    """The rows of a label file, true objects and ``DontCare`` regions, in file order.

    Attributes:
        lines: the file's fields as text, for writing changed copies.
        frame: (N,) frame numbers.
        id: (N,) object ids, -1 for regions.
        kind: (N,) class names.
        truncated, occluded: (N,) KITTI's levels.
        box2d: (N, 4) x1 y1 x2 y2 pixels.
        box3d: (N, 7) in the vehicle frame.
    """

    lines: tuple[tuple[str, ...], ...]
    frame: npt.NDArray[np.int64]
    id: npt.NDArray[np.int64]
    kind: npt.NDArray[np.str_]
    truncated: npt.NDArray[np.int64]
    occluded: npt.NDArray[np.int64]
    box2d: Array
    box3d: Array

    def with_occlusion(self, rows: npt.NDArray[np.bool_], level: int) -> KittiLabels:
        """Return a copy in which the chosen rows have this occlusion level."""
        occluded = np.where(rows, level, self.occluded)
        lines = tuple(
            (*line[:4], str(value), *line[5:])
            for line, value in zip(self.lines, occluded, strict=True)
        )
        return replace(self, lines=lines, occluded=occluded)

    def write(self, path: Path) -> None:
        """Write the rows in KITTI's format."""
        path.write_text(''.join(' '.join(line) + '\n' for line in self.lines))


@dataclass(frozen=True)
class KittiDetections:
    """A detector's output for a sequence, all classes, ordered by frame.

    Attributes:
        frame: (N,) frame numbers, ascending.
        kind: (N,) index into ``CLASSES``.
        logit: (N,) scores as log-odds.
        box2d: (N, 4) x1 y1 x2 y2 pixels.
        box3d: (N, 7) in the vehicle frame; NaN of image boxes alone.
    """

    frame: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    logit: Array
    box2d: Array
    box3d: Array

    def select(self, rows: npt.NDArray[np.bool_]) -> KittiDetections:
        """Return the chosen rows."""
        return KittiDetections(
            self.frame[rows],
            self.kind[rows],
            self.logit[rows],
            self.box2d[rows],
            self.box3d[rows],
        )


@dataclass(frozen=True)
class KittiSequence:
    """One sequence with everything a tracker and its evaluation need.

    Attributes:
        name: the file's stem, e.g. ``0000``.
        frames: number of frames, numbered from 0.
        labels: truth.
        detections: of all classes.
        camera: the left colour camera; its size is that of the largest box.
        camera_T_vehicle: maps boxes to that camera's optical frame.
        odometry: (frames, 4, 4), maps each frame's vehicle frame to the first; None if not known.
    """

    name: str
    frames: int
    labels: KittiLabels
    detections: KittiDetections
    camera: Camera
    camera_T_vehicle: Array
    odometry: Array | None = None


def read_sequences(
    folder: Path | str,
    names: tuple[str, ...] | None = None,
    detector: str = 'pointrcnn',
    odometry: str | None = None,
) -> list[KittiSequence]:
    """Read the sequences of a folder, in order of their names.

    Args:
        folder: see the module's text.
        names: which ones, or None for all that have labels.
        detector: folder of the detections, of ``DETECTORS``.
        odometry: folder of the camera's poses (``SEQ.txt``, see ``read_poses``), or None.

    Raises:
        DatasetError: if something is absent or malformed, or for an unknown detector.
    """
    if detector not in DETECTORS:
        raise DatasetError(f'unknown detector {detector!r}; known: {", ".join(DETECTORS)}')
    folder = Path(folder)
    found = sorted(path.stem for path in (folder / 'label_02').glob('*.txt'))
    if not found:
        raise DatasetError(f'{folder} is no KITTI tracking folder: no label_02/*.txt')
    unknown = set(names or ()) - set(found)
    if unknown:
        raise DatasetError(f'{folder} has no sequence {", ".join(sorted(unknown))}; has {found}')
    return [read_sequence(folder, name, detector, odometry) for name in (names or found)]


def read_sequence(
    folder: Path, name: str, detector: str = 'pointrcnn', odometry: str | None = None
) -> KittiSequence:
    """Read one sequence; see ``read_sequences``.

    Raises:
        DatasetError: if a file is absent or malformed.
    """
    labels = read_labels(folder / 'label_02' / f'{name}.txt')
    paths = [folder / detector / kind / f'{name}.txt' for kind in CLASSES]
    if detector == 'rrc':
        detections = read_image_detections([path for path in paths if path.parent.exists()])
    else:
        detections = read_detections(paths)
    last = max(labels.frame.max(initial=-1), detections.frame.max(initial=-1))
    if last < 0:
        raise DatasetError(f'sequence {name} of {folder} has neither labels nor detections')
    boxes = np.concatenate([labels.box2d, detections.box2d])
    width, height = (int(np.ceil(boxes[:, k].max())) + 1 for k in (2, 3))
    camera, camera_T_vehicle = read_camera(folder / 'calib' / f'{name}.txt', width, height)
    frames = int(last) + 1
    poses = None
    if odometry is not None:
        poses = _vehicle_poses(folder / odometry / f'{name}.txt', frames)
    return KittiSequence(name, frames, labels, detections, camera, camera_T_vehicle, poses)


def _vehicle_poses(path: Path, frames: int) -> Array:
    poses = read_poses(path)
    if len(poses) < frames:
        raise DatasetError(f'{path} has {len(poses)} poses for {frames} frames')
    return np.asarray(BODY_T_OPTICAL @ poses[:frames] @ invert(BODY_T_OPTICAL))


def read_labels(path: Path) -> KittiLabels:
    """Read a file of ``label_02``.

    Raises:
        DatasetError: if it is absent or a row is no label.
    """
    try:
        lines = tuple(tuple(line.split()) for line in read_text(path).splitlines() if line)
        number = np.array([[*line[:2], *line[3:_LABEL_COLUMNS]] for line in lines], float)
        number = number.reshape(len(lines), _LABEL_COLUMNS - 1)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path} is no KITTI label file: {error}') from error
    return KittiLabels(
        lines=lines,
        frame=number[:, 0].astype(np.int64),
        id=number[:, 1].astype(np.int64),
        kind=np.array([line[2] for line in lines], np.str_),
        truncated=number[:, 2].astype(np.int64),
        occluded=number[:, 3].astype(np.int64),
        box2d=number[:, 5:9],
        box3d=to_vehicle(number[:, 9:16]),
    )


def read_detections(paths: list[Path]) -> KittiDetections:
    """Read one detection file per class of ``CLASSES``; an empty one is a class never seen.

    Raises:
        DatasetError: if a file is absent or malformed.
    """
    kind, table = _read_tables(paths, _DETECTION_COLUMNS['pointrcnn'])
    return KittiDetections(
        frame=table[:, 0].astype(np.int64),
        kind=kind,
        logit=table[:, 6],
        box2d=table[:, 2:6],
        box3d=to_vehicle(table[:, 7:14]),
    )


def read_image_detections(paths: list[Path]) -> KittiDetections:
    """Read one file of image boxes per class, each in a folder named like one of ``CLASSES``.

    Raises:
        DatasetError: if there is none, or one is absent or malformed.
    """
    if not paths:
        raise DatasetError(f'no detections: there is no folder rrc/ with {" or ".join(CLASSES)}')
    number, table = _read_tables(paths, _DETECTION_COLUMNS['rrc'])
    kinds = np.array([CLASSES.index(path.parent.name) for path in paths], np.int64)
    return KittiDetections(
        frame=table[:, 0].astype(np.int64),
        kind=kinds[number],
        logit=logit(table[:, 5]),
        box2d=table[:, 1:5],
        box3d=np.full((len(table), 7), np.nan),
    )


def _read_tables(paths: list[Path], columns: int) -> tuple[npt.NDArray[np.int64], Array]:
    """Return the rows of several files in the order of frames, and the numbers of their files."""
    tables = []
    for path in paths:
        try:
            rows = [line.split(',') for line in read_text(path).splitlines() if line.strip()]
            tables.append(np.array(rows, float).reshape(len(rows), columns))
        except (OSError, ValueError) as error:
            raise DatasetError(
                f'{path} is no detection file of {columns} columns: {error}'
            ) from error
    table = np.concatenate(tables)
    number = np.repeat(np.arange(len(tables)), [len(rows) for rows in tables])
    order = np.argsort(table[:, 0], kind='stable')
    return number[order], table[order]


def read_camera(path: Path, width: int, height: int) -> tuple[Camera, Array]:
    """Return the left colour camera (P2) of a calibration file, and ``camera_T_vehicle``.

    Raises:
        DatasetError: if the file is absent or has no P2.
    """
    try:
        rows = dict(line.split(':', 1) for line in read_text(path).splitlines() if ':' in line)
        projection = np.array(rows['P2'].split(), float).reshape(3, 4)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f'{path} is no KITTI calibration with P2: {error!r}') from error
    k = projection[:, :3]
    camera = Camera(width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    shift = make_transform(np.eye(3), np.linalg.solve(k, projection[:, 3]))
    return camera, shift @ invert(BODY_T_OPTICAL)


def to_vehicle(hwlxyzr: Array) -> Array:
    """Return (N, 7) vehicle-frame boxes of KITTI's ``h w l x y z rotation_y`` rows.

    KITTI's point is the bottom's centre; its angle is about the camera's y axis, 0 to the right.
    """
    h, w, length, x, y, z, r = np.asarray(hwlxyzr, float).T
    return np.stack([z, -x, h / 2 - y, wrap(-r - np.pi / 2), length, w, h], -1)


def from_vehicle(boxes: Array) -> Array:
    """Return KITTI's ``h w l x y z rotation_y`` rows of vehicle-frame boxes."""
    x, y, z, yaw, length, w, h = np.asarray(boxes, float).T
    return np.stack([h, w, length, -y, h / 2 - z, x, wrap(-yaw - np.pi / 2)], -1)


def wrap(angle: Array) -> Array:
    """Return angles in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
