"""Scores automatic labels against the truth: ``evaluate autolabel``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.labeler import ShapeLabeler
from sim_perception.autolabel.modes import COORDINATES, DEPTH, MODES, load_labeler
from sim_perception.geometry.boxes import iou_upright
from sim_perception.types import ShapeLabel
from training.command import command_line
from training.datasets.kitti_object import frame_names, object_scenes
from training.datasets.label_scenes import LabelScene, TrueObject, simulated_scenes
from training.datasets.sample import DatasetError, parse_numbers
from training.shape_pictures import draw_labels

F64 = npt.NDArray[np.float64]

HELP = 'sim:SCENARIO[:SEEDS] (rendered on the fly) or kitti_object:DIR'
CHECKPOINT = Path('models/shape_car')
FRAMES_PER_SEED = 10
DEFAULT_SEEDS = '0-3'

Track = Callable[[Iterable[LabelScene], int], Iterable[LabelScene]]


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


def label_scenes(
    labeler: ShapeLabeler,
    scenes: Iterable[LabelScene],
    population: Population,
    *,
    box_noise: float = 0.0,
    seed: int = 0,
    pictures: Path | None = None,
) -> list[Compared]:
    """Label every object of the population's class from its true image box.

    Args:
        labeler: as configured for the data.
        scenes: frames.
        population: what counts; others of its class are labelled as well.
        box_noise: deviation of the boxes' edges, share of their sides.
        seed: of that noise.
        pictures: a folder for one PNG per frame, or None.
    """
    rng = np.random.default_rng(seed)
    results = []
    for scene in scenes:
        things = [thing for thing in scene.objects if thing.kind == population.kind]
        boxes = np.array([thing.box2d for thing in things]).reshape(-1, 4)
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + box_noise * sides * rng.normal(size=boxes.shape)
        labels = labeler.label(scene.frame, boxes, image=scene.image)
        rows = [
            compare(scene, label, thing, population.has(scene, thing))
            for label, thing in zip(labels, things, strict=True)
        ]
        results += rows
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            chosen = [row.label for row in rows if row.counts]
            picture = draw_labels(scene.image, scene.frame, chosen, labeler.model)
            cv2.imwrite(str(pictures / f'{scene.name}.png'), picture[..., ::-1])
    return results


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


def open_scenes(spec: str, limit: int | None = None) -> tuple[Iterator[LabelScene], int]:
    """Return the frames that a SPEC names, and how many.

    Args:
        spec: see ``HELP``.
        limit: at most so many frames, spread evenly.

    Raises:
        DatasetError: for an unknown kind, or absent or unusable data.
    """
    kind, _, rest = spec.partition(':')
    if kind == 'sim' and rest:
        scenario, _, seeds = rest.partition(':')
        seeds = seeds or DEFAULT_SEEDS
        count = len(parse_numbers(seeds, 'seeds'))
        frames = FRAMES_PER_SEED if limit is None else max(1, limit // count)
        return simulated_scenes(scenario, seeds, frames), count * frames
    if kind == 'kitti_object' and rest:
        names = frame_names(rest)
        if limit is not None and limit < len(names):
            names = tuple(names[int(i)] for i in np.linspace(0, len(names) - 1, limit))
        return object_scenes(rest, names), len(names)
    raise DatasetError(f'data SPEC {spec!r} is none of: {HELP}')


def evaluate_autolabel(
    spec: str,
    *,
    checkpoint: Path = CHECKPOINT,
    mode: str = 'lidar',
    json_file: Path | None = None,
    pictures: Path | None = None,
    limit: int | None = None,
    box_noise: float = 0.0,
    config: LabelConfig | None = None,
    track: Track | None = None,
    coordinates: Path | str = COORDINATES,
    depth: Path | str | None = DEPTH,
) -> dict[str, Any]:
    """Label data with truth and score the labels; see ``scores``.

    Args:
        spec: see ``HELP``.
        checkpoint: shape space.
        mode: of ``autolabel.modes.MODES``.
        json_file: where to write the scores, or None.
        pictures: a folder for pictures, or None.
        limit: greatest number of frames, spread evenly.
        box_noise: see ``label_scenes``.
        config: None for the settings that fit the data's boxes: the simulator's have the mirrors.
        track: wraps the frames in a progress display.
        coordinates, depth: checkpoints of the modes that look at images.

    Raises:
        DatasetError: for unusable data or an unknown mode.
        CheckpointError: for an unusable checkpoint.
    """
    if mode not in MODES:
        raise DatasetError(f'unknown --mode {mode!r} of autolabel; known: {", ".join(MODES)}')
    scenes, count = open_scenes(spec, limit)
    config = config or LabelConfig(mirrors=spec.startswith('sim:'))
    labeler = load_labeler(
        mode, checkpoint, coordinates=coordinates, depth=depth, config=config, threads=1
    )
    labeler.warm_up()
    start = time.perf_counter()
    results = label_scenes(
        labeler,
        track(scenes, count) if track else scenes,
        Population(),
        box_noise=box_noise,
        pictures=pictures,
    )
    figures = scores(results)
    timing = labeler.timing
    figures['seconds_per_object'] = timing.whole / max(timing.objects, 1)
    figures['refine_seconds_per_object'] = timing.refine / max(timing.objects, 1)
    figures['cpu_per_object'] = timing.cpu / max(timing.objects, 1)
    report: dict[str, Any] = {
        'task': 'autolabel',
        'mode': mode,
        'data': spec,
        'frames': count,
        'box_noise': box_noise,
        'checkpoint': str(checkpoint),
        **({} if mode == 'lidar' else {'coordinates': str(coordinates)}),
        'command': command_line(),
        'seconds': time.perf_counter() - start,
        **figures,
        'reasons': reasons(results),
        'labels': [row_of(row) for row in results if row.counts],
    }
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=1) + '\n')
    return report


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
