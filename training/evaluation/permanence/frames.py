"""The permanence network on single frames: average precision, or what it finds without truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from sim_perception.geometry.transforms import invert
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.types import Box3D, Detection, Frame
from training.datasets.objects.label_scenes import LabelScene
from training.datasets.sample import Sample
from training.evaluation.detector3d.average_precision import (
    DIFFICULTIES,
    Compared,
    average_precision,
    compare,
    compare_in_image,
)

#: Low: average precision looks at all recalls.
THRESHOLD = 0.02
#: Least scores at which detections in unlabelled images are counted.
SCORES = (0.3, 0.5)
#: Least intersection over union of a detection and what it finds.
OVERLAP = 0.5
_DIFFICULTY = DIFFICULTIES['moderate']
_HOW = ('image', 'bev', '3d')


def score_frames(engine: PermanenceEngine, scenes: Iterable[LabelScene]) -> dict[str, float]:
    """Detect in every frame by itself, without memory, and compare with the truth.

    Args:
        engine: its threshold bounds recall: low ones score higher.
        scenes: frames and their true objects.

    Returns:
        ``CLASS_ap_image_50``, ``CLASS_ap_bev_50`` and ``CLASS_ap_3d_50`` at moderate difficulty
        (see ``average_precision``), ``CLASS_objects`` that count there, and ``frames``.
    """
    pairs: dict[str, list[tuple[Compared, ...]]] = {name: [] for name in engine.things}
    frames = 0
    for scene in scenes:
        frames += 1
        for name, (flat, mine) in compared_in_image(engine, scene).items():
            pairs[name].append((flat, *compare(scene, mine, name, _DIFFICULTY)))
    scores: dict[str, float] = {}
    for name, rows in pairs.items():
        for k, how in enumerate(_HOW):
            scores[f'{name}_ap_{how}_50'] = average_precision([row[k] for row in rows], OVERLAP)
        scores[f'{name}_objects'] = float(sum((~row[0].ignored_truth).sum() for row in rows))
    return {**scores, 'frames': float(frames)}


def compared_in_image(
    engine: PermanenceEngine, scene: LabelScene
) -> dict[str, tuple[Compared, list[Detection]]]:
    """Detect in one frame by itself; return by class what is found beside what is there, by
    image boxes, and the detections themselves in the level frame.
    """
    engine.reset()
    found = _in_level_frame(scene, engine.update(Frame(0, scene.image, scene.frame.camera)))
    compared = {}
    for name in engine.things:
        mine = [d for d in found if engine.taxonomy.names[d.class_id] == name]
        compared[name] = compare_in_image(scene, mine, name, _DIFFICULTY), mine
    return compared


def score_unlabelled(engine: PermanenceEngine, images: Iterable[Sample]) -> dict[str, float]:
    """Count what is found in images without truth, each by itself: false alarms, if they are of
    streets known to be empty.

    Args:
        engine: its threshold bounds the scores that count.
        images: the images; without a camera, metres go by the default focal length.

    Returns:
        ``CLASS_per_image_PERCENT`` for the least scores of ``SCORES``, and ``frames``.
    """
    count = 0
    found: dict[str, list[float]] = {name: [] for name in engine.things}
    for sample in images:
        engine.reset()
        count += 1
        for detection in engine.update(Frame(0, sample.image, sample.camera)):
            found[engine.taxonomy.names[detection.class_id]].append(detection.score)
    scores = {
        f'{name}_per_image_{round(100 * least)}': float(np.sum(np.array(mine) >= least) / count)
        for name, mine in found.items()
        for least in SCORES
    }
    return {**scores, 'frames': float(count)}


def _in_level_frame(scene: LabelScene, found: list[Detection]) -> list[Detection]:
    level_T_camera = invert(np.asarray(scene.frame.camera_T_level, np.float64))
    moved = []
    for detection in found:
        box = detection.box3d
        assert box is not None
        moved.append(replace(detection, box3d=Box3D(level_T_camera @ box.parent_T_box, box.size)))
    return moved
