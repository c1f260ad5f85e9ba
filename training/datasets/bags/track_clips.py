"""Clips of bags with every object's place in every frame, hidden ones included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics as t_
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import truth_topic
from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import invert
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, Detection
from training.datasets.bags.open_bags import OpenBags, image_with_truth
from training.datasets.sample import DatasetError
from training.datasets.views.views import View

Array = npt.NDArray[np.floating]

#: Bags whose objects a process keeps in memory, about 1 MB each.
_KEPT_TABLES = 512


@dataclass(frozen=True)
class ObjectTable:
    """The objects of a recording: F frames, N objects. NaN where an object is not in a frame.

    Attributes:
        stamps: (F,) nanoseconds.
        camera: of all frames.
        world_T_camera: (F, 4, 4) of the optical frame.
        thing: (N,) place of the class in the list of things.
        size: (N, 3) length, width, height in metres.
        position: (F, N, 3) of the boxes' centres in the world, metres.
        forward: (F, N, 3) unit vectors of the boxes' x axes in the world.
        visibility: (F, N) visible fraction.
        box: (F, N, 4) x1, y1, x2, y2 of the amodal image box; NaN behind the camera as well.
    """

    stamps: npt.NDArray[np.int64]
    camera: Camera
    world_T_camera: Array
    thing: npt.NDArray[np.int64]
    size: Array
    position: Array
    forward: Array
    visibility: Array
    box: Array

    def frames(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> ObjectTable:
        """Return some of the frames, in the given order, with the objects that are in them."""
        chosen = np.asarray(rows, np.int64)
        there = np.isfinite(self.visibility[chosen]).any(0)
        return replace(
            self,
            stamps=self.stamps[chosen],
            world_T_camera=self.world_T_camera[chosen],
            thing=self.thing[there],
            size=self.size[there],
            position=self.position[chosen][:, there],
            forward=self.forward[chosen][:, there],
            visibility=self.visibility[chosen][:, there],
            box=self.box[chosen][:, there],
        )


@dataclass(frozen=True)
class Appearances:
    """Where objects appear in views of T frames, N objects; NaN where they are not in front.

    Attributes:
        centre: (T, N, 2) x, y of the 3D box's centre, pixels of the view.
        depth: (T, N) metres of that point along the optical axis.
        heading: (T, N) observation angle, see ``PermanenceOutput.heading``.
    """

    centre: Array
    depth: Array
    heading: Array


@dataclass(frozen=True)
class ClipObjects:
    """A clip of T frames before its images are read.

    Attributes:
        bag: number of its bag.
        recorded: (T,) stamps of its frames in the bag, nanoseconds.
        table: its objects, with stamps that grow.
    """

    bag: int
    recorded: npt.NDArray[np.int64]
    table: ObjectTable


def object_topics(bag: BagReader) -> list[str]:
    """Return the topics of the images, their calibration, objects and their image boxes."""
    truth = (truth_topic(bag, topic) for topic in (t_.OBJECTS, t_.OBJECTS_2D))
    return [*image_with_truth(bag), *truth]


def read_objects(bag: BagReader, taxonomy: Taxonomy, things: Sequence[str]) -> ObjectTable:
    """Read all objects of the given classes in all frames of a bag.

    Raises:
        MissingTopicError: if the bag has no images, calibration or object truth.
        DatasetError: if its images are distorted.
    """
    topics = object_topics(bag)
    image, info, objects, outlines = topics
    rows = bag.synchronized(topics)
    stamps = bag.stamps(image)[rows[:, 0]]
    camera = bag.camera(info)
    if not camera.is_ideal:
        raise DatasetError(f'{bag.path}: images with lens distortion; rectify them first')
    frame = bag.message(info, 0).header.frame_id
    poses = [bag.transforms.lookup(t_.ODOM_FRAME, frame, int(stamp)) for stamp in stamps]
    places = {taxonomy.id_of(name): number for number, name in enumerate(things)}
    solid = [_by_id(bag.detections(objects, int(n), taxonomy)) for n in rows[:, 2]]
    flat = [_by_id(bag.detections(outlines, int(n), taxonomy)) for n in rows[:, 3]]
    known = {key: found for objects in solid for key, found in objects.items()}
    names = [key for key, found in known.items() if found.class_id in places and found.box3d]
    frames, count = len(rows), len(names)
    table = ObjectTable(
        stamps=stamps,
        camera=camera,
        world_T_camera=np.stack(poses) if poses else np.empty((0, 4, 4)),
        thing=np.array([places[known[key].class_id] for key in names], np.int64),
        size=np.array([_size(known[key]) for key in names], float).reshape(count, 3),
        position=np.full((frames, count, 3), np.nan),
        forward=np.full((frames, count, 3), np.nan),
        visibility=np.full((frames, count), np.nan),
        box=np.full((frames, count, 4), np.nan),
    )
    for row in range(frames):
        for column, key in enumerate(names):
            found = solid[row].get(key)
            if found is None or found.box3d is None:
                continue
            table.position[row, column] = found.box3d.parent_T_box[:3, 3]
            table.forward[row, column] = found.box3d.parent_T_box[:3, 0]
            table.visibility[row, column] = 1.0 if found.visibility is None else found.visibility
            if key in flat[row] and flat[row][key].box2d is not None:
                table.box[row, column] = flat[row][key].box2d
    return table


def _by_id(detections: Sequence[Detection]) -> dict[str, Detection]:
    return {detection.id: detection for detection in detections}


def _size(detection: Detection) -> tuple[float, float, float]:
    assert detection.box3d is not None
    return detection.box3d.size


def appearances(
    position: Array, forward: Array, world_T_camera: Array, camera: Camera, mirror: bool = False
) -> Appearances:
    """Return where objects appear to a camera, or in its mirror image.

    Args:
        position, forward: (T, N, 3) in the world.
        world_T_camera: (T, 4, 4).
        camera: of the view; for a mirror image the mirrored one (``View.camera``).
        mirror: whether left and right are exchanged.
    """
    camera_T_world = invert(world_T_camera)
    turn, shift = camera_T_world[:, :3, :3], camera_T_world[:, :3, 3]
    points = np.einsum('tij,tnj->tni', turn, position) + shift[:, None]
    axes = np.einsum('tij,tnj->tni', turn, forward)
    if mirror:
        points, axes = points * [-1, 1, 1], axes * [-1, 1, 1]
    centre, depth = project(camera, points)
    ahead = depth > 1e-9
    azimuth = np.arctan2(axes[..., 0], axes[..., 2])
    angle = azimuth - np.arctan2(points[..., 0], points[..., 2])
    heading = np.arctan2(np.sin(angle), np.cos(angle))
    return Appearances(centre, np.where(ahead, depth, np.nan), np.where(ahead, heading, np.nan))


def viewed_boxes(boxes: Array, view: View) -> Array:
    """Return (..., 4) image boxes in pixels of a view."""
    matrix = view.matrix
    low = boxes[..., :2] * np.diag(matrix)[:2] + matrix[:2, 2]
    high = boxes[..., 2:] * np.diag(matrix)[:2] + matrix[:2, 2]
    return np.concatenate([np.minimum(low, high), np.maximum(low, high)], -1)


class TrackClips:
    """Runs of frames of many bags: clip by index, its stride by chance.

    Args:
        bags: bag folders, folders of bags or glob patterns, perhaps with ``,camera=NAME``.
        frames: of every clip.
        strides: a clip takes every so many-th frame, by chance one of these.
        taxonomy, things: the classes to give.

    Raises:
        DatasetError: if there is no bag, or none long enough.
        MissingTopicError: if a bag lacks images, calibration or object truth.
    """

    def __init__(
        self,
        bags: Sequence[Path | str],
        frames: int,
        strides: Sequence[int],
        taxonomy: Taxonomy,
        things: Sequence[str],
    ) -> None:
        self.frames, self.strides = frames, tuple(strides)
        self.taxonomy, self.things = taxonomy, tuple(things)
        self._bags = OpenBags.of(bags)
        starts = []
        for number in range(len(self._bags.paths)):
            count = len(self._bags[number].synchronized(object_topics(self._bags[number])))
            first = np.arange(count - (frames - 1) * min(self.strides))
            starts.append(np.column_stack([np.full(len(first), number), first]))
        self._starts = np.concatenate(starts).astype(np.int64)
        if not len(self._starts):
            raise DatasetError(f'no bag has {frames} frames at stride {min(self.strides)}')
        self._table = lru_cache(maxsize=_KEPT_TABLES)(self._read)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._starts)

    def __getstate__(self) -> dict[str, object]:
        """Leave what was read behind when sent to another process."""
        return {k: v for k, v in self.__dict__.items() if k != '_table'}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._table = lru_cache(maxsize=_KEPT_TABLES)(self._read)

    def _read(self, number: int) -> ObjectTable:
        return read_objects(self._bags[number], self.taxonomy, self.things)

    def draw(self, index: int, rng: np.random.Generator, flip: float = 0.0) -> ClipObjects:
        """Return the objects of a clip.

        Args:
            index: of the clip's first frame.
            rng: draws the stride, and whether time runs backwards.
            flip: probability of that. Stamps then still grow.
        """
        number, first = (int(value) for value in self._starts[index])
        table = self._table(number)
        room = (len(table.stamps) - 1 - first) // max(self.frames - 1, 1)
        stride = int(rng.choice([s for s in self.strides if s <= room] or [min(self.strides)]))
        rows = first + stride * np.arange(self.frames)
        if rng.random() < flip:
            rows = rows[::-1]
        chosen = table.frames(rows)
        seconds = np.abs(chosen.stamps - chosen.stamps[0])
        grown = replace(chosen, stamps=chosen.stamps.min() + seconds)
        return ClipObjects(number, table.stamps[rows], grown)

    def images(self, clip: ClipObjects) -> npt.NDArray[np.uint8]:
        """Return the (T, H, W, 3) RGB images of a clip."""
        bag = self._bags[clip.bag]
        topic = image_with_truth(bag)[0]
        numbers = [bag.nearest(topic, int(stamp)) for stamp in clip.recorded]
        return np.stack([bag.frame(topic, n).image for n in numbers if n is not None])
