"""The tracker as a function: a frame's detections in, objects with lasting identities out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.api.inputs import as_pose, level_pose
from sim_perception.geometry.rectification import rectify
from sim_perception.geometry.transforms import invert
from sim_perception.suggestions import unknown
from sim_perception.taxonomy import load_taxonomy
from sim_perception.tracking.config import TrackerConfig, image_config, network_config
from sim_perception.tracking.detections import DetectionArrays, Rejected, from_detections
from sim_perception.tracking.occlusion import BoxView, View
from sim_perception.tracking.tracker import Tracker
from sim_perception.tracking.tracks import to_tracks
from sim_perception.tracking.views import DepthView
from sim_perception.types import Camera, Detection, FloatArray, Track

_LEAST_STEP = 1000
"""Of stamps that are nanoseconds; frames are farther apart."""


def _pose(pose: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(as_pose(pose, 'pose', np.eye(4)), float)


def _image_settings(**settings: Any) -> TrackerConfig:
    return image_config(load_taxonomy().thing_ids, **settings)


INPUTS: dict[str, Callable[..., TrackerConfig]] = {
    'detections_3d': TrackerConfig,
    'detections_2d': _image_settings,
    'network': network_config,
}
"""Settings for what is tracked, by the names of the node's parameter ``input``."""


@dataclass(frozen=True)
class Tracks(Sequence[Track]):
    """What is known after a frame: a sequence of the seen and then the hidden objects.

    Attributes:
        seen: objects that are seen now.
        hidden: objects that are known to be hidden or out of view, where they are believed to be.
        tracking_T_sensor: (4, 4) pose of the sensor in the frame that boxes are in.
        rejected: how many detections were not used, by reason.
    """

    seen: tuple[Track, ...]
    hidden: tuple[Track, ...]
    tracking_T_sensor: FloatArray
    rejected: Rejected

    def __len__(self) -> int:
        return len(self.seen) + len(self.hidden)

    def __getitem__(self, index: Any) -> Any:
        return (self.seen + self.hidden)[index]

    def __iter__(self) -> Iterator[Track]:
        return iter(self.seen + self.hidden)


class ObjectTracker:
    """Identities that last through occlusions: ``tracks = tracker(detections, stamp)``.

    The first frame takes seconds, the very first half a minute: loops are compiled.

    Attributes:
        names: of the classes; ``Detection.class_id`` is an index into it.
        tracker: what does the work.

    Args:
        input: what is tracked: ``detections_3d``, boxes in a level frame of the sensor (x forward,
            y left, z up); ``detections_2d``, image boxes; ``network``, what
            ``load('permanence')`` finds.
        **settings: fields of ``tracking.config.TrackerConfig``, such as ``spawn_score=0.4`` or
            ``ego_motion=True``, which finds the sensor's motion from the detections.

    Raises:
        ValueError: for an unknown input or a value out of range.
        TypeError: for an unknown setting.
    """

    def __init__(self, *, input: str = 'detections_3d', **settings: Any) -> None:
        if input not in INPUTS:
            raise ValueError(unknown('input of the tracker', input, INPUTS))
        known = [field.name for field in fields(TrackerConfig)]
        known = known if input == 'detections_3d' else [n for n in known if n != 'classes']
        for name in settings:
            if name not in known:
                raise TypeError(unknown('setting of the tracker', name, known))
        self._input, self._image = input, input == 'detections_2d'
        self.tracker = Tracker(INPUTS[input](**settings))
        self.names = load_taxonomy().names

    def __call__(
        self,
        detections: Sequence[Detection] | DetectionArrays,
        stamp: int,
        *,
        pose: npt.ArrayLike | None = None,
        camera: Camera | None = None,
        depth: npt.NDArray[np.floating] | None = None,
        level_T_camera: npt.ArrayLike | None = None,
        view: View | None = None,
        source: int = 0,
    ) -> Tracks:
        """Take the next frame, one without detections too, and return what is known after it.

        Args:
            detections: of the frame: ``Detection`` values, or the columns of
                ``tracking.detections.DetectionArrays``.
            stamp: nanoseconds, later than the last one.
            pose: (4, 4) pose of the sensor's level frame in a frame that stands still, in which
                tracks then are; without it the sensor stands still, or its motion is found from
                the detections with the setting ``ego_motion``.
            camera: tells hidden from vanished objects: by nearer boxes in its image, or by
                ``depth``. For 3D boxes; the ``network`` needs it to tell.
            depth: (H, W) metres along the axis of that camera, measured or predicted.
            level_T_camera: (4, 4) pose of the optical frame in the sensor's level frame; None is
                a camera in its place that looks at the horizon.
            view: what tells hidden from vanished objects instead, such as
                ``tracking.views.LidarView``.
            source: number of the sensor, where several see one world.

        Raises:
            ValueError: for a stamp that is not later, boxes of another kind, or malformed poses;
                the frame then changes nothing.
        """
        level = level_pose(level_T_camera)
        arrays = detections
        if not isinstance(arrays, DetectionArrays):
            optical = level if self._input == 'network' else None
            arrays = from_detections(arrays, image=self._image, level_T_source=optical)
        if arrays.boxes.shape[1] != (4 if self._image else 7):
            raise ValueError(
                f'boxes have {arrays.boxes.shape[1]} columns: load the tracker with '
                "input='detections_2d' for 4 (pixels), 'detections_3d' for 7"
            )
        found = self.tracker.step(
            self._checked(stamp),
            arrays,
            tracking_T_sensor=None if pose is None else _pose(pose),
            view=view or self._view(camera, depth, np.asarray(invert(level), float)),
            source=source,
        )
        kinds = self.tracker.class_ids
        seen, hidden = (
            tuple(to_tracks(found.tracks[rows], kinds, found.stamp, image=self._image))
            for rows in (found.reported, found.occluded)
        )
        return Tracks(seen, hidden, found.tracking_T_sensor, found.rejected)

    def reset(self) -> None:
        """Forget all tracks, after a jump of the clock; identities go on counting."""
        self.tracker.reset()

    def _checked(self, stamp: int) -> int:
        """Return a stamp that can be one in nanoseconds."""
        if isinstance(stamp, bool) or not isinstance(stamp, int | np.integer):
            raise ValueError(
                f'stamp is {stamp!r}, need whole nanoseconds; of seconds: round(seconds * 1e9)'
            )
        last = self.tracker.stamp
        if last is not None and 0 < stamp - last < _LEAST_STEP:
            raise ValueError(
                f'stamp {stamp} is {stamp - last} ns after the last one; stamps are nanoseconds: '
                'of numbered frames give round(number / rate * 1e9)'
            )
        return int(stamp)

    def _view(
        self,
        camera: Camera | None,
        depth: npt.NDArray[np.floating] | None,
        camera_T_level: npt.NDArray[np.float64],
    ) -> View | None:
        if camera is None and depth is None:
            return None
        if camera is None or self._image:
            raise ValueError(
                'image boxes are tracked without camera and depth; leave them out'
                if self._image
                else 'depth needs its camera; give both'
            )
        if depth is None:
            return BoxView(camera.ideal, camera_T_level)
        return DepthView(camera.ideal, camera_T_level, rectify(camera, depth, np.nan))
