"""The ``viewer`` node: what sensors see and all nodes say, live in the rerun viewer."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from sim_perception.bags.typestore import typestore
from sim_perception.ros import qos
from sim_perception.ros.conversions import stamp_to_ns
from sim_perception.ros.lifecycle import WorkerNode, node_main
from sim_perception.ros.parameters import ViewerParameters
from sim_perception.ros.stamps import StampGuard
from sim_perception.ros.wire import from_wire
from sim_perception.taxonomy import load_taxonomy
from sim_perception.viewer.layout import layout
from sim_perception.viewer.messages import MessageScene
from sim_perception.viewer.output import Output, open_output
from sim_perception.viewer.scene import Scene
from sim_perception.viewer.sdk import rerun_sdk
from sim_perception.viewer.streams import Kind, Stream, live_streams

NAME = 'viewer'
_TYPES: dict[str, type] = {
    f'{one.__module__.partition(".")[0]}/msg/{one.__name__}': one
    for one in (
        *(CameraInfo, CompressedImage, Image, PointCloud2, TFMessage),
        *(Detection3DArray, MarkerArray, DiagnosticArray),
    )
}
_EVERY_ONE = (Kind.MOVING, Kind.STATIC, Kind.DIAGNOSTICS)
"""Small messages of many senders on one topic: shown at once, not the newest alone."""


class ViewerNode(WorkerNode[ViewerParameters]):
    """Shows the newest message of every topic, best effort, at most so many a second.

    What it does not show it does not read, and nobody waits for it: lost frames are fine.
    """

    work_name = 'drawing'
    preparation = 'loading the viewer'

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, ViewerParameters, **options)
        self._output: Output | None = None
        self._shown: MessageScene | None = None
        self._inputs: list[Any] = []
        self._last: dict[int, float] = {}

    def prepare(self, parameters: ViewerParameters) -> Any:
        """Import the SDK."""
        typestore()
        return rerun_sdk()

    def setup(self) -> None:
        """Open the window, the page or the file."""
        p = self.parameters
        self._streams = live_streams(p.cameras, p.image_transport, p.rectified, p.boxes.split())
        blueprint = layout(self._streams, p.view_frame, live=True)
        self._output = open_output(blueprint, p.save, p.show, p.web_port)
        self._shown = MessageScene(Scene(self._output.recording, load_taxonomy(), p.max_points))
        self.get_logger().info(self._output.where)
        self.diagnostics.note(seen=self._output.where)

    def teardown(self) -> None:
        """End the recording."""
        self._shown = None
        if self._output is not None:
            self._output.close()
            self._output = None

    def start(self) -> None:
        """Subscribe and start the worker."""
        p = self.parameters
        self.stamps = StampGuard(p.jump_threshold)
        self._last.clear()
        images = [one.topic for one in self._streams if one.kind is Kind.IMAGE]
        self.diagnostics.expect(*map(self.resolve_topic_name, images), timeout=p.input_timeout)
        # Losses are no problem here, and not counted.
        self._inputs = [
            qos.subscribe(
                *(self, _TYPES[stream.type], stream.topic),
                *(partial(self._on_message, number, stream), _profile(stream)),
                raw=True,
            )
            for number, stream in enumerate(self._streams)
        ]
        super().start()

    def stop(self) -> None:
        """Unsubscribe and stop the worker."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()
        super().stop()

    def reset(self) -> None:
        """Forget when objects were seen."""
        assert self._shown is not None
        self._shown.reset()

    def destroy_node(self) -> None:
        """End the recording with the node, whatever state it is in: a file must be whole."""
        super().destroy_node()
        self.teardown()

    def _on_message(self, number: int, stream: Stream, data: bytes) -> None:
        if stream.kind in _EVERY_ONE:
            self._guarded(lambda: self._show(stream, data))
            return
        now, topic = time.monotonic(), self.resolve_topic_name(stream.topic)
        self.diagnostics.heard(topic)
        if now - self._last.get(number, 0.0) < 1 / self.parameters.max_rate:
            return
        self._last[number] = now
        self.diagnostics.received(topic)
        self.submit((number, stream, data), number)

    def process(self, item: Any) -> None:
        """Show one message."""
        begin = time.perf_counter()
        number, stream, data = item
        message = self._read(stream, data)
        if not hasattr(message, 'header'):
            self._draw(stream, message)
            return
        self.check_stamp(message.header, number)
        self._draw(stream, message)
        age = self.age(stamp_to_ns(message.header.stamp))
        self.diagnostics.published(age, time.perf_counter() - begin)

    def _show(self, stream: Stream, data: bytes) -> None:
        self._draw(stream, self._read(stream, data))

    def _read(self, stream: Stream, data: bytes) -> Any:
        return from_wire(data, _TYPES[stream.type])

    def _draw(self, stream: Stream, message: Any) -> None:
        assert self._shown is not None
        assert self._output is not None
        if self._output.has_ended:
            raise ValueError(
                'the viewer was closed; clean up, configure and activate to reopen it'
            )
        try:
            self._shown.show(stream, message)
        except ValueError as error:
            raise ValueError(f'a message on {stream.topic} is not shown: {error}') from error


def _profile(stream: Stream) -> QoSProfile:
    """Return best effort in all cases but one: what is said once must come."""
    if stream.kind is Kind.STATIC:
        return qos.latched_qos(100)
    return qos.every_frame_qos(100) if stream.kind in _EVERY_ONE else qos.sensor_qos()


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return node_main(ViewerNode, __doc__, ViewerParameters, arguments)


if __name__ == '__main__':
    sys.exit(main())
