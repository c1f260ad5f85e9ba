"""Where the tracker's detections come from: topics of any detector, or a network and a camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from vision_msgs.msg import Detection2DArray, Detection3DArray

from sim_perception.bags.images import rgb_image
from sim_perception.geometry.frames import frame_name
from sim_perception.resources import share_path
from sim_perception.ros import qos
from sim_perception.ros.conversions import check_camera_fits, stamp_to_ns
from sim_perception.ros.images import IMAGE_TOPICS
from sim_perception.ros.parameters import TrackerParameters
from sim_perception.ros.tracks import from_detections_2d, from_detections_3d, parse_class_map
from sim_perception.ros.wire import from_wire
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from sim_perception.tracking.config import (
    TrackerConfig,
    image_config,
    network_config,
    street_classes,
)
from sim_perception.tracking.detections import DetectionArrays, from_detections
from sim_perception.types import Camera, Detection, Frame

Array = npt.NDArray[np.float64]
WARM_UP_CAMERA = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)
_SHARED = (
    'min_score',
    'spawn_score',
    'report_score',
    'hidden_score',
    'confirm_hits',
    'max_gap',
)
"""Fields of ``TrackerConfig`` that are parameters."""
_OWN = ('spawn_score', 'report_score', 'hidden_score', 'confirm_hits')
"""Those whose default is the input's own: a negative parameter keeps it."""


@dataclass(frozen=True)
class Seen:
    """What one message shows.

    Attributes:
        arrays: the detections in the sensor's level frame, or as image boxes.
        strange: names of unknown classes.
        detections: the same as values, of a network.
    """

    arrays: DetectionArrays
    strange: set[str]
    detections: list[Detection] | None = None


class TrackInput(Protocol):
    """A source of detections.

    Attributes:
        taxonomy: the classes of its detections.
        topic: what it takes, a relative name.
        message_type: of that topic.
        image: whether it gives image boxes instead of 3D boxes.
        needs_camera: whether it cannot do without the camera's calibration.
        queue: how many messages may wait.
        raw: whether messages are received as bytes; ``unpack`` makes messages of them.
    """

    taxonomy: Taxonomy
    topic: str
    message_type: type
    image: bool
    needs_camera: bool
    queue: int
    raw: bool

    def unpack(self, data: Any) -> Any:
        """Return the message of what was received.

        Raises:
            ValueError: for bytes that are no message.
        """
        ...

    def config(self) -> TrackerConfig:
        """Return the tracker's settings for such detections."""
        ...

    def profile(self) -> Any:
        """Return the QoS profile of the topic."""
        ...

    def read(
        self,
        message: Any,
        level_T_source: Array | None = None,
        camera: Callable[[npt.NDArray[Any]], Camera] | None = None,
    ) -> Seen:
        """Return what a message shows.

        Args:
            message: of the topic.
            level_T_source: (4, 4), maps the message's frame to the sensor's level frame; not
                needed for image boxes.
            camera: gives the camera's calibration for an image, or raises ValueError without
                one; needed for images only.

        Raises:
            ValueError: for an unusable message.
        """
        ...

    def reset(self) -> None:
        """Forget the past, after a jump of the clock."""
        ...


class TopicInput:
    """Any detector's ``vision_msgs`` arrays; see ``TrackInput``."""

    needs_camera = False
    raw = True  # converted by the worker, so that the executor is free to receive transforms

    def __init__(self, parameters: TrackerParameters) -> None:
        self._parameters = parameters
        self.image = parameters.input == 'detections_2d'
        self.topic = 'detections_2d' if self.image else 'detections'
        self.message_type: type = Detection2DArray if self.image else Detection3DArray
        self.queue = parameters.queue_size
        self.taxonomy = load_taxonomy()
        self._ids = parse_class_map(parameters.class_map, self.taxonomy)

    def unpack(self, data: Any) -> Any:
        """See ``TrackInput``."""
        return from_wire(data, self.message_type)

    def config(self) -> TrackerConfig:
        """See ``TrackInput``."""
        shared = _shared(self._parameters)
        if self.image:
            return image_config(self.taxonomy.thing_ids, **shared)
        estimate = self._parameters.ego_motion == 'estimate'
        return TrackerConfig(classes=street_classes(self.taxonomy), ego_motion=estimate, **shared)

    def profile(self) -> Any:
        """See ``TrackInput``."""
        return qos.every_frame_qos(self.queue)

    def read(
        self,
        message: Any,
        level_T_source: Array | None = None,
        camera: Callable[[npt.NDArray[Any]], Camera] | None = None,
    ) -> Seen:
        """See ``TrackInput``; the camera is not needed."""
        least = self._parameters.min_visibility
        if self.image:
            return Seen(*from_detections_2d(message, self._ids, least))
        assert level_T_source is not None
        return Seen(*from_detections_3d(message, self._ids, level_T_source, least))

    def reset(self) -> None:
        """Do nothing: every message stands for itself."""


