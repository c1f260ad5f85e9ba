"""The ``detector_3d`` node: camera and LiDAR (or depth) in, 3D boxes of cars out.

Examples:
  ros2 launch sim_perception detector_3d.launch.py
  ros2 run sim_perception detector_3d --ros-args -p points:=depth
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from sim_perception.geometry.rectification import lens_text
from sim_perception.inference.detector3d import Detector3dEngine
from sim_perception.inference.plan import warm_up_frame
from sim_perception.resources import share_path
from sim_perception.ros import qos
from sim_perception.ros.calibration import Calibration
from sim_perception.ros.conversions import stamp_to_ns
from sim_perception.ros.detections import to_detection_array
from sim_perception.ros.detector_inputs import read_detector_input
from sim_perception.ros.images import IMAGE_TOPICS, INFO_TOPIC
from sim_perception.ros.lifecycle import WorkerNode, node_main
from sim_perception.ros.markers import box_markers
from sim_perception.ros.parameters import Detector3dParameters
from sim_perception.ros.stamps import StampGuard
from sim_perception.ros.sync import Synchronizer, SyncSettings
from sim_perception.ros.tf import TransformLookup

NAME = 'detector_3d'
PLACE_TOPICS: dict[str, tuple[str, type, str]] = {
    'lidar': ('lidar/points', PointCloud2, 'detector3d'),
    'depth': ('depth/image', Image, 'detector3d_camera'),
}
"""Topic, type and shipped checkpoint by the parameter ``points``."""


class Detector3dNode(WorkerNode[Detector3dParameters]):
    """Detects on the newest pair of image and scan; detections carry the image's stamp.

    Markers are made only while someone subscribes to them.
    """

    preparation = 'loading the network'

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, Detector3dParameters, **options)
        self._engine: Detector3dEngine | None = None
        self._output: Any = None
        self._markers: Any = None
        self._inputs: list[Any] = []
        self._calibration: Calibration | None = None
        self._transforms: TransformLookup | None = None

    def prepare(self, parameters: Detector3dParameters) -> Detector3dEngine:
        """Load the checkpoint and run it once."""
        p = parameters
        shipped = PLACE_TOPICS[p.points][2]
        folder = (
            Path(p.detector_checkpoint) if p.detector_checkpoint else share_path('models', shipped)
        )
        engine = Detector3dEngine.load(folder, device=p.device, threads=p.threads or None)
        engine.warm_up(warm_up_frame())
        return engine

    def setup(self) -> None:
        """Create the publishers."""
        self._engine = self.prepared
        self._output = qos.advertise(self, Detection3DArray, '~/detections', qos.stream_qos())
        self._markers = qos.advertise(self, MarkerArray, '~/markers', qos.stream_qos())

    def teardown(self) -> None:
        """Free the network and the publishers."""
        self._engine = None
        for publisher in (self._output, self._markers):
            if publisher is not None:
                self.destroy_lifecycle_publisher(publisher)
        self._output = self._markers = None

    def start(self) -> None:
        """Subscribe and start the worker."""
        p = self.parameters
        self.stamps = StampGuard(p.jump_threshold)
        self._transforms = TransformLookup(self, p.tf_timeout)
        topics = [PLACE_TOPICS[p.points][:2]]
        if p.image_transport != 'none':
            topics.append(IMAGE_TOPICS[p.image_transport])
        settings = SyncSettings(slop=p.sync_slop, queue_size=10, jump=p.jump_threshold)
        self._sync = Synchronizer(len(topics), self._on_set, settings, self._on_unmatched)
        self._topics = [self.resolve_topic_name(topic) for topic, _ in topics]
        lost, sensor = self.diagnostics.lost, qos.sensor_qos
        callbacks = [self._on_place, self._on_image]
        self._inputs = [
            qos.subscribe(self, kind, topic, callback, sensor(), lost)
            for (topic, kind), callback in zip(topics, callbacks, strict=False)
        ]
        self._calibration = Calibration(self, INFO_TOPIC, p.rectified, *self._topics)
        self.diagnostics.expect(*self._topics, timeout=p.input_timeout)
        super().start()

    def stop(self) -> None:
        """Unsubscribe and stop the worker."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()
        if self._calibration is not None:
            self._calibration.close()
            self._calibration = None
        super().stop()
        if self._transforms is not None:
            self._transforms.close()
            self._transforms = None

    def reset(self) -> None:
        """Forget transforms; the synchroniser forgets by itself, as stamps tell it."""
        if self._transforms is not None:
            self._transforms.reset()

    def _on_place(self, message: Any) -> None:
        self.diagnostics.received(self._topics[0])
        self._take(0, message)

    def _on_image(self, message: Any) -> None:
        self.diagnostics.heard(self._topics[1])
        self._take(1, message)

    def _take(self, number: int, message: Any) -> None:
        if len(self._topics) == 1:
            self._on_set((message,))
        else:
            self._sync.put(number, message)

    def _on_set(self, messages: Sequence[Any]) -> None:
        self.submit(messages)

    def _on_unmatched(self, number: int) -> None:
        self.diagnostics.dropped(number)
        if number and (why := self._sync.explain(self._topics)):
            self.report(why)

    def process(self, item: Sequence[Any]) -> None:
        """Detect in one scan and image, and publish what is found."""
        place, *images = item
        self.check_stamp(place.header)
        assert self._engine is not None
        assert self._transforms is not None
        assert self._calibration is not None
        self._engine.threshold = self.parameters.min_score
        begin = time.perf_counter()
        seen = read_detector_input(
            *(place, images[0] if images else None, self._calibration),
            *(self.parameters, self._transforms.lookup),
        )
        found = self._engine.detect(seen.frame, seen.image)
        work = time.perf_counter() - begin
        stamp = stamp_to_ns(seen.stamp)
        header = Header(stamp=seen.stamp, frame_id=self.parameters.level_frame)
        detections = to_detection_array(found, self._engine.taxonomy, header)
        self._output.publish(detections)
        if qos.is_wanted(self._markers):
            self._markers.publish(box_markers(detections, self._engine.taxonomy))
        points = int(np.isfinite(seen.frame.points).all(1).sum())
        self.diagnostics.note(points=str(points), lens=lens_text(seen.camera, always=True))
        self.diagnostics.published(self.age(stamp), work)


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return node_main(Detector3dNode, __doc__, Detector3dParameters, arguments)


if __name__ == '__main__':
    sys.exit(main())
