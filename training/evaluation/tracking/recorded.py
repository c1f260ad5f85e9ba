"""Evaluates the tracker on recorded detections: ``evaluate tracking --source detections``."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.tracking.config import (
    CYCLIST,
    PEDESTRIAN,
    VEHICLE,
    TrackerConfig,
    image_config,
)
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.occlusion import BoxView, image_boxes
from sim_perception.tracking.tables import sigmoid, track_boxes
from sim_perception.tracking.tracker import TrackedFrame, Tracker, in_sensor
from training.datasets.kitti.tracking import (
    CLASSES,
    DETECTORS,
    FRAME_RATE,
    KittiSequence,
    read_sequences,
)
from training.datasets.sample import DatasetError, require_truth
from training.datasets.spec import Kinds, Spec
from training.evaluation.report import record_of
from training.evaluation.tracking.gaps import Gap, count_kept, make_gaps, real_occlusions
from training.evaluation.tracking.mot import KIND, evaluate_mot
from training.evaluation.tracking.scores import (
    TrackRows,
    image_corners,
    score_kitti,
    write_kitti,
)

EVALUATED = ('car', 'pedestrian')
"""The classes that KITTI's tracking benchmark evaluates."""
PERIOD = round(1e9 / FRAME_RATE)
"""Nanoseconds from frame to frame."""
IMAGE_WIDTH = (1.0, 0.7, 1.0)
"""Width of an image box as a share of that of the projected 3D box, by class: KITTI's image boxes
of people are that much narrower than their boxes' outermost corners (median over PointRCNN's
pedestrians .68, of its cars .99)."""
KITTI_CONFIG = TrackerConfig(
    classes=dict(
        enumerate(
            # one network per class made the detections: no detection is one of another class, but
            # riders are detected as pedestrians as well, and so are poles
            replace(motion, group='')
            for motion in (VEHICLE, replace(PEDESTRIAN, least_score=0.9), CYCLIST)
        )
    ),
    min_score=0.4,
    high_score=0.7,
    spawn_score=0.8,
    report_score=0.85,
    instant_score=0.98,
    ego_motion=True,
)
"""For PointRCNN's detections, whose scores are probabilities of its own making."""

KITTI_IMAGE_CONFIG = image_config(
    range(len(CLASSES)),
    high_score=0.6,
    spawn_score=0.7,
    report_score=0.7,
)
"""For RRC's image boxes, whose scores are low in shadow and behind others."""

Runner = Callable[[KittiSequence], tuple[TrackRows, float]]


def evaluate_detections(
    data: str,
    *,
    classes: Sequence[str] = EVALUATED,
    gap: int = 0,
    seed: int = 0,
    results: Path | None = None,
    config: TrackerConfig | None = None,
    detector: str = DETECTORS[0],
    odometry: str | None = None,
) -> dict[str, Any]:
    """Score the tracker on recorded detections: of KITTI's tracking sequences, or MOTChallenge's.

    The tracker is given detections and calibration, and estimates the ego-motion itself unless
    ``odometry`` is named. Scores are TrackEval's, in percent, for every class as ``KEY_CLASS``,
    and without suffix for the first class. ``kept`` is the percentage of the ``events`` after
    which the object has the same id: made gaps with ``gap``, else the occlusions that the labels
    tell of.

    Args:
        data: see ``KINDS``.
        classes: of ``car`` and ``pedestrian``; MOTChallenge has pedestrians only.
        gap: frames for which every well-seen object loses its detections once; 0 for none.
        seed: of the gaps' places.
        results: folder for result files in the benchmark's own format, or None.
        config: of the tracker; None is the one for the detector.
        detector: of KITTI: ``pointrcnn`` (3D boxes) or ``rrc`` (image boxes).
        odometry: of KITTI: folder of the camera's poses, such as ``orbslam3``; None is none.

    Returns:
        The scores, ``frames``, ``frames_per_s`` (of CPU time, the tracker alone), and what was
        asked for.

    Raises:
        DatasetError: for unusable data, an unknown class, a negative gap, or without TrackEval.
    """
    if gap < 0:
        raise DatasetError(f'gap must be a number of frames, at least 0; got {gap}')
    score, spec = KINDS.find(data)
    scores, classes = score(spec, classes, gap, seed, results, config, detector, odometry)
    first = classes[0].lower()
    own = {key.removesuffix(f'_{first}'): v for key, v in scores.items() if key.endswith(first)}
    return record_of(
        'tracking',
        data,
        {**own, **scores},
        source='detections',
        classes=[name.lower() for name in classes],
        gap=gap,
        seed=seed,
        odometry=odometry,
    )


