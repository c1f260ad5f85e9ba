"""Labels beside their true objects: what counts, how far off, and the figures of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from sim_perception.geometry.boxes import iou_upright
from sim_perception.types import ShapeLabel
from training.datasets.objects.label_scenes import LabelScene, TrueObject
from training.datasets.sample import DatasetError

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Which true objects count.

    Attributes:
        kind: class name.
        least_points: LiDAR points on them.
        max_range: metres from the sensor.
        max_hidden: greatest occluded share, and greatest share beyond the image's border.
    """

    kind: str = 'car'
    least_points: int = 30
    max_range: float = 40.0
    max_hidden: float = 0.5

    def has(self, scene: LabelScene, thing: TrueObject) -> bool:
        """Return whether an object counts."""
        offset = thing.box3d.parent_T_box[:3, 3] - scene.frame.sensor
        return (
            thing.kind == self.kind
            and thing.points >= self.least_points
            and float(np.linalg.norm(offset)) <= self.max_range
            and max(thing.occluded, thing.truncated) <= self.max_hidden
        )


@dataclass(frozen=True)
class Compared:
    """One label beside its true object.

    Attributes:
        scene: name of the frame.
        label, truth: the two.
        counts: whether the object belongs to the population.
        iou_bev, iou_3d: 0 without a fit.
        translation: distance of the centres, metres; NaN without a fit.
        yaw: angle between the headings, radians, 0 to pi; NaN without a fit.
        size: (3,) relative errors of length, width, height; NaN without a fit.
    """

    scene: str
    label: ShapeLabel
    truth: TrueObject
    counts: bool
    iou_bev: float
    iou_3d: float
    translation: float
    yaw: float
    size: F64


def compare(
    scene: LabelScene, label: ShapeLabel, truth: TrueObject, counts: bool = True
) -> Compared:
    """Measure how far a label is from the truth."""
    box = label.box3d
    if box is None:
        nothing = np.full(3, np.nan)
        return Compared(scene.name, label, truth, counts, 0.0, 0.0, np.nan, np.nan, nothing)
    plan, space = iou_upright(box, truth.box3d)
    ours, true = box.parent_T_box, truth.box3d.parent_T_box
    cosine = float(np.clip(ours[:2, 0] @ true[:2, 0] / np.linalg.norm(true[:2, 0]), -1, 1))
    return Compared(
        scene.name,
        label,
        truth,
        counts,
        plan,
        space,
        float(np.linalg.norm(ours[:3, 3] - true[:3, 3])),
        float(np.arccos(cosine)),
        np.array(box.size) / truth.box3d.size - 1,
    )


def scores(results: Sequence[Compared]) -> dict[str, float]:
    """Return the figures of the population.

    ``median_iou_3d``, ``median_iou_bev``, ``median_translation_m``, ``median_yaw_deg`` and
    ``median_size_error`` (mean of three relative errors) are over accepted labels, as is
    ``share_flipped`` (heading off by more than 90 degrees) and ``median_yaw_axis_deg``, which
    does not mind flips; ``*_all`` are over all fits. ``precision_bev_50`` is the share of
    accepted labels with a plan IoU of at least .5, ``recall_bev_50`` the share of all objects
    that have such a label; ``confidence_rank_correlation`` is Spearman's, of confidence and 3D
    IoU over all fits; ``confidence_error`` the mean of confidence minus IoU; ``acceptance`` the
    share accepted. ``precision_bev_50_any`` also counts objects outside the population.
    """
    rows = [row for row in results if row.counts]
    if not rows:
        raise DatasetError('no object of the population is in the data; try other seeds or frames')
    accepted = [row for row in rows if row.label.accepted]
    fitted = [row for row in rows if row.label.box3d is not None]
    anywhere = [row for row in results if row.label.accepted]
    confidence = np.array([row.label.confidence for row in fitted])
    truth = np.array([row.iou_3d for row in fitted])
    figures = {
        'objects': float(len(rows)),
        'acceptance': len(accepted) / len(rows),
        'precision_bev_50': _share(accepted, 0.5),
        'precision_bev_50_any': _share(anywhere, 0.5),
        'recall_bev_50': sum(row.iou_bev >= 0.5 for row in accepted) / len(rows),
        'share_3d_50': sum(row.iou_3d > 0.5 for row in fitted) / len(rows),
        'share_3d_70': sum(row.iou_3d > 0.7 for row in fitted) / len(rows),
        'confidence_rank_correlation': float(spearmanr(confidence, truth).statistic),
        'confidence_error': float(np.mean(confidence - truth)),
    }
    for suffix, some in (('', accepted), ('_all', fitted)):
        yaw = np.array([row.yaw for row in some])
        values = {
            'median_iou_3d': [row.iou_3d for row in some],
            'median_iou_bev': [row.iou_bev for row in some],
            'median_translation_m': [row.translation for row in some],
            'median_yaw_deg': np.degrees(yaw),
            'median_yaw_axis_deg': np.degrees(np.minimum(yaw, np.pi - yaw)),
            'median_length_error': [abs(row.size[0]) for row in some],
            'median_size_error': [np.abs(row.size).mean() for row in some],
        }
        for key, value in values.items():
            figures[key + suffix] = float(np.median(value)) if len(some) else float('nan')
        figures['share_flipped' + suffix] = float((yaw > np.pi / 2).mean()) if len(some) else 0.0
    return figures


def _share(rows: Sequence[Compared], least: float) -> float:
    return sum(row.iou_bev >= least for row in rows) / len(rows) if rows else float('nan')


def reasons(results: Sequence[Compared]) -> dict[str, int]:
    """Return how many labels of the population were rejected for which reason."""
    found: dict[str, int] = {}
    for row in results:
        if row.counts and not row.label.accepted:
            found[row.label.reason] = found.get(row.label.reason, 0) + 1
    return found


def row_of(row: Compared) -> dict[str, Any]:
    """Return one comparison as JSON values; NaN becomes None."""
    values = {
        'scene': row.scene,
        'points': row.truth.points,
        'occluded': row.truth.occluded,
        'accepted': row.label.accepted,
        'reason': row.label.reason,
        'confidence': row.label.confidence,
        'iou_bev': row.iou_bev,
        'iou_3d': row.iou_3d,
        'translation_m': row.translation,
        'yaw_deg': float(np.degrees(row.yaw)),
        'size_error': row.size.tolist(),
        'measures': row.label.measures,
    }
    if row.label.box3d is None:
        values.update(translation_m=None, yaw_deg=None, size_error=None)
    return values
