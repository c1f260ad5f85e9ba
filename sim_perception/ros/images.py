"""Camera images as nodes take them: raw or compressed, with their calibration."""

from __future__ import annotations

from sensor_msgs.msg import CompressedImage, Image

INFO_TOPIC = 'camera/camera_info'
IMAGE_TOPICS: dict[str, tuple[str, type]] = {
    'raw': ('camera/image_raw', Image),
    'compressed': ('camera/image_raw/compressed', CompressedImage),
}
"""Topic and type by the parameter ``image_transport``."""


def camera_topic(topic: str, camera: str) -> str:
    """Return a camera's own topic: of the camera ``front``, ``camera/image_raw`` is
    ``front/image_raw`` and ``detections`` is ``front/detections``.
    """
    return f'{camera}/{topic.removeprefix("camera/")}'
