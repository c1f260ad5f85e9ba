"""Real stereo pairs as images with depth: what both images' matches agree on."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from training.datasets.bags.camera import CameraBags
from training.datasets.bags.stereo import StereoBags
from training.datasets.image_store import DepthStore
from training.datasets.kitti.stereo import KittiStereo, stereo_depth
from training.datasets.sample import IGNORE, DatasetError
from training.datasets.sources import SourceConfig, open_source
from training.datasets.views.appearance import LabelledImage


class StereoImages:
    """Left and right images of rectified pairs, each with its own matched depth, by index.

    Even indices are left images, odd ones the right images of the same pairs. Depth is NaN where
    the matches of both directions disagree; every pixel's class is unknown. A pair is matched
    when it is first needed.

    Args:
        pairs: the sequences or recordings.
        indices: the pairs to take.
        store: keeps the depth.
    """

    def __init__(
        self, pairs: KittiStereo | StereoBags, indices: Sequence[int], store: DepthStore
    ) -> None:
        self.pairs, self.indices, self.store = pairs, tuple(indices), store

    def __len__(self) -> int:
        """Return the number of images, two for each pair."""
        return 2 * len(self.indices)

    def __getitem__(self, index: int) -> LabelledImage:
        """Return one image with its depth.

        Raises:
            DatasetError: if an image of the pair is unreadable.
        """
        number, is_right = self.indices[index // 2], bool(index % 2)
        sample = self.pairs.right(number) if is_right else self.pairs[number]
        if sample.camera is None:
            raise DatasetError(f'{sample.name} has no camera')
        unknown = np.full(sample.image.shape[:2], IGNORE, np.uint8)
        key = f'stereo {sample.sequence} {sample.name}'
        depth = self.store.of(key, lambda: self._match(number, is_right))
        return LabelledImage(sample.image, depth, unknown, sample.camera)

    def _match(self, number: int, is_right: bool) -> npt.NDArray[np.float32]:
        left, right = self.pairs[number], self.pairs.right(number)
        assert left.camera is not None
        left_grey, right_grey = (
            np.asarray(cv2.cvtColor(side.image, cv2.COLOR_RGB2GRAY), np.uint8)
            for side in (left, right)
        )
        baseline = -float(self.pairs.right_T_left(number)[0, 3])
        if not is_right:
            return stereo_depth(left_grey, right_grey, left.camera.fx, baseline)
        # In a mirror the right camera is the left one.
        first, second = (np.ascontiguousarray(side[:, ::-1]) for side in (right_grey, left_grey))
        return stereo_depth(first, second, left.camera.fx, baseline)[:, ::-1]


def open_stereo(config: SourceConfig, store: DepthStore) -> StereoImages:
    """Return the pairs of a stereo source as images with depth.

    Raises:
        DatasetError: if the source is unusable or has no stereo pairs.
    """
    source = open_source(config.spec, truth=False)
    indices = source.chosen(config.frames)[:: config.stride].tolist()
    if isinstance(source.samples, KittiStereo):
        return StereoImages(source.samples, indices, store)
    if not isinstance(source.samples, CameraBags):
        raise DatasetError(
            f'{config.spec} has no stereo pairs; data.real_stereo takes kitti_stereo:DIR or '
            'bag:DIR,camera=LEFT'
        )
    pairs = StereoBags(source.samples, source.spec.path, source.spec.sensors)
    return StereoImages(pairs, [i for i in indices if pairs.has_right(i)], store)
