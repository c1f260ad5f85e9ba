"""Frames with points, image and the true objects in 3D by name: simulated, recorded, KITTI's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim_perception.bags.sensors import split_sensors
from training.datasets.bags.labelled import bag_folders, bag_length, bag_scenes
from training.datasets.kitti.like import kitti_like
from training.datasets.kitti.object import frame_names, object_scenes
from training.datasets.objects.label_scenes import LabelScene, simulated_scenes
from training.datasets.sample import parse_numbers
from training.datasets.spec import Kinds, Spec

FRAMES_PER_SEED = 10

Scenes = tuple[Iterator[LabelScene], int]


def open_scenes(spec: str, limit: int | None = None, *, points: bool = True) -> Scenes:
    """Return the frames that a SPEC names, and how many.

    Args:
        spec: see ``KINDS``.
        limit: at most so many frames, spread evenly; of ``bag`` so many recordings.
        points: whether a LiDAR is needed; without, clouds are empty and none is looked for.

    Raises:
        DatasetError: for an unknown kind, or absent or unusable data.
    """
    opener, parts = KINDS.find(spec)
    return opener(parts, limit, points)


def _rendered(spec: Spec, limit: int | None, points: bool) -> Scenes:
    count = len(parse_numbers(spec.seeds, 'seeds'))
    frames = FRAMES_PER_SEED if limit is None else max(1, limit // count)
    scenes = simulated_scenes(spec.scenario, spec.seeds, frames, points=points)
    return scenes, count * frames


def _kitti_like(spec: Spec, limit: int | None, points: bool) -> Scenes:
    within = spec.rest if spec.scenario == 'bag' else f'sim:{spec.rest}'
    scenes, count = open_scenes(within, limit, points=points)
    return map(kitti_like, scenes), count


def _bags(spec: Spec, limit: int | None, points: bool) -> Scenes:
    path, sensors = split_sensors(spec.rest)
    folders = bag_folders(path)[:limit]
    counts = [bag_length(folder, sensors, points=points) for folder in folders]
    scenes = (s for folder in folders for s in bag_scenes(folder, sensors, points=points))
    return scenes, sum(counts)


def _kitti_object(spec: Spec, limit: int | None, points: bool) -> Scenes:
    names = frame_names(spec.rest)
    if limit is not None and limit < len(names):
        names = tuple(names[int(i)] for i in np.linspace(0, len(names) - 1, limit))
    return object_scenes(spec.rest, names, points=points), len(names)


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
