"""The verb ``label``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.convert import FORMATS, split_names
from training.commands.options import SHAPE_SPACE, Camera, Device, Lidar, Refine


def label(
    bag: Annotated[Path, typer.Argument(help='Recording with camera, LiDAR and transforms.')],
    out: Annotated[Path, typer.Option(help='Folder of the data set; a second run goes on.')],
    mode: Annotated[
        str, typer.Option(help='What labels rest on: lidar, mono or fused.')
    ] = 'lidar',
    refine: Refine = 'fit',
    detections: Annotated[
        str,
        typer.Option(
            help="A Detection2DArray topic, 'network' (our own detector), 'segmentation', or a "
            'file of boxes: CVAT XML (images or video), Datumaro or COCO JSON; default: the '
            "recording's true boxes where it has them, else network."
        ),
    ] = '',
    class_map: Annotated[
        str,
        typer.Option(
            help='What classes of a file of boxes are called here: van=car,tree= (nothing behind '
            '= leaves a class out).'
        ),
    ] = '',
    workers: Annotated[int, typer.Option(help='Processes.', min=1)] = 1,
    ray: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster that shares the folders, or 'local'."),
    ] = None,
    shape: Annotated[
        str,
        typer.Option(
            help='Checkpoints of shape spaces, comma-separated, one for each class to label; '
            'several with --mode lidar.'
        ),
    ] = str(SHAPE_SPACE),
    segmentation: Annotated[
        Path,
        typer.Option(
            help='Checkpoint of depth and classes, for segmentation and mono, and where network '
            'has people checked.'
        ),
    ] = Path('models/depth_segmentation'),
    detector: Annotated[
        Path, typer.Option(help='Checkpoint of the permanence network, for network.')
    ] = Path('models/permanence'),
    coordinates: Annotated[
        Path, typer.Option(help='Checkpoint of the coordinates network, for mono and fused.')
    ] = Path('models/surface_coordinates'),
    level_frame: Annotated[
        str, typer.Option(help='Frame with z up; without it the camera is taken as level.')
    ] = 'base_link',
    min_visibility: Annotated[
        float, typer.Option(help='Detections that say they are less visible are left out.')
    ] = 0.3,
    mirrors: Annotated[
        bool, typer.Option('--mirrors', help='Boxes as wide as the car with its mirrors.')
    ] = False,
    tracks: Annotated[
        bool,
        typer.Option(
            help='One shape and smooth motion for what was seen in several frames, where '
            'transforms tell how the robot moved.'
        ),
    ] = True,
    traffic: Annotated[
        str,
        typer.Option(
            help="Side of the road that people drive on, 'right' or 'left': where an image shows "
            'badly which way a car heads, mono and fused go by where it stands.'
        ),
    ] = '',
    formats: Annotated[
        str, typer.Option(help=f'Comma-separated: {FORMATS}, pictures.')
    ] = 'kitti,coco,nuscenes,meshes,bag,pictures',
    preset: Annotated[
        str,
        typer.Option(
            help="Settings for other boxes and cars than the simulator's: kitti (image boxes "
            'hold the corners of the 3D box, cars of Karlsruhe, a camera 1.65 m above the road).'
        ),
    ] = '',
    device: Device = 'auto',
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Label the cars of a recording in 3D: boxes, shapes, masks. Resumable, also after kill -9.

    Trucks, pedestrians and cyclists have shape spaces as well: models/shape_truck and so on.

    Examples:
        sim-perception label my_drive --out labels --detections /my_detector/boxes
        sim-perception label my_drive --out labels --mode fused --formats kitti,meshes \
            --workers 4
        sim-perception label my_drive --out labels \
            --shape models/shape_car,models/shape_pedestrian,models/shape_cyclist
    """
    from training.labelling.frames import LabelJob
    from training.labelling.label import label as run
    from training.labelling.label import print_summary

    job = LabelJob(
        bag=str(bag),
        out=str(out),
        mode=mode,
        refine=refine,
        detections=detections,
        shape=shape,
        segmentation=str(segmentation),
        detector=str(detector),
        coordinates=str(coordinates),
        level_frame=level_frame,
        min_visibility=min_visibility,
        mirrors=mirrors,
        tracks=tracks,
        camera=camera,
        lidar=lidar,
        class_map=class_map,
        traffic=traffic,
        preset=preset,
        device=device,
        formats=split_names(formats),
    )
    print_summary(run(job, workers=workers, ray=ray), str(out), Console())
