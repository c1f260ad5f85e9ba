"""Labels frames of a recording and writes what belongs to each: the work of one process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from sim_perception.autolabel.classes import ClassLabelers
from sim_perception.autolabel.config import PRESETS, LabelConfig, check_way
from sim_perception.autolabel.export import EXPORTS, IMAGES, export_frame
from sim_perception.autolabel.labeler import (
    COORDINATES,
    load_labeler,
    needs_points,
    write_evidence,
)
from sim_perception.autolabel.records import LabelledFrame, write_frame
from sim_perception.bags.sensors import Sensors
from sim_perception.files import read_bytes, write_atomically
from sim_perception.models.checkpoint import MANIFEST
from sim_perception.models.shape import ShapeModel
from sim_perception.suggestions import unknown
from sim_perception.taxonomy import load_taxonomy
from training.datasets.bags.box_files import is_box_file
from training.datasets.bags.label_source import (
    DETECTOR,
    NETWORK,
    SEGMENTATION,
    LabelBag,
    ToLabel,
)
from training.pictures.shapes import draw_labels

PICTURES = 'pictures'
FORMATS = (*EXPORTS, PICTURES)
USUAL_FORMATS = ('kitti', 'coco', 'nuscenes', 'meshes', 'bag', PICTURES)

_REGION_EDGE_SIGMA, _REGION_EDGE_SHARE, _REGION_CONTOUR_SIGMA = 4.0, 0.06, 10.0
"""How far edges and contours of regions are from those of objects; see ``LabelConfig``."""
_LATER_OPTIONS = ('camera', 'lidar', 'class_map', 'traffic', 'preset')


@dataclass(frozen=True)
class LabelJob:
    """What is labelled, and how; plain values, so that any process can do a part.

    Attributes:
        bag: the recording.
        out: the data set's folder.
        mode: what the labels rest on, of ``autolabel.config.MODES``.
        refine: how shapes are fitted, of ``autolabel.config.REFINERS``.
        detections: see ``LabelBag``.
        shape: checkpoints of the shape spaces, comma-separated, one for each class to label.
        segmentation: checkpoint of the source ``segmentation`` of image boxes, which predicts
            depth for ``mono``, too, and checks the people of the source ``network``.
        detector: checkpoint of the source ``network`` of image boxes.
        coordinates: checkpoint of the coordinates network, for ``mono`` and ``fused``.
        level_frame, min_visibility: see ``LabelBag``.
        mirrors: whether boxes are as wide as a car with its mirrors.
        tracks: whether what was seen in several frames gets one shape and smooth motion; needs
            points, and to know where the robot was.
        camera, lidar: see ``bags.sensors.Sensors``.
        class_map: see ``LabelBag``.
        traffic: see ``LabelConfig``; empty is what the preset says.
        preset: of ``autolabel.config.PRESETS``; empty is ``simulation``.
        device: what networks run on, see ``load_labeler``.
        formats: of ``FORMATS``, what to write besides the frames.
    """

    bag: str
    out: str
    mode: str = 'lidar'
    refine: str = 'fit'
    detections: str = ''
    shape: str = 'models/shape_car'
    segmentation: str = 'models/depth_segmentation'
    detector: str = str(DETECTOR)
    coordinates: str = COORDINATES
    level_frame: str = 'base_link'
    min_visibility: float = 0.3
    mirrors: bool = False
    tracks: bool = True
    camera: str = ''
    lidar: str = ''
    class_map: str = ''
    traffic: str = ''
    preset: str = ''
    device: str = 'auto'
    formats: tuple[str, ...] = USUAL_FORMATS

    def __post_init__(self) -> None:
        check_way(self.mode, self.refine)
        if self.preset and self.preset not in PRESETS:
            raise ValueError(unknown('preset', self.preset, PRESETS))
        others = [name for name in self.formats if name not in FORMATS]
        if others:
            raise ValueError(f'unknown formats {", ".join(others)}; known: {", ".join(FORMATS)}')

    @property
    def fingerprint(self) -> str:
        """A hash of all that determines the labels, the networks included."""
        facts = {**asdict(self), 'out': '', 'bag': str(Path(self.bag).resolve())}
        del facts['device']  # another machine may go on
        # labels made before there was a choice go on
        facts = {k: v for k, v in facts.items() if v or k not in _LATER_OPTIONS}
        if is_box_file(self.detections) and Path(self.detections).is_file():
            facts['detections'] = hashlib.sha256(read_bytes(self.detections)).hexdigest()
        networks = ['segmentation', 'coordinates']
        if self.detections in ('', NETWORK):
            networks.append('detector')
        else:
            del facts['detector']
        for name in networks:
            facts[name] = _manifest(getattr(self, name))
        facts['shape'] = ''.join(_manifest(folder) for folder in self.shape.split(','))
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def shares_shapes(self) -> bool:
        """Whether tracks are fitted as wholes: where points are seen."""
        return self.tracks and needs_points(self.mode)

    def record(self, name: str) -> Path:
        """Return where a frame's labels are; the file is there when the frame is finished."""
        return Path(self.out) / 'frames' / f'{name}.json'


