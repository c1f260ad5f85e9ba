"""Frames to label whose truth is known, and how they are made by the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.simulator.simulation import LidarScan, Simulation
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D
from training.datasets.sample import DatasetError
from training.datasets.simulated.rendered import scenarios_of

F64 = npt.NDArray[np.float64]

_KNOTS = 21


@dataclass(frozen=True)
class TrueObject:
    """One object of a frame.

    Attributes:
        kind: class name of the taxonomy.
        box3d: in the level frame.
        box2d: amodal image box, cut at the image's border; x1 y1 x2 y2 pixels.
        truncated: share of the image box beyond the border.
        occluded: share of the object that others hide, as far as known.
        points: LiDAR points on it.
        id: the same in all frames of a sequence, '' where not known.
    """

    kind: str
    box3d: Box3D
    box2d: tuple[float, float, float, float]
    truncated: float
    occluded: float
    points: int
    id: str = ''


@dataclass(frozen=True)
class LabelScene:
    """One frame and its truth.

    Attributes:
        name: unique in its data.
        frame: what labelling gets.
        image: (H, W, 3) uint8 RGB.
        objects: the truth.
        time: seconds since the sequence's start.
        world_T_level: 4x4 pose of the level frame in a frame that stands still, or None.
        regions: x1 y1 x2 y2 of parts of the image where nothing is labelled.
    """

    name: str
    frame: LidarFrame
    image: npt.NDArray[np.uint8]
    objects: tuple[TrueObject, ...]
    time: float = 0.0
    world_T_level: F64 | None = None
    sequence: str = ''
    regions: tuple[tuple[float, float, float, float], ...] = ()


def points_in_box(points: npt.NDArray[np.floating], box: Box3D, margin: float = 0.05) -> int:
    """Return how many of (N, 3) points lie in a box grown by a margin, metres.

    The lowest .1 m does not count: there the ground is measured.
    """
    half = np.array(box.size) / 2
    # most points of a frame are nowhere near
    near = np.abs(points[:, 0] - box.parent_T_box[0, 3]) < np.linalg.norm(half) + margin
    inside = transform_points(invert(box.parent_T_box), points[near])
    within = (np.abs(inside[:, :2]) < half[:2] + margin).all(1)
    within &= (inside[:, 2] > 0.1 - half[2]) & (inside[:, 2] < half[2] + margin)
    return int(within.sum())


def cut_box(box: npt.NDArray[np.floating], width: int, height: int) -> tuple[F64, float]:
    """Return an image box cut at the image's border, and the share that is cut off."""
    limit = np.array([width, height, width, height]) - 1.0
    inside = np.clip(np.asarray(box, np.float64), 0, limit)
    area = (box[2] - box[0]) * (box[3] - box[1])
    kept = max(inside[2] - inside[0], 0) * max(inside[3] - inside[1], 0)
    return inside, float(1 - kept / max(area, 1e-9))


def still_cloud(simulation: Simulation, scan: LidarScan, time: float) -> F64:
    """Return (N, 3) points of a scan in ``base_link`` at a time, the ego's motion removed."""
    raw = np.stack([scan.points[axis] for axis in 'xyz'], 1).astype(np.float64)
    points = transform_points(simulation.base_T_lidar, raw)
    knots = np.linspace(0, scan.period, _KNOTS)
    poses = np.array([simulation.state(scan.start + k).world_T_base for k in knots])
    poses = invert(simulation.state(time).world_T_base) @ poses
    spot = scan.points['time'].astype(np.float64) / scan.period * (_KNOTS - 1)
    before = np.clip(spot.astype(np.int64), 0, _KNOTS - 2)
    share = (spot - before)[:, None]
    ends = [
        np.einsum('nij,nj->ni', poses[k, :3, :3], points) + poses[k, :3, 3]
        for k in (before, before + 1)
    ]
    return (1 - share) * ends[0] + share * ends[1]


def simulated_scenes(
    scenario: str, seeds: str, frames: int, *, points: bool = True
) -> Iterator[LabelScene]:
    """Yield frames spread over scenarios under several seeds; the LiDAR looks ahead at their time.

    Raises:
        DatasetError: for an unknown scenario, one without LiDAR if ``points`` are wanted, or
            malformed seeds.
    """
    names = load_taxonomy().names
    for one in scenarios_of(scenario, seeds):
        simulation = Simulation(one)
        for number in range(frames):
            time = one.duration_s * (number + 0.5) / frames
            name = f'{one.name}_{one.seed}'
            scene = simulated_scene(simulation, time, names, f'{name}_{number:02d}', points=points)
            yield replace(scene, sequence=name)


def simulated_scene(
    simulation: Simulation, time: float, names: tuple[str, ...], name: str, *, points: bool = True
) -> LabelScene:
    """Return one frame of a simulation, without a scan if ``points`` are not wanted.

    Raises:
        DatasetError: if they are and the scenario has no LiDAR.
    """
    if points and simulation.lidar_spec is None:
        raise DatasetError(
            f'{name}: the scenario has no LiDAR; use one that has, such as target or occlusion'
        )
    state, camera = simulation.state(time), simulation.camera
    sample = simulation.camera_frame(time, layers=frozenset({'rgb'}))
    assert sample.rgb is not None
    cloud, sensor = np.empty((0, 3)), simulation.base_T_camera[:3, 3]
    if points and simulation.lidar_spec is not None:
        scan = simulation.lidar_scan(time - 0.5 / simulation.lidar_spec.rate_hz)
        cloud, sensor = still_cloud(simulation, scan, time), simulation.base_T_lidar[:3, 3]
    truth = simulation.object_truth(state, sample)
    base_T_world = invert(state.world_T_base)
    objects = []
    for k in range(len(truth)):
        if truth.visibility[k] <= 0 or not np.isfinite(truth.box_amodal[k]).all():
            continue
        x, y, z = (float(s) for s in truth.size[k])
        box = Box3D(base_T_world @ truth.world_T_object[k], (x, y, z))
        inside, truncated = cut_box(truth.box_amodal[k], camera.width, camera.height)
        objects.append(
            TrueObject(
                names[truth.class_id[k]],
                box,
                tuple(inside.tolist()),
                truncated,
                1 - float(truth.visibility[k]),
                points_in_box(cloud, box),
                str(int(truth.id[k])),
            )
        )
    frame = LidarFrame(camera, invert(simulation.base_T_camera), cloud, sensor)
    return LabelScene(
        name, frame, sample.rgb, tuple(objects), time, np.asarray(state.world_T_base, np.float64)
    )
