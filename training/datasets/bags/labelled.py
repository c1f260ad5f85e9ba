"""Recordings with ``/ground_truth`` objects as frames to label whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics as t_
from sim_perception.bags.layout import bags_at
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import ANY, Sensors, truth_topic
from sim_perception.geometry.cameras import undistort_boxes
from sim_perception.geometry.transforms import invert
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D
from training.datasets.bags.label_source import LabelBag, ToLabel
from training.datasets.objects.label_scenes import LabelScene, TrueObject, cut_box, points_in_box
from training.datasets.sample import DatasetError


def bag_scenes(
    path: Path | str, sensors: Sensors = ANY, *, points: bool = True
) -> Iterator[LabelScene]:
    """Yield the frames of a recording in order, with all of its true objects that can be seen.

    See ``open_truth``.

    Raises:
        BagError: if there is no readable bag, or a topic or transform is missing.
        DatasetError: if the bag has no true objects or does not say where the robot was.
    """
    bag = open_truth(path, sensors, points=points)
    first = 0
    for number in range(len(bag)):
        item = bag[number]
        first = first or item.stamp
        place = world_pose(bag, item)
        yield LabelScene(
            item.name,
            item.frame,
            item.image,
            true_objects(bag, item, place),
            1e-9 * (item.stamp - first),
            place,
            Path(path).name,
        )


def world_pose(bag: LabelBag, item: ToLabel) -> npt.NDArray[np.float64]:
    """Return the 4x4 pose of a frame's level frame in a frame that stands still.

    Raises:
        DatasetError: if the recording does not say it.
    """
    if item.world_T_level is None:
        raise DatasetError(
            f'{bag.reader.path}: no transform from a fixed frame to {item.level_frame}'
        )
    return np.asarray(item.world_T_level, np.float64)


def bag_length(path: Path, sensors: Sensors = ANY, *, points: bool = True) -> int:
    """Return how many frames ``bag_scenes`` yields."""
    return len(open_truth(path, sensors, points=points))


def open_truth(path: Path | str, sensors: Sensors = ANY, *, points: bool = True) -> LabelBag:
    """Open a recording with true objects.

    Args:
        path: the bag.
        sensors: which camera and LiDAR of several are meant.
        points: whether its frames need a scan.

    Raises:
        BagError: if there is no readable bag, or a topic or transform is missing.
        DatasetError: if the bag has no true objects.
    """
    truth = _outlines(path, sensors)
    bag = LabelBag(
        Path(path), 'car', detections=truth, min_visibility=0.0, points=points, sensors=sensors
    )
    if not bag.reader.count(truth_topic(bag.reader, t_.OBJECTS)):
        raise DatasetError(
            f'{path} has no {t_.OBJECTS.name}; simulate it with --layers rgb,objects'
            f'{",lidar" if points else ""}'
        )
    return bag


def _outlines(path: Path | str, sensors: Sensors) -> str:
    with BagReader(path, sensors) as bag:
        return truth_topic(bag, t_.OBJECTS_2D)


def bag_folders(folder: Path | str) -> list[Path]:
    """Return the bags in a folder, or the folder itself if it is one.

    Raises:
        DatasetError: if there are none.
    """
    found = bags_at(Path(folder))
    if not found:
        raise DatasetError(f'{folder} is no bag and has none in it')
    return found


@dataclass(frozen=True)
class TrueThing:
    """One true object of a frame, hidden or not.

    Attributes:
        class_id: id in the taxonomy.
        id: the same in all frames.
        box3d: in the level frame.
        outline: x1 y1 x2 y2 of all of it, pixels of the pinhole, possibly beyond the image.
        visibility: visible share in [0, 1].
    """

    class_id: int
    id: str
    box3d: Box3D
    outline: npt.NDArray[np.floating]
    visibility: float


def true_things(
    bag: LabelBag, item: ToLabel, world_T_level: npt.NDArray[np.floating]
) -> list[TrueThing]:
    """Return the true objects in front of the camera, hidden ones too."""
    reader, taxonomy = bag.reader, load_taxonomy()
    objects_topic, outlines_topic = (
        truth_topic(reader, topic) for topic in (t_.OBJECTS, t_.OBJECTS_2D)
    )
    solid = reader.nearest(objects_topic, item.stamp)
    flat = reader.nearest(outlines_topic, item.stamp)
    assert solid is not None
    assert flat is not None
    outlines = {o.id: o for o in reader.detections(outlines_topic, flat, taxonomy)}
    level_T_world = invert(np.asarray(world_T_level, np.float64))
    found = []
    for thing in reader.detections(objects_topic, solid, taxonomy):
        outline = outlines.get(thing.id)
        if outline is None or outline.box2d is None or thing.box3d is None:
            continue
        straight = undistort_boxes(item.raw_camera, np.array([outline.box2d]))[0]
        if not np.isfinite(straight).all():
            continue
        box = Box3D(level_T_world @ thing.box3d.parent_T_box, thing.box3d.size)
        visible = 1.0 if outline.visibility is None else outline.visibility
        found.append(TrueThing(thing.class_id, thing.id, box, straight, visible))
    return found


def true_objects(
    bag: LabelBag, item: ToLabel, world_T_level: npt.NDArray[np.floating]
) -> tuple[TrueObject, ...]:
    """Return the true objects of a frame that can be seen, in its level frame."""
    names, camera, objects = load_taxonomy().names, item.frame.camera, []
    for thing in true_things(bag, item, world_T_level):
        if thing.visibility <= 0:
            continue
        inside, truncated = cut_box(thing.outline, camera.width, camera.height)
        objects.append(
            TrueObject(
                names[thing.class_id],
                thing.box3d,
                tuple(inside.tolist()),
                truncated,
                1 - thing.visibility,
                points_in_box(item.frame.points, thing.box3d),
                thing.id,
            )
        )
    return tuple(objects)
