"""What a single bag holds, as a table of topics and as pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rich.table import Table

from sim_perception.bags import topics as t_
from sim_perception.bags.clouds import xyz
from sim_perception.bags.errors import TransformError
from sim_perception.bags.reader import BagReader
from sim_perception.files import mapping, parse_json
from sim_perception.geometry.lidar import project_cloud
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from sim_perception.types import Camera
from sim_perception.visualization import (
    caption,
    color_depth,
    color_flow,
    color_instances,
    color_labels,
    color_normals,
    draw_box3d,
    grid,
    visibility_color,
)
from training.pictures.images import color_sparse_depth

Image = npt.NDArray[np.uint8]

_CAMERA_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
_TOLERANCE_NS = 50_000_000


def topic_table(bag: BagReader) -> Table:
    """Return a bag's topics with their number, rate and longest silence."""
    table = Table(title=str(bag.path))
    for name in ('topic', 'type'):
        table.add_column(name, overflow='fold')
    for name in ('count', 'Hz', 'longest gap, s'):
        table.add_column(name, justify='right')
    for topic in bag.topics.values():
        stamps = bag.stamps(topic.name)
        rate = gap = ''
        if len(stamps) > 1 and stamps[-1] > stamps[0]:
            steps = np.diff(stamps) / 1e9
            rate, gap = f'{1 / steps.mean():.2f}', f'{steps.max():.3f}'
        table.add_row(topic.name, topic.type, str(topic.count), rate, gap)
    return table


def describe(bag: BagReader) -> list[str]:
    """Return lines about time, origin and problems of a bag."""
    start, end = bag.time_range
    lines = [f'{(end - start) / 1e9:.2f} s from {start / 1e9:.3f}']
    scenario = bag.custom.get('sim_perception.scenario')
    if scenario:
        facts = mapping(parse_json(scenario, bag.path), bag.path)
        name, domain, seed = (facts.get(key) for key in ('name', 'domain', 'seed'))
        lines.append(f'simulated: scenario {name}, domain {domain}, seed {seed}')
    return lines


def contact_sheet(bag: BagReader, frames: int = 6) -> Image:
    """Return one row of pictures per frame, or two if there are many; frames are spread evenly.

    Camera (boxes from green, visible, to red, hidden), depth (from LiDAR where there is no
    true one), classes, objects, normals and flow, as far as the bag has them.

    Raises:
        BagError: if there is no camera image.
    """
    images = [name for name in bag.of_type(*_CAMERA_TYPES) if 'ground_truth' not in name]
    if not images:
        bag.require(t_.IMAGE.name)
    count = bag.count(images[0])
    taxonomy = load_taxonomy()
    picked = sorted({round(i) for i in np.linspace(0, count - 1, min(frames, count))})
    rows = [_row(bag, images[0], number, taxonomy) for number in picked]
    wide = len(rows[0])
    return grid([panel for row in rows for panel in row], wide if wide <= 4 else -(-wide // 2))


def _row(bag: BagReader, topic: str, number: int, taxonomy: Taxonomy) -> list[Image]:
    """Return the panels of one frame."""
    infos = bag.of_type('sensor_msgs/msg/CameraInfo')
    frame = bag.frame(topic, number, infos[0] if infos else None)
    seconds = (frame.stamp - bag.time_range[0]) / 1e9
    image = np.ascontiguousarray(frame.image).copy()
    if frame.camera is not None:
        _draw_objects(bag, image, frame.camera, frame.frame_id, frame.stamp, taxonomy)
    panels = [caption(image, f'{seconds:.2f} s')]
    for layer, color in (
        (t_.DEPTH, color_depth),
        (t_.SEMANTIC, lambda labels: color_labels(labels, taxonomy)),
        (t_.INSTANCE, color_instances),
        (t_.NORMALS, color_normals),
        (t_.FLOW, color_flow),
    ):
        if bag.count(layer.name):
            found = bag.nearest(layer.name, frame.stamp, _TOLERANCE_NS)
            panel = np.zeros_like(image) if found is None else color(bag.image(layer.name, found))
            panels.append(caption(panel, layer.layer))
    if not bag.count(t_.DEPTH.name) and frame.camera is not None:
        depth = _lidar_depth(bag, frame.camera, frame.frame_id, frame.stamp)
        if depth is not None:
            panels.append(caption(color_sparse_depth(depth), 'LiDAR'))
    return panels


def _draw_objects(
    bag: BagReader, image: Image, camera: Camera, frame_id: str, stamp: int, taxonomy: Taxonomy
) -> None:
    """Draw true boxes into the image, the hidden ones thin and red."""
    found = bag.nearest(t_.OBJECTS.name, stamp, 0) if bag.count(t_.OBJECTS.name) else None
    if found is None:
        return
    camera_T_odom = bag.transforms.lookup(frame_id, t_.ODOM_FRAME, stamp)
    for detection in bag.detections(t_.OBJECTS.name, found, taxonomy):
        if detection.box3d is not None:
            color = visibility_color(detection.visibility or 0.0)
            draw_box3d(image, camera, camera_T_odom, detection.box3d, color)


def _lidar_depth(
    bag: BagReader, camera: Camera, frame_id: str, stamp: int
) -> npt.NDArray[np.float32] | None:
    """Return the projected scan nearest in time, or None without scan or mounting."""
    clouds = [n for n in bag.of_type('sensor_msgs/msg/PointCloud2') if 'ground_truth' not in n]
    found = bag.nearest(clouds[0], stamp, _TOLERANCE_NS) if clouds else None
    if found is None:
        return None
    lidar_frame = bag.message(clouds[0], found).header.frame_id
    try:
        camera_T_lidar = bag.transforms.lookup(frame_id, lidar_frame, stamp)
    except TransformError:
        return None
    return project_cloud(camera, camera_T_lidar, xyz(bag.cloud(clouds[0], found)))
