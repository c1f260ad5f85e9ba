"""Evaluates detector and tracker end to end on images: ``evaluate tracking --source network``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert
from sim_perception.taxonomy import Taxonomy
from sim_perception.tracking.camera import level_pose, shown_boxes
from sim_perception.tracking.config import TrackerConfig, network_config
from sim_perception.tracking.detections import from_detections
from sim_perception.tracking.occlusion import BoxView
from sim_perception.tracking.tables import Rows, sigmoid, track_boxes
from sim_perception.tracking.tracker import Tracker
from training.datasets.bags.tracking_truth import TrueFrame, open_recordings
from training.datasets.sample import DatasetError, require_truth
from training.evaluation.report import Track, record_of
from training.evaluation.tracking.clips import (
    Clip,
    ClipFrame,
    Detector,
    network,
    oracle,
    watch,
)
from training.evaluation.tracking.hidden import ClipTracks, HiddenCounts, count_hidden, well_seen
from training.evaluation.tracking.scores import TrackRows
from training.evaluation.tracking.tables import Scored, TruthRows, score_tables
from training.evaluation.tracking.video import write_pictures, write_video

Array = npt.NDArray[np.float64]
SOURCES = ('network', 'oracle')
ClipRunner = Callable[[Clip], ClipTracks]


def open_detector(
    source: str,
    checkpoint: Path | None,
    device: str = 'auto',
    second_opinion: Path | None = None,
) -> tuple[Detector, Taxonomy]:
    """Return the detector of a source, and its classes.

    Raises:
        DatasetError: for an unknown source, or the network without a checkpoint.
        CheckpointError: for an unusable checkpoint.
    """
    if source == 'oracle':
        return oracle()
    if source != 'network':
        raise DatasetError(f'unknown source {source!r} for images; known: {", ".join(SOURCES)}')
    if checkpoint is None:
        raise DatasetError(
            'tracking with the source network needs --checkpoint FOLDER, such as models/permanence'
        )
    return network(checkpoint, device, second_opinion)


def watch_all(
    data: str,
    detect: Detector,
    *,
    keep_images: bool = False,
    track: Track[TrueFrame] | None = None,
) -> list[Clip]:
    """Run a detector over all recordings of a SPEC; see ``datasets.tracking_truth``."""
    recordings = open_recordings(data)
    return [watch(one, detect, keep_images=keep_images, track=track) for one in recordings]


def track_frames(clip: Clip, config: TrackerConfig) -> list[ClipFrame]:
    """Run the tracker as the node does on what a network detected.

    Where poses are unknown the tracker estimates its own motion, if so configured.
    """
    tracker = Tracker(config)
    frames = []
    for n, stamp in enumerate(clip.stamps.tolist()):
        level_T_camera, pose = np.asarray(BODY_T_OPTICAL, float), None
        if clip.world_T_camera is not None:
            pose = level_pose(clip.world_T_camera[n])
            level_T_camera = invert(pose) @ clip.world_T_camera[n]
        camera_T_level = np.asarray(invert(level_T_camera), float)
        found = clip.detections[n]
        tracked = tracker.step(
            stamp,
            from_detections(found, level_T_source=level_T_camera),
            tracking_T_sensor=pose,
            view=BoxView(clip.camera, camera_T_level),
        )
        boxes = shown_boxes(
            tracked.tracks, found, clip.camera, camera_T_level, tracked.tracking_T_sensor
        )
        frames.append(ClipFrame(tracked, boxes))
    return frames


def runner(taxonomy: Taxonomy, config: TrackerConfig) -> ClipRunner:
    """Return the tracker with a configuration as what ``score_clips`` runs."""
    names = np.array(taxonomy.names)
    ids = np.array(list(config.classes), np.int64)

    def run(clip: Clip) -> ClipTracks:
        frames = track_frames(clip, config)
        seen = [
            (f.tracked.tracks[f.tracked.reported], f.box2d[f.tracked.reported]) for f in frames
        ]
        hidden = [
            (f.tracked.tracks[f.tracked.occluded], f.box2d[f.tracked.occluded]) for f in frames
        ]
        return ClipTracks(*(_rows(parts, names[ids]) for parts in (seen, hidden)))

    return run


def _rows(parts: Sequence[tuple[Rows, Array]], names: npt.NDArray[np.str_]) -> TrackRows:
    """Return the tracks of every frame, with their image boxes, as one table."""
    tracks = np.concatenate([rows for rows, _ in parts])
    return TrackRows(
        np.repeat(np.arange(len(parts)), [len(rows) for rows, _ in parts]),
        tracks['id'],
        names[tracks['kind']],
        np.concatenate([boxes for _, boxes in parts]),
        track_boxes(tracks),
        sigmoid(tracks['logit']),
    )


def score_clips(
    run: ClipRunner, clips: Sequence[Clip], taxonomy: Taxonomy, classes: Sequence[str]
) -> dict[str, float]:
    """Score any tracker on clips with truth.

    Args:
        run: tracks a clip.
        clips: what the detector saw.
        taxonomy: names the classes of truth and detections.
        classes: to score, by the taxonomy's names.

    Returns:
        ``KEY_CLASS`` of TrackEval (percent; objects that are well seen count), and ``recall_hidden
        precision_hidden id_kept id_kept_of_all`` (shares) of each class and, without suffix, of
        all of them together; see ``tracking_hidden``.

    Raises:
        DatasetError: for clips without any true object of the classes, an unknown class, or
            without TrackEval.
    """
    unknown = [name for name in classes if name not in taxonomy.names]
    if unknown or not classes:
        raise DatasetError(
            f'cannot evaluate class {", ".join(unknown) or "(none)"}; known: '
            f'{", ".join(taxonomy.names[i] for i in taxonomy.thing_ids)}'
        )
    ids = [taxonomy.id_of(name) for name in classes]
    known = any(np.isin(clip.rows()[1].class_id, ids).any() for clip in clips)
    require_truth(known, ', '.join(clip.name for clip in clips))
    answers = [run(clip) for clip in clips]
    tables = [_scored(clip, answer, taxonomy) for clip, answer in zip(clips, answers, strict=True)]
    scores: dict[str, float] = {}
    total = HiddenCounts()
    for kind in classes:
        counts = HiddenCounts()
        for clip, answer in zip(clips, answers, strict=True):
            counts += count_hidden(clip, answer, taxonomy, kind)
        total += counts
        figures = {**score_tables(tables, kind), **counts.scores()}
        scores.update({f'{key}_{kind}': value for key, value in figures.items()})
    return {**total.scores(), **scores, 'frames': sum(len(clip.stamps) for clip in clips)}


def _scored(clip: Clip, answer: ClipTracks, taxonomy: Taxonomy) -> Scored:
    """Return a clip's truth and visible tracks for TrackEval."""
    frames, truth = clip.rows()
    size = np.array([clip.camera.width - 1, clip.camera.height - 1] * 2, float)
    rows = TruthRows(
        frames,
        truth.id,
        np.array(taxonomy.names)[truth.class_id],
        np.clip(truth.box2d, 0, size),  # the image's part, as in KITTI; NaN stays NaN
        well_seen(truth, clip.camera.height),
    )
    seen = answer.seen
    shown = TrackRows(
        seen.frame, seen.id, seen.kind, np.clip(seen.box2d, 0, size), seen.box3d, seen.score
    )
    return Scored(len(clip.stamps), rows, shown)


