"""The ``auto_labeler`` node: image boxes, LiDAR or images in, 3D boxes with shape out.

Examples:
  ros2 launch sim_perception auto_labeler.launch.py image_boxes:=/my_detector/boxes
  ros2 run sim_perception auto_labeler --ros-args -p mode:=mono
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.export import export_frames
from sim_perception.autolabel.labeler import ShapeLabeler, load_labeler
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.autolabel.surfaces import surface_of
from sim_perception.bags.images import rgb_image
from sim_perception.geometry.rectification import lens_text, rectify
from sim_perception.resources import share_path
from sim_perception.ros import qos
from sim_perception.ros.calibration import Calibration
from sim_perception.ros.conversions import check_camera_fits, ns_to_stamp, stamp_to_ns
from sim_perception.ros.diagnostics import describe_error
from sim_perception.ros.images import IMAGE_TOPICS, INFO_TOPIC
from sim_perception.ros.label_inputs import read_input
from sim_perception.ros.labels import mesh_markers, to_label_array
from sim_perception.ros.lifecycle import WorkerNode, node_main
from sim_perception.ros.parameters import AutoLabelerParameters
from sim_perception.ros.stamps import StampGuard
from sim_perception.ros.sync import Synchronizer, SyncSettings
from sim_perception.ros.tf import TransformLookup
from sim_perception.ros.tracks import parse_class_map
from sim_perception.ros.wire import Packed
from sim_perception.taxonomy import load_taxonomy

NAME = 'auto_labeler'
DETECTIONS_TOPIC, POINTS_TOPIC = 'detections_2d', 'lidar/points'
_TYPES: dict[str, type] = {'labels': Detection3DArray, 'meshes': MarkerArray}
_MESH_SPACING = 0.15
"""Of live meshes, metres: coarser than exported ones."""


def input_streams(mode: str, image_transport: str) -> list[tuple[str, type]]:
    """Return topic and type of what a mode matches by stamp, detections first."""
    streams: list[tuple[str, type]] = [(DETECTIONS_TOPIC, Detection2DArray)]
    if mode != 'mono':
        streams.append((POINTS_TOPIC, PointCloud2))
    if mode != 'lidar':
        streams.append(IMAGE_TOPICS[image_transport])
    return streams


class AutoLabelerNode(WorkerNode[AutoLabelerParameters]):
    """Labels the newest frame within a budget of time; the largest objects come first.

    Only accepted labels are published; the diagnostics count the others by reason. Meshes are
    made only while someone subscribes to them.
    """

    work_name = 'labelling'
    preparation = 'compiling the fit (half a minute the first time, then a few seconds)'

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, AutoLabelerParameters, **options)
        self._labeler: ShapeLabeler | None = None
        self._outputs: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._calibration: Calibration | None = None
        self._transforms: TransformLookup | None = None
        self._paused = False
        self._counts: Counter[str] = Counter()
        self._kept: deque[LabelledFrame] = deque()
        self._lock = threading.Lock()
        self._offered: list[Any] = []

    def prepare(self, parameters: AutoLabelerParameters) -> ShapeLabeler:
        """Load the shape space and networks, and compile the fit."""
        p = parameters
        config, image = LabelConfig(mirrors=p.mirrors), p.mode != 'lidar'
        labeler = load_labeler(
            p.mode,
            _folder(p.shape_checkpoint, 'shape_car'),
            coordinates=_folder(p.coordinates_checkpoint, 'surface_coordinates') if image else '',
            depth=_folder(p.depth_checkpoint, 'depth_segmentation') if image else None,
            config=config,
            device=p.device,
            refine=p.refine,
        )
        labeler.warm_up()
        return labeler

    def setup(self) -> None:
        """Make publishers and services."""
        p = self.parameters
        self._labeler = self.prepared
        self._taxonomy = load_taxonomy()
        self._class_ids = parse_class_map(p.class_map, self._taxonomy)
        self._kept = deque(maxlen=p.keep_frames)
        self._counts.clear()
        for name, message_type in _TYPES.items():
            self._outputs[name] = qos.advertise(self, message_type, f'~/{name}', qos.stream_qos())
        self._offered = [
            self.create_service(Trigger, '~/export', self._on_export),
            self.create_service(SetBool, '~/pause', self._on_pause),
        ]

    def teardown(self) -> None:
        """Free the shape space, the publishers, the services and the kept frames."""
        self._labeler = None
        for publisher in self._outputs.values():
            self.destroy_lifecycle_publisher(publisher)
        self._outputs.clear()
        for service in self._offered:
            self.destroy_service(service)
        self._offered.clear()
        with self._lock:
            self._kept.clear()

    def start(self) -> None:
        """Subscribe and start the worker."""
        p = self.parameters
        self.stamps = StampGuard(p.jump_threshold)
        self._transforms = TransformLookup(self, p.tf_timeout)
        settings = SyncSettings(slop=p.sync_slop, queue_size=10, jump=p.jump_threshold)
        streams = input_streams(p.mode, p.image_transport)
        self._sync = Synchronizer(len(streams), self._on_set, settings, self._on_unmatched)
        self._topics = [self.resolve_topic_name(topic) for topic, _ in streams]
        lost, sensor = self.diagnostics.lost, qos.sensor_qos
        self._inputs = [
            qos.subscribe(
                self,
                kind,
                topic,
                partial(self._on_input, k),
                sensor(),
                lost,
                raw=topic == DETECTIONS_TOPIC,
            )
            for k, (topic, kind) in enumerate(streams)
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

    def _on_input(self, number: int, message: Any) -> None:
        if number == 0:
            self.diagnostics.received(self._topics[0])
            message = Packed(message, Detection2DArray)
        else:
            self.diagnostics.heard(self._topics[number])
        self._sync.put(number, message)

    def _on_unmatched(self, number: int) -> None:
        self.diagnostics.dropped(number)
        if number and (why := self._sync.explain(self._topics)):
            self.report(why)

    def _on_set(self, messages: Any) -> None:
        if self._paused:
            self.diagnostics.dropped()
        else:
            self.submit(messages)

    def process(self, item: Any) -> None:
        """Label one frame and publish what was accepted."""
        begin = time.perf_counter()
        packed, *others = item
        detections = packed.unpack()
        cloud = next((one for one in others if isinstance(one, PointCloud2)), None)
        images = [rgb_image(one) for one in others if one is not cloud]
        self.check_stamp(detections.header)
        labeler, transforms = self._labeler, self._transforms
        assert labeler is not None
        assert transforms is not None
        assert self._calibration is not None
        camera = self._calibration.camera(images[0] if images else None)
        seen = read_input(
            *(detections, cloud, camera, self._class_ids, labeler.class_id, self.parameters),
            transforms.lookup,
        )
        image = None
        if images:
            check_camera_fits(camera, images[0])
            image = rectify(camera, images[0])
        if seen.invalid:
            self.report(
                f'{seen.invalid} image boxes were not used: a place, size or score is not a '
                'number or out of range; correct the detector'
            )
        found = labeler.label(seen.frame, seen.boxes, self.parameters.time_budget, image)
        labels = tuple(replace(one, id=i) for one, i in zip(found, seen.ids, strict=True))
        stamp = stamp_to_ns(detections.header.stamp)
        frame = LabelledFrame(
            name=f'{stamp}',
            stamp=stamp,
            camera=seen.frame.camera,
            camera_T_level=np.asarray(seen.frame.camera_T_level),
            labels=labels,
            world_T_level=seen.world_T_level,
            level_frame=self.parameters.level_frame,
            camera_frame=detections.header.frame_id,
            world_frame=self.parameters.fixed_frame,
        )
        # Boxes without a fit say nothing later, and a crowd of them in every frame fills memory.
        fitted = tuple(label for label in labels if label.box3d is not None)
        with self._lock:
            self._kept.append(replace(frame, labels=fitted))
        self._explain(frame)
        self.diagnostics.note(lens=lens_text(camera, always=True))
        self._publish(frame, Header(stamp=ns_to_stamp(stamp), frame_id=frame.level_frame))
        self.diagnostics.published(self.age(stamp), time.perf_counter() - begin)

    def _explain(self, frame: LabelledFrame) -> None:
        """Count acceptance and reasons in the diagnostics."""
        self._counts.update(
            'accepted' if label.accepted else f'rejected_{label.reason}' for label in frame.labels
        )
        facts = {name: str(count) for name, count in self._counts.items()}
        facts['objects'] = str(sum(self._counts.values()))
        self.diagnostics.note(**facts)

    def _publish(self, frame: LabelledFrame, header: Header) -> None:
        labels = frame.accepted
        self._outputs['labels'].publish(to_label_array(labels, self._taxonomy, header))
        if qos.is_wanted(self._outputs['meshes']):
            assert self._labeler is not None
            surfaces = [surface_of(one, self._labeler.shapes, _MESH_SPACING) for one in labels]
            markers = mesh_markers(labels, surfaces, self._taxonomy, header)
            self._outputs['meshes'].publish(markers)

    def _on_pause(self, request: Any, response: Any) -> Any:
        self._paused = bool(request.data)
        self.diagnostics.note(paused=str(self._paused).lower())
        response.success = True
        response.message = 'paused' if self._paused else 'labelling'
        return response

    def _on_export(self, _request: Any, response: Any) -> Any:
        with self._lock:
            frames = list(self._kept)
        assert self._labeler is not None
        folder = Path(self.parameters.export_folder).expanduser()
        try:
            if not frames:
                raise ValueError('nothing is labelled yet')
            folder = folder / f'labels_{frames[-1].stamp}'
            shapes = {self._labeler.class_id: self._labeler.shapes}
            export_frames(frames, folder, self._taxonomy, shapes)
        except (OSError, ValueError, ImportError) as error:
            response.success, response.message = False, describe_error(error)
            self.report(f'cannot export: {response.message}')
            return response
        response.success = True
        response.message = f'{len(frames)} frames in {folder.resolve()}'
        return response


def _folder(chosen: str, name: str) -> Path:
    return Path(chosen) if chosen else share_path('models', name)


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return node_main(AutoLabelerNode, __doc__, AutoLabelerParameters, arguments)


if __name__ == '__main__':
    sys.exit(main())
