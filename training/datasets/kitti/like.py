"""Simulated frames with the troubles of KITTI's: a stress test of labels where truth is known.

What real scans and labels have and the simulator's do not: small cars of 2011, glass that beams
pass through, dark paint that returns few of them, beams that are off by a few centimetres each,
a vehicle that pitches and rolls against its labels, image boxes that hold the labelled 3D box
where the simulator's hold the outline, and true boxes that are off themselves.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.boxes import project_box
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import from_euler, invert, transform_points
from sim_perception.types import Box3D
from training.datasets.objects.label_scenes import LabelScene, TrueObject, points_in_box
from training.datasets.objects.shapes import MIRRORS

F64 = npt.NDArray[np.float64]

SHRINK = 0.88
"""All lengths of the scene are multiplied by it: so large are KITTI's cars beside the simulator's,
and so high its sensors stand."""
_WINDOWS = (0.6, 0.93)
"""Where windows are, shares of the height."""
_LOST, _THROUGH = 0.75, 0.15
"""Shares of the beams on glass that return nothing, and something inside the car."""
_DARK_CARS, _DARK_LOST = 0.3, 0.6
_BEAM_BIAS, _RANGE_NOISE, _STRAY = 0.02, 0.015, 0.005
_TILT = np.deg2rad(0.8)
_BOX_NOISE, _BOX_NOISE_SHARE = 0.5, 0.005
"""How far KITTI's image boxes are from projections of its 3D boxes: pixels, share of the side."""
_LABEL_NOISE, _SIZE_NOISE = 0.04, 0.015


def kitti_like(scene: LabelScene) -> LabelScene:
    """Return a frame with KITTI's troubles; the same one always gets the same."""
    rng = np.random.default_rng(zlib.crc32(scene.name.encode()))
    frame = scene.frame
    sensor = SHRINK * np.asarray(frame.sensor, np.float64)
    points = SHRINK * np.asarray(frame.points, np.float64)
    boxes = [_small(thing.box3d, thing.kind) for thing in scene.objects]
    for thing, box in zip(scene.objects, boxes, strict=True):
        if thing.kind in ('car', 'van', 'truck'):
            points = _through_glass(points, sensor, box, rng)
    points = _as_measured(points, sensor, rng)
    camera_T_level = np.array(frame.camera_T_level, np.float64)
    camera_T_level[:3, 3] *= SHRINK
    # The labels' level frame is the camera's; the street is tilted against it.
    roll, pitch = _TILT * rng.normal(size=2)
    tilt = from_euler(float(roll), float(pitch), 0.0, np.zeros(3))
    about = np.eye(4)
    about[:3, 3] = sensor
    tilted_T_level = about @ tilt @ invert(about)
    points = np.asarray(transform_points(tilted_T_level, points), np.float64)
    new = LidarFrame(frame.camera, camera_T_level @ invert(tilted_T_level), points, sensor)
    objects = tuple(
        _as_labelled(thing, box, tilted_T_level, new, rng)
        for thing, box in zip(scene.objects, boxes, strict=True)
    )
    return replace(scene, frame=new, objects=objects, world_T_level=None)


def _small(box: Box3D, kind: str) -> Box3D:
    """Return a box in the shrunk scene, of cars without mirrors as KITTI's."""
    length, width, height = box.size
    if kind == 'car':
        width = (width - MIRRORS['mirror_offset']) / MIRRORS['mirror_scale']
    pose = np.array(box.parent_T_box, np.float64)
    pose[:3, 3] *= SHRINK
    return Box3D(pose, (SHRINK * length, SHRINK * width, SHRINK * height))


def _through_glass(points: F64, sensor: F64, box: Box3D, rng: np.random.Generator) -> F64:
    """Return points without most of those on a car's windows, and few of a dark car."""
    places = transform_points(invert(box.parent_T_box), points)
    half = np.array(box.size) / 2
    inside = (np.abs(places) < half + 0.15).all(1)
    share = places[:, 2] / box.size[2] + 0.5
    glass = inside & (share > _WINDOWS[0]) & (share < _WINDOWS[1])
    draw = rng.random(len(points))
    lost = glass & (draw < _LOST)
    if rng.random() < _DARK_CARS:
        lost |= inside & (rng.random(len(points)) < _DARK_LOST)
    through = glass & (draw > 1 - _THROUGH)
    rays = points - sensor
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    deep = rng.uniform(0.3, 1.2, len(points))
    moved = np.where(through[:, None], points + deep[:, None] * rays, points)
    return moved[~lost]


def _as_measured(points: F64, sensor: F64, rng: np.random.Generator) -> F64:
    """Return points with ranges that are off: each beam by its own amount, and noise."""
    rays = points - sensor
    reach = np.linalg.norm(rays, axis=1)
    beam = np.clip((np.arcsin(rays[:, 2] / reach) + 0.5) * 150, 0, 199).astype(np.int64)
    error = _BEAM_BIAS * rng.normal(size=200)[beam] + _RANGE_NOISE * rng.normal(size=len(points))
    stray = rng.random(len(points)) < _STRAY
    error[stray] += rng.uniform(-0.5, 0.5, int(stray.sum()))
    return sensor + rays * (1 + error / reach)[:, None]


def _as_labelled(
    thing: TrueObject,
    box: Box3D,
    tilted_T_level: F64,
    frame: LidarFrame,
    rng: np.random.Generator,
) -> TrueObject:
    """Return a true object as people label it: upright, nearly right, its corners boxed."""
    pose = tilted_T_level @ box.parent_T_box
    yaw = float(np.arctan2(pose[1, 0], pose[0, 0])) + 0.01 * rng.normal()
    centre = pose[:3, 3] + _LABEL_NOISE * rng.normal(size=3)
    length, width, height = (float(s) for s in box.size * np.exp(_SIZE_NOISE * rng.normal(size=3)))
    placed = Box3D(from_euler(0.0, 0.0, yaw, centre), (length, width, height))
    limit = np.array([frame.camera.width, frame.camera.height] * 2) - 1.0
    whole = project_box(frame.camera, frame.camera_T_level, placed)
    drawn = np.array(thing.box2d if whole is None else whole)
    sides = np.tile(drawn[2:] - drawn[:2], 2)
    drawn += (_BOX_NOISE + _BOX_NOISE_SHARE * sides) * rng.normal(size=4)
    return replace(
        thing,
        box3d=placed,
        box2d=tuple(np.clip(drawn, 0, limit).tolist()),
        points=points_in_box(np.asarray(frame.points, np.float64), placed),
    )
