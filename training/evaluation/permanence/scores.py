"""Quick scores of the permanence network on bags, frame by frame and without a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.bags.reader import BagReader
from sim_perception.geometry.boxes import iou_2d
from sim_perception.geometry.cameras import project
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.types import Camera, Detection, Frame
from training.datasets.bags.open_bags import expand_each, image_with_truth
from training.datasets.bags.track_clips import read_objects
from training.datasets.bags.track_targets import RuleConfig, State, Targets, clip_targets
from training.datasets.views.views import View
from training.evaluation.report import Track

#: A detection finds an object of its class if its depth is right within this factor, and its
#: centre within this share of the image box's longer side.
DEPTH_FACTOR, REACH = 1.25, 0.5


def score_bags(
    engine: PermanenceEngine,
    patterns: Sequence[str | Path],
    rules: RuleConfig,
    limit: int | None = None,
    track: Track[int] | None = None,
) -> dict[str, float]:
    """Stream bags through an engine and compare with the truth.

    Args:
        engine: it is reset before every bag.
        patterns: bag folders, folders of bags or patterns, perhaps with ``,camera=NAME``.
        rules: who counts; hidden objects count at their true place if they were seen before.
        limit: greatest number of bags, None for all.
        track: wraps the frames of each bag in a progress display.

    Returns:
        ``recall_seen`` and ``recall_hidden``: shares of object-frames that were found;
        ``precision``: of detections, those on an object (on ignored ones they do not count);
        medians over found seen objects: ``depth_error`` relative, ``heading_error_deg``,
        ``box_iou``; and the counts ``frames``, ``seen`` and ``hidden``.
    """
    found = {State.SEEN: 0, State.HIDDEN: 0}
    total = {State.SEEN: 0, State.HIDDEN: 0}
    right = wrong = frames = 0
    errors: list[tuple[float, float, float]] = []
    things = engine.things
    rules = rules.model_copy(update={'hidden': 'true_place'})
    for path, sensors in expand_each(patterns)[:limit]:
        engine.reset()
        with BagReader(path, sensors) as bag:
            table = read_objects(bag, engine.taxonomy, things)
            size = (table.camera.width, table.camera.height)
            targets = clip_targets(table, View(size, size, (0, 0), size), rules)
            classes = np.array([engine.taxonomy.id_of(things[k]) for k in table.thing])
            topic, _ = image_with_truth(bag)
            frames += len(table.stamps)
            stamps = table.stamps.tolist()
            for t, stamp in enumerate(track(stamps, len(stamps)) if track else stamps):
                number = bag.nearest(topic, stamp)
                assert number is not None
                image = bag.frame(topic, number).image
                detections = engine.update(Frame(stamp, image, table.camera, 'camera'))
                matched, extra = match(detections, targets, classes, t, table.camera)
                for state in total:
                    here = targets.state[t] == state
                    total[state] += int(here.sum())
                    found[state] += sum(bool(here[n]) for n in matched)
                right += sum(bool(targets.state[t, n] >= State.SEEN) for n in matched)
                wrong += extra
                errors += [
                    _errors(detection, targets, t, n)
                    for n, detection in matched.items()
                    if targets.state[t, n] == State.SEEN
                ]
    medians = np.median(np.array(errors or [(np.nan,) * 3]), 0)
    return {
        'recall_seen': found[State.SEEN] / max(total[State.SEEN], 1),
        'recall_hidden': found[State.HIDDEN] / max(total[State.HIDDEN], 1),
        'precision': right / max(right + wrong, 1),
        'depth_error': float(medians[0]),
        'heading_error_deg': float(medians[1]),
        'box_iou': float(medians[2]),
        'frames': frames,
        'seen': total[State.SEEN],
        'hidden': total[State.HIDDEN],
    }


def match(
    detections: Sequence[Detection],
    targets: Targets,
    classes: npt.NDArray[np.int64],
    t: int,
    camera: Camera,
) -> tuple[dict[int, Detection], int]:
    """Match detections to the objects of a frame, the surest first.

    Objects that are hidden and were never seen, or are out of view, may be found or not.

    Returns:
        The detection of every object that was found, and how many detections found none.
    """
    matched: dict[int, Detection] = {}
    extra = 0
    box, depth = targets.box[t], targets.places.depth[t]
    centre = targets.places.centre[t]
    with np.errstate(invalid='ignore'):
        reach = REACH * (box[:, 2:] - box[:, :2]).max(-1)
    for detection in sorted(detections, key=lambda found: -found.score):
        assert detection.box3d is not None
        point, z = project(camera, detection.box3d.parent_T_box[:3, 3])
        with np.errstate(invalid='ignore', divide='ignore'):
            away = np.linalg.norm(centre - point, axis=1) / reach
            ratio = np.maximum(depth / z, z / depth)
        near = (away <= 1) & (ratio <= DEPTH_FACTOR) & (classes == detection.class_id)
        free = [n for n in np.flatnonzero(near) if n not in matched]
        if not free:
            extra += 1
            continue
        # objects that count before those that do not, then the nearest
        best = min(free, key=lambda n: (targets.state[t, n] < State.SEEN, away[n]))
        matched[int(best)] = detection
    return matched, extra


def _errors(detection: Detection, targets: Targets, t: int, n: int) -> tuple[float, float, float]:
    """Return relative depth error, heading error in degrees, and overlap of the image boxes."""
    assert detection.box3d is not None
    pose = detection.box3d.parent_T_box
    depth = abs(pose[2, 3] / targets.places.depth[t, n] - 1)
    azimuth = np.arctan2(pose[0, 0], pose[2, 0]) - np.arctan2(pose[0, 3], pose[2, 3])
    turn = azimuth - targets.places.heading[t, n]
    heading = abs(np.degrees(np.arctan2(np.sin(turn), np.cos(turn))))
    overlap = iou_2d(np.array([detection.box2d]), targets.box[t, n][None])[0, 0]
    return float(depth), float(heading), float(overlap)
