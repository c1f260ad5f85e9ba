"""Where a recording's labels say that objects were, in the world and with identities."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.records import LabelledFrame, read_frames
from sim_perception.bags import topics as t_
from sim_perception.bags.sensors import truth_topic
from sim_perception.geometry.transforms import invert
from sim_perception.taxonomy import load_taxonomy
from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.tracker import Tracker
from sim_perception.types import ShapeLabel
from training.datasets.sample import DatasetError
from training.resimulation.recording import Recording

Array = npt.NDArray[np.floating]

_DOUBTS = ('box_mismatch', 'low_confidence', 'other_class')
_LEAST_POINTS = 90
_TRUCK = (5.0, 2.15, 2.4)
"""Objects larger in every way are trucks."""


@dataclass(frozen=True)
class Sighting:
    """One object in one frame.

    Attributes:
        frame: number in the recording.
        category: class name.
        world_T_box: (4, 4) pose of the box.
        size: length, width, height, metres.
        weight: confidence.
        id: identity over time, or ''.
        latent: of the shape space, or None.
        body_size: of the shape, without what the box has more, or None.
        exact: whether it is the truth.
    """

    frame: int
    category: str
    world_T_box: Array
    size: tuple[float, float, float]
    weight: float = 1.0
    id: str = ''
    latent: npt.NDArray[np.floating] | None = None
    body_size: tuple[float, float, float] | None = None
    exact: bool = False


def sightings_of_labels(
    recording: Recording, folder: Path, unsure: bool = False
) -> list[Sighting]:
    """Return the accepted labels that ``training label`` wrote.

    Args:
        recording: what was labelled.
        folder: of the labels.
        unsure: take rejected fits, too, that points alone confirm: where image boxes are regions
            of a segmented image, they fit no object. Fits larger than any car are trucks.

    Raises:
        DatasetError: if the folder has no labels of this recording.
        RecordError: if a file is malformed.
    """
    frames = {frame.stamp: frame for frame in read_frames(folder / 'frames')}
    if not frames:
        raise DatasetError(
            f'{folder} has no labels; make them with: python -m training label '
            f'{recording.path} --out {folder}'
        )
    found = []
    for number, stamp in enumerate(recording.stamps.tolist()):
        if stamp in frames:
            frame = frames[stamp]
            for label in frame.labels:
                category = plausible_category(label, unsure)
                if category:
                    found.append(_of_label(recording, number, frame, label, category))
    if not found:
        raise DatasetError(f'{folder} has no accepted label of a frame of {recording.path}')
    return found


def plausible_category(label: ShapeLabel, unsure: bool) -> str:
    """Return the class that a label stands for, or '' if it should not be used."""
    name = load_taxonomy().names[label.class_id]
    if label.accepted:
        return name
    if not unsure or label.box3d is None or label.reason not in _DOUBTS:
        return ''
    measures = label.measures
    confirmed = (
        measures['inliers'] > 0.85
        and measures['log_points'] > math.log(_LEAST_POINTS)
        and measures['violation'] < 0.08
        and measures['past_violation'] < 0.08
        and measures['box_iou'] > 0.25
    )
    if not confirmed:
        return ''
    if all(side > least for side, least in zip(label.box3d.size, _TRUCK, strict=True)):
        return 'truck'
    return name if measures['prior'] < 2 and measures['size_excess'] < 3.5 else ''


def _of_label(
    recording: Recording, number: int, frame: LabelledFrame, label: ShapeLabel, category: str
) -> Sighting:
    assert label.box3d is not None
    # A truck's fit is a stretched car: of that only the box is of use.
    shaped = category == load_taxonomy().names[label.class_id]
    world_T_level = recording.world_T_camera[number] @ frame.camera_T_level
    return Sighting(
        frame=number,
        category=category,
        world_T_box=world_T_level @ label.box3d.parent_T_box,
        size=label.box3d.size,
        weight=max(label.confidence, 1e-3),
        id=label.id,
        latent=label.latent if shaped else None,
        body_size=label.body_size if shaped else None,
    )


def sightings_of_truth(recording: Recording, least_visible: float = 0.0) -> list[Sighting]:
    """Return the recording's own true objects; those that are never seen are left out.

    Args:
        recording: with ``/ground_truth/objects``.
        least_visible: objects of which never a greater share is seen are left out.

    Raises:
        BagError: if the recording has none.
    """
    bag, taxonomy = recording.bag, load_taxonomy()
    topic = truth_topic(bag, t_.OBJECTS)
    bag.require(topic)
    found: list[Sighting] = []
    seen: set[str] = set()
    for number, stamp in enumerate(recording.stamps.tolist()):
        row = bag.nearest(topic, stamp, 1_000_000)
        if row is None:
            continue
        for item in bag.detections(topic, row, taxonomy):
            if item.box3d is None or item.class_id >= len(taxonomy):
                continue
            if item.visibility is None or item.visibility > least_visible:
                seen.add(item.id)
            found.append(
                Sighting(number, taxonomy.names[item.class_id], item.box3d.parent_T_box,
                         item.box3d.size, 1.0, item.id, exact=True)
            )  # fmt: skip
    return [item for item in found if item.id in seen]


def identified(recording: Recording, found: list[Sighting], least: int = 3) -> list[Sighting]:
    """Return sightings with identities: their own where they have them, else a tracker's.

    Args:
        recording: gives the times.
        found: sightings.
        least: tracks with fewer sightings are dropped, when there are as many frames.
    """
    if all(item.id for item in found):
        return found
    taxonomy = load_taxonomy()
    frames: dict[int, list[Sighting]] = defaultdict(list)
    for item in found:
        frames[item.frame].append(item)
    # Labels are far surer than a detector's boxes: one starts a track.
    tracker = Tracker(TrackerConfig(spawn_score=0.0, min_score=0.0, tentative_life=1.5))
    named = []
    for number, stamp in enumerate(recording.stamps.tolist()):
        items = frames[number]
        base = recording.world_T_base[number]
        boxes = np.array([_level_box(invert(base) @ i.world_T_box, i.size) for i in items])
        arrays = DetectionArrays(
            np.array([taxonomy.id_of(i.category) for i in items], np.int64),
            np.ones(len(items)),
            boxes.reshape(-1, 7),
        )
        rows = tracker.step(int(stamp), arrays, tracking_T_sensor=base).tracks
        for track in rows[rows['detection'] >= 0]:
            item = items[int(track['detection'])]
            # A car and a truck are two things, even if the tracker took one for the other.
            named.append(replace(item, id=f'{item.category}_{track["id"]}'))
    counts = Counter(item.id for item in named)
    least = min(least, len(recording))
    return [item for item in named if counts[item.id] >= least]


def _level_box(pose: Array, size: tuple[float, float, float]) -> list[float]:
    return [*pose[:3, 3], math.atan2(pose[1, 0], pose[0, 0]), *size]
