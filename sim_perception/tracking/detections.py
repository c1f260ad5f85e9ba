"""A detector's output as rows for the tracker: checked, filtered and with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import strided
from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.tables import DETECTION_DTYPE, Rows, logit
from sim_perception.types import Detection

Array = npt.NDArray[np.float64]
LARGEST = 1e7
"""Greatest coordinate, size or angle of a usable box."""


@dataclass(frozen=True)
class DetectionArrays:
    """The detections of one frame.

    Attributes:
        class_id: (N,) ids as in ``TrackerConfig.classes``.
        score: (N,) in [0, 1].
        boxes: (N, 7) ``x y z yaw length width height`` in the sensor's level frame (x forward,
            y left, z up), metres; or (N, 4) ``x1 y1 x2 y2`` pixels.
        visibility: (N,) visible fractions in [0, 1] of a detector that also tells where hidden
            objects are; None is a detector that only sees what is there.
    """

    class_id: npt.NDArray[np.int64]
    score: Array
    boxes: Array
    visibility: Array | None = None

    def __post_init__(self) -> None:
        count = len(self.class_id)
        if self.visibility is not None and len(self.visibility) != count:
            raise ValueError(f'{count} classes but {len(self.visibility)} visibilities')
        if len(self.score) != count or self.boxes.shape not in ((count, 7), (count, 4)):
            raise ValueError(
                f'{count} classes, {len(self.score)} scores and boxes of shape '
                f'{self.boxes.shape}; need equal counts and 7 (3D) or 4 (image) columns'
            )


@dataclass(frozen=True)
class Rejected:
    """How many detections of a frame were not used, by reason.

    Attributes:
        invalid: a value that is not finite, or a size that is not positive.
        unknown_class: a class that is not tracked.
        weak: a score below ``min_score``.
        surplus: beyond ``max_detections``.
        crowded: tracks beyond ``max_tracks``, whose objects are not followed.
    """

    invalid: int = 0
    unknown_class: int = 0
    weak: int = 0
    surplus: int = 0
    crowded: int = 0


def from_detections(
    detections: Sequence[Detection],
    *,
    image: bool = False,
    level_T_source: npt.NDArray[np.floating] | None = None,
) -> DetectionArrays:
    """Return arrays of detections with 3D boxes, or of those with image boxes.

    Detections without the wanted box become rows of NaN, which ``prepare`` counts as invalid.

    Args:
        detections: of one frame; an unknown visibility is full.
        image: take the image boxes.
        level_T_source: (4, 4), maps the boxes' parent frame to the sensor's level frame; None if
            they are in it.
    """
    width = 4 if image else 7
    level = np.eye(4) if level_T_source is None else level_T_source
    boxes = np.full((len(detections), width), np.nan)
    for row, detection in zip(boxes, detections, strict=True):
        if image and detection.box2d is not None:
            row[:] = detection.box2d
        elif not image and detection.box3d is not None:
            pose = level @ detection.box3d.parent_T_box
            row[:3] = pose[:3, 3]
            row[3] = math.atan2(pose[1, 0], pose[0, 0])
            row[4:] = detection.box3d.size
    return DetectionArrays(
        np.array([d.class_id for d in detections], np.int64),
        np.array([d.score for d in detections], float),
        boxes,
        np.array([1.0 if d.visibility is None else d.visibility for d in detections], float),
    )


def prepare(
    arrays: DetectionArrays,
    kinds: Mapping[int, int],
    classes: Rows,
    config: TrackerConfig,
) -> tuple[Rows, Rejected]:
    """Return the usable detections as ``DETECTION_DTYPE`` rows, and how many were not.

    Args:
        arrays: of one frame.
        kinds: row of the class table by class id.
        classes: rows of ``CLASS_DTYPE``.
        config: thresholds.
    """
    boxes = arrays.boxes
    image = boxes.shape[1] == 4
    if image:
        low, high = boxes[:, :2], boxes[:, 2:]
        flat = np.zeros((len(boxes), 2))
        boxes = np.concatenate([(low + high) / 2, flat, high - low, flat[:, :1]], 1)
    sizes = boxes[:, 4:6] if image else boxes[:, 4:]
    # a NaN fails every comparison
    finite = (np.abs(boxes) < LARGEST).all(1) & (sizes > 0).all(1)
    finite &= (arrays.score >= 0) & (arrays.score <= 1)
    kind = np.array([kinds.get(c, -1) for c in arrays.class_id.tolist()], np.int64)
    known, strong = kind >= 0, arrays.score >= config.min_score
    use = np.flatnonzero(finite & known & strong)
    surplus = max(len(use) - config.max_detections, 0)
    if surplus:
        order = np.argsort(-arrays.score[use], kind='stable')[: config.max_detections]
        use = use[np.sort(order)]
    rejected = Rejected()
    if len(use) < len(boxes):
        rejected = Rejected(
            int((~finite).sum()),
            int((finite & ~known).sum()),
            int((finite & known & ~strong).sum()),
            surplus,
        )
    rows = np.zeros(len(use), DETECTION_DTYPE)
    if len(use):
        rows['index'] = use
        rows['kind'] = kind[use]
        rows['logit'] = logit(arrays.score[use])
        rows['sensor'] = rows['box'] = boxes[use]
        rows['scale'] = boxes[use, 5] if image else 1.0
        rows['visibility'] = 1.0 if arrays.visibility is None else arrays.visibility[use]
        _noise(
            rows['sensor'], rows['scale'], rows['kind'], classes['position_noise'],
            classes['range_noise'], rows['sensor_noise'],
        )  # fmt: skip
        recalled = rows['visibility'] < config.hidden_visibility
        rows['sensor_noise'][recalled] *= config.hidden_noise**2
        rows['noise'] = rows['sensor_noise']
    return rows, rejected


def place(rows: Rows, tracking_T_sensor: Array) -> None:
    """Set boxes and noise in the tracking frame from those in the sensor's frame.

    Args:
        rows: of ``DETECTION_DTYPE``, changed in place.
        tracking_T_sensor: (4, 4) pose of the sensor's level frame.
    """
    if len(rows):
        _place(
            rows['sensor'], rows['sensor_noise'], np.ascontiguousarray(tracking_T_sensor, float),
            rows['box'], rows['noise'],
        )  # fmt: skip


@strided
def _place(boxes: Array, noise: Array, pose: Array, out: Array, out_noise: Array) -> None:
    heading = math.atan2(pose[1, 0], pose[0, 0])
    c, s = math.cos(heading), math.sin(heading)
    for j in range(len(boxes)):
        out[j] = boxes[j]
        for n in range(3):
            out[j, n] = pose[n, 3]
            for k in range(3):
                out[j, n] += pose[n, k] * boxes[j, k]
        out[j, 3] += heading
        xx, xy, yy = noise[j]
        out_noise[j, 0] = c * c * xx - 2 * c * s * xy + s * s * yy
        out_noise[j, 1] = c * s * (xx - yy) + (c * c - s * s) * xy
        out_noise[j, 2] = s * s * xx + 2 * c * s * xy + c * c * yy


@strided
def _noise(
    boxes: Array,
    scale: Array,
    kind: npt.NDArray[np.int64],
    position_noise: Array,
    range_noise: Array,
    out: Array,
) -> None:
    """Fill the covariances xx xy yy of the centres, longer along the line of sight."""
    for j in range(len(boxes)):
        x, y = boxes[j, 0], boxes[j, 1]
        distance = max(math.hypot(x, y), 1e-6)
        c, s = x / distance, y / distance
        across = position_noise[kind[j]] * scale[j]
        along = (across + range_noise[kind[j]] * distance) ** 2
        across *= across
        out[j, 0] = along * c * c + across * s * s
        out[j, 1] = (along - across) * c * s
        out[j, 2] = along * s * s + across * c * c
