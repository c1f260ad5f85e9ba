"""The verb ``resimulate``: a recording with labels becomes a scenario that re-creates it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from rich.console import Console
from scipy.spatial.transform import Rotation

from sim_perception.autolabel.surfaces import silhouette_mask
from sim_perception.bags import topics as t_
from sim_perception.bags.sensors import Sensors, truth_topic
from sim_perception.geometry.boxes import iou_upright
from sim_perception.geometry.cameras import unproject
from sim_perception.geometry.trajectory import Trajectory
from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert, transform_points
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.shape import ShapePca, Surface
from sim_perception.simulator.drive import Drive, DriveObject, Motion, write_drive
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D
from training.datasets.sample import DatasetError
from training.engine.command import command_line
from training.resimulation.bodies import body_mesh, car_mesh
from training.resimulation.ground import HeightField, ground_parts
from training.resimulation.light import match_brightness, paint_objects, weather_of
from training.resimulation.motions import motion_of, size_of, weighted_median
from training.resimulation.recording import GROUND, Recording, Shot
from training.resimulation.sightings import (
    Sighting,
    identified,
    sightings_of_labels,
    sightings_of_truth,
)
from training.resimulation.surroundings import (
    VEHICLES,
    StandingView,
    standing_view,
    surroundings,
)

Array = npt.NDArray[np.floating]

_LIGHT = {'sun_elevation_deg': 40.0, 'sun_azimuth_deg': 60.0, 'cloud_cover': 0.7}
_GREY = (0.2, 0.2, 0.2)
_GROUND_VIEWS = 10
_SAME_PLACE = 0.3
"""Boxes that share more in plan view are of one object."""
_RIM = 0.006
_MARGIN, _UNSURE = 0.7, 0.08
"""Vehicles this near to an object, metres and share of their depth, are that object."""


@dataclass(frozen=True)
class ResimulateJob:
    """What is re-created, and from what.

    Attributes:
        bag: the recording.
        out: the scenario to write, a YAML file; the drive's folder is put beside it.
        labels: folder of ``training label``; None takes the recording's own true objects.
        shape: checkpoint of the shape space of the labels.
        segmentation: checkpoint of depth, classes and motion, where the bag has none.
        views: at most so many places whose depth becomes surroundings.
        spacing: way between them, metres.
        use_truth: take depth and classes from ``/ground_truth`` where the bag has them.
        unsure: see ``sightings_of_labels``.
        camera, lidar: see ``bags.sensors.Sensors``.
        device: see ``Recording``.
    """

    bag: Path
    out: Path
    labels: Path | None = None
    shape: Path = Path('models/shape_car')
    segmentation: Path = Path('models/depth_segmentation')
    views: int = 6
    spacing: float = 6.0
    use_truth: bool = True
    unsure: bool = False
    camera: str = ''
    lidar: str = ''
    device: str = 'auto'

    def __post_init__(self) -> None:
        if self.out.suffix not in ('.yaml', '.yml'):
            raise ValueError(f'--out must be a YAML file, got {self.out}')
        if self.views < 1 or not self.spacing > 0:
            raise ValueError('views must be at least 1 and spacing positive')

    @property
    def drive(self) -> Path:
        """The drive's folder."""
        return self.out.with_name(f'{self.out.stem}_drive')


def resimulate(job: ResimulateJob, console: Console | None = None) -> dict[str, Any]:
    """Write a scenario that re-creates a recording.

    Returns:
        Counts and sources, for people.

    Raises:
        BagError, DatasetError, CheckpointError, RecordError: for unusable inputs.
    """
    console = console or Console(stderr=True)
    console.print(f'reading {job.bag}')
    sensors = Sensors(job.camera, job.lidar)
    recording = Recording(
        job.bag, job.segmentation, job.use_truth, sensors=sensors, device=job.device
    )
    model = load_checkpoint(job.shape, network='shape_pca').net
    assert isinstance(model, ShapePca)
    found = gather_sightings(job, recording)
    objects = make_objects(found, recording, model)
    console.print(f'{len(objects)} objects; motion from {recording.motion_source}')
    numbers = key_frames(recording, job.spacing, job.views)
    views = [view_without(recording, k, objects) for k in numbers]
    wide = np.unique(np.linspace(0, len(recording) - 1, _GROUND_VIEWS).astype(int))
    ground_views = [view_without(recording, int(k), objects) for k in wide]
    field = HeightField(ground_views, recording.world_T_base)
    tiles, pictures = ground_parts(field, ground_views, load_taxonomy().id_of('road'))
    sheets, images = surroundings(views, ground_views)
    drive = Drive(
        ego=Motion(recording.seconds, recording.world_T_base),
        objects=tuple(objects),
        parts=(*tiles, *(
            type(part)(part.origin, part.mesh, part.texture + len(pictures)) for part in sheets
        )),
        textures=np.stack([*pictures, *images]),
        source=recording.path.name,
    )  # fmt: skip
    job.out.parent.mkdir(parents=True, exist_ok=True)
    write_drive(drive, job.drive)
    write_scenario(job, recording)
    console.print(f'{len(views)} views of surroundings; matching brightness')
    shots = [(float(recording.seconds[k]), recording.shot(k).image) for k in numbers]
    drive, look = paint_objects(drive, job.drive, job.out, shots)
    if look is not None:
        write_scenario(job, recording, weather_of(look))
    write_drive(match_brightness(drive, job.drive, job.out, shots), job.drive)
    return {
        'scenario': str(job.out),
        'seconds': float(recording.seconds[-1]),
        'motion': recording.motion_source,
        'objects': len(objects),
        'moving': sum(len(item.motion.times) > 1 for item in objects),
        'faces': int(sum(len(part.mesh.faces) for part in drive.parts)),
    }


