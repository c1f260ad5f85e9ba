"""The verb ``translate``: a simulated bag with images in the style of another domain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from torch.nn import functional

from sim_perception.bags import topics as t_
from sim_perception.bags.images import rgb_image
from sim_perception.bags.messages import (
    StampedMessage,
    compressed_image_message,
    image_message,
)
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import cameras
from sim_perception.bags.typestore import serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.inference.backend import choose_device
from sim_perception.inference.preprocess import PreprocessConfig, normalize
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.translation import MULTIPLE, TranslationNet
from training.engine.command import command_line

JPEG_QUALITY = 95


class Translator:
    """Translates images with a checkpoint's generator.

    Args:
        checkpoint: folder of a ``translation`` network.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        CheckpointError: for an unusable checkpoint or one of another network.
    """

    def __init__(self, checkpoint: Path, device: str = 'auto') -> None:
        found = load_checkpoint(checkpoint, network='translation')
        assert isinstance(found.net, TranslationNet)
        self.device = choose_device(device)
        self.net = found.net.to(self.device)
        self.preprocess = PreprocessConfig.from_dict(found.preprocess)

    @torch.inference_mode()
    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the (H, W, 3) uint8 RGB image of the other domain, of the same size."""
        height, width = image.shape[:2]
        x = normalize(np.array(image[None]), self.preprocess).to(self.device)
        # a few mirrored rows and columns instead of a resize, which would blur
        margin = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        y = self.net(functional.pad(x, margin, mode='reflect'))[0, :, :height, :width]
        mean = y.new_tensor(self.preprocess.mean).view(3, 1, 1)
        std = y.new_tensor(self.preprocess.std).view(3, 1, 1)
        pixels = (y * std + mean).round().clamp(0, 255).byte()
        return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def translate(bag: Path, checkpoint: Path, output: Path, device: str = 'auto') -> int:
    """Copy a bag with its camera images translated; all else, labels too, stays as it is.

    The same call gives equal messages, also after a run that was killed and left nothing: bags
    appear when they are complete.

    Args:
        bag: with ``/camera/image_raw``, raw or compressed.
        checkpoint: a run's ``translator`` folder.
        output: the new bag, which must not exist.
        device: see ``Translator``.

    Returns:
        The number of translated images.

    Raises:
        BagError: for an unreadable bag or one without images.
        CheckpointError: for an unusable checkpoint.
        FileExistsError: if ``output`` exists.
    """
    translator = Translator(checkpoint, device)
    with BagReader(bag) as reader:
        images = _images(reader)
        if not images:
            reader.require(t_.IMAGE.name)
        total = sum(topic.count for topic in reader.topics.values())
        custom = {'translated_by': command_line()}
        done = dict.fromkeys(images, 0)
        with BagWriter(output, custom=custom) as writer:
            for topic in reader.topics.values():
                known = t_.TOPICS.get(topic.name)
                writer.add_topic(known or t_.Topic(topic.name, topic.type))
            messages = track(
                reader.messages(),
                f'translating {bag.name}',
                total,
                console=Console(stderr=True),
            )
            for name, stamp, data in messages:
                if name in done:
                    message = reader.parsed(name, data)
                    image = translator(rgb_image(message))
                    data = _message(
                        reader.topics[name].type == t_.IMAGE_COMPRESSED.type,
                        image,
                        stamp,
                        message.header.frame_id,
                    )
                    done[name] += 1
                writer.write(StampedMessage(name, stamp, data))
    return sum(done.values())


def _images(bag: BagReader) -> list[str]:
    """Return the topics of the images of all cameras, raw and compressed."""
    found = {camera.image.removesuffix('/compressed') for camera in cameras(bag)}
    return [
        topic
        for name in sorted(found)
        for topic in (name, f'{name}/compressed')
        if bag.count(topic)
    ]


def _message(
    compressed: bool, image: npt.NDArray[np.uint8], stamp: int, frame_id: str
) -> memoryview:
    if compressed:
        return serialize(compressed_image_message(image, stamp, frame_id, JPEG_QUALITY))
    return serialize(image_message(image, stamp, frame_id))
