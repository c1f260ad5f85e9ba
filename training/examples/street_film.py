"""``python -m training.examples.street_film``: what every network sees in your video, as a film.

Tracks (hidden objects dashed), depth, classes, and boxes in 3D: of labels from the image and of
the camera's 3D detector. Any source of images will do; those of KITTI:

    python -m training.examples.street_film images:kitti_video/avenue_1 --rate 10 \
        --focal-ratio 0.581 --preset kitti --out film.webp
    python -m training.examples.street_film video:highway.mp4 --focal-ratio 0.9 --out film.webp
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
import typer
from rich.progress import track

from sim_perception.autolabel.config import PRESETS, LabelConfig
from sim_perception.autolabel.labeler import load_labeler
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.rectification import rectify
from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.detector3d import Detector3dEngine
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.inference.plan import depth_frame
from sim_perception.tracking.config import network_config
from sim_perception.types import Box3D, Detection, Frame
from sim_perception.visualization import caption, color_depth, color_labels, draw_box3d, grid
from training.commands.script import run_script
from training.datasets.sample import DatasetError, Samples
from training.datasets.sources import SourceConfig, open_images
from training.evaluation.tracking.clips import Clip
from training.evaluation.tracking.network import track_frames
from training.evaluation.tracking.video import draw_frames
from training.examples.animation import write_animation

Image = npt.NDArray[np.uint8]

CAMERA_T_LEVEL = np.asarray(invert(BODY_T_OPTICAL), np.float64)
"""The level frame of a camera that looks straight ahead."""
SURE = 0.5
"""Smallest score of a car that is labelled."""


class Networks:
    """Every network, as a film shows it.

    Args:
        models: folder of the checkpoints.
        config: of labels.
    """

    def __init__(self, models: Path, config: LabelConfig) -> None:
        self.depth = DepthSegmentationEngine.load(models / 'depth_segmentation')
        self.objects = PermanenceEngine.load(
            models / 'permanence', second_opinion=models / 'depth_segmentation', threshold=0.1
        )
        self.detector = Detector3dEngine.load(models / 'detector3d_camera')
        self.labeler = load_labeler(
            'mono', models / 'shape_car', coordinates=models / 'surface_coordinates',
            depth=models / 'depth_segmentation', config=config,
        )  # fmt: skip
        self.car = self.depth.taxonomy.id_of('car')

    def panels(self, frame: Frame, found: Sequence[Detection]) -> list[Image]:
        """Return depth, classes, boxes of labels and of the 3D detector, each over the image.

        Args:
            frame: of a camera without distortion.
            found: objects in it.
        """
        assert frame.camera is not None
        seen = self.depth.infer(frame, mask_sky=True)
        classes = color_labels(seen.segmentation, self.depth.taxonomy)
        classes = cv2.addWeighted(frame.image, 0.4, classes, 0.6, 0)
        place = LidarFrame(frame.camera, CAMERA_T_LEVEL, np.zeros((0, 3)), np.zeros(3))
        cars = [d.box2d for d in found if d.class_id == self.car and d.score > SURE]
        size = [frame.camera.width - 1, frame.camera.height - 1] * 2
        boxes = np.clip(np.array(cars, np.float64).reshape(-1, 4), 0, size)
        labels = self.labeler.label(place, boxes, image=frame.image)
        cloud = depth_frame(seen.depth, frame.camera, CAMERA_T_LEVEL)
        detected = self.detector.detect(cloud, frame.image)
        return [
            caption(color_depth(seen.depth), 'depth'),
            caption(np.asarray(classes, np.uint8), 'classes'),
            _boxes(frame, [d.box3d for d in labels if d.accepted], 'labels from the image'),
            _boxes(frame, [d.box3d for d in detected], '3D detector, depth'),
        ]


def _boxes(frame: Frame, boxes: Sequence[Box3D | None], title: str) -> Image:
    """Draw boxes over an image, their fronts' direction as a line on the ground."""
    assert frame.camera is not None
    image = frame.image.copy()
    for box in boxes:
        if box is None:
            continue
        draw_box3d(image, frame.camera, CAMERA_T_LEVEL, box, (60, 220, 60), 2)
        # a flat box from the middle to the front
        nose = np.eye(4)
        nose[:3, 3] = [box.size[0] / 4, 0, -box.size[2] / 2]
        front = Box3D(box.parent_T_box @ nose, (box.size[0] / 2, box.size[1], 0.02))
        draw_box3d(image, frame.camera, CAMERA_T_LEVEL, front, (250, 120, 30), 2)
    return caption(image, title)


