"""Recordings with ``/ground_truth`` objects as frames to label whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics as t_
from sim_perception.bags.layout import bags_at
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import ANY, Sensors, truth_topic
from sim_perception.geometry.transforms import invert
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D
from training.datasets.bags.label_source import LabelBag, ToLabel
from training.datasets.objects.label_scenes import LabelScene, TrueObject, cut_box, points_in_box
from training.datasets.sample import DatasetError


def bag_scenes(path: Path | str, sensors: Sensors = ANY) -> Iterator[LabelScene]:
    """Yield the frames of a recording in order, with all of its true objects that can be seen.

    Raises:
        BagError: if there is no readable bag, or a topic or transform is missing.
        DatasetError: if the bag has no true objects or does not say where the robot was.
    """
    bag = _open(path, sensors)
    if not bag.reader.count(truth_topic(bag.reader, t_.OBJECTS)):
        raise DatasetError(
            f'{path} has no {t_.OBJECTS.name}; simulate it with --layers rgb,objects,lidar'
        )
    first = 0
    for number in range(len(bag)):
        item = bag[number]
        if item.world_T_level is None:
            raise DatasetError(f'{path}: no transform from a fixed frame to {item.level_frame}')
        first = first or item.stamp
        yield LabelScene(
            item.name,
            item.frame,
            item.image,
            true_objects(bag, item, item.world_T_level),
            1e-9 * (item.stamp - first),
            np.asarray(item.world_T_level, np.float64),
            Path(path).name,
        )


def bag_length(path: Path, sensors: Sensors = ANY) -> int:
    """Return how many frames ``bag_scenes`` yields."""
    return len(_open(path, sensors))


def _open(path: Path | str, sensors: Sensors) -> LabelBag:
    with BagReader(path, sensors) as bag:
        truth = truth_topic(bag, t_.OBJECTS_2D)
    return LabelBag(
        Path(path),
        'car',
        detections=truth,
        min_visibility=0.0,
        sensors=sensors,
    )


def bag_folders(folder: Path | str) -> list[Path]:
    """Return the bags in a folder, or the folder itself if it is one.

    Raises:
        DatasetError: if there are none.
    """
    found = bags_at(Path(folder))
    if not found:
        raise DatasetError(f'{folder} is no bag and has none in it')
    return found


def true_objects(
    bag: LabelBag, item: ToLabel, world_T_level: npt.NDArray[np.floating]
) -> tuple[TrueObject, ...]:
    """Return the true objects of a frame that can be seen, in its level frame."""
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
    camera, objects = item.frame.camera, []
    for thing in reader.detections(objects_topic, solid, taxonomy):
        outline = outlines.get(thing.id)
        if outline is None or outline.box2d is None or thing.box3d is None:
            continue
        visible = 1.0 if outline.visibility is None else outline.visibility
        if visible <= 0 or not np.isfinite(outline.box2d).all():
            continue
        box = Box3D(level_T_world @ thing.box3d.parent_T_box, thing.box3d.size)
        inside, truncated = cut_box(np.array(outline.box2d), camera.width, camera.height)
        objects.append(
            TrueObject(
                taxonomy.names[thing.class_id],
                box,
                tuple(inside.tolist()),
                truncated,
                1 - visible,
                points_in_box(item.frame.points, box),
                thing.id,
            )
        )
    return tuple(objects)
