"""Unlabelled images with the classes that several networks agree on.

Networks that learnt from different data err in different places, and each sees large things better
in a small image and small ones in a large one; the product of their answers is right more often
than any one of them. What they are not sure of is left unknown. What
all of them believe wrongly can be put right by what is known of things: a pole wider than poles
are is a pillar or a dark shop front, and so of a building.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from sim_perception.geometry.rectification import rectify, restore
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.loading import load_network
from sim_perception.models.checkpoint import fingerprint
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, Frame
from training.datasets.image_store import ImageStore
from training.datasets.sample import IGNORE, Sample
from training.engine.config import Section
from training.tasks.guda.taught_images import engines_at

#: Areas of the teachers' inputs, in parts of their configured area.
AREAS = (1.4, 2.2)
#: The likeliest class counts where it is so many times as likely as the second.
MARGIN = 1.5

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


class ClassTeachersConfig(Section):
    """Who labels real images once and for all, and what is known better."""

    folders: list[str] = Field(default_factory=list)
    """Checkpoint folders of networks whose common answer counts; empty switches this off."""
    bias: dict[str, float] = Field(default_factory=dict)
    """Name of a class -> what is added to its log probability."""
    widest: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    """Name of a class -> its greatest width, in parts of the image's..."""
    wider: dict[str, str] = Field(default_factory=dict)
    """...and the class of what is wider; unknown if not named."""
    store: str | None = None
    """Folder that keeps the labels from run to run."""

    def check(self, taxonomy: Taxonomy) -> None:
        """Make sure that these teachers can be asked.

        Raises:
            CheckpointError: if a folder is not an intact checkpoint, or its classes are others.
            KeyError: if there is no class of a name, or what is wider than nothing is named.
        """
        if lacking := sorted(set(self.wider) - set(self.widest)):
            raise KeyError(f'wider names {", ".join(lacking)}, widest does not')
        for name in (*self.bias, *self.widest, *self.wider, *self.wider.values()):
            taxonomy.id_of(name)
        for folder in self.folders:
            load_network(folder, 'depth_segmentation', taxonomy)


class ClassTeachers:
    """What several checkpoints together see, over sizes of the image and its mirror image.

    Their probabilities count as they are, without calibration. They are loaded in the process
    that first needs them.

    Args:
        config: which, and what is known better.

    Raises:
        CheckpointError: if a folder has no manifest of a checkpoint.
    """

    def __init__(self, config: ClassTeachersConfig) -> None:
        self.config = config
        self._store = ImageStore(config.store)
        rules = config.model_dump(exclude={'store', 'folders'})
        who = [fingerprint(folder) for folder in config.folders]
        self._how = f'{who} {rules} {AREAS} {MARGIN}'
        self._engines: list[DepthSegmentationEngine] = []

    def labels(self, sample: Sample, camera: Camera) -> Labels:
        """Return (H, W) class ids of an image, ``IGNORE`` where unsure.

        Args:
            sample: the image.
            camera: its camera, known or assumed.

        Raises:
            CheckpointError: if a folder is not an intact checkpoint, or their classes differ.
        """
        key = f'classes {self._how} {sample.sequence} {sample.name} {camera}'
        return self._store.of(key, lambda: self._ask(sample.image, camera))

    def _ask(self, image: npt.NDArray[np.uint8], camera: Camera) -> Labels:
        if not self._engines:
            taxonomy = None
            for folder in self.config.folders:
                self._engines += engines_at(folder, AREAS, taxonomy)
                taxonomy = self._engines[0].taxonomy
        straight, seen = rectify(camera, image), camera.ideal
        return restore(camera, self._common(straight, seen), IGNORE)

    def _common(self, image: npt.NDArray[np.uint8], camera: Camera) -> Labels:
        mirrored = replace(camera, cx=camera.width - 1 - camera.cx)
        flipped = np.ascontiguousarray(image[:, ::-1])
        size = camera.width, camera.height
        taxonomy, config = self._engines[0].taxonomy, self.config
        total = np.zeros((camera.height, camera.width, len(taxonomy)), np.float32)
        for engine in self._engines:
            seen = engine.class_probabilities(Frame(0, image, camera))
            total += _log_at(seen, size)
            seen = engine.class_probabilities(Frame(0, flipped, mirrored))
            total += _log_at(seen[..., ::-1], size)
        mean = total / (2 * len(self._engines))
        for name, value in config.bias.items():
            mean[..., taxonomy.id_of(name)] += value
        order = np.argpartition(mean, -2, axis=-1)[..., -2:]
        second, first = np.moveaxis(np.take_along_axis(mean, order, -1), -1, 0)
        labels = order[..., 1].astype(np.uint8)
        labels[first - second < np.log(MARGIN)] = IGNORE
        for name, width in config.widest.items():
            other = config.wider.get(name)
            wide = too_wide(labels == taxonomy.id_of(name), round(width * camera.width))
            labels[wide] = IGNORE if other is None else taxonomy.id_of(other)
        return labels


def _log_at(probabilities: Array, size: tuple[int, int]) -> Array:
    """Return (H, W, classes) logarithms of (classes, h, w) probabilities, resized."""
    cells = np.ascontiguousarray(np.moveaxis(probabilities, 0, -1))
    resized = cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)
    return np.log(np.maximum(resized, 1e-4))


def too_wide(mask: npt.NDArray[np.bool_], widest: int) -> npt.NDArray[np.bool_]:
    """Return where a (H, W) mask is wider than so many pixels in a row."""
    row = np.ones((1, widest + 1), np.uint8)
    starts = cv2.erode(
        mask.astype(np.uint8), row, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return cv2.dilate(starts, row, anchor=(widest, 0)) > 0