def _kitti_tracking(
    spec: Spec,
    classes: Sequence[str],
    gap: int,
    seed: int,
    results: Path | None,
    config: TrackerConfig | None,
    detector: str,
    odometry: str | None,
) -> tuple[dict[str, float], Sequence[str]]:
    sequences = read_sequences(spec.rest, detector=detector, odometry=odometry)
    names = _class_names(classes)
    require_truth(any(np.isin(s.labels.kind, names).any() for s in sequences), spec)
    run_tracker(sequences[0], config)  # compile outside of the timing
    scores, tracks = score_runner(
        lambda sequence: run_tracker(sequence, config), sequences, names, gap, seed
    )
    if results is not None:
        results.mkdir(parents=True, exist_ok=True)
        for name, rows in tracks.items():
            write_kitti(results / f'{name}.txt', rows)
    return scores, classes


def _mot(
    spec: Spec, classes: Sequence[str], gap: int, seed: int, results: Path | None, *_: object
) -> tuple[dict[str, float], Sequence[str]]:
    if gap:
        raise DatasetError('gaps are made in kitti_tracking only; leave --gap out')
    return evaluate_mot(spec.rest, results), (KIND,)


Scorer = Callable[..., tuple[dict[str, float], Sequence[str]]]
KINDS: Kinds[Scorer] = Kinds({
    'kitti_tracking': (
        'kitti_tracking:DIR (a folder with label_02/, calib/, and pointrcnn/ or rrc/)',
        _kitti_tracking,
    ),
    'mot': ('mot:DIR (MOTChallenge sequences)', _mot),
})  # fmt: skip


def score_runner(
    run: Runner, sequences: Sequence[KittiSequence], names: Sequence[str], gap: int, seed: int = 0
) -> tuple[dict[str, float], dict[str, TrackRows]]:
    """Score any tracker.

    Args:
        run: tracks a sequence; returns the tracks and the CPU seconds it took.
        sequences: as recorded.
        names: of ``CLASSES``.
        gap: see ``evaluate_detections``.
        seed: of the gaps' places.

    Returns:
        Scores as ``KEY_CLASS``, ``frames`` and ``frames_per_s``; and the tracks by sequence.
    """
    if gap:
        pairs = [make_gaps(sequence, names, gap, seed) for sequence in sequences]
    else:
        pairs = [(sequence, real_occlusions(sequence, names)) for sequence in sequences]
    seconds, tracks = 0.0, {}
    for sequence, _ in pairs:
        tracks[sequence.name], took = run(sequence)
        seconds += took
    scores: dict[str, float] = {}
    for name, values in score_kitti([s for s, _ in pairs], tracks, names).items():
        scores.update({f'{key}_{name.lower()}': value for key, value in values.items()})
        kept, events = _kept(pairs, tracks, name)
        scores[f'events_{name.lower()}'] = events
        if events:
            scores[f'kept_{name.lower()}'] = 100 * kept / events
    frames = sum(sequence.frames for sequence in sequences)
    scores['frames'] = frames
    scores['frames_per_s'] = frames / max(seconds, 1e-9)
    return scores, tracks


def _kept(
    pairs: Sequence[tuple[KittiSequence, list[Gap]]], tracks: dict[str, TrackRows], name: str
) -> tuple[int, int]:
    """Return how many identities of a class were kept, of how many."""
    kept, events = 0, 0
    for sequence, gaps in pairs:
        own = [gap for gap in gaps if gap.kind == name]
        kept += count_kept(sequence, tracks[sequence.name], own)
        events += len(own)
    return kept, events


