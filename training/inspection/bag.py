"""What a single bag holds, as a table of topics and as pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rich.table import Table

from sim_perception.bags import topics as t_
from sim_perception.bags.calibration import is_rectified
from sim_perception.bags.clouds import xyz
from sim_perception.bags.errors import MessageError, MissingTopicError, TransformError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import (
    AmbiguousSensorError,
    CameraTopics,
    Sensors,
    cameras,
    choose_camera,
    choose_lidar,
    lidars,
    truth_topic,
)
from sim_perception.files import mapping, parse_json
from sim_perception.geometry.lidar import project_cloud
from sim_perception.geometry.rectification import lens_text
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


def describe_sensors(bag: BagReader) -> list[str]:
    """Return a line for every camera and LiDAR, and one for each kind of which several remain."""
    lines = []
    for camera in cameras(bag):
        lens = 'without calibration'
        if camera.info is not None:
            try:
                found = bag.camera(camera.info, rectified=is_rectified(camera.image))
                lens = f'{camera.info}: {found.width}x{found.height}, lens: {lens_text(found)}'
            except MessageError as error:
                lens = f'{camera.info}: {error}'
        lines.append(f'camera {camera.image}, {lens}')
    lines += [f'LiDAR {topic}' for topic in lidars(bag)]
    for choose in (choose_camera, choose_lidar):
        try:
            choose(bag)
        except AmbiguousSensorError as error:
            lines.append(f'the first is shown: {error}')
        except MissingTopicError:
            continue
    return lines


def shown_sensors(bag: BagReader) -> Sensors:
    """Return the chosen sensors, of several the first."""
    camera, lidar = bag.sensors.camera, bag.sensors.lidar
    try:
        choose_camera(bag)
    except AmbiguousSensorError:
        camera = cameras(bag)[0].image
    try:
        choose_lidar(bag)
    except AmbiguousSensorError:
        lidar = lidars(bag)[0]
    except MissingTopicError:
        if lidar:
            raise
    return Sensors(camera, lidar)


def contact_sheet(bag: BagReader, frames: int = 6) -> Image:
    """Return one row of pictures per frame, or two if there are many; frames are spread evenly.

    Camera (boxes from green, visible, to red, hidden), depth (from LiDAR where there is no
    true one), classes, objects, normals and flow, as far as the bag has them.

    Raises:
        BagError: if there is no camera image.
    """
    camera = choose_camera(bag)
    count = bag.count(camera.image)
    taxonomy = load_taxonomy()
    picked = sorted({round(i) for i in np.linspace(0, count - 1, min(frames, count))})
    rows = [_row(bag, camera, number, taxonomy) for number in picked]
    wide = len(rows[0])
    return grid([panel for row in rows for panel in row], wide if wide <= 4 else -(-wide // 2))


def _row(bag: BagReader, camera: CameraTopics, number: int, taxonomy: Taxonomy) -> list[Image]:
    """Return the panels of one frame."""
    frame = bag.frame(camera.image, number, camera.info)
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
        topic = truth_topic(bag, layer)
        if bag.count(topic):
            found = bag.nearest(topic, frame.stamp, _TOLERANCE_NS)
            panel = np.zeros_like(image) if found is None else color(bag.image(topic, found))
            panels.append(caption(panel, layer.layer))
    if not bag.count(truth_topic(bag, t_.DEPTH)) and frame.camera is not None:
        depth = _lidar_depth(bag, frame.camera, frame.frame_id, frame.stamp)
        if depth is not None:
            panels.append(caption(color_sparse_depth(depth), 'LiDAR'))
    return panels


def _draw_objects(
    bag: BagReader, image: Image, camera: Camera, frame_id: str, stamp: int, taxonomy: Taxonomy
) -> None:
    """Draw true boxes into the image, the hidden ones thin and red."""
    topic = truth_topic(bag, t_.OBJECTS)
    found = bag.nearest(topic, stamp, 0) if bag.count(topic) else None
    if found is None:
        return
    camera_T_odom = bag.transforms.lookup(frame_id, t_.ODOM_FRAME, stamp)
    for detection in bag.detections(topic, found, taxonomy):
        if detection.box3d is not None:
            color = visibility_color(detection.visibility or 0.0)
            draw_box3d(image, camera, camera_T_odom, detection.box3d, color)


def _lidar_depth(
    bag: BagReader, camera: Camera, frame_id: str, stamp: int
) -> npt.NDArray[np.float32] | None:
    """Return the projected scan nearest in time, or None without scan or mounting."""
    if not lidars(bag):
        return None
    cloud = choose_lidar(bag)
    found = bag.nearest(cloud, stamp, _TOLERANCE_NS)
    if found is None:
        return None
    lidar_frame = bag.message(cloud, found).header.frame_id
    try:
        camera_T_lidar = bag.transforms.lookup(frame_id, lidar_frame, stamp)
    except TransformError:
        return None
    return project_cloud(camera, camera_T_lidar, xyz(bag.cloud(cloud, found)))
