"""Scores a 3D detector against the truth: ``evaluate detector3d``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.inference.detector3d import Detector3dEngine
from sim_perception.types import Detection
from training.datasets.objects.label_scenes import LabelScene
from training.evaluation.detector3d.average_precision import (
    DIFFICULTIES,
    Compared,
    average_precision,
    compare,
)

THRESHOLDS = {'50': 0.5, '70': 0.7}
#: Difficulty of the keys that name none.
USUAL = 'moderate'

Source = Callable[[LabelScene], LidarFrame]


class Precisions:
    """Average precisions of boxes, frame by frame.

    Args:
        things: names of the classes.
    """

    def __init__(self, things: Sequence[str]) -> None:
        self.things = tuple(things)
        self._rows: dict[tuple[str, str], list[tuple[Compared, Compared]]] = {}

    def add(self, scene: LabelScene, name: str, found: Sequence[Detection]) -> None:
        """Compare what was found of one class in a frame with the truth."""
        for level, difficulty in DIFFICULTIES.items():
            compared = compare(scene, found, name, difficulty)
            self._rows.setdefault((name, level), []).append(compared)

    def objects(self, name: str) -> int:
        """Return how many objects of a class count at the usual difficulty."""
        usual = self._rows.get((name, USUAL), [])
        return sum(int((~pair[0].ignored_truth).sum()) for pair in usual)

    def figures(self) -> dict[str, float]:
        """Return the scores of all frames so far.

        ``ap_bev_50``, ``ap_bev_70``, ``ap_3d_50`` and ``ap_3d_70`` at moderate difficulty, with
        ``_easy`` and ``_hard`` behind for those; with the class in front (``car_...``) if there
        are several.
        """
        scores = {}
        for (name, level), pairs in self._rows.items():
            prefix = f'{name}_' if len(self.things) > 1 else ''
            suffix = '' if level == USUAL else f'_{level}'
            for k, how in enumerate(('bev', '3d')):
                for text, threshold in THRESHOLDS.items():
                    key = f'{prefix}ap_{how}_{text}{suffix}'
                    scores[key] = average_precision([pair[k] for pair in pairs], threshold)
        return scores


class DetectorScores:
    """Scores of one detector, frame by frame.

    Args:
        engine: its threshold bounds recall: low ones score higher.
        source: gives the points that the detector sees.
        blind: show it no image.
    """

    def __init__(
        self,
        engine: Detector3dEngine,
        source: Source = lambda scene: scene.frame,
        *,
        blind: bool = False,
    ) -> None:
        self._engine, self._source, self._blind = engine, source, blind
        self._seconds, self._frames = 0.0, 0
        self._precisions = Precisions(engine.config.things)

    def add(self, scene: LabelScene) -> None:
        """Detect in a frame and compare with the truth."""
        engine = self._engine
        points = self._source(scene)
        start = time.perf_counter()
        found = engine.detect(points, None if self._blind else scene.image)
        self._seconds += time.perf_counter() - start
        self._frames += 1
        for name in engine.config.things:
            mine = [d for d in found if engine.taxonomy.names[d.class_id] == name]
            self._precisions.add(scene, name, mine)

    def figures(self) -> dict[str, float]:
        """Return the scores of all frames so far.

        Those of ``Precisions``, ``seconds`` of detection per frame, and the counts ``frames`` and
        ``objects`` (of the first class, that count at moderate difficulty).
        """
        scores = self._precisions.figures()
        scores['seconds'] = self._seconds / max(self._frames, 1)
        scores['objects'] = float(self._precisions.objects(self._precisions.things[0]))
        scores['frames'] = float(self._frames)
        return scores


def score_scenes(
    engine: Detector3dEngine,
    scenes: Iterable[LabelScene],
    source: Source = lambda scene: scene.frame,
    *,
    blind: bool = False,
) -> dict[str, float]:
    """Run a detector over frames and compare with the truth; see ``DetectorScores``."""
    scores = DetectorScores(engine, source, blind=blind)
    for scene in scenes:
        scores.add(scene)
    return scores.figures()
