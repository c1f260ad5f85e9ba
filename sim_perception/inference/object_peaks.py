"""From the permanence network's maps to objects: peaks, 3D boxes, one object in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sim_perception.geometry.lenses import slopes_of
from sim_perception.geometry.transforms import make_transform
from sim_perception.models.permanence import BOX_UNIT, OUTPUT_STRIDE, PermanenceOutput
from sim_perception.types import Box3D, Camera

Array = npt.NDArray[np.floating]

#: Detections of one frame.
MAX_DETECTIONS = 100
#: Two objects whose centres are nearer than this share of the shorter one's length are one.
CLOSEST = 0.4
#: Visible share from which an image box tells how far an object is.
APPARENT_VISIBILITY = 0.3
#: Iterations for the depth at which a box appears as tall as it does.
APPARENT_STEPS = 3


class Peaks(NamedTuple):
    """What the network says at the centres it found in one image, K of them, best first.

    Attributes:
        thing: (K,) place in ``PermanenceConfig.things``.
        score: (K,) in [0, 1].
        centre: (K, 2) x, y in pixels of the network's input.
        box: (K, 4) x1, y1, x2, y2 in the same pixels, amodal.
        previous: (K, 2) where the centre was in the image before.
        visibility: (K,) visible fraction.
        depth: (K,) metres along the optical axis.
        size: (K, 3) length, width, height in metres.
        heading: (K,) observation angle in radians, see ``PermanenceOutput.heading``.
    """

    thing: npt.NDArray[np.int64]
    score: Array
    centre: Array
    box: Array
    previous: Array
    visibility: Array
    depth: Array
    size: Array
    heading: Array


def highest_cells(
    heat: Tensor, threshold: float, limit: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the maxima of 3 x 3 cells above a threshold, the highest first.

    Args:
        heat: (things, h, w) logits.
        threshold: smallest score.
        limit: greatest number of maxima.

    Returns:
        (K,) scores in [0, 1], things, rows and columns.
    """
    heat = heat.float().sigmoid()
    highest = functional.max_pool2d(heat[None], 3, 1, 1)[0]
    kept = torch.where(heat == highest, heat, 0.0).flatten()
    score, place = kept.topk(min(limit, kept.numel()))
    place = place[score >= threshold]
    score = score[score >= threshold]
    height, width = heat.shape[-2:]
    cell = place % (height * width)
    return score, place // (height * width), cell // width, cell % width


def find_peaks(
    output: PermanenceOutput, threshold: float, limit: int = MAX_DETECTIONS, number: int = 0
) -> Peaks:
    """Return the objects of one image of a batch: maxima of 3 x 3 cells above a threshold.

    Args:
        output: the network's predictions.
        threshold: smallest score.
        limit: greatest number of objects.
        number: of the image in the batch.
    """
    score, thing, row, column = highest_cells(output.heat[number], threshold, limit)

    def at(values: Tensor) -> Array:
        return values[number].float()[:, row, column].T.double().cpu().numpy()

    middle = torch.stack([column, row], 1).double().cpu().numpy()
    position = middle + at(output.offset)
    centre = (position + 0.5) * OUTPUT_STRIDE - 0.5
    reach = np.exp(at(output.box).clip(-5, 8)) * BOX_UNIT
    heading = at(output.heading)
    return Peaks(
        thing=thing.cpu().numpy(),
        score=score.double().cpu().numpy(),
        centre=centre,
        box=np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], 1),
        previous=centre + at(output.displacement) * OUTPUT_STRIDE,
        visibility=1 / (1 + np.exp(-at(output.visibility)[:, 0].clip(-50, 50))),
        depth=np.exp(at(output.log_depth)[:, 0].clip(-5, 8)),
        size=np.exp(at(output.log_size).clip(-4, 4)),
        heading=np.arctan2(heading[:, 0], heading[:, 1]),
    )


def with_apparent_size(peaks: Peaks, camera: Camera) -> Peaks:
    """Return the peaks with depths that agree better with how tall the objects appear.

    At which depth a box of this size is as tall in the image as the image box says is a second
    estimate, whose errors have little to do with those of the depth head; the geometric mean of
    the two replaces the head's. Objects that the image border cuts or that are hidden keep
    theirs: their image box is a guess.

    Args:
        peaks: in pixels of ``camera``.
        camera: of the network's input.
    """
    x1, y1, x2, y2 = peaks.box.T
    whole = (x1 >= 0) & (y1 >= 0) & (x2 <= camera.width - 1) & (y2 <= camera.height - 1)
    whole &= peaks.visibility >= APPARENT_VISIBILITY
    depth = peaks.depth
    for _ in range(APPARENT_STEPS):
        depth = depth * _apparent_height(peaks, depth, camera) / np.maximum(y2 - y1, 1.0)
    return peaks._replace(depth=np.where(whole, np.sqrt(depth * peaks.depth), peaks.depth))


def _apparent_height(peaks: Peaks, depth: Array, camera: Camera) -> Array:
    """Return the (K,) pixels from the highest to the lowest corner of boxes at these depths."""
    slopes = slopes_of(camera, peaks.centre)
    azimuth = peaks.heading + np.arctan(slopes[:, 0])
    length, width, height = peaks.size.T
    # from the box's middle to its nearest and to its farthest corner
    reach = (length * abs(np.cos(azimuth)) + width * abs(np.sin(azimuth))) / 2
    low, high = slopes[:, 1] * depth + height / 2, slopes[:, 1] * depth - height / 2
    near, far = np.maximum(depth - reach, depth / 4), depth + reach
    lowest = low / np.where(low > 0, near, far)
    highest = high / np.where(high > 0, far, near)
    return np.asarray(camera.fy * (lowest - highest))


def boxes_3d(peaks: Peaks, camera: Camera) -> list[Box3D]:
    """Return the boxes in the optical frame of the camera whose pixels the peaks are in.

    They stand upright in the image: their z axis is the camera's upwards (-y). Heading is the
    observation angle turned by the line of sight's own (Mousavian et al., "3D bounding box
    estimation using deep learning and geometry", CVPR 2017, section 3).
    """
    slopes = slopes_of(camera, peaks.centre)
    points = np.concatenate([slopes, np.ones((len(slopes), 1))], 1) * peaks.depth[:, None]
    azimuth = peaks.heading + np.arctan2(points[:, 0], points[:, 2])
    return [
        Box3D(make_transform(upright(angle), point), (float(s[0]), float(s[1]), float(s[2])))
        for angle, point, s in zip(azimuth, points, peaks.size, strict=True)
    ]


def apart(boxes: Sequence[Box3D]) -> list[int]:
    """Return which boxes, the surest first, do not stand where a surer one stands.

    Nothing can: a large object often has several peaks, or one for each of two classes. Unlike
    overlap in the image this keeps objects that hide one another.
    """
    points = np.array([box.parent_T_box[:3, 3] for box in boxes]).reshape(-1, 3)
    lengths = np.array([box.size[0] for box in boxes])
    kept: list[int] = []
    for number, point in enumerate(points):
        away = np.linalg.norm(points[kept] - point, axis=1)
        if (away >= CLOSEST * np.minimum(lengths[kept], lengths[number])).all():
            kept.append(number)
    return kept


def upright(azimuth: float) -> Array:
    """Return the (3, 3) rotation of an upright box to the optical frame.

    Args:
        azimuth: of the box's x axis, radians: 0 points away from the camera, to the right is
            positive.
    """
    sin, cos = math.sin(azimuth), math.cos(azimuth)
    return np.array([[sin, -cos, 0.0], [0.0, 0.0, -1.0], [cos, sin, 0.0]])