def _class_names(classes: Sequence[str]) -> list[str]:
    unknown = [name for name in classes if name.lower() not in EVALUATED]
    if unknown or not classes:
        raise DatasetError(
            f'cannot evaluate class {", ".join(unknown) or "(none)"}; KITTI evaluates '
            f'{" and ".join(EVALUATED)}'
        )
    return [name.capitalize() for name in classes]


def has_image_boxes_only(sequence: KittiSequence) -> bool:
    """Return whether the detections have no 3D boxes."""
    boxes = sequence.detections.box3d
    return bool(len(boxes) and np.isnan(boxes).all())


def frame_arrays(sequence: KittiSequence) -> list[DetectionArrays]:
    """Return the detections of every frame, empty ones too."""
    found = sequence.detections
    boxes = found.box2d if has_image_boxes_only(sequence) else found.box3d
    edges = np.searchsorted(found.frame, np.arange(sequence.frames + 1))
    scores = sigmoid(found.logit)
    return [
        DetectionArrays(found.kind[a:b], scores[a:b], boxes[a:b])
        for a, b in itertools.pairwise(edges.tolist())
    ]


def run_tracker(
    sequence: KittiSequence, config: TrackerConfig | None = None
) -> tuple[TrackRows, float]:
    """Track a sequence; return the reported tracks and the CPU seconds of the tracker.

    The configuration is by default the one for the kind of the detections.
    """
    image = has_image_boxes_only(sequence)
    tracker = Tracker(config or (KITTI_IMAGE_CONFIG if image else KITTI_CONFIG))
    view = None if image else BoxView(sequence.camera, sequence.camera_T_vehicle)
    arrays = frame_arrays(sequence)
    frames: list[TrackedFrame] = []
    start = time.process_time()
    poses = [None] * len(arrays) if sequence.odometry is None else sequence.odometry
    for number, (frame, pose) in enumerate(zip(arrays, poses, strict=True)):
        frames.append(tracker.step(number * PERIOD, frame, view=view, tracking_T_sensor=pose))
    seconds = time.process_time() - start
    return to_rows(sequence, frames), seconds


def to_rows(sequence: KittiSequence, frames: Sequence[TrackedFrame]) -> TrackRows:
    """Return the reported tracks of every frame, with 3D boxes projected to the image."""
    numbers = np.repeat(np.arange(len(frames)), [f.reported.sum() for f in frames])
    tracks = np.concatenate([f.tracks[f.reported] for f in frames])
    if has_image_boxes_only(sequence):
        return TrackRows(
            numbers,
            tracks['id'],
            np.array(CLASSES)[tracks['kind']],
            image_corners(track_boxes(tracks)),
            np.full((len(tracks), 7), np.nan),
            tracks['logit'],
        )
    boxes = np.concatenate(
        [in_sensor(track_boxes(f.tracks[f.reported]), f.tracking_T_sensor) for f in frames]
    )
    image, use = kitti_image_boxes(sequence, boxes, tracks['kind'])
    return TrackRows(
        numbers[use],
        tracks['id'][use],
        np.array(CLASSES)[tracks['kind'][use]],
        image[use],
        boxes[use],
        tracks['logit'][use],
    )


def kitti_image_boxes(
    sequence: KittiSequence, boxes: npt.NDArray[np.float64], kind: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return (N, 4) image boxes as KITTI draws them, and which of them lie in the image.

    Args:
        sequence: for its camera.
        boxes: (N, 7) in the vehicle frame.
        kind: (N,) index into ``CLASSES``.
    """
    camera = sequence.camera
    image = image_boxes(camera, sequence.camera_T_vehicle, boxes)
    middle = (image[:, 0] + image[:, 2]) / 2
    half = np.array(IMAGE_WIDTH)[kind] * (image[:, 2] - image[:, 0]) / 2
    image[:, 0], image[:, 2] = middle - half, middle + half
    image = np.clip(image, 0, [camera.width - 1, camera.height - 1] * 2)
    use = ((image[:, 2:] - image[:, :2]) > 1).all(1)  # no NaN, no sliver
    return image, np.asarray(use, bool)
