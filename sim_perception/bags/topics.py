"""The one table of topics: name, message type, quality of service, what it needs to be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from sim_perception.suggestions import unknown

#: Frame ids. In simulation ``map`` and ``odom`` coincide with the simulated world.
MAP_FRAME = 'map'
ODOM_FRAME = 'odom'
BASE_FRAME = 'base_link'
CAMERA_FRAME = 'camera_optical_frame'
LIDAR_FRAME = 'lidar'


class QosHint(Enum):
    """How a topic is offered.

    ``SENSOR``: volatile, newest data only. ``RELIABLE``: volatile, every message matters.
    ``LATCHED``: the last message is kept for late subscribers.
    """

    SENSOR = 'sensor'
    RELIABLE = 'reliable'
    LATCHED = 'latched'


@dataclass(frozen=True)
class Topic:
    """One topic.

    Attributes:
        name: absolute name, as in bags; a node drops the leading slash of its own inputs.
        type: ROS 2 message type, ``package/msg/Name``.
        qos: how it is offered.
        layer: the renderer's pixel layer it is made from, or ''.
        frame_id: the frame of its header, or '' where the type has no header.
    """

    name: str
    type: str
    qos: QosHint = QosHint.SENSOR
    layer: str = ''
    frame_id: str = ''


_IMAGE = 'sensor_msgs/msg/Image'
_CLOUD = 'sensor_msgs/msg/PointCloud2'
_TF = 'tf2_msgs/msg/TFMessage'

IMAGE = Topic('/camera/image_raw', _IMAGE, layer='rgb', frame_id=CAMERA_FRAME)
IMAGE_COMPRESSED = Topic(
    '/camera/image_raw/compressed',
    'sensor_msgs/msg/CompressedImage',
    layer='rgb',
    frame_id=CAMERA_FRAME,
)
CAMERA_INFO = Topic('/camera/camera_info', 'sensor_msgs/msg/CameraInfo', frame_id=CAMERA_FRAME)
POINTS = Topic('/lidar/points', _CLOUD, frame_id=LIDAR_FRAME)
TF = Topic('/tf', _TF, QosHint.RELIABLE)
TF_STATIC = Topic('/tf_static', _TF, QosHint.LATCHED)
CLOCK = Topic('/clock', 'rosgraph_msgs/msg/Clock')
DEPTH = Topic('/ground_truth/depth', _IMAGE, layer='depth', frame_id=CAMERA_FRAME)
SEMANTIC = Topic('/ground_truth/semantic', _IMAGE, layer='semantic', frame_id=CAMERA_FRAME)
INSTANCE = Topic('/ground_truth/instance', _IMAGE, layer='instance', frame_id=CAMERA_FRAME)
NORMALS = Topic('/ground_truth/normals', _IMAGE, layer='normals', frame_id=CAMERA_FRAME)
FLOW = Topic('/ground_truth/flow', _IMAGE, layer='flow', frame_id=CAMERA_FRAME)
LABEL_INFO = Topic(
    '/ground_truth/label_info',
    'vision_msgs/msg/LabelInfo',
    QosHint.LATCHED,
    frame_id=CAMERA_FRAME,
)
OBJECTS = Topic(
    '/ground_truth/objects',
    'vision_msgs/msg/Detection3DArray',
    QosHint.RELIABLE,
    frame_id=ODOM_FRAME,
)
OBJECTS_2D = Topic(
    '/ground_truth/objects_2d',
    'vision_msgs/msg/Detection2DArray',
    QosHint.RELIABLE,
    frame_id=CAMERA_FRAME,
)
OBJECT_STATES = Topic('/ground_truth/object_states', _CLOUD, QosHint.RELIABLE, frame_id=ODOM_FRAME)
#: Only of scenarios whose traffic lights switch.
TRAFFIC_LIGHTS = Topic(
    '/ground_truth/traffic_lights',
    'vision_msgs/msg/Detection3DArray',
    QosHint.RELIABLE,
    frame_id=ODOM_FRAME,
)

#: Sent once, at the start.
STATIC_TOPICS = (TF_STATIC, LABEL_INFO)
#: Made from the LiDAR's scan.
LIDAR_TOPICS = (POINTS,)
#: Made from one rendered camera frame and the true state at its time.
CAMERA_TOPICS = (
    IMAGE,
    IMAGE_COMPRESSED,
    CAMERA_INFO,
    DEPTH,
    SEMANTIC,
    INSTANCE,
    NORMALS,
    FLOW,
    OBJECTS,
    OBJECTS_2D,
    OBJECT_STATES,
    TRAFFIC_LIGHTS,
)
#: The ego's pose; cheap, so sent more often than frames.
POSE_TOPICS = (TF,)

#: Every topic by name.
TOPICS = {
    topic.name: topic
    for topic in (*STATIC_TOPICS, *POSE_TOPICS, *CAMERA_TOPICS, *LIDAR_TOPICS, CLOCK)
}


def topic(name: str, table: Mapping[str, Topic] = TOPICS) -> Topic:
    """Return a topic of a table; the leading slash may be missing.

    Raises:
        KeyError: for an unknown name, listing the known ones.
    """
    found = table.get('/' + name.lstrip('/'))
    if found is None:
        raise KeyError(unknown('topic', name, table))
    return found
