"""Where the sensor of a frame of detections is, for the tracker.

The tracker thinks in the sensor's *level* frame: at the sensor's origin, x where the sensor
looks, z up. An optical frame looks along z, all others along x (REP-103). Which of them a frame
is, is told by its transform from the robot's base, or by a parameter; only without both by what
comes in it and by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.frames import frame_name, is_optical_name
from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert
from sim_perception.tracking.camera import level_pose

Array = npt.NDArray[np.float64]
Lookup = Callable[[str, str, int], npt.NDArray[np.floating]]
"""``(target, source, stamp) -> target_T_source``; raises if it is not available."""


@dataclass(frozen=True)
class Axes:
    """What tells which way a frame looks where transforms do not tell its motion.

    Attributes:
        chosen: 'optical', 'body' or 'auto'.
        base_frame: the robot's, z up.
        newest: ``(target, source) -> target_T_source`` as known now, or None.
        images: whether images come in the frame, which makes it an optical one.
        report: told in words what was assumed.
    """

    chosen: str = 'auto'
    base_frame: str = 'base_link'
    newest: Callable[[str, str], npt.NDArray[np.floating] | None] = lambda *_: None
    images: bool = False
    report: Callable[[str], None] = lambda _: None

    def level_T(self, source: str) -> Array:
        """Return the (4, 4) map from a frame to its level frame."""
        if self.chosen == 'auto':
            base_T_source = self.newest(self.base_frame, source)
            if base_T_source is not None:
                return np.asarray(invert(level_pose(base_T_source)) @ base_T_source, float)
        optical = self.chosen == 'optical' or (
            self.chosen == 'auto' and (self.images or is_optical_name(source))
        )
        if self.chosen == 'auto' and not optical:
            self.report(
                f'frame {source!r} is taken to look along x: neither its name nor a transform '
                f'from {self.base_frame!r} says otherwise; publish that transform, or set '
                'sensor_axes'
            )
        return np.asarray(BODY_T_OPTICAL if optical else np.eye(4), float)


_UNKNOWN = Axes()


@dataclass(frozen=True)
class Place:
    """Where one frame of detections was seen from.

    Attributes:
        source: the frame of the detections.
        level_T_source: (4, 4), maps detections to the sensor's level frame.
        tracking_T_level: (4, 4) pose of the level frame, or None if the tracker finds it.
    """

    source: str
    level_T_source: Array
    tracking_T_level: Array | None


class Placement:
    """Locates frames of detections by transforms, or without.

    Args:
        lookup: gives transforms.
        ego_motion: 'tf', 'estimate' or 'none'.
        tracking_frame: a frame with z up that does not move with the sensor.
        estimated_frame: name of the frame that the tracker makes for ``estimate``.
        sensor_frame: frame of the sensor; empty is the frame of the detections.
        axes: tells which way frames look, for all but 'tf'.
    """

    def __init__(
        self,
        lookup: Lookup,
        ego_motion: str,
        tracking_frame: str,
        estimated_frame: str,
        sensor_frame: str = '',
        axes: Axes = _UNKNOWN,
    ) -> None:
        self._lookup = lookup
        self._ego_motion = ego_motion
        self._tracking_frame = tracking_frame
        self._estimated_frame = estimated_frame
        self._sensor_frame = sensor_frame
        self._axes = axes
        self._source = ''

    def reset(self) -> None:
        """Forget the frame of the detections."""
        self._source = ''

    def locate(self, source: str, stamp: int) -> Place:
        """Return the place of detections in a frame at a stamp in nanoseconds.

        Raises:
            ValueError: without a frame, or if the frame changes and no transforms are used.
            TransformError: if a transform is not available.
        """
        if not source:
            raise ValueError('detections without frame_id; set header.frame_id at the source')
        source = frame_name(source)
        if self._ego_motion != 'tf':
            if self._source not in ('', source):
                raise ValueError(
                    f'detections in frame {source!r} after {self._source!r}; use one tracker per '
                    "sensor, or set ego_motion to 'tf'"
                )
            self._source = source
            return Place(source, self._axes.level_T(source), None)
        tracking_T_source = self._transform(self._tracking_frame, source, stamp)
        sensor = self._sensor_frame or source
        tracking_T_sensor = self._transform(self._tracking_frame, sensor, stamp)
        tracking_T_level = level_pose(tracking_T_sensor)
        return Place(source, invert(tracking_T_level) @ tracking_T_source, tracking_T_level)

    def level_T(self, place: Place, frame: str, stamp: int) -> Array:
        """Return the (4, 4) map from another sensor's frame at its stamp to the level frame.

        Raises:
            TransformError: if a transform is not available.
        """
        if place.tracking_T_level is None:
            return place.level_T_source @ self._transform(place.source, frame, stamp)
        tracking_T_frame = self._transform(self._tracking_frame, frame, stamp)
        return invert(place.tracking_T_level) @ tracking_T_frame

    def output(self, place: Place, tracking_T_level: Array) -> tuple[str, Array]:
        """Return the frame of the outputs, and the (4, 4) map from the tracking frame to it.

        Args:
            place: of the detections.
            tracking_T_level: where the tracker has put the level frame.
        """
        if self._ego_motion == 'tf':
            return self._tracking_frame, np.eye(4)
        if self._ego_motion == 'estimate':
            return self._estimated_frame, np.eye(4)
        source_T_tracking = invert(tracking_T_level @ place.level_T_source)
        return place.source, np.asarray(source_T_tracking, float)

    def _transform(self, target: str, source: str, stamp: int) -> Array:
        if frame_name(target) == frame_name(source):
            return np.eye(4)
        return np.asarray(self._lookup(target, source, stamp), float)
