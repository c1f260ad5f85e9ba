"""Turns an evaluation SPEC into samples with truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import truth_topic
from sim_perception.geometry.cameras import crop_camera
from training.datasets.bags.lidar import CameraLidarBag
from training.datasets.clips import Timeline
from training.datasets.images.folders import camvid
from training.datasets.kitti.scans import KittiScans
from training.datasets.kitti.stereo import KittiStereo
from training.datasets.sample import DatasetError, Sample, Samples
from training.datasets.simulated.bags import SimulatedBags
from training.datasets.simulated.rendered import RenderedScenarios
from training.datasets.spec import Kinds, Spec
from training.metrics.depth import garg_mask, valid_truth

_LAYERS = ('depth', 'semantic', 'instance', 'normals', 'flow')

MAX_DEPTH = 80.0
"""Truth beyond it does not count, metres: KITTI's custom, kept for all data."""


@dataclass(frozen=True)
class EvaluationData:
    """A choice of samples whose depth truth is ready to be scored.

    Attributes:
        samples: the whole data set.
        indices: which of them count.
        garg: score depth inside the Garg crop only.
        crop: share of width and height, about the middle, that the network gets to see. The
            focal length stays, relative to the image it grows: as if by another camera.
        window: share of width and height whose depth counts while the network sees all.
    """

    samples: Samples
    indices: tuple[int, ...]
    garg: bool = False
    crop: float = 1.0
    window: float = 1.0

    def __len__(self) -> int:
        """Return the number of chosen samples."""
        return len(self.indices)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples; depth that shall not count is NaN."""
        for index in self.indices:
            sample = self.samples[index]
            if sample.depth is not None:
                counts = valid_truth(sample.depth, MAX_DEPTH)
                if self.garg:
                    counts &= garg_mask(*sample.depth.shape)
                inside = np.zeros_like(counts)
                inside[middle(counts, self.window)] = True
                counts &= inside
                depth = np.where(counts, sample.depth, np.nan).astype(np.float32)
                sample = replace(sample, depth=depth)
            yield sample if self.crop == 1 else cropped(sample, self.crop)


def middle(image: npt.NDArray[Any], share: float) -> tuple[slice, slice]:
    """Return the rows and columns about the middle of an image that are a share of each side.

    Raises:
        DatasetError: if the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise DatasetError(f'the share of the image that is kept must be in (0, 1], got {share}')
    height, width = image.shape[:2]
    h, w = max(1, round(height * share)), max(1, round(width * share))
    y, x = (height - h) // 2, (width - w) // 2
    return slice(y, y + h), slice(x, x + w)


def cropped(sample: Sample, share: float) -> Sample:
    """Return the middle of a sample's image, truth and camera.

    Raises:
        DatasetError: if the share is not in (0, 1].
    """
    rows, columns = middle(sample.image, share)
    layers: dict[str, Any] = {name: getattr(sample, name) for name in _LAYERS}
    camera = sample.camera and crop_camera(
        sample.camera,
        columns.start,
        rows.start,
        columns.stop - columns.start,
        rows.stop - rows.start,
    )
    cut: dict[str, Any] = {
        k: None if layer is None else layer[rows, columns] for k, layer in layers.items()
    }
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[rows, columns]),
        camera=camera,
        **cut,
    )


def evenly(count: int, limit: int | None) -> tuple[int, ...]:
    """Return at most ``limit`` indices spread evenly over ``range(count)``."""
    if limit is None or limit >= count:
        return tuple(range(count))
    return tuple(sorted({round(i) for i in np.linspace(0, count - 1, limit)}))


def open_spec(spec: str, limit: int | None = None, crop: float = 1.0) -> EvaluationData:
    """Return the data that a SPEC names, at most ``limit`` samples spread evenly over it.

    Args:
        spec: see ``KINDS``.
        limit: greatest number of samples, or None.
        crop: see ``EvaluationData``.

    Raises:
        DatasetError: for an unknown kind, or data that is absent or unusable.
        BagError: for a bag that cannot be read or lacks topics.
    """
    opener, parts = KINDS.find(spec)
    data = opener(parts)
    picked = tuple(data.indices[place] for place in evenly(len(data), limit))
    return replace(data, indices=picked, crop=crop)


def _all_of(samples: Samples, garg: bool = False) -> EvaluationData:
    return EvaluationData(samples, tuple(range(len(samples))), garg)


def _rendered(spec: Spec) -> EvaluationData:
    return _all_of(RenderedScenarios(spec.scenario, spec.seeds))


def _bag(spec: Spec) -> EvaluationData:
    """Return a bag's samples; depth from LiDAR is scored in the Garg crop."""
    path, sensors = spec.path, spec.sensors
    with BagReader(path, sensors) as bag:
        simulated = bag.count(truth_topic(bag, topics.DEPTH)) > 0
    samples = (
        SimulatedBags([path], sensors=sensors)
        if simulated
        else CameraLidarBag(Path(path), sensors)
    )
    chosen = Timeline.unknown(len(samples)).numbered(spec.frames)
    return EvaluationData(samples, tuple(chosen.tolist()), garg=not simulated)


def _camvid(spec: Spec) -> EvaluationData:
    samples = camvid(spec.rest)
    if samples.labels is None:
        raise DatasetError(f'no labels for {spec.rest}: there is no folder {spec.rest}annot')
    return _all_of(samples)


def _kitti_stereo(spec: Spec) -> EvaluationData:
    pairs = KittiStereo(spec.path, MAX_DEPTH)
    return EvaluationData(pairs, tuple(pairs.timeline().numbered(spec.frames).tolist()))


def _kitti_object(spec: Spec) -> EvaluationData:
    """Return the frames of a KITTI object folder, their scans' depth in the Garg crop."""
    scans = KittiScans(spec.path)
    chosen = Timeline.unknown(len(scans)).numbered(spec.frames)
    return EvaluationData(scans, tuple(chosen.tolist()), garg=True)


KINDS = Kinds({
    'sim': ('sim:SCENARIO[:SEEDS] (rendered on the fly, e.g. sim:target:0-3)', _rendered),
    'bag': (
        'bag:DIR[#FRAMES] (depth truth from /ground_truth/depth, else LiDAR in the Garg crop)',
        _bag,
    ),
    'camvid': ('camvid:DIR/SPLIT (labels in DIR/SPLITannot)', _camvid),
    'kitti_stereo': (
        'kitti_stereo:DIR[#FRAMES] (depth truth from stereo matching; #28-39: only those frames '
        'of each sequence)',
        _kitti_stereo,
    ),
    'kitti_object': (
        'kitti_object:DIR[#FRAMES] (depth truth from the scans, in the Garg crop)', _kitti_object,
    ),
})  # fmt: skip