def gather_sightings(job: ResimulateJob, recording: Recording) -> list[Sighting]:
    """Return all objects' sightings, each with an identity.

    With labels, the categories that they do not have come from the truth, where there is one.
    """
    truth = job.use_truth and recording.bag.count(truth_topic(recording.bag, t_.OBJECTS)) > 0
    if job.labels is None:
        if not truth:
            raise DatasetError(
                f'{job.bag} has no true objects; label it first (python -m training label '
                f'{job.bag} --out LABELS) and pass --labels LABELS'
            )
        return sightings_of_truth(recording)
    found = identified(recording, sightings_of_labels(recording, job.labels, job.unsure))
    if truth:
        labelled = {item.category for item in found}
        found += [i for i in sightings_of_truth(recording) if i.category not in labelled]
    return found


def make_objects(
    found: Sequence[Sighting], recording: Recording, model: ShapePca
) -> list[DriveObject]:
    """Return the objects of sightings with their meshes, grey as yet."""
    tracks: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for item in found:
        tracks[item.category, item.id].append(item)
    objects: list[tuple[int, DriveObject]] = []
    for number, ((category, name), items) in enumerate(sorted(tracks.items())):
        weights = np.array([item.weight for item in items])
        size = size_of(items)
        if category == model.config.category:
            latents = [item.latent for item in items if item.latent is not None]
            bodies = [item.body_size for item in items if item.body_size is not None]
            latent = body = None
            if latents and len(latents) == len(items) == len(bodies):
                latent = np.average(np.array(latents), axis=0, weights=weights)
                body = weighted_median(bodies, weights)
            outer = size if body is None else (float(body[0]), float(body[1]), float(body[2]))
            mesh = car_mesh(model, latent, outer)
        else:
            mesh = body_mesh(category, size, number)
        exact = all(i.exact for i in items)
        motion = motion_of(items, recording.seconds, exact)
        support = len(recording) if exact else len(items)
        objects.append((support, DriveObject(name, category, size, _GREY, motion, mesh)))
    return without_doubles(objects)


def without_doubles(objects: Sequence[tuple[int, DriveObject]]) -> list[DriveObject]:
    """Return objects without those that stand where a better supported one stands.

    A track that was lost and found again is one object twice.

    Args:
        objects: with how many sightings each rests on.
    """
    kept: list[DriveObject] = []
    for _, item in sorted(objects, key=lambda pair: -pair[0]):
        box = Box3D(item.motion.poses[0], item.size)
        time = float(item.motion.times[0])
        for other in kept:
            times = other.motion.times
            known = len(times) == 1 or times[0] <= time <= times[-1]
            pose = Trajectory(times, other.motion.poses).at(time).pose
            if known and iou_upright(box, Box3D(pose, other.size))[0] > _SAME_PLACE:
                break
        else:
            kept.append(item)
    names = [item.id for _, item in objects]
    return sorted(kept, key=lambda item: names.index(item.id))


def key_frames(recording: Recording, spacing: float, most: int) -> list[int]:
    """Return numbers of frames spread along the way, the first and the last among them."""
    places = recording.world_T_base[:, :3, 3]
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    count = int(np.clip(np.ceil(way[-1] / spacing) + 1, 1, most))
    marks = way[-1] * np.linspace(1, 0, count)
    chosen = {int(np.abs(way - mark).argmin()) for mark in marks} | {len(recording) - 1}
    return sorted(chosen)


