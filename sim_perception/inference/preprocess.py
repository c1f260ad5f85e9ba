"""From a camera image to a network's input: the one path, shared by training and run time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sim_perception.files import typed
from sim_perception.geometry.cameras import centred_camera, resize_camera
from sim_perception.geometry.rectification import is_bent, rectify
from sim_perception.types import Camera, Frame

# A change of aspect ratio hurts more than a change of area: it deforms what the network knows.
ASPECT_WEIGHT = 4.0
# Largest input area relative to the configured one, also for absurd aspect ratios.
AREA_SLACK = 1.25
# Up to this area relative to the configured one an image is not shrunk: that costs more detail
# (classes of 480x360 lose a twentieth of their mIoU) than it saves.
KEPT_AREA = 1.5
# Largest logarithm by which cutting to multiples may then change the aspect ratio.
KEPT_ASPECT = 0.05


@dataclass(frozen=True)
class PreprocessConfig:
    """How images become network inputs; saved with every checkpoint.

    Attributes:
        pixels: area of the network's input; a camera's images keep their aspect ratio as far as
            ``multiple`` allows (see ``network_size``).
        multiple: width and height are multiples of this.
        size: fixed (width, height) instead, or None.
        mean, std: normalisation of RGB values in 0..255: those of the network's encoder.
        default_focal_ratio: focal length over image width assumed for an unknown camera
            (0.9 is a horizontal field of view of 58 degrees, usual for dash cameras).
    """

    pixels: int = 640 * 192
    multiple: int = 32
    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    default_focal_ratio: float = 0.9

    def __post_init__(self) -> None:
        if self.multiple < 1 or self.pixels < self.multiple**2:
            raise ValueError(
                f'need pixels >= multiple^2 and multiple >= 1, '
                f'got pixels={self.pixels} multiple={self.multiple}'
            )
        if self.size is not None and any(n < 1 or n % self.multiple for n in self.size):
            raise ValueError(f'size {self.size} must be multiples of {self.multiple}')
        if min(self.std) <= 0:
            raise ValueError(f'std must be positive, got {self.std}')
        if self.default_focal_ratio <= 0:
            raise ValueError(
                f'default_focal_ratio must be positive, got {self.default_focal_ratio}'
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML; ``from_dict`` is the inverse."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PreprocessConfig:
        """Build a configuration from plain values.

        Raises:
            ValueError: for an unknown key or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(
                f'unknown preprocess settings {", ".join(unknown)}; known: {", ".join(known)}'
            )
        return typed(cls, dict(values), 'preprocess settings')


class NetworkInput(NamedTuple):
    """A batch of normalised images of one size.

    Attributes:
        image: (B, 3, H, W) float32 in channels_last layout.
        focal: (B,) float32 focal lengths in pixels of these (resized) images.
        cameras: the resized cameras.
    """

    image: Tensor
    focal: Tensor
    cameras: tuple[Camera, ...]


def check_image(image: Any) -> npt.NDArray[np.uint8]:
    """Return the image if it is (H, W, 3) uint8 and not empty.

    Raises:
        ValueError: saying what is wrong and how to mend it.
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(f'image is a {type(image).__name__}; need a numpy array (H, W, 3) uint8')
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'image has shape {image.shape}; need (height, width, 3) RGB: '
            'convert grey or four-channel images first'
        )
    if image.dtype != np.uint8:
        raise ValueError(f'image has type {image.dtype}; need uint8 values 0..255')
    if image.size == 0:
        raise ValueError(f'image is empty ({image.shape[1]}x{image.shape[0]} pixels)')
    return image


def default_camera(width: int, height: int, config: PreprocessConfig) -> Camera:
    """Return the camera assumed for images without calibration; depth scale is then a guess."""
    return centred_camera(width, height, config.default_focal_ratio)


def frame_camera(frame: Frame, config: PreprocessConfig) -> Camera:
    """Return the frame's camera, or the default one when it is unknown.

    Raises:
        ValueError: if the camera was calibrated for another image size.
    """
    height, width = frame.image.shape[:2]
    if frame.camera is None:
        return default_camera(width, height, config)
    if (frame.camera.width, frame.camera.height) != (width, height):
        raise ValueError(
            f'image is {width}x{height} but its calibration is for '
            f'{frame.camera.width}x{frame.camera.height}; resize the camera with the image'
        )
    return frame.camera


@cache
def network_size(width: int, height: int, config: PreprocessConfig) -> tuple[int, int]:
    """Return the (width, height) at which the network sees images of the given size.

    Among multiples of ``config.multiple`` it is the pair that best keeps the aspect ratio and
    the area ``config.pixels``, e.g. 1242x375 -> 640x192, 960x540 -> 448x256. Images that are
    little larger keep their size, e.g. 480x360 -> 480x352.
    """
    if config.size is not None:
        return config.size
    step = config.multiple
    aspect = width / height
    w, h = width // step * step, height // step * step
    kept = config.pixels < w * h <= KEPT_AREA * config.pixels
    if kept and abs(math.log(w / h / aspect)) <= KEPT_ASPECT:
        return w, h
    ideal = math.sqrt(config.pixels * aspect)
    candidates = []
    for w in range(step, int(2 * ideal) + 2 * step, step):
        low = max(int(w / aspect) // step, 1) * step
        highest = int(AREA_SLACK * config.pixels / w) // step * step
        for h in {min(low, highest), min(low + step, highest)} - {0}:
            cost = ASPECT_WEIGHT * abs(math.log(w / h / aspect)) + abs(
                math.log(w * h / config.pixels)
            )
            candidates.append((cost, w, h))
    _, w, h = min(candidates)
    return w, h


def resize_image(image: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 without aliasing: area averaging when shrinking, else bilinear."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = width < image.shape[1] and height < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def focal_length(camera: Camera) -> float:
    """Return the one focal length that stands for fx and fy: their geometric mean."""
    return math.sqrt(camera.fx * camera.fy)


def normalize(images: npt.NDArray[np.uint8], config: PreprocessConfig) -> Tensor:
    """Return (B, H, W, 3) uint8 images as a normalised (B, 3, H, W) channels_last tensor."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    mean = torch.tensor(config.mean).view(1, 3, 1, 1)
    std = torch.tensor(config.std).view(1, 3, 1, 1)
    return tensor.sub_(mean).div_(std)


def straight(frame: Frame, config: PreprocessConfig) -> Frame:
    """Return a frame as networks see it: rectified where its lens bends much.

    What they say of its pixels is for ``rectification.restore``.
    """
    camera = frame_camera(frame, config)
    if not is_bent(camera):
        return replace(frame, camera=camera)
    return replace(frame, image=rectify(camera, frame.image), camera=camera.ideal)


def preprocess(frames: Sequence[Frame], config: PreprocessConfig) -> NetworkInput:
    """Turn frames of one image size into a network input; see ``straight``.

    Raises:
        ValueError: for a malformed image, a camera of another size, frames of several sizes or
            no frames.
    """
    if not frames:
        raise ValueError('no frames given')
    images = [check_image(frame.image) for frame in frames]
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        raise ValueError(f'frames of one batch must have one size, got {sorted(sizes)}')
    width, height = network_size(images[0].shape[1], images[0].shape[0], config)
    seen = [straight(frame, config) for frame in frames]
    cameras = tuple(resize_camera(frame_camera(f, config), width, height) for f in seen)
    batch = np.stack([resize_image(frame.image, width, height) for frame in seen])
    focal = torch.tensor([focal_length(camera) for camera in cameras], dtype=torch.float32)
    return NetworkInput(normalize(batch, config), focal, cameras)
