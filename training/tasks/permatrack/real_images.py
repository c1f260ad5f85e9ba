"""Real images without labels as training samples: what two teachers agree on, or neither sees.

The permanence network of an earlier round proposes objects, or another detector does by a file of
its boxes; a depth and segmentation network says of what class their pixels are. Where both agree
there is an object; where classes show nothing of the kind there is none; all else is left open.
Centres and image boxes are taught: no image says how far, how large or where hidden an object is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from sim_perception.geometry.boxes import iou_2d
from sim_perception.inference.loading import load_network
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.inference.preprocess import preprocess
from sim_perception.models.depth_segmentation import DepthSegmentationNet
from sim_perception.models.permanence import OUTPUT_STRIDE
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, Detection, Frame
from training.datasets.bags.track_clips import viewed_boxes
from training.datasets.sample import DatasetError
from training.datasets.sources import SourceConfig, open_images
from training.datasets.views.views import View
from training.engine.config import Section
from training.tasks.permatrack.maps import MIN_SPREAD, SPREAD, image_values, padded, splat
from training.tasks.permatrack.seen_boxes import read_seen_boxes

Array = npt.NDArray[np.floating]

#: Classes that one teacher takes for each other, and so vote together.
GROUPS = (('pedestrian', 'cyclist'), ('car', 'truck'))
#: Cells of the class maps by which a doubt spreads.
_SPREAD_DOUBT = 2
#: Boxes of one kind that overlap more are of one object...
_SAME = 0.5
#: ...and so is one of which more lies in another.
_PART = 0.7
#: A box that is as near to an image's edge is perhaps of a part of an object, pixels.
_EDGE = 3.0


class TeacherConfig(Section):
    """Who teaches real images, and when they are believed."""

    objects: str = 'models/permanence'
    """Checkpoint folder of the network that proposes objects..."""
    classes: str = 'models/depth_segmentation'
    """...and of the one that says what pixels are."""
    pixels: int = Field(default=276480, ge=1024)
    """Area at which both look at an image."""
    score: float = Field(default=0.3, ge=0, le=1)
    """Least score of a proposal..."""
    agreement: float = Field(default=0.5, ge=0, le=1)
    """...and least mean probability of its kind in the middle of its box, for an object."""
    doubt: float = Field(default=0.2, ge=0, le=1)
    """Where a kind is more probable than this, nothing says that there is none."""
    seen_score: dict[str, float] = Field(
        default_factory=lambda: {'car': 0.45, 'truck': 0.5, 'pedestrian': 0.3, 'cyclist': 0.3}
    )
    """Of images whose boxes another detector's file tells: least score of a proposal of it, by
    class..."""
    seen_agreement: float = Field(default=0.4, ge=0, le=1)
    """...its ``agreement``..."""
    unseen_doubt: float = Field(default=0.5, ge=0, le=1)
    """...and ``doubt`` where the file has no box of the kind at all, of whatever score."""


class ObservedConfig(SourceConfig):
    """Real images, perhaps with what another detector sees in them."""

    boxes: str = ''
    """File of that detector's boxes (COCO JSON, ``score`` with each), low scores too. Its images
    are known by their names; what it does not name is taught as without a file."""


@dataclass(frozen=True)
class Agreed:
    """What is believed of one image.

    Attributes:
        thing: (K,) places in the list of things.
        box: (K, 4) x1, y1, x2, y2 in its pixels.
        whole: (K,) whether the box is away from the image's edges, so of the whole object.
        doubt: (things, h, w) coarse maps of where an object of the class may be or not.
    """

    thing: npt.NDArray[np.int64]
    box: Array
    whole: npt.NDArray[np.bool_]
    doubt: npt.NDArray[np.bool_]


class Teachers:
    """Two networks that are asked about real images.

    Raises:
        CheckpointError: if a folder is not an intact checkpoint of its kind.
    """

    def __init__(self, config: TeacherConfig, taxonomy: Taxonomy, things: tuple[str, ...]) -> None:
        self.config, self.taxonomy, self.things = config, taxonomy, things
        self._objects = PermanenceEngine.load(config.objects, threshold=config.score)
        self._objects.preprocess = replace(self._objects.preprocess, pixels=config.pixels)
        loaded, settings = load_network(config.classes, 'depth_segmentation', taxonomy)
        self._classes = cast(DepthSegmentationNet, loaded.net).eval()
        self._settings = replace(settings, pixels=config.pixels)
        self._group = {name: group for group in GROUPS for name in group}

    @torch.no_grad()
    def look(
        self,
        image: npt.NDArray[np.uint8],
        camera: Camera,
        seen: Sequence[Detection] | None = None,
    ) -> Agreed:
        """Return what both say of an image.

        Args:
            image: (H, W, 3).
            camera: of the image.
            seen: what another detector found in it, low scores too, the best first.
        """
        frame = Frame(0, image, camera)
        inputs = preprocess([frame], self._settings)
        logits = self._classes(inputs.image, inputs.focal).logits.float()
        probability = logits.softmax(1)[0].numpy()
        kinds = [self._group.get(name, (name,)) for name in self.things]
        told = np.stack([self._kind(probability, kind) for kind in kinds])
        proposals = [(each, self.config.agreement) for each in self._propose(frame)]
        limit = np.full(told.shape, self.config.doubt, np.float32)
        if seen is not None:
            least = self.config.seen_score
            good = [e for e in seen if e.score >= least.get(self.taxonomy.names[e.class_id], 1.0)]
            proposals = [(each, self.config.seen_agreement) for each in good] + proposals
            limit = self._limit(seen, told.shape, image.shape)
        window = np.ones((2 * _SPREAD_DOUBT + 1,) * 2, np.uint8)
        doubt = np.stack(
            [
                cv2.dilate((m > most).astype(np.uint8), window)
                for m, most in zip(told, limit, strict=True)
            ]
        )
        thing: list[int] = []
        box: list[tuple[float, float, float, float]] = []
        for found, agreement in proposals:
            name = self.taxonomy.names[found.class_id]
            if name not in self.things:
                continue
            k = self.things.index(name)
            assert found.box2d is not None
            x, y = _middle(found.box2d, told.shape[1:], image.shape)
            known = [b for j, b in zip(thing, box, strict=True) if self.things[j] in kinds[k]]
            if told[k, y, x].mean() < agreement:
                continue
            if known and _same(np.array(found.box2d), np.array(known)):
                continue
            own = [float(self._kind(probability, (name,))[y, x].mean()) for name in kinds[k]]
            thing.append(self.things.index(kinds[k][int(np.argmax(own))]))
            box.append(found.box2d)
        boxes = np.array(box, np.float64).reshape(-1, 4)
        room = np.concatenate([boxes[:, :2], np.array(image.shape[1::-1]) - 1 - boxes[:, 2:]], 1)
        whole = room.min(1) > _EDGE
        return Agreed(np.array(thing, np.int64), boxes, whole, doubt.astype(bool))

    def _propose(self, frame: Frame) -> list[Detection]:
        self._objects.reset()
        return self._objects.update(frame)

    def _limit(
        self, seen: Sequence[Detection], shape: tuple[int, ...], image: tuple[int, ...]
    ) -> Array:
        """Return the (things, h, w) probability from which there is doubt."""
        limit = np.full(shape, self.config.unseen_doubt, np.float32)
        for each in seen:
            assert each.box2d is not None
            kind = self._group.get(self.taxonomy.names[each.class_id], ())
            x, y = _cells(each.box2d, shape[1:], image, 0.0)
            for k in (self.things.index(name) for name in kind if name in self.things):
                limit[k, y, x] = self.config.doubt
        return limit

    def _kind(self, probability: Array, names: tuple[str, ...]) -> Array:
        return np.asarray(probability[[self.taxonomy.id_of(name) for name in names]].sum(0))


class RealImages:
    """Real images and what teachers agree on, asked once for each.

    Args:
        sources: of the images, weighted.
        teachers: who are asked.
    """

    def __init__(self, sources: list[ObservedConfig], teachers: Teachers) -> None:
        self.teachers = teachers
        self._images = [open_images(source) for source in sources]
        self._seen = [
            read_seen_boxes(source.boxes, teachers.taxonomy) if source.boxes else {}
            for source in sources
        ]
        weights = np.array([source.weight for source in sources], float)
        self._chance = weights / weights.sum()
        self._agreed: dict[tuple[int, int], Agreed] = {}

    def draw(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Camera, Agreed]:
        """Return a random image, its camera and what is believed of it.

        Raises:
            DatasetError: if it is unreadable, or its camera unknown.
        """
        source = int(rng.choice(len(self._images), p=self._chance))
        index = int(rng.integers(len(self._images[source])))
        sample = self._images[source][index]
        camera = sample.camera
        if camera is None:
            raise DatasetError(f'{sample.name}: the camera is unknown; give its focal_ratio')
        if (source, index) not in self._agreed:
            seen = self._seen[source].get(sample.name)
            self._agreed[source, index] = self.teachers.look(sample.image, camera, seen)
        return sample.image, camera, self._agreed[source, index]


def real_maps(agreed: Agreed, views: list[View], things: int) -> dict[str, Any]:
    """Return the tensors of T views of one image, as ``maps.clip_maps`` does.

    Args:
        agreed: what is believed of the image.
        views: of equal size.
        things: number of classes.
    """
    width, height = (side // OUTPUT_STRIDE for side in views[0].size)
    heat = np.zeros((len(views), things, height, width), np.float32)
    weight = np.ones_like(heat)
    found: dict[int, tuple[Array, float, float, bool]] = {}
    for t, view in enumerate(views):
        for k in range(things):
            open_ = cv2.resize(
                agreed.doubt[k].astype(np.uint8), view.source, interpolation=cv2.INTER_NEAREST
            )
            there = cv2.resize(view.nearest(open_), (width, height), interpolation=cv2.INTER_AREA)
            weight[t, k][there > 0] = 0.0
        seen = zip(agreed.thing, viewed_boxes(agreed.box, view), agreed.whole, strict=True)
        for k, box, whole in seen:
            middle = (box[:2] + box[2:]) / 2
            position = (middle + 0.5) / OUTPUT_STRIDE - 0.5
            column, row = (int(v) for v in position.round())
            if not (0 <= column < width and 0 <= row < height):
                continue
            spread = np.maximum(SPREAD * (box[2:] - box[:2]) / OUTPUT_STRIDE, MIN_SPREAD)
            splat(heat[t, k], column, row, spread)
            weight[t, k, row, column] = 1.0
            if whole:
                values = image_values(position, position.round(), middle, box)
                found[(t * height + row) * width + column] = values, 1.0, 0.0, False
    return padded(found) | {
        'heat': torch.from_numpy(heat),
        'heat_weight': torch.from_numpy(weight),
    }


def drift(view: View, frames: int, reach: float, rng: np.random.Generator) -> list[View]:
    """Return views that wander over an image: what a memory is shown of one that stands still.

    Args:
        view: the first one.
        frames: how many.
        reach: greatest step from one to the next, pixels.
        rng: source of all randomness.
    """
    step = rng.uniform(-reach, reach, 2)
    room = np.array(view.full) - view.size
    corners = [
        np.clip(np.round(np.array(view.corner) + t * step), 0, room).astype(int)
        for t in range(frames)
    ]
    return [replace(view, corner=(int(x), int(y))) for x, y in corners]


def _same(box: Array, known: Array) -> bool:
    """Return whether a box is one of the known ones again, or a part of it."""
    sides = np.minimum(box[2:], known[:, 2:]) - np.maximum(box[:2], known[:, :2])
    within = sides.clip(0.0).prod(1) / (box[2:] - box[:2]).prod()
    return bool(iou_2d(box[None], known).max() > _SAME or within.max() > _PART)


def _middle(
    box: tuple[float, float, float, float], shape: tuple[int, ...], image: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return columns and rows of the middle half of an image box on a coarse map."""
    return _cells(box, shape, image, 0.25)


def _cells(
    box: tuple[float, float, float, float],
    shape: tuple[int, ...],
    image: tuple[int, ...],
    margin: float,
) -> tuple[slice, slice]:
    """Return columns and rows of an image box, less a share at each side, on a coarse map."""
    x1, y1, x2, y2 = box
    sx, sy = shape[1] / image[1], shape[0] / image[0]
    spans = []
    for low, high, scale, end in ((x1, x2, sx, shape[1]), (y1, y2, sy, shape[0])):
        cut = (high - low) * margin
        first, last = (low + cut) * scale, (high - cut) * scale
        begin = int(np.clip(first, 0, end - 1))
        spans.append(slice(begin, max(begin + 1, min(int(np.ceil(last)), end))))
    return spans[0], spans[1]