def film(networks: Networks, images: Samples, name: str, rate: float, width: int) -> list[Image]:
    """Return the frames of the film: image, tracks and the panels of ``Networks``.

    Args:
        networks: what looks at the images.
        images: in order.
        name: of their source.
        rate: images per second.
        width: of each panel, pixels.

    Raises:
        DatasetError: if the camera is not known.
    """
    frames, panels, detections = [], [], []
    for n in track(range(len(images)), 'frames', transient=True):
        sample = images[n]
        if sample.camera is None:
            raise DatasetError(f'the camera of {name} is not known; give --focal-ratio')
        camera, image = sample.camera.ideal, rectify(sample.camera, sample.image)
        frame = Frame(round(n / rate * 1e9), image, camera)
        found = networks.objects.update(frame)
        frames.append(frame)
        detections.append(found)
        panels.append([_fit(panel, width) for panel in networks.panels(frame, found)])
    stamps, pictures = np.array([f.stamp for f in frames]), tuple(f.image for f in frames)
    clip = Clip(name, camera, '', stamps, None, None, tuple(detections), pictures)
    taxonomy = networks.objects.taxonomy
    tracked = track_frames(clip, network_config(taxonomy, ego_motion=True))
    return [
        grid([caption(_fit(image, width), 'image'), _fit(tracks, width), *four], 2)
        for image, tracks, four in zip(
            pictures, draw_frames(clip, tracked, taxonomy), panels, strict=True
        )
    ]


def main(
    source: Annotated[str, typer.Argument(help='video:FILE, images:DIR, bag:DIR ...')],
    out: Annotated[Path, typer.Option(help='Animated .webp or .gif to write.')],
    frames: Annotated[str, typer.Option(help='Only these, such as 0-49.')] = '',
    rate: Annotated[float, typer.Option(help='Images per second of a folder.', min=0.1)] = 10.0,
    focal_ratio: Annotated[
        float | None, typer.Option(help='Focal length / width where it is not known.', min=0.1)
    ] = None,
    preset: Annotated[str, typer.Option(help=f'Of labels: {", ".join(PRESETS)}.')] = 'simulation',
    camera_height: Annotated[
        float | None,
        typer.Option(
            help='Above the road, metres; else by the preset or predicted depth.', min=0.1
        ),
    ] = None,
    width: Annotated[int, typer.Option(help='Of each picture, pixels.', min=64)] = 480,
    models: Annotated[Path, typer.Option(help='Folder of the checkpoints.')] = Path('models'),
) -> None:
    """Show what every network sees in a source of images."""
    if preset not in PRESETS:
        raise typer.BadParameter(
            f'{preset!r} is none of {", ".join(PRESETS)}', param_hint='preset'
        )
    config = PRESETS[preset]
    height = config.camera_height if camera_height is None else camera_height
    networks = Networks(models, replace(config, camera_height=height))
    images = open_images(
        SourceConfig(spec=source, frames=frames, rate=rate, focal_ratio=focal_ratio)
    )
    rows = film(networks, images, source, rate, width)
    write_animation(rows, out, 1 / rate)
    typer.echo(f'{out}: {len(rows)} frames, {out.stat().st_size / 1e6:.2f} MB')


def _fit(image: Image, width: int) -> Image:
    size = (width, max(16, round(image.shape[0] * width / image.shape[1])))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == '__main__':
    run_script(main)