def view_without(
    recording: Recording, number: int, objects: Sequence[DriveObject]
) -> StandingView:
    """Return a frame's view without the objects, and without others that surely move."""
    shot = recording.shot(number)
    seconds = float(recording.seconds[number])
    taxonomy = load_taxonomy()
    things = np.isin(shot.semantic, taxonomy.thing_ids)
    vehicles = np.isin(shot.semantic, [taxonomy.id_of(name) for name in VEHICLES])
    mask = object_mask(shot, objects, seconds) | (things & ~vehicles)
    mask |= things & near_objects(shot, objects, seconds)
    # Around a thing its colours and depths are mixed with others'.
    side = 2 * max(2, round(_RIM * shot.camera.width)) + 1
    mask = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
    return standing_view(
        shot.image, shot.camera, shot.world_T_camera, shot.depth, shot.semantic, mask,
        [taxonomy.id_of(name) for name in GROUND],
        None if recording.has_truth else shot.lidar,
    )  # fmt: skip


def near_objects(
    shot: Shot, objects: Sequence[DriveObject], seconds: float
) -> npt.NDArray[np.bool_]:
    """Return the (H, W) pixels whose points lie in an object's box or not far from it."""
    points = unproject(shot.camera, np.nan_to_num(shot.depth))
    margin = _MARGIN + _UNSURE * np.nan_to_num(shot.depth)
    near = np.zeros(shot.depth.shape, bool)
    for item in objects:
        pose = Trajectory(item.motion.times, item.motion.poses).at(seconds).pose
        inside = np.abs(transform_points(invert(pose) @ shot.world_T_camera, points))
        near |= (inside < np.asarray(item.size) / 2 + margin[..., None]).all(-1)
    return near


def object_mask(
    shot: Shot, objects: Sequence[DriveObject], seconds: float
) -> npt.NDArray[np.bool_]:
    """Return the (H, W) pixels that objects cover."""
    mask = np.zeros(shot.semantic.shape, np.uint8)
    for item in objects:
        pose = Trajectory(item.motion.times, item.motion.poses).at(seconds).pose
        surface = Surface(item.mesh.vertices, item.mesh.faces)
        mask |= silhouette_mask(surface, invert(shot.world_T_camera) @ pose, shot.camera)
    return mask.astype(bool)


def write_scenario(
    job: ResimulateJob, recording: Recording, light: dict[str, float] | None = None
) -> None:
    """Write the YAML file, with a light of its own or a plain one."""
    camera = recording.sample(int(recording.stamps[0])).camera
    assert camera is not None
    mount = recording.base_T_camera
    turn = Rotation.from_matrix((mount @ invert(BODY_T_OPTICAL))[:3, :3])
    roll, pitch, yaw = (round(float(v), 3) for v in turn.as_euler('xyz', degrees=True))
    rate = 10.0
    if len(recording) > 1:
        rate = float(np.clip(1 / np.median(np.diff(recording.seconds)), 1, 100))
    offset = (
        (camera.cx - (camera.width - 1) / 2) / camera.width,
        (camera.cy - (camera.height - 1) / 2) / camera.height,
    )
    values = {
        'name': job.out.stem,
        'duration_s': round(float(recording.seconds[-1]) + 0.5 / rate, 3),
        'frame_rate_hz': round(rate, 3),
        'weather': {**(light or _LIGHT), 'fog_density': 0.0005},
        'camera': {
            'width': camera.width,
            'height': camera.height,
            'horizontal_fov_deg': round(float(np.rad2deg(2 * np.arctan2(camera.width / 2,
                                                                        camera.fx))), 4),
            'centre_offset': [round(v, 6) for v in offset],
            'forward_m': round(float(mount[0, 3]), 3),
            'left_m': round(float(mount[1, 3]), 3),
            'height_m': round(float(mount[2, 3]), 3),
            'roll_deg': roll, 'pitch_deg': pitch, 'yaw_deg': yaw,
            'exposure': 0.75,
        },
        'replay': {'drive': job.drive.name},
    }  # fmt: skip
    values.update(lidar_mount(recording))
    head = f'# {recording.path.name} re-created by: {command_line()}\n'
    job.out.write_text(head + yaml.safe_dump(values, sort_keys=False, default_flow_style=None))


def lidar_mount(recording: Recording) -> dict[str, Any]:
    """Return the scenario's ``lidar`` field: the place of the recording's, or None without."""
    topic = recording.cloud_topic
    if topic is None:
        return {'lidar': None}
    frame = recording.bag.message(topic, 0).header.frame_id
    stamp = int(recording.stamps[0])
    camera_T_lidar = recording.bag.transforms.lookup(recording.camera_frame, frame, stamp)
    place = (recording.base_T_camera @ camera_T_lidar)[:3, 3]
    return {
        'lidar': {
            'forward_m': round(float(np.clip(place[0], -3, 5)), 3),
            'height_m': round(float(np.clip(place[2], 0.3, 5)), 3),
        }
    }


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print what was made."""
    console.print(json.dumps(summary, indent=1), highlight=False)
