"""Evaluates the tracker of image boxes on MOTChallenge folders."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from sim_perception.tracking.config import TrackerConfig, image_config
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.tables import sigmoid, track_boxes
from sim_perception.tracking.tracker import Tracker
from training.datasets.mot import MotSequence, read_mot, write_mot
from training.datasets.sample import DatasetError
from training.evaluation.tracking.scores import TrackRows, image_corners
from training.evaluation.tracking.tables import Scored, TruthRows, score_tables

KIND = 'pedestrian'
CLASS_ID = 0
"""Of the tracker that sees one class."""


def track_mot(sequence: MotSequence, config: TrackerConfig) -> tuple[TrackRows, float]:
    """Track a sequence's detections; return the reported tracks and the tracker's CPU seconds."""
    tracker = Tracker(config)
    edges = np.searchsorted(sequence.found_frame, np.arange(sequence.frames + 1)).tolist()
    parts, seconds = [], 0.0
    for frame in range(sequence.frames):
        now = slice(edges[frame], edges[frame + 1])
        boxes = sequence.found_box[now]
        arrays = DetectionArrays(np.full(len(boxes), CLASS_ID), sequence.found_score[now], boxes)
        start = time.process_time()
        tracked = tracker.step(round(1e9 * frame / sequence.rate), arrays)
        seconds += time.process_time() - start
        parts.append(tracked.tracks[tracked.reported])
    tracks = np.concatenate(parts)
    rows = TrackRows(
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        tracks['id'],
        np.full(len(tracks), KIND),
        image_corners(track_boxes(tracks)),
        np.full((len(tracks), 7), np.nan),
        sigmoid(tracks['logit']),
    )
    return rows, seconds


def evaluate_mot(folder: Path | str, results: Path | None = None) -> dict[str, float]:
    """Track and score all sequences of a folder.

    Args:
        folder: see ``datasets.mot``.
        results: folder for MOTChallenge's result files, or None.

    Returns:
        TrackEval's scores in percent, of sequences with truth, as ``KEY`` and ``KEY_pedestrian``;
        ``frames`` and ``frames_per_s`` of CPU time.

    Raises:
        DatasetError: for unusable data, without truth unless results are written, or without
            TrackEval.
    """
    sequences = read_mot(folder)
    with_truth = [s for s in sequences if len(s.true_frame)]
    if not with_truth and results is None:
        raise DatasetError(
            f'{folder} has no rows in gt/gt.txt to score against; give --results DIR'
        )
    config = image_config([CLASS_ID])
    track_mot(sequences[0], config)  # compile outside of the timing
    scored, seconds = [], 0.0
    for sequence in sequences:
        rows, took = track_mot(sequence, config)
        seconds += took
        if results is not None:
            results.mkdir(parents=True, exist_ok=True)
            write_mot(results / f'{sequence.name}.txt', rows.frame, rows.id, rows.box2d)
        if len(sequence.true_frame):
            names = np.full(len(sequence.true_id), KIND)
            truth = TruthRows(
                *(sequence.true_frame, sequence.true_id, names, sequence.true_box),
                sequence.counts,
            )
            scored.append(Scored(sequence.frames, truth, rows))
    frames = sum(s.frames for s in sequences)
    scores = score_tables(scored, KIND) if scored else {}
    return {
        **scores,
        **{f'{key}_{KIND}': value for key, value in scores.items()},
        'frames': frames,
        'frames_per_s': frames / max(seconds, 1e-9),
    }
