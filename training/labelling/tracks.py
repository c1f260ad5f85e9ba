"""The second pass of ``label``: objects that were seen in several frames get one shape.

Single labels are grouped by the id of their detection, else by tracking their boxes. Every track
is fitted as a whole (``autolabel.tracks``). The new labels are written beside the old ones first;
when all are there, frames are finished again one by one, so that a killed run can go on.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.classes import ClassLabelers
from sim_perception.autolabel.labeler import (
    Evidence,
    Sighting,
    read_evidence,
)
from sim_perception.autolabel.records import LabelledFrame, read_frame, write_frame
from sim_perception.files import write_json
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.tracker import Tracker
from sim_perception.types import ShapeLabel
from training.labelling.frames import LabelJob, evidence_file, open_job, write_files

Place = tuple[int, int]
"""Number of a frame, and of a label in it."""

_LEAST_SIGHTINGS = 2


def has_tracks(job: LabelJob) -> bool:
    """Return whether the second pass of a job has fitted its tracks."""
    return _done(job).exists()


def label_tracks(job: LabelJob, names: Sequence[str]) -> int:
    """Fit every track of a finished first pass; return how many labels were renewed.

    Frames that change are written to ``tracked/``, then ``tracks.json``.

    Raises:
        RecordError: if labels or evidence cannot be read.
        OSError: for a full disk and the like; the next run starts this pass afresh.
    """
    _, labelers = open_job(job)
    frames = [read_frame(job.record(name)) for name in names]
    shutil.rmtree(Path(job.out) / 'tracked', ignore_errors=True)
    tracks = group(frames)
    renewed: dict[Place, ShapeLabel] = {}
    rows = []
    evidence = [read_evidence(evidence_file(job, frame.name)) for frame in frames]
    for identity, places in sorted(tracks.items()):
        made = fit_group(labelers, frames, places, evidence)
        if made is None:
            continue
        renewed |= made[0]
        rows.append({'id': identity, 'sightings': len(made[0]), **made[1]})
    for number in sorted({number for number, _ in renewed}):
        frame = frames[number]
        labels = [renewed.get((number, k), label) for k, label in enumerate(frame.labels)]
        write_frame(replace(frame, labels=tuple(labels)), _tracked(job, frame.name))
    write_json(_done(job), rows)
    return len(renewed)


def fit_group(
    labelers: ClassLabelers,
    frames: Sequence[LabelledFrame],
    places: Sequence[Place],
    evidence: Sequence[Sequence[Evidence | None]],
) -> tuple[dict[Place, ShapeLabel], dict[str, object]] | None:
    """Return a track's new labels by place and facts of it; None if it has too few sightings."""
    sightings, kept = [], []
    for number, k in places:
        frame, measured = frames[number], evidence[number][k]
        if measured is None or frame.world_T_level is None:
            continue
        sightings.append(
            Sighting(
                frame.labels[k],
                measured,
                frame.camera,
                frame.camera_T_level,
                frame.world_T_level,
                1e-9 * (frame.stamp - frames[0].stamp),
            )
        )
        kept.append((number, k))
    if len(sightings) < _LEAST_SIGHTINGS:
        return None
    labels = labelers.label_track(sightings)
    fresh = {
        place: label
        for place, label, one in zip(kept, labels, sightings, strict=True)
        if label is not one.label
    }
    if not fresh:
        return None
    some = next(iter(fresh.values()))
    return dict(fresh), {'size': list(some.body_size or ())}


def group(frames: Sequence[LabelledFrame]) -> dict[str, list[Place]]:
    """Return where each object's labels with a fit are, in order of time.

    The ids of the detections say which object it is; labels without id are tracked in a frame
    that stands still. Frames that do not know their place in one are left out.
    """
    order = sorted(range(len(frames)), key=lambda k: frames[k].stamp)
    placed = [k for k in order if frames[k].world_T_level is not None]
    found: dict[str, list[Place]] = defaultdict(list)
    loose: list[tuple[int, list[int]]] = []
    for number in placed:
        fits = [k for k, label in enumerate(frames[number].labels) if label.box3d is not None]
        for k in fits:
            if frames[number].labels[k].id:
                found[frames[number].labels[k].id].append((number, k))
        loose.append((number, [k for k in fits if not frames[number].labels[k].id]))
    if any(rows for _, rows in loose):
        for identity, places in _tracked_groups(frames, loose).items():
            found[f'track_{identity}'] = places
    return dict(found)


def _tracked_groups(
    frames: Sequence[LabelledFrame], loose: Sequence[tuple[int, list[int]]]
) -> dict[int, list[Place]]:
    """Return the places of labels without id by the id of the track that took them."""
    tracker = Tracker()
    groups: dict[int, list[Place]] = defaultdict(list)
    for number, rows in loose:
        frame = frames[number]
        labels = [frame.labels[k] for k in rows]
        boxes = np.array([_row(label) for label in labels], np.float64).reshape(-1, 7)
        arrays = DetectionArrays(
            np.array([label.class_id for label in labels], np.int64),
            np.array([label.confidence for label in labels]),
            boxes,
        )
        assert frame.world_T_level is not None
        seen = tracker.step(
            frame.stamp, arrays, tracking_T_sensor=np.asarray(frame.world_T_level, np.float64)
        )
        for track in seen.tracks:
            if track['detection'] >= 0:
                groups[int(track['id'])].append((number, rows[int(track['detection'])]))
    return groups


def _row(label: ShapeLabel) -> npt.NDArray[np.float64]:
    box = label.box3d
    assert box is not None
    pose = box.parent_T_box
    return np.array([*pose[:3, 3], np.arctan2(pose[1, 0], pose[0, 0]), *box.size])


def finish_part(job: LabelJob, numbers: Sequence[int]) -> int:
    """Write the files of frames whose labels changed; return how many of them are accepted."""
    bag, labelers = open_job(job)
    accepted = 0
    for number in numbers:
        path = _tracked(job, bag.name(number))
        if not path.exists():
            continue
        frame = read_frame(path)
        if path.read_bytes() != job.record(frame.name).read_bytes():
            write_files(job, bag.item(number, boxes=False), frame, labelers.shapes)
        accepted += len(frame.accepted)
    return accepted


def changed_frames(job: LabelJob, names: Sequence[str]) -> list[int]:
    """Return the numbers of frames whose files are still of single labels."""
    return [k for k, name in enumerate(names) if _tracked(job, name).exists()]


def clean(job: LabelJob) -> None:
    """Remove what only the passes needed, once all frames are finished."""
    for name in ('tracked', 'evidence'):
        shutil.rmtree(Path(job.out) / name, ignore_errors=True)


def _done(job: LabelJob) -> Path:
    return Path(job.out) / 'tracks.json'


def _tracked(job: LabelJob, name: str) -> Path:
    return Path(job.out) / 'tracked' / f'{name}.json'
