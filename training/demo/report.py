"""Pictures, video and scores of a recorded run of the pipeline on simulated topics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from sim_perception.bags import topics
from sim_perception.bags.reader import BagReader
from sim_perception.geometry.transforms import invert
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Detection
from sim_perception.visualization import (
    caption,
    color_depth,
    color_labels,
    draw_box3d,
    grid,
    visibility_color,
    write_picture,
)
from training.metrics import ConfusionMatrix, DepthMetrics
from training.pictures.images import blend

DEPTH_TOPIC = '/depth_segmentation/depth/image'
SEGMENTATION_TOPIC = '/depth_segmentation/segmentation/image'
DIAGNOSTICS_TOPIC = '/diagnostics'
DIAGNOSED = {
    'dropped': 'dropped_frames',
    'lost in transport': 'lost_in_transport',
    'age p50 [ms]': 'age_p50_ms',
    'age p95 [ms]': 'age_p95_ms',
    'inference p50 [ms]': 'inference_p50_ms',
}
"""Values of the node's own diagnostics that are worth a line in the table."""
NEEDED = (
    DEPTH_TOPIC,
    SEGMENTATION_TOPIC,
    topics.IMAGE.name,
    topics.DEPTH.name,
    topics.SEMANTIC.name,
    topics.OBJECTS.name,
)
MAX_DEPTH = 80.0
PICTURES = 4

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Moment:
    """What the pipeline saw and said about one camera frame, with the truth."""

    stamp: int
    image: Image
    depth: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.uint8]
    true_depth: npt.NDArray[np.float32]
    true_segmentation: npt.NDArray[np.uint8]
    objects: list[Detection]
    camera: Camera
    camera_T_odom: npt.NDArray[np.floating]


def moments(reader: BagReader) -> Iterator[Moment]:
    """Yield the frames that the network answered, in time order.

    Raises:
        MissingTopicError: if the bag lacks an input, an output or the truth.
    """
    stamps = reader.stamps(DEPTH_TOPIC) if DEPTH_TOPIC in reader.topics else None
    for row in reader.synchronized(NEEDED):
        depth, segmentation, image, true_depth, true_segmentation, objects = row.tolist()
        stamp = int(stamps[depth]) if stamps is not None else 0
        yield Moment(
            stamp,
            reader.image(topics.IMAGE.name, image),
            reader.image(DEPTH_TOPIC, depth),
            reader.image(SEGMENTATION_TOPIC, segmentation),
            reader.image(topics.DEPTH.name, true_depth),
            reader.image(topics.SEMANTIC.name, true_segmentation),
            reader.detections(topics.OBJECTS.name, objects),
            reader.camera(topics.CAMERA_INFO.name, stamp),
            invert(reader.transforms.lookup(topics.ODOM_FRAME, topics.CAMERA_FRAME, stamp)),
        )


def report(bag: Path, out: Path, console: Console) -> dict[str, float]:
    """Score a recorded run, write its pictures and video, and return the figures.

    Raises:
        BagError: if the bag cannot be read or lacks topics.
        ValueError: if the network answered no frame.
    """
    taxonomy = load_taxonomy()
    depth_scores, confusion = DepthMetrics(max_depth=MAX_DEPTH), ConfusionMatrix(len(taxonomy))
    with BagReader(bag) as reader:
        answered = len(reader.synchronized(NEEDED))
        chosen = set(np.linspace(0, answered - 1, PICTURES).astype(int).tolist())
        video: cv2.VideoWriter | None = None
        progress = track(
            moments(reader), 'pictures and scores', total=answered, console=console, transient=True
        )
        for number, moment in enumerate(progress):
            depth_scores.update(moment.depth, moment.true_depth)
            confusion.update(moment.segmentation, moment.true_segmentation)
            if number == 0:
                start = moment.stamp
            sheet = draw(moment, (moment.stamp - start) / 1e9)[..., ::-1]
            if video is None:
                size = (sheet.shape[1], sheet.shape[0])
                code = cv2.VideoWriter.fourcc(*'mp4v')
                video = cv2.VideoWriter(str(out / 'demo.mp4'), code, 10, size)
            video.write(np.ascontiguousarray(sheet))
            if number in chosen:
                write_picture(out / f'frame_{number:04d}.png', sheet[..., ::-1])
        if video is None:
            raise ValueError(f'the network answered no frame of {bag}; see launch.log beside it')
        video.release()
        figures = rates(reader)
    return {
        **figures,
        **depth_scores.compute(),
        'miou': confusion.miou(),
        **{
            f'iou_{name}': float(value)
            for name, value in zip(taxonomy.names, confusion.iou(), strict=True)
            if np.isfinite(value)
        },
    }


def rates(reader: BagReader) -> dict[str, float]:
    """Return how many frames came and were answered, and the rate of answers per second."""
    answers = reader.stamps(DEPTH_TOPIC)
    span = (answers[-1] - answers[0]) / 1e9 if len(answers) > 1 else 0.0
    return {
        'camera_frames': reader.count(topics.IMAGE.name),
        'answered_frames': len(answers),
        'answers_per_second': float((len(answers) - 1) / span) if span > 0 else 0.0,
        **diagnosed(reader),
    }


def diagnosed(reader: BagReader) -> dict[str, float]:
    """Return what the perception node last said of its own speed and losses."""
    figures: dict[str, float] = {}
    for number in range(reader.count(DIAGNOSTICS_TOPIC)):
        for status in reader.message(DIAGNOSTICS_TOPIC, number).status:
            if status.name.startswith('/depth_segmentation'):
                values = {pair.key: pair.value for pair in status.values}
                for key, name in DIAGNOSED.items():
                    if values.get(key):
                        figures[name] = float(values[key])
    return figures


def draw(moment: Moment, seconds: float) -> Image:
    """Return camera, depth, classes and objects (coloured by true visibility) as one picture.

    Args:
        moment: what to draw.
        seconds: since the first frame, for the caption.
    """
    taxonomy = load_taxonomy()
    boxes = moment.image.copy()
    for thing in moment.objects:
        if thing.box3d is not None:
            color = visibility_color(thing.visibility or 0.0)
            draw_box3d(boxes, moment.camera, moment.camera_T_odom, thing.box3d, color)
    panels = [
        caption(moment.image, f'camera  t = {seconds:.1f} s'),
        caption(color_depth(moment.depth), 'depth (network)'),
        caption(
            blend(moment.image, color_labels(moment.segmentation, taxonomy)), 'classes (network)'
        ),
        caption(boxes, 'objects (simulator): green visible, red hidden'),
    ]
    return grid(panels, 2)