class NetworkInput:
    """Images of a camera, seen by the permanence network; see ``TrackInput``.

    Of images that come faster than they can be processed the newest is taken.

    Raises:
        CheckpointError: for an unusable checkpoint.
        ValueError: for an option that this machine does not have.
    """

    image = False
    needs_camera = True
    queue = 1
    raw = False

    def __init__(self, parameters: TrackerParameters) -> None:
        # imported only here: trackers of other detectors' boxes need no torch
        from sim_perception.inference.permanence import PermanenceEngine

        self._parameters = parameters
        self.topic, self.message_type = IMAGE_TOPICS[parameters.image_transport]
        chosen = parameters.network
        second = share_path('models', 'depth_segmentation') if parameters.second_opinion else None
        self._engine = PermanenceEngine.load(
            Path(chosen) if chosen else share_path('models', 'permanence'),
            device=parameters.device,
            precision=parameters.precision,
            threads=parameters.threads or None,
            threshold=parameters.min_score,
            second_opinion=second,
        )
        self._engine.warm_up(WARM_UP_CAMERA)
        self.taxonomy = self._engine.taxonomy

    def unpack(self, data: Any) -> Any:
        """See ``TrackInput``."""
        return data

    def config(self) -> TrackerConfig:
        """See ``TrackInput``."""
        estimate = self._parameters.ego_motion == 'estimate'
        return network_config(self.taxonomy, ego_motion=estimate, **_shared(self._parameters))

    def profile(self) -> Any:
        """See ``TrackInput``."""
        return qos.sensor_qos()

    def read(
        self,
        message: Any,
        level_T_source: Array | None = None,
        camera: Callable[[npt.NDArray[Any]], Camera] | None = None,
    ) -> Seen:
        """See ``TrackInput``."""
        assert camera is not None
        image = rgb_image(message)
        calibration = camera(image)
        check_camera_fits(calibration, image)
        stamp = stamp_to_ns(message.header.stamp)
        frame = Frame(stamp, image, calibration, frame_name(message.header.frame_id))
        found = self._engine.update(frame)
        return Seen(from_detections(found, level_T_source=level_T_source), set(), found)

    def reset(self) -> None:
        """Forget what the cameras saw."""
        self._engine.reset()


def open_input(parameters: TrackerParameters) -> TrackInput:
    """Return the source that the parameter ``input`` names.

    Raises:
        CheckpointError: for an unusable checkpoint.
        ValueError: for values that do not go together.
    """
    if parameters.input == 'detections_2d' and parameters.occlusion != 'none':
        raise ValueError(
            f"occlusion '{parameters.occlusion}' needs 3D boxes; set it to 'none', or input to "
            "'detections_3d'"
        )
    _check_cameras(parameters)
    return NetworkInput(parameters) if parameters.input == 'network' else TopicInput(parameters)


def _check_cameras(parameters: TrackerParameters) -> None:
    names = parameters.cameras
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f'cameras must be different names, at least one; got {list(names)}')
    if len(names) == 1:
        return
    if parameters.input == 'detections_2d':
        raise ValueError(
            f'image boxes of {len(names)} cameras are not of one world; run one tracker per camera'
        )
    if parameters.ego_motion != 'tf':
        raise ValueError(
            f"{len(names)} cameras need ego_motion 'tf', which says where each of them is; got "
            f'{parameters.ego_motion!r}'
        )


def _shared(parameters: TrackerParameters) -> dict[str, Any]:
    """Return what the parameters change about an input's own settings."""
    changes = {name: getattr(parameters, name) for name in _SHARED}
    return {name: value for name, value in changes.items() if name not in _OWN or value >= 0}
