"""The ``tracker`` node: a detector's boxes or images in, objects with lasting identities out.

Examples:
  ros2 launch sim_perception tracker.launch.py detections:=/my_detector/boxes
  ros2 run sim_perception tracker --ros-args -p input:=network
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from std_msgs.msg import Header

from sim_perception.geometry.rectification import lens_text
from sim_perception.geometry.transforms import invert
from sim_perception.ros.conversions import ns_to_stamp, stamp_to_ns
from sim_perception.ros.diagnostics import describe_error
from sim_perception.ros.lifecycle import WorkerNode, node_main
from sim_perception.ros.parameters import TrackerParameters
from sim_perception.ros.placement import Axes, Place, Placement
from sim_perception.ros.stamps import StampGuard
from sim_perception.ros.tf import TransformError, TransformLookup, TransformSender
from sim_perception.ros.track_inputs import Seen, TrackInput, open_input
from sim_perception.ros.track_outputs import TrackOutputs
from sim_perception.ros.track_streams import Stream, Streams
from sim_perception.ros.tracks import unused_detections
from sim_perception.tracking.tracker import TrackedFrame, Tracker
from sim_perception.tracking.tracks import to_tracks
from sim_perception.tracking.warm_up import warm_up
from sim_perception.types import Track

T = TypeVar('T')
NAME = 'tracker'


class TrackerNode(WorkerNode[TrackerParameters]):
    """Runs the tracker on every frame of detections, in order, or on the cameras' newest images.

    All cameras see one world of tracks, which is published after every frame of each.
    A frame that cannot be used is reported and leaves the tracks as they are. Image boxes,
    states and markers are made only while someone subscribes to them.
    """

    work_name = 'tracking'
    preparation = 'compiling the tracker (half a minute the first time, then a few seconds)'

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, TrackerParameters, **options)
        self._input: TrackInput | None = None
        self._tracker: Tracker | None = None
        self._outputs: TrackOutputs | None = None
        self._streams: Streams | None = None
        self._transforms: TransformLookup | None = None
        self._sender: TransformSender | None = None
        self._next_id = 1  # kept when the node is configured anew
        self._unused = 0

    def prepare(self, parameters: TrackerParameters) -> TrackInput:
        """Load the network, if there is one, and compile the tracker."""
        source = open_input(parameters)
        warm_up(source.config(), image=source.image)
        return source

    def setup(self) -> None:
        """Make the tracker and the publishers."""
        self._input = self.prepared
        assert self._input is not None
        self._image = self._input.image
        config = self._input.config()
        self._tracker = Tracker(config, first_id=self._next_id)
        self.inbox_size = self._input.queue
        self._outputs = TrackOutputs(self, self._input.taxonomy, image=self._image)

    def teardown(self) -> None:
        """Free the tracker, the network and the publishers."""
        self._input = None
        if self._tracker is not None:
            self._next_id = self._tracker.next_id
            self._tracker = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None

    def start(self) -> None:
        """Subscribe and start the worker, without the tracks of an earlier activity."""
        p = self.parameters
        assert self._tracker is not None
        assert self._input is not None
        self._tracker.reset()
        self._input.reset()
        self.stamps = StampGuard(p.jump_threshold)
        self._transforms = TransformLookup(self, p.tf_timeout)
        self._placement = Placement(
            *(self._transforms.lookup, p.ego_motion),
            *(p.tracking_frame, p.estimated_frame, p.sensor_frame),
            Axes(
                *(p.sensor_axes, p.base_frame, self._transforms.newest),
                *(self._input.needs_camera, self.report),
            ),
        )
        if p.ego_motion == 'estimate':
            self._sender = TransformSender(self)
        self._streams = Streams(
            *(self, p, self._input, self._on_input),
            *(self.diagnostics.heard, self.diagnostics.lost),
        )
        self.diagnostics.expect(*self._streams.topics, timeout=p.input_timeout)
        super().start()

    def stop(self) -> None:
        """Unsubscribe and stop the worker."""
        super().stop()
        for part in (self._streams, self._transforms, self._sender):
            if part is not None:
                part.close()
        self._streams = self._transforms = self._sender = None

    def reset(self) -> None:
        """Forget tracks, transforms and measurements."""
        assert self._tracker is not None
        assert self._input is not None
        assert self._transforms is not None
        self._tracker.reset()
        self._input.reset()
        self._transforms.reset()
        self._placement.reset()
        assert self._streams is not None
        self._streams.reset()

    def _on_input(self, stream: Stream, message: Any) -> None:
        self.diagnostics.received(stream.topic)
        if self.submit((stream, message), stream.number) and self.inbox_size > 1:
            self.report(
                'detections come faster than they are tracked: more frames waited than '
                f'queue_size ({self.parameters.queue_size}); only the newest is tracked until '
                'they are caught up with'
            )

    def process(self, item: Any) -> None:
        """Track one frame of detections, or one image, and publish what is known after it."""
        assert self._tracker is not None
        assert self._input is not None
        assert self._streams is not None
        begin = time.perf_counter()
        stream, data = item
        try:
            message = self._input.unpack(data)
        except ValueError as error:
            raise ValueError(f'a message on {stream.topic} could not be used: {error}') from error
        self.check_stamp(message.header, stream.number)
        stamp = stamp_to_ns(message.header.stamp)
        occluders = stream.occluders
        if occluders is None:
            self._track_image_boxes(message, stamp)
            self.diagnostics.published(self.age(stamp), time.perf_counter() - begin)
            return
        place = self._placement.locate(message.header.frame_id, stamp)
        if self._input.needs_camera:
            self._streams.check_frame(stream, message.header.frame_id)
        seen = self._input.read(message, place.level_T_source, occluders.calibration.camera)
        frame = self._tracker.step(
            stamp,
            seen.arrays,
            tracking_T_sensor=place.tracking_T_level,
            view=self._optional(
                'tracking without occlusion reasoning',
                lambda: occluders.view(self._placement, place, stamp),
            ),
            source=stream.number,
        )
        self._explain(frame, seen.strange)
        if self._input.needs_camera:
            self.diagnostics.note(lens=lens_text(occluders.calibration.camera()))
        self._publish(message.header, place, frame, seen, stream)
        self.diagnostics.published(self.age(stamp), time.perf_counter() - begin)

    def _track_image_boxes(self, item: Any, stamp: int) -> None:
        assert self._tracker is not None
        assert self._outputs is not None
        assert self._input is not None
        seen = self._input.read(item)
        frame = self._tracker.step(stamp, seen.arrays)
        self._explain(frame, seen.strange)
        tracks = self._tracks(frame, frame.reported)
        boxes = np.array([track.box2d for track in tracks], float).reshape(-1, 4)
        self._outputs.publish_2d(tracks, boxes, item.header)

    def _optional(self, consequence: str, make: Callable[[], T]) -> T | None:
        """Return what is made, or None and a report if other inputs do not allow it."""
        try:
            return make()
        except (ValueError, TransformError) as error:
            self.report(f'{consequence}: {describe_error(error)}')
            return None

    def _tracks(self, frame: TrackedFrame, chosen: Any) -> list[Track]:
        assert self._tracker is not None
        known = self._tracker.class_ids
        return to_tracks(frame.tracks[chosen], known, frame.stamp, image=self._image)

    def _explain(self, frame: TrackedFrame, strange: set[str]) -> None:
        """Report what of a frame was not used."""
        rejected = frame.rejected
        if text := unused_detections(rejected, strange):
            self.report(text)
        if frame.restarted:
            self.report(
                f'no detections for more than {self.parameters.max_gap:g} s; starting with new '
                'tracks'
            )
        self._unused += rejected.invalid + rejected.unknown_class + rejected.surplus
        self.diagnostics.note(
            tracks=str(len(frame.tracks)),
            tracks_occluded=str(int(frame.occluded.sum())),
            detections_not_used=str(self._unused),
        )

    def _publish(
        self, header: Header, place: Place, frame: TrackedFrame, seen: Seen, stream: Stream
    ) -> None:
        assert self._outputs is not None
        frame_id, transform = self._placement.output(place, frame.tracking_T_sensor)
        if self._sender is not None:
            source_T_tracking = invert(frame.tracking_T_sensor @ place.level_T_source)
            self._sender.send(source_T_tracking, header, frame_id)
        visible = self._tracks(frame, frame.reported)
        occluded = self._tracks(frame, frame.occluded)
        head = Header(stamp=ns_to_stamp(frame.stamp), frame_id=frame_id)
        self._outputs.publish(visible, occluded, head, transform)
        occluders, stamp = stream.occluders, stamp_to_ns(header.stamp)
        if occluders is None or not self._outputs.wants('tracks_2d'):
            return
        found = self._optional(
            'no image boxes',
            lambda: occluders.image_boxes(self._placement, place, stamp, frame, seen.detections),
        )
        if found is not None:
            boxes, camera = found
            head = Header(stamp=header.stamp, frame_id=camera)
            self._outputs.publish_2d(visible, boxes, head)


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return node_main(TrackerNode, __doc__, TrackerParameters, arguments)


if __name__ == '__main__':
    sys.exit(main())
