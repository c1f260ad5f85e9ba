"""Scores automatic labels against the truth: ``evaluate autolabel``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.config import KITTI, LabelConfig, check_way
from sim_perception.autolabel.labeler import COORDINATES, DEPTH, ShapeLabeler, load_labeler
from sim_perception.bags.sensors import split_sensors
from training.datasets.bags.labelled import bag_folders, bag_length, bag_scenes
from training.datasets.kitti.like import kitti_like
from training.datasets.kitti.object import frame_names, object_scenes
from training.datasets.objects.label_scenes import LabelScene, simulated_scenes
from training.datasets.sample import DatasetError, parse_numbers
from training.datasets.spec import Kinds, Spec
from training.evaluation.autolabel.compare import (
    Compared,
    Population,
    compare,
    reasons,
    row_of,
    scores,
)
from training.evaluation.autolabel.tracks import TrackCollector
from training.evaluation.report import record_of
from training.pictures.shapes import draw_labels

F64 = npt.NDArray[np.float64]

CHECKPOINT = Path('models/shape_car')
FRAMES_PER_SEED = 10

Scenes = tuple[Iterator[LabelScene], int]
Track = Callable[[Iterable[LabelScene], int], Iterable[LabelScene]]


def label_scenes(
    labeler: ShapeLabeler,
    scenes: Iterable[LabelScene],
    population: Population,
    *,
    box_noise: float = 0.0,
    seed: int = 0,
    pictures: Path | None = None,
    tracks: TrackCollector | None = None,
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
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            chosen = [row.label for row in rows if row.counts]
            picture = draw_labels(scene.image, scene.frame, chosen, labeler.shapes)
            cv2.imwrite(str(pictures / f'{scene.name}.png'), picture[..., ::-1])
    return results


def open_scenes(spec: str, limit: int | None = None) -> Scenes:
    """Return the frames that a SPEC names, and how many.

    Args:
        spec: see ``KINDS``.
        limit: at most so many frames, spread evenly; of ``bag`` so many recordings.

    Raises:
        DatasetError: for an unknown kind, or absent or unusable data.
    """
    opener, parts = KINDS.find(spec)
    return opener(parts, limit)


def _rendered(spec: Spec, limit: int | None) -> Scenes:
    count = len(parse_numbers(spec.seeds, 'seeds'))
    frames = FRAMES_PER_SEED if limit is None else max(1, limit // count)
    return simulated_scenes(spec.scenario, spec.seeds, frames), count * frames


def _kitti_like(spec: Spec, limit: int | None) -> Scenes:
    scenes, count = open_scenes(spec.rest if spec.scenario == 'bag' else f'sim:{spec.rest}', limit)
    return map(kitti_like, scenes), count


def _bags(spec: Spec, limit: int | None) -> Scenes:
    path, sensors = split_sensors(spec.rest)
    folders = bag_folders(path)[:limit]
    counts = [bag_length(folder, sensors) for folder in folders]
    return (scene for folder in folders for scene in bag_scenes(folder, sensors)), sum(counts)


def _kitti_object(spec: Spec, limit: int | None) -> Scenes:
    names = frame_names(spec.rest)
    if limit is not None and limit < len(names):
        names = tuple(names[int(i)] for i in np.linspace(0, len(names) - 1, limit))
    return object_scenes(spec.rest, names), len(names)


KINDS = Kinds({
    'sim': ('sim:SCENARIO[:SEEDS] (rendered on the fly)', _rendered),
    'bag': ('bag:DIR (a simulated recording or a folder of them)', _bags),
    'kitti_object': ('kitti_object:DIR', _kitti_object),
    'kitti_like': (
        'kitti_like:SCENARIO[:SEEDS] or kitti_like:bag:DIR (simulated, with the troubles of real '
        'scans)',
        _kitti_like,
    ),
})  # fmt: skip


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
    track: Track | None = None,
    coordinates: Path | str = COORDINATES,
    depth: Path | str | None = DEPTH,
    refine: str = 'fit',
) -> dict[str, Any]:
    """Label data with truth and score the labels; see ``scores``.

    Args:
        spec: see ``KINDS``.
        checkpoint: shape space.
        mode: of ``autolabel.config.MODES``.
        pictures: a folder for pictures, or None.
        limit: greatest number of frames, spread evenly.
        box_noise: see ``label_scenes``.
        config: None for the settings that fit the data's boxes: the simulator's have the mirrors.
        track: wraps the frames in a progress display.
        coordinates, depth: checkpoints of the modes that look at images.
        refine: of ``autolabel.config.REFINERS``.

    Raises:
        DatasetError: for unusable data, an unknown mode or way to fit.
        CheckpointError: for an unusable checkpoint.
    """
    try:
        check_way(mode, refine)
    except ValueError as error:
        raise DatasetError(str(error)) from error
    scenes, count = open_scenes(spec, limit)
    config = config or config_of(spec)
    labeler = load_labeler(
        mode, checkpoint, coordinates=coordinates, depth=depth, config=config, threads=1,
        refine=refine,
    )  # fmt: skip
    labeler.warm_up()
    start = time.perf_counter()
    tracks = TrackCollector(labeler) if mode == 'lidar' else None
    results = label_scenes(
        labeler,
        track(scenes, count) if track else scenes,
        Population(),
        box_noise=box_noise,
        pictures=pictures,
        tracks=tracks,
    )
    figures: dict[str, Any] = {'seconds': time.perf_counter() - start, **scores(results)}
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
