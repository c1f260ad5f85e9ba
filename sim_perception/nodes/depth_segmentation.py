"""The ``depth_segmentation`` node: camera images in, metric depth and classes out.

Examples:
  ros2 launch sim_perception depth_segmentation.launch.py
  ros2 run sim_perception depth_segmentation --ros-args -p checkpoint:=runs/mine/best \\
      -r camera/image_raw:=/front/image_raw -r camera/camera_info:=/front/camera_info
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from sim_perception.bags.images import rgb_image
from sim_perception.geometry.cameras import pixel_rays
from sim_perception.geometry.rectification import lens_text
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.road_scale import road_scale_text
from sim_perception.odometry.integration import Mounting
from sim_perception.resources import share_path
from sim_perception.ros import qos
from sim_perception.ros.calibration import Calibration
from sim_perception.ros.clouds import colored_points, to_cloud
from sim_perception.ros.conversions import (
    check_camera_fits,
    stamp_to_ns,
    to_camera_info,
    to_image,
)
from sim_perception.ros.detections import to_label_info
from sim_perception.ros.images import IMAGE_TOPICS, INFO_TOPIC
from sim_perception.ros.lifecycle import WorkerNode, node_main
from sim_perception.ros.odometry import OdometryOutput
from sim_perception.ros.parameters import DepthSegmentationParameters
from sim_perception.ros.stamps import StampGuard
from sim_perception.types import Camera, DepthSegmentation, Frame

NAME = 'depth_segmentation'
# Heights of cameras above the road that are believed, metres.
_HEIGHTS = 0.3, 5.0
_WARM_UP_CAMERA = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)


class DepthSegmentationNode(WorkerNode[DepthSegmentationParameters]):
    """Runs the depth + segmentation engine on the newest image.

    Outputs carry the header of their image. The coloured segmentation, the confidences, the
    points and the odometry are made only while someone subscribes to them.
    """

    preparation = 'loading the network'

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, DepthSegmentationParameters, **options)
        self._engine: DepthSegmentationEngine | None = None
        self._publishers_by_name: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._calibration: Calibration | None = None
        self._rays: tuple[Camera, np.ndarray] | None = None
        self._odometry: OdometryOutput | None = None

    def prepare(self, parameters: DepthSegmentationParameters) -> DepthSegmentationEngine:
        """Load the checkpoint and run it once."""
        folder = (
            Path(parameters.checkpoint)
            if parameters.checkpoint
            else share_path('models', 'depth_segmentation')
        )
        engine = DepthSegmentationEngine.load(
            folder,
            device=parameters.device,
            precision=parameters.precision,
            backend=parameters.backend,
            threads=parameters.threads or None,
        )
        engine.warm_up(_WARM_UP_CAMERA)
        return engine

    def setup(self) -> None:
        """Create the publishers."""
        self._engine = self.prepared
        assert self._engine is not None
        self._palette = self._engine.taxonomy.palette()
        for name, message_type in self._output_types().items():
            latched = name == 'segmentation/label_info'
            profile = qos.latched_qos() if latched else qos.output_qos()
            self._publishers_by_name[name] = qos.advertise(
                self, message_type, f'~/{name}', profile
            )

    def _output_types(self) -> dict[str, type]:
        """Return the topics that this engine can fill."""
        assert self._engine is not None
        types = {
            'depth/image': Image,
            'depth/camera_info': CameraInfo,
            'segmentation/image': Image,
            'segmentation/label_info': LabelInfo,
            'segmentation/color': Image,
            'segmentation/confidence': Image,
            'points': PointCloud2,
            'odometry': Odometry,
        }
        if self._engine.predicts_uncertainty:
            types['depth/confidence'] = Image
        return types

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
        self._calibration = Calibration(
            *(self, INFO_TOPIC, parameters.rectified, self._image_topic)
        )
        lost = self.diagnostics.lost
        self._inputs = [
            qos.subscribe(self, message_type, topic, self._on_image, qos.sensor_qos(), lost),
        ]
        self.diagnostics.expect(self._image_topic, timeout=parameters.input_timeout)
        header = Header(stamp=self.get_clock().now().to_msg())
        assert self._engine is not None
        self._odometry = OdometryOutput(
            *(self, self._engine, parameters.odometry_frame, parameters.base_frame)
        )
        self._publish('segmentation/label_info', to_label_info(self._engine.taxonomy, header))
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
        if self._odometry is not None:
            self._odometry.close()
            self._odometry = None

    def reset(self) -> None:
        """Forget where the odometry was."""
        if self._odometry is not None:
            self._odometry.reset()

    def _on_image(self, message: Any) -> None:
        self.diagnostics.received(self._image_topic)
        self.submit(message)

    def process(self, item: Any) -> None:
        """Infer one image and publish what it shows."""
        assert self._engine is not None
        assert self._calibration is not None
        self.check_stamp(item.header)
        image = rgb_image(item)
        camera = self._calibration.camera(image)
        check_camera_fits(camera, image)
        stamp = stamp_to_ns(item.header.stamp)
        begin = time.perf_counter()
        frame = Frame(stamp, image, camera, item.header.frame_id)
        confidence = self._wants('segmentation/confidence') or self._wants('depth/confidence')
        assert self._odometry is not None
        mounting = self._odometry.mounting(item.header)
        self._engine.road_scale.camera_height = self._camera_height(mounting)
        result = self._engine.infer(frame, confidence=confidence, mask_sky=True)
        odometry = None
        if self.parameters.odometry or self._wants('odometry'):
            odometry = self._odometry.message(item.header, mounting, frame, result)
        inference = time.perf_counter() - begin
        self._publish('depth/image', to_image(result.depth, '32FC1', item.header))
        self._publish('depth/camera_info', to_camera_info(camera, item.header))
        self._publish('segmentation/image', to_image(result.segmentation, 'mono8', item.header))
        self.diagnostics.note(lens=lens_text(camera))
        self.diagnostics.published(self.age(stamp), inference)
        if odometry is not None:
            self._publish('odometry', odometry)
        self._publish_on_demand(item.header, image, camera, result)

    def _camera_height(self, mounting: Mounting) -> float | None:
        """Return the camera's height above the road by parameter or transform; None if unknown."""
        height = self.parameters.camera_height or mounting.height
        known = height is not None and _HEIGHTS[0] < height < _HEIGHTS[1]
        assert self._engine is not None
        scale = self._engine.road_scale
        self.diagnostics.note(**{'depth scale': road_scale_text(scale)})
        return height if known else None

    def _wants(self, name: str) -> bool:
        publisher = self._publishers_by_name.get(name)
        return publisher is not None and qos.is_wanted(publisher)

    def _publish(self, name: str, message: Any) -> None:
        self._publishers_by_name[name].publish(message)

    def _publish_on_demand(
        self, header: Header, image: np.ndarray, camera: Camera, result: DepthSegmentation
    ) -> None:
        for name, confidence in (
            ('segmentation/confidence', result.confidence),
            ('depth/confidence', result.depth_confidence),
        ):
            if confidence is not None and self._wants(name):
                self._publish(name, to_image(confidence, '32FC1', header))
        if self._wants('segmentation/color'):
            color = self._palette[result.segmentation]
            self._publish('segmentation/color', to_image(color, 'rgb8', header))
        if self._wants('points'):
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
