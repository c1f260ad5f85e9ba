"""The tracker: predict, associate, update, prune, spawn, once per frame, in seconds on stamps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sim_perception.tracking.config import TrackerConfig, class_table
from sim_perception.tracking.detections import DetectionArrays, Rejected, place, prepare
from sim_perception.tracking.occlusion import View
from sim_perception.tracking.steps.associate import Matches, associate, pair_costs
from sim_perception.tracking.steps.ego_motion import EgoMotion
from sim_perception.tracking.steps.predict import predict, shift
from sim_perception.tracking.steps.prune import surviving, within
from sim_perception.tracking.steps.report import report
from sim_perception.tracking.steps.reunite import reunite
from sim_perception.tracking.steps.sources import Sources, outranked
from sim_perception.tracking.steps.spawn import spawn
from sim_perception.tracking.steps.update import recall, update
from sim_perception.tracking.tables import (
    EMPTY,
    UNKNOWN,
    Rows,
    logit,
    track_boxes,
    track_dtype,
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrackedFrame:
    """What is known after a frame.

    Attributes:
        stamp: nanoseconds, of the newest frame.
        tracks: all tracks as rows of ``tables.track_dtype``, tentative ones too.
        reported: (N,) which of them are sure enough to be shown.
        occluded: (N,) which sure ones are hidden or out of view, and so not reported.
            Of several sensors all count.
        tracking_T_sensor: (4, 4) pose of the sensor's level frame in the tracking frame.
        rejected: counts of detections that were not used, and of tracks dropped for want of room.
        restarted: whether a long silence dropped all tracks before this frame.
    """

    stamp: int
    tracks: Rows
    reported: npt.NDArray[np.bool_]
    occluded: npt.NDArray[np.bool_]
    tracking_T_sensor: Array
    rejected: Rejected = field(default_factory=Rejected)
    restarted: bool = False


class Tracker:
    """Tracks the 3D boxes of one or more sensors, or the image boxes of one camera.

    Several sensors take turns, frame by frame; their poses must be given. Ids count up from
    ``first_id`` for the life of the object, also after ``reset``.

    Attributes:
        next_id: id of the next track; the ``first_id`` of a tracker that takes over.
    """

    def __init__(self, config: TrackerConfig | None = None, first_id: int = 1) -> None:
        self.config = config or TrackerConfig()
        self.classes = class_table(self.config.classes)
        self.class_ids = np.array(list(self.config.classes), np.int64)
        self._kinds = {class_id: row for row, class_id in enumerate(self.config.classes)}
        self._dtype = track_dtype(len(self.classes))
        self.next_id = first_id
        self._columns = 0  # of the boxes; 0 before the first
        c = self.config
        scores = [c.high_score, c.spawn_score, c.instant_score]
        self._high, self._spawn, self._instant = logit(scores).tolist()
        self.reset()

    def reset(self) -> None:
        """Forget all tracks and the last stamp, e.g. after the clock jumped back."""
        self.tracks: Rows = np.zeros(0, self._dtype)
        self.stamp: int | None = None
        self._sources = Sources(self.config.source_timeout, self.config.max_lag)
        self.ego = EgoMotion(
            self.config.ego_acceleration, self.config.ego_turning, self.config.ego_max_speed
        )

    def step(
        self,
        stamp: int,
        arrays: DetectionArrays,
        *,
        tracking_T_sensor: Array | None = None,
        view: View | None = None,
        source: int = 0,
    ) -> TrackedFrame:
        """Process one frame; call it for frames without detections, too.

        Args:
            stamp: nanoseconds, later than the last frame's of the same sensor.
            arrays: the frame's detections.
            tracking_T_sensor: (4, 4) pose of the sensor's level frame; without it the sensor
                stands still, or its motion is estimated if ``config.ego_motion`` is set.
            view: what tells hidden from vanished objects; without it nothing is known.
            source: number of the sensor.

        Raises:
            StampError: if the stamp is not later than the sensor's last one, or older than another
                sensor's by more than ``config.max_lag``; the frame then changes nothing.
            ValueError: for image boxes after 3D boxes, or the other way round.
        """
        self._check_kind(arrays)
        self._sources.check(source, stamp)
        dt, restarted = self._advance(stamp)
        self._sources.accept(source, stamp)
        others = self._sources.others(source, stamp)
        detections, rejected = prepare(arrays, self._kinds, self.classes, self.config)
        predict(self.tracks, self.classes, max(dt, 0.0))
        if dt < 0:  # another sensor was faster: compare at the time of this frame
            shift(self.tracks, dt)
        self.tracks['detection'] = -1
        pose = self._locate(detections, tracking_T_sensor, stamp, dt)
        hidden = detections['visibility'] < self.config.hidden_visibility
        matches = self._associate(detections, hidden, stamp)
        recalled = hidden[matches[:, 1]]
        update(
            self.tracks, detections, matches[~recalled], self.classes, stamp,
            self.config.score_memory, self.config.confirm_hits, source,
        )  # fmt: skip
        recall(self.tracks, detections, matches[recalled], source, others)
        self._look(matches, pose, view, stamp, source, others)
        alive = surviving(self.tracks, self.classes, self.config, stamp)
        new = spawn(
            self.tracks, detections, matches, self.classes, self.config,
            self._spawn, stamp, self.next_id, source,
        )  # fmt: skip
        self.next_id += len(new)
        self.tracks = joined(self.tracks if alive.all() else self.tracks[alive], new)
        crowded = len(self.tracks) - self.config.max_tracks
        if crowded > 0:
            self.tracks = self.tracks[within(self.tracks, self.config.max_tracks)]
            rejected = replace(rejected, crowded=crowded)
        left = reunite(self.tracks, self.classes, self.config, self._instant, stamp)
        if left is not None:
            self.tracks = self.tracks[left]
        if dt < 0:
            shift(self.tracks, -dt)
        assert self.stamp is not None
        shown = report(self.tracks, self.classes, self.config, stamp)
        return TrackedFrame(self.stamp, self.tracks.copy(), *shown, pose, rejected, restarted)

    def _check_kind(self, arrays: DetectionArrays) -> None:
        """Refuse to mix 3D boxes with image boxes."""
        columns = arrays.boxes.shape[1]
        if len(arrays.boxes):
            if self._columns not in (0, columns):
                raise ValueError(
                    f'boxes with {columns} columns came after boxes with {self._columns}: track '
                    '3D boxes (7) and image boxes (4) by two trackers'
                )
            self._columns = columns

    def _advance(self, stamp: int) -> tuple[float, bool]:
        """Take a new stamp; return the seconds since the newest and whether tracks were lost."""
        if self.stamp is None:
            self.stamp = stamp
            return 0.0, False
        dt = 1e-9 * (stamp - self.stamp)
        restarted = dt > self.config.max_gap
        if restarted:
            self.reset()
            dt = 0.0
        self.stamp = stamp if self.stamp is None else max(stamp, self.stamp)
        return dt, restarted

    def _locate(self, detections: Rows, given: Array | None, stamp: int, dt: float) -> Array:
        """Place the detections in the tracking frame; return the sensor's pose there."""
        if given is not None:
            place(detections, given)
            return given
        if not self.config.ego_motion:
            return np.eye(4)
        ego = self.ego
        pose = ego.predict(dt)
        if dt > 0 and len(detections):
            recent = self.tracks['seen'] >= stamp - 1_000_000_000
            seen = detections['visibility'] >= self.config.hidden_visibility
            known, sure = (
                self.tracks[recent],
                detections[seen & (detections['logit'] >= self._high)],
            )
            if not ego.locked:
                pose = ego.search(pose, known, sure, dt)
            place(sure, planar(pose))
            costs = pair_costs(known, sure, self.classes, self.config)
            matches = associate(costs, np.ones(len(sure), bool), np.ones(len(known), bool))
            ego.correct(pose, known, sure, matches, self.classes['yaw_noise'], dt)
        elif dt > 0:
            ego.correct(pose, self.tracks, detections, _NONE, self.classes['yaw_noise'], dt)
        located = planar(ego.pose)
        place(detections, located)
        return located

    def _associate(self, detections: Rows, hidden: npt.NDArray[np.bool_], stamp: int) -> Matches:
        """Match detections with tracks in stages."""
        if not len(detections) or not len(self.tracks):
            return _NONE
        costs = pair_costs(self.tracks, detections, self.classes, self.config)
        recent = self.tracks['seen'] >= stamp - round(1e9 * self.config.low_score_reach)
        return associate(costs, detections['logit'] >= self._high, recent, hidden)

    def _look(
        self,
        matches: Matches,
        pose: Array,
        view: View | None,
        stamp: int,
        source: int,
        others: list[int],
    ) -> None:
        """Note what is known about the places of tracks without a detection."""
        lost = np.ones(len(self.tracks), bool)
        lost[matches[:, 0]] = False
        if not lost.any():
            return
        rows = np.flatnonzero(lost)
        if view is None:
            rows = rows[~outranked(self.tracks[rows], np.full(len(rows), UNKNOWN), others)]
            self.tracks['place'][rows] = UNKNOWN
            self.tracks['source'][rows] = source
            return
        places, visibility = view.look(in_sensor(track_boxes(self.tracks), pose), rows)
        new = ~outranked(self.tracks[rows], places, others)
        rows, places, visibility = rows[new], places[new], visibility[new]
        self.tracks['place'][rows] = places
        self.tracks['source'][rows] = source
        self.tracks['visibility'][rows] = visibility
        since = self.tracks['empty_since'][rows]
        self.tracks['empty_since'][rows] = np.where(
            places == EMPTY, np.where(since < 0, stamp, since), -1
        )


_NONE: Matches = np.empty((0, 2), np.int64)


def joined(first: Rows, second: Rows) -> Rows:
    """Return both tables as one; np.concatenate is slow on structured rows."""
    if not len(second):
        return first
    out = np.empty(len(first) + len(second), first.dtype)
    out[: len(first)] = first
    out[len(first) :] = second
    return out


def planar(pose: Array) -> Array:
    """Return the 4x4 transform of x, y, heading."""
    x, y, heading = pose.tolist()
    c, s = math.cos(heading), math.sin(heading)
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def in_sensor(boxes: Array, tracking_T_sensor: Array) -> Array:
    """Return (N, 7) boxes of the tracking frame in the sensor's level frame."""
    rotation, origin = tracking_T_sensor[:3, :3], tracking_T_sensor[:3, 3]
    out = boxes.copy()
    out[:, :3] = (boxes[:, :3] - origin) @ rotation
    out[:, 3] -= np.arctan2(rotation[1, 0], rotation[0, 0])
    return out