@lru_cache(maxsize=1)
def open_job(job: LabelJob) -> tuple[LabelBag, ClassLabelers]:
    """Return the recording and the engines, kept for the next part of the same job."""
    preset = PRESETS[job.preset or 'simulation']
    config = replace(preset, mirrors=job.mirrors, traffic=job.traffic or preset.traffic)
    labelers = _labelers(job, config)
    bag = LabelBag(
        Path(job.bag),
        labelers.categories,
        detections=job.detections,
        checkpoint=Path(job.segmentation),
        detector=Path(job.detector),
        level_frame=job.level_frame,
        min_visibility=job.min_visibility,
        points=needs_points(job.mode),
        sensors=Sensors(job.camera, job.lidar),
        class_map=job.class_map,
        device=job.device,
    )
    if bag.detections == SEGMENTATION:
        config = replace(
            config,
            edge_sigma=_REGION_EDGE_SIGMA,
            edge_sigma_share=_REGION_EDGE_SHARE,
            contour_sigma=_REGION_CONTOUR_SIGMA,
        )
        labelers = _labelers(job, config)
    return bag, labelers


def _labelers(job: LabelJob, config: LabelConfig) -> ClassLabelers:
    return ClassLabelers(
        [
            load_labeler(
                job.mode,
                shape,
                coordinates=job.coordinates,
                depth=job.segmentation,
                config=config,
                device=job.device,
                threads=1,
                refine=job.refine,
            )
            for shape in job.shape.split(',')
        ]
    )


def _manifest(folder: str) -> str:
    path = Path(folder) / MANIFEST
    return path.read_text() if path.is_file() else ''


def label_part(job: LabelJob, numbers: Sequence[int]) -> int:
    """Label frames by number and write their files; return how many labels were accepted.

    Frames that are finished are left as they are.
    """
    cv2.setNumThreads(1)
    bag, labelers = open_job(job)
    accepted = 0
    for number in numbers:
        if job.record(bag.name(number)).exists():
            continue
        item = bag[number]
        masks = item.masks if job.mode == 'lidar' else None  # other modes make their own
        labels = labelers.label(
            item.frame, item.boxes, item.class_ids, image=item.image, masks=masks
        )
        named = [replace(label, id=own) for label, own in zip(labels, item.ids, strict=True)]
        frame = LabelledFrame(
            name=item.name,
            stamp=item.stamp,
            camera=item.frame.camera,
            camera_T_level=np.asarray(item.frame.camera_T_level, np.float64),
            labels=tuple(named),
            world_T_level=item.world_T_level,
            level_frame=item.level_frame,
            camera_frame=item.camera_frame,
            world_frame=item.world_frame,
        )
        if job.shares_shapes:
            measured = labelers.evidence(item.frame, frame.labels)
            write_evidence(evidence_file(job, frame.name), measured)
        write_files(job, item, frame, labelers.shapes)
        accepted += len(frame.accepted)
    return accepted


def evidence_file(job: LabelJob, name: str) -> Path:
    """Return where the evidence of a frame's labels waits for the second pass."""
    return Path(job.out) / 'evidence' / f'{name}.npz'


def write_files(
    job: LabelJob, item: ToLabel, frame: LabelledFrame, shapes: Mapping[int, ShapeModel]
) -> None:
    """Write all files of a frame, its labels last: they say that the frame is finished.

    Raises:
        OSError: for a full disk and the like; what was finished before stays.
    """
    out = Path(job.out)
    write_atomically(out / IMAGES / f'{frame.name}.png', encoded_image(item.image, '.png'))
    formats = [name for name in job.formats if name in EXPORTS]
    export_frame(formats, frame, load_taxonomy(), out, shapes=shapes, points=item.frame.points)
    if PICTURES in job.formats:
        picture = draw_labels(item.image, item.frame, frame.labels, shapes)
        write_atomically(out / PICTURES / f'{frame.name}.jpg', encoded_image(picture, '.jpg'))
    write_frame(frame, job.record(frame.name))


def encoded_image(image: np.ndarray, suffix: str) -> bytes:
    """Return (H, W, 3) RGB as the bytes of an image file.

    Raises:
        ValueError: for an array that is none.
    """
    done, data = cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]))
    if not done:
        raise ValueError(f'an image of shape {image.shape} cannot be written as {suffix}')
    return data.tobytes()
