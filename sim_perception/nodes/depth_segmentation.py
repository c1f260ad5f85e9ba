"""The ``depth_segmentation`` node: camera images in, metric depth and classes out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from sim_perception.geometry.cameras import pixel_rays
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.resources import share_path
from sim_perception.ros import qos
from sim_perception.ros.clouds import colored_points, to_cloud
from sim_perception.ros.conversions import (
    check_camera_fits,
    compressed_to_rgb,
    stamp_to_ns,
    to_camera,
    to_camera_info,
    to_image,
    to_rgb,
)
from sim_perception.ros.detections import to_label_info
from sim_perception.ros.lifecycle import StampGuard, WorkerNode, node_main
from sim_perception.ros.parameters import DepthSegmentationParameters
from sim_perception.types import Camera, DepthSegmentation, Frame

NAME = 'depth_segmentation'
INFO_TOPIC = 'camera/camera_info'
_WARM_UP_CAMERA = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)
IMAGE_TOPICS = {
    'raw': ('camera/image_raw', Image),
    'compressed': ('camera/image_raw/compressed', CompressedImage),
}


class DepthSegmentationNode(WorkerNode[DepthSegmentationParameters]):
    """Runs the depth + segmentation engine on the newest image.

    Outputs carry the header of their image. The coloured segmentation and the points are made
    only while someone subscribes to them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, DepthSegmentationParameters, **options)
        self._engine: DepthSegmentationEngine | None = None
        self._publishers_by_name: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._info: CameraInfo | None = None
        self._rays: tuple[Camera, np.ndarray] | None = None

    def setup(self) -> None:
        """Load the checkpoint, run it once and create the publishers."""
        parameters = self.parameters
        folder = (
            Path(parameters.checkpoint)
            if parameters.checkpoint
            else share_path('models', 'depth_segmentation')
        )
        self._engine = DepthSegmentationEngine.load(
            folder,
            device=parameters.device,
            precision=parameters.precision,
            backend=parameters.backend,
            threads=parameters.threads or None,
        )
        self._engine.warm_up(_WARM_UP_CAMERA)
        self._palette = self._engine.taxonomy.palette()
        for name, message_type, profile in (
            ('depth/image', Image, qos.output_qos()),
            ('depth/camera_info', CameraInfo, qos.output_qos()),
            ('segmentation/image', Image, qos.output_qos()),
            ('segmentation/label_info', LabelInfo, qos.latched_qos()),
            ('segmentation/color', Image, qos.output_qos()),
            ('points', PointCloud2, qos.output_qos()),
        ):
            self._publishers_by_name[name] = qos.advertise(
                self, message_type, f'~/{name}', profile
            )

    def teardown(self) -> None:
        """Free the network and the publishers."""
        self._engine = None
        for publisher in self._publishers_by_name.values():
            self.destroy_lifecycle_publisher(publisher)
        self._publishers_by_name.clear()

    def start(self) -> None:
        """Subscribe and start the worker."""
        parameters = self.parameters
        self.stamps = StampGuard(parameters.jump_threshold)
        topic, message_type = IMAGE_TOPICS[parameters.image_transport]
        self._image_topic = self.resolve_topic_name(topic)
        self._info_topic = self.resolve_topic_name(INFO_TOPIC)
        lost = self.diagnostics.lost
        self._inputs = [
            qos.subscribe(self, message_type, topic, self._on_image, qos.sensor_qos(), lost),
            qos.subscribe(self, CameraInfo, INFO_TOPIC, self._on_info, qos.sensor_qos()),
        ]
        self.diagnostics.expect(self._image_topic, timeout=parameters.input_timeout)
        header = Header(stamp=self.get_clock().now().to_msg())
        assert self._engine is not None
        self._publish('segmentation/label_info', to_label_info(self._engine.taxonomy, header))
        super().start()

    def stop(self) -> None:
        """Unsubscribe and stop the worker."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()
        self._info = None
        super().stop()

    def _on_image(self, message: Any) -> None:
        self.diagnostics.received(self._image_topic)
        self.submit(message)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def process(self, item: Any) -> None:
        """Infer one image and publish what it shows."""
        assert self._engine is not None
        info = self._info
        if info is None:
            raise ValueError(
                f'no CameraInfo on {self._info_topic}; metric depth needs the calibration: '
                'publish it or remap camera/camera_info'
            )
        self.check_stamp(item.header)
        image = compressed_to_rgb(item) if isinstance(item, CompressedImage) else to_rgb(item)
        camera = to_camera(info)
        check_camera_fits(camera, image)
        stamp = stamp_to_ns(item.header.stamp)
        begin = time.perf_counter()
        frame = Frame(stamp, image, camera, item.header.frame_id)
        result = self._engine.infer(frame, mask_sky=True)
        inference = time.perf_counter() - begin
        self._publish('depth/image', to_image(result.depth, '32FC1', item.header))
        self._publish('depth/camera_info', to_camera_info(camera, item.header))
        self._publish('segmentation/image', to_image(result.segmentation, 'mono8', item.header))
        self.diagnostics.published(self.age(stamp), inference)
        self._publish_on_demand(item.header, image, camera, result)

    def _publish(self, name: str, message: Any) -> None:
        self._publishers_by_name[name].publish(message)

    def _publish_on_demand(
        self, header: Header, image: np.ndarray, camera: Camera, result: DepthSegmentation
    ) -> None:
        if qos.is_wanted(self._publishers_by_name['segmentation/color']):
            color = self._palette[result.segmentation]
            self._publish('segmentation/color', to_image(color, 'rgb8', header))
        if qos.is_wanted(self._publishers_by_name['points']):
            stride = self.parameters.points_stride
            depth = result.depth[::stride, ::stride]
            near = np.isfinite(depth) & (depth <= self.parameters.points_max_depth)
            xyz = self._rays_of(camera)[::stride, ::stride][near] * depth[near, None]
            points = colored_points(xyz, image[::stride, ::stride][near])
            self._publish('points', to_cloud(points, header))

    def _rays_of(self, camera: Camera) -> np.ndarray:
        if self._rays is None or self._rays[0] != camera:
            self._rays = camera, pixel_rays(camera).astype(np.float32)
        return self._rays[1]


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return node_main(DepthSegmentationNode, __doc__, DepthSegmentationParameters, arguments)


if __name__ == '__main__':
    sys.exit(main())
