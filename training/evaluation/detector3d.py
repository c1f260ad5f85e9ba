"""Scores a 3D detector against the truth: ``evaluate detector3d``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice

from sim_perception.autolabel.frame import LidarFrame
from sim_perception.inference.detector3d import Detector3dEngine
from training.datasets.label_scenes import LabelScene
from training.evaluation.average_precision import (
    DIFFICULTIES,
    Compared,
    average_precision,
    compare,
)

THRESHOLDS = {'50': 0.5, '70': 0.7}
#: Difficulty of the keys that name none.
USUAL = 'moderate'

Source = Callable[[LabelScene], LidarFrame]


def score_scenes(
    engine: Detector3dEngine,
    scenes: Iterable[LabelScene],
    source: Source = lambda scene: scene.frame,
    *,
    blind: bool = False,
) -> dict[str, float]:
    """Run a detector over frames and compare with the truth.

    Args:
        engine: its threshold bounds recall: low ones score higher.
        scenes: frames and their truth.
        source: gives the points that the detector sees.
        blind: show it no image.

    Returns:
        ``ap_bev_50``, ``ap_bev_70``, ``ap_3d_50`` and ``ap_3d_70`` of the first class at moderate
        difficulty; the same with the class in front (``car_...``) for every class if there are
        several; with ``_easy`` and ``_hard`` behind for those difficulties; ``seconds`` per frame,
        and the counts ``frames`` and ``objects`` (that count at moderate difficulty).
    """
    rows: dict[tuple[str, str], list[tuple[Compared, Compared]]] = {}
    seconds, frames = 0.0, 0
    for scene in scenes:
        start = time.perf_counter()
        found = engine.detect(source(scene), None if blind else scene.image)
        seconds += time.perf_counter() - start
        frames += 1
        for name in engine.config.things:
            mine = [d for d in found if engine.taxonomy.names[d.class_id] == name]
            for level, difficulty in DIFFICULTIES.items():
                compared = compare(scene, mine, name, difficulty)
                rows.setdefault((name, level), []).append(compared)
    scores = {}
    things = engine.config.things
    for (name, level), pairs in rows.items():
        prefix = f'{name}_' if len(things) > 1 else ''
        suffix = '' if level == USUAL else f'_{level}'
        for k, how in enumerate(('bev', '3d')):
            for text, threshold in THRESHOLDS.items():
                key = f'{prefix}ap_{how}_{text}{suffix}'
                scores[key] = average_precision([pair[k] for pair in pairs], threshold)
    usual = [pair[0] for name in islice(things, 1) for pair in rows.get((name, USUAL), [])]
    scores['seconds'] = seconds / max(frames, 1)
    scores['objects'] = float(sum(int((~one.ignored_truth).sum()) for one in usual))
    scores['frames'] = float(frames)
    return scores
