"""Camera images as nodes take them: raw or compressed, with their calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image

from sim_perception.ros.conversions import compressed_to_rgb, to_rgb

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


def message_rgb(message: Any) -> npt.NDArray[np.uint8]:
    """Return the (H, W, 3) RGB image of an ``Image`` or ``CompressedImage``.

    Raises:
        ValueError: for an unknown encoding or damaged data.
    """
    return compressed_to_rgb(message) if isinstance(message, CompressedImage) else to_rgb(message)
