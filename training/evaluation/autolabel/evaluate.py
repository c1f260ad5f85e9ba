"""Scores automatic labels against the truth: ``evaluate autolabel``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.config import KITTI, LabelConfig, check_way
from sim_perception.autolabel.labeler import COORDINATES, DEPTH, ShapeLabeler, load_labeler
from sim_perception.types import Detection
from sim_perception.visualization import write_picture
from training.datasets.objects.label_scenes import LabelScene
from training.datasets.sample import DatasetError
from training.datasets.scenes import open_scenes
from training.evaluation.autolabel.compare import (
    Compared,
    Population,
    compare,
    reasons,
    row_of,
    scores,
)
from training.evaluation.autolabel.tracks import TrackCollector
from training.evaluation.detector3d.scores import Precisions
from training.evaluation.report import Track, record_of
from training.pictures.shapes import draw_labels

F64 = npt.NDArray[np.float64]

CHECKPOINT = Path('models/shape_car')


def label_scenes(
    labeler: ShapeLabeler,
    scenes: Iterable[LabelScene],
    population: Population,
    *,
    box_noise: float = 0.0,
    seed: int = 0,
    pictures: Path | None = None,
    tracks: TrackCollector | None = None,
    precisions: Precisions | None = None,
) -> list[Compared]:
    """Label every object of the population's class from its true image box.

    Args:
        labeler: as configured for the data.
        scenes: frames.
        population: what counts; others of its class are labelled as well.
        box_noise: deviation of the boxes' edges, share of their sides.
        seed: of that noise.
        pictures: a folder for one PNG per frame, or None.
        tracks: gets the labels of every frame, or None.
        precisions: gets the accepted labels of every frame as detections, or None.
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
        if tracks is not None:
            tracks.add(scene, rows)
        if precisions is not None:
            found = [
                Detection(label.class_id, label.confidence, box3d=label.box3d)
                for label in labels
                if label.accepted
            ]
            precisions.add(scene, population.kind, found)
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            chosen = [row.label for row in rows if row.counts]
            shapes = {labeler.class_id: labeler.shapes}
            picture = draw_labels(scene.image, scene.frame, chosen, shapes)
            write_picture(pictures / f'{scene.name}.png', picture)
    return results


def config_of(spec: str) -> LabelConfig:
    """Return the settings that fit the boxes and cars of some data; see ``open_scenes``."""
    if spec.partition(':')[0] in ('kitti_object', 'kitti_like'):
        return KITTI
    return LabelConfig(mirrors=True)


def evaluate_autolabel(
    spec: str,
    *,
    checkpoint: Path = CHECKPOINT,
    mode: str = 'lidar',
    pictures: Path | None = None,
    limit: int | None = None,
    box_noise: float = 0.0,
    config: LabelConfig | None = None,
    track: Track[LabelScene] | None = None,
    coordinates: Path | str = COORDINATES,
    depth: Path | str | None = DEPTH,
    refine: str = 'fit',
    device: str = 'auto',
) -> dict[str, Any]:
    """Label data with truth and score the labels; see ``scores`` and ``Precisions``.

    The average precision is that of accepted labels of true image boxes, all of the class and at
    KITTI's difficulties: what is rejected counts as not found.

    Args:
        spec: see ``datasets.scenes.KINDS``.
        checkpoint: shape space.
        mode: of ``autolabel.config.MODES``.
        pictures: a folder for pictures, or None.
        limit: greatest number of frames, spread evenly.
        box_noise: see ``label_scenes``.
        config: None for the settings that fit the data's boxes: the simulator's have the mirrors.
        track: wraps the frames in a progress display.
        coordinates, depth: checkpoints of the modes that look at images.
        refine: of ``autolabel.config.REFINERS``.
        device: see ``load_labeler``.

    Raises:
        DatasetError: for unusable data, an unknown mode or way to fit.
        CheckpointError: for an unusable checkpoint.
        ValueError: for a device that is not there.
    """
    try:
        check_way(mode, refine)
    except ValueError as error:
        raise DatasetError(str(error)) from error
    scenes, count = open_scenes(spec, limit)
    config = config or config_of(spec)
    labeler = load_labeler(
        mode, checkpoint, coordinates=coordinates, depth=depth, config=config, device=device,
        threads=1, refine=refine,
    )  # fmt: skip
    labeler.warm_up()
    start = time.perf_counter()
    tracks = TrackCollector(labeler) if mode == 'lidar' else None
    population = Population(labeler.model.config.category)
    precisions = Precisions([population.kind])
    results = label_scenes(
        labeler,
        track(scenes, count) if track else scenes,
        population,
        box_noise=box_noise,
        pictures=pictures,
        tracks=tracks,
        precisions=precisions,
    )
    figures: dict[str, Any] = {'seconds': time.perf_counter() - start, **scores(results)}
    figures |= precisions.figures()
    if tracks is not None:
        figures |= tracks.scores()
    timing = labeler.timing
    figures['seconds_per_object'] = timing.whole / max(timing.objects, 1)
    figures['refine_seconds_per_object'] = timing.refine / max(timing.objects, 1)
    figures['cpu_per_object'] = timing.cpu / max(timing.objects, 1)
    figures |= {
        'reasons': reasons(results),
        'labels': [row_of(row) for row in results if row.counts],
    }
    return record_of(
        'autolabel',
        spec,
        figures,
        mode=mode,
        refine=refine,
        frames=count,
        box_noise=box_noise,
        checkpoint=str(checkpoint),
        **({} if mode == 'lidar' else {'coordinates': str(coordinates)}),
    )