def evaluate_images(
    data: str,
    *,
    source: str = 'network',
    checkpoint: Path | None = None,
    classes: Sequence[str] = ('car', 'pedestrian'),
    device: str = 'auto',
    second_opinion: Path | None = None,
    video: Path | None = None,
    pictures: Path | None = None,
    track: Track[TrueFrame] | None = None,
) -> dict[str, Any]:
    """Detect, track and score on recordings with images.

    Args:
        data: see ``datasets.tracking_truth``.
        source: ``network``, or ``oracle``: all visible objects with a camera's errors.
        checkpoint: of the permanence network.
        classes: to score, by the taxonomy's names.
        device, second_opinion: see ``PermanenceEngine.load``.
        video: MP4 to draw the tracks into, or None.
        pictures: folder for one PNG per frame, or None.
        track: wraps every recording's frames, for a progress bar.

    Returns:
        See ``score_clips``; without truth only ``frames``.

    Raises:
        DatasetError: for unusable data, unknown classes, or data without truth and nothing to
            draw.
        CheckpointError: for an unusable checkpoint.
    """
    shown = None if checkpoint is None else str(checkpoint)
    asked = {'source': source, 'checkpoint': shown, 'classes': list(classes)}
    detect, taxonomy = open_detector(source, checkpoint, device, second_opinion)
    drawn = video is not None or pictures is not None
    clips = watch_all(data, detect, keep_images=drawn, track=track)
    configs = [network_config(taxonomy, ego_motion=c.world_T_camera is None) for c in clips]
    if drawn:
        answers = [track_frames(c, config) for c, config in zip(clips, configs, strict=True)]
        if video is not None:
            write_video(video, clips, answers, taxonomy)
        if pictures is not None:
            write_pictures(pictures, clips, answers, taxonomy)
        if any(clip.truth is None for clip in clips):
            count = sum(len(clip.stamps) for clip in clips)
            return record_of('tracking', data, {'frames': count}, **asked)
    scores = score_clips(runner(taxonomy, configs[0]), clips, taxonomy, classes)
    return record_of('tracking', data, scores, **asked)
