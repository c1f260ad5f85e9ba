"""Folders of images, with label images or without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from sim_perception.types import Camera
from training.datasets.images.files import list_images, read_plain, read_rgb
from training.datasets.sample import IGNORE, DatasetError, LabelSpace, Sample

#: CamVid's id of pixels without a label.
CAMVID_UNLABELLED = 11


class ImageFolder(Dataset[Sample]):
    """Images in name order, perhaps with label images of the same stem.

    Args:
        folder: the images.
        labels: folder of one-channel PNGs; None for unlabelled images.
        unlabelled: label values from here on become 255.
        label_space: what label values mean.
        camera: the intrinsics of all images, if known.

    Raises:
        DatasetError: if a folder, or the label of an image, is missing.
    """

    def __init__(
        self,
        folder: Path | str,
        labels: Path | str | None = None,
        unlabelled: int = IGNORE,
        label_space: LabelSpace = 'taxonomy',
        camera: Camera | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.images = list_images(self.folder)
        self.labels = None if labels is None else self._match(Path(labels))
        self.unlabelled = unlabelled
        self.label_space: LabelSpace = label_space
        self.camera = camera

    def _match(self, labels: Path) -> list[Path]:
        paths = [labels / f'{image.stem}.png' for image in self.images]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise DatasetError(
                f'{len(missing)} of {len(paths)} images in {self.folder} have no labels; the '
                f'first should be {missing[0]}'
            )
        return paths

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """Return one image with its labels.

        Raises:
            DatasetError: if a file is unreadable or the labels have another size.
        """
        path = self.images[index]
        image = read_rgb(path)
        semantic = None
        if self.labels is not None:
            semantic = read_plain(self.labels[index])
            if semantic.shape != image.shape[:2]:
                raise DatasetError(
                    f'{self.labels[index]} has shape {semantic.shape}, its image {image.shape[:2]}'
                )
            semantic = np.where(semantic >= self.unlabelled, IGNORE, semantic).astype(np.uint8)
        return Sample(
            image=image,
            camera=self.camera,
            depth=None,
            semantic=semantic,
            name=path.stem,
            sequence=str(self.folder),
            index=index,
        )


def camvid(split: Path | str) -> ImageFolder:
    """Open ``DIR/SPLIT`` of CamVid, labelled if ``DIR/SPLITannot`` exists.

    Labels keep CamVid's ids 0 to 10; 'unlabelled' becomes 255.
    """
    split = Path(split)
    annotations = split.with_name(f'{split.name}annot')
    labels = annotations if annotations.is_dir() else None
    return ImageFolder(split, labels, CAMVID_UNLABELLED, 'camvid')
