"""Unlabelled images with the classes that several networks agree on.

Networks that learnt from different data err in different places, and each sees large things better
in a small image and small ones in a large one; the product of their answers is right more often
than any one of them. What they are not sure of is left unknown, and so are poles wider than
poles are: a network that has learnt dark shop fronts to be poles is sure of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.loading import load_network
from sim_perception.models.depth_segmentation import DepthSegmentationNet
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, Frame
from training.datasets.frames import UnlabelledImages
from training.datasets.image_store import ImageStore
from training.datasets.sample import IGNORE, DatasetError
from training.datasets.views.appearance import LabelledImage

#: Areas of the teachers' inputs, in parts of their configured area.
AREAS = (1.4, 2.2)
#: The likeliest class counts where it is so many times as likely as the second.
MARGIN = 1.5

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


class ClassTeachers:
    """What several checkpoints together see, over sizes of the image and its mirror image.

    Args:
        folders: the checkpoints.
        widest: name of a class -> its greatest width, in parts of the image's width.

    Raises:
        CheckpointError: if a folder is not an intact checkpoint, or their classes differ.
        KeyError: if there is no class of a name.
    """

    def __init__(self, folders: Sequence[Path | str], widest: Mapping[str, float]) -> None:
        self._engines: list[DepthSegmentationEngine] = []
        taxonomy: Taxonomy | None = None
        for folder in folders:
            loaded, usual = load_network(folder, 'depth_segmentation', taxonomy)
            taxonomy = loaded.taxonomy
            self._engines += [
                DepthSegmentationEngine(
                    cast(DepthSegmentationNet, loaded.net),
                    taxonomy,
                    replace(usual, pixels=round(area * usual.pixels)),
                    device='cpu',
                    precision='float32',
                )
                for area in AREAS
            ]
        assert taxonomy is not None
        self._widest = {taxonomy.id_of(name): width for name, width in widest.items()}

    def labels(self, image: npt.NDArray[np.uint8], camera: Camera) -> Labels:
        """Return (H, W) class ids, ``IGNORE`` where unsure or too wide."""
        mirrored = replace(camera, cx=camera.width - 1 - camera.cx)
        flipped = np.ascontiguousarray(image[:, ::-1])
        size = camera.width, camera.height
        total = np.zeros((camera.height, camera.width, 1), np.float32)
        for engine in self._engines:
            seen = engine.class_probabilities(Frame(0, image, camera))
            total = total + _log_at(seen, size)
            seen = engine.class_probabilities(Frame(0, flipped, mirrored))
            total += _log_at(seen[..., ::-1], size)
        mean = total / (2 * len(self._engines))
        order = np.argpartition(mean, -2, axis=-1)[..., -2:]
        second, first = np.moveaxis(np.take_along_axis(mean, order, -1), -1, 0)
        labels = order[..., 1].astype(np.uint8)
        labels[first - second < np.log(MARGIN)] = IGNORE
        for number, width in self._widest.items():
            labels[too_wide(labels == number, round(width * camera.width))] = IGNORE
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


class ClassTaughtImages:
    """Images of a source with the classes that teachers see, by index; depth is unknown.

    The teachers are loaded in the process that first needs them.

    Args:
        images: the images.
        teachers: their checkpoint folders.
        widest: see ``ClassTeachers``.
        store: keeps the classes.
    """

    def __init__(
        self,
        images: UnlabelledImages,
        teachers: Sequence[str],
        widest: Mapping[str, float],
        store: ImageStore,
    ) -> None:
        self.images, self.folders, self.store = images, list(teachers), store
        self.widest = dict(widest)
        self._teachers: ClassTeachers | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> LabelledImage:
        """Return one image with the classes.

        Raises:
            DatasetError: if the camera is unknown.
            CheckpointError: if a teacher's folder is not an intact checkpoint.
        """
        sample = self.images[index]
        camera = sample.camera
        if camera is None:
            raise DatasetError(f'{sample.name}: the camera is unknown; give its focal_ratio')
        key = f'classes {self.folders} {self.widest} {sample.sequence} {sample.name} {camera}'
        labels = self.store.of(key, lambda: self._ask(sample.image, camera))
        unknown = np.full(sample.image.shape[:2], np.nan, np.float32)
        return LabelledImage(sample.image, unknown, labels, camera)

    def _ask(self, image: npt.NDArray[np.uint8], camera: Camera) -> Labels:
        if self._teachers is None:
            self._teachers = ClassTeachers(self.folders, self.widest)
        return self._teachers.labels(image, camera)
