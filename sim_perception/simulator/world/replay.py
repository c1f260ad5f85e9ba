"""The world of a recorded drive: the counterpart of ``world.World`` for scenarios that replay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.trajectory import Trajectory
from sim_perception.simulator.common.scene import Assets, Material, Mesh, Scene, WorldState
from sim_perception.simulator.content.materials import Look, build_materials
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.textures import SIZE
from sim_perception.simulator.drive import (
    TEXTURED,
    Drive,
    DriveError,
    DriveObject,
    Motion,
    drive_digest,
    read_drive,
)
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.scenario_parts import Replay
from sim_perception.simulator.street.draws import draw_environment, draw_sensor, stream
from sim_perception.simulator.world.assembly import Assembly, ObjectSpec, planar_pose
from sim_perception.simulator.world.fleet import build_fleet
from sim_perception.simulator.world.palette import car_color, truck_color

F64 = npt.NDArray[np.float64]

#: Kilograms per cubic metre of the box, for forces.
_DENSITY = {'car': 115.0, 'truck': 170.0, 'pedestrian': 90.0, 'cyclist': 110.0}


class ReplayWorld:
    """Content and motion of a scenario that replays a drive.

    Attributes:
        scene: everything that does not change.

    Raises:
        DriveError: if the drive cannot be read, or is not the one that the scenario means.
    """

    def __init__(self, scenario: Scenario) -> None:
        assert scenario.replay is not None
        self._scenario = scenario
        drive = open_drive(scenario.replay)
        objects = [*kept_objects(drive, scenario.replay), *added_vehicles(drive, scenario)]
        assembly = Assembly()
        materials, textures = _materials(scenario, drive)
        textured = len(materials) - len(drive.textures)
        for part in drive.parts:
            mesh = _dressed(part.mesh, textured + part.texture)
            pose = planar_pose(*part.origin)
            assembly.place(assembly.add_mesh(mesh), pose)
        for item in objects:
            mass = float(np.prod(item.size)) * _DENSITY.get(item.category, 100.0)
            row = assembly.add_object(
                ObjectSpec(class_id(item.category), item.id, item.size, mass, 0.0)
            )
            assembly.attach(row, assembly.add_mesh(item.mesh), tint=item.color)
        self.scene = Scene(
            Assets(tuple(assembly.meshes), materials, textures),
            assembly.instances(),
            assembly.object_facts(),
            draw_environment(scenario),
            draw_sensor(scenario),
        )
        self._ego = Trajectory(drive.ego.times, drive.ego.poses)
        self._ways = [Trajectory(item.motion.times, item.motion.poses) for item in objects]
        self._standing = np.array([part.local for part in assembly.parts[: len(drive.parts)]])

    def state(self, t: float) -> WorldState:
        """Return where everything is at ``t`` seconds.

        Raises:
            ValueError: for a time before -frame_period or after the duration.
        """
        self._scenario.check_time(t)
        ego, motions = self._ego.at(t), [way.at(t) for way in self._ways]
        poses = np.array([m.pose for m in motions]).reshape(-1, 4, 4)
        acceleration = np.array([m.acceleration for m in motions]).reshape(-1, 3)
        mass = np.asarray(self.scene.objects.mass, np.float64)
        return WorldState(
            time=float(t),
            world_T_instance=np.concatenate([self._standing.reshape(-1, 4, 4), poses]),
            world_T_object=poses,
            velocity=np.array([m.velocity for m in motions]).reshape(-1, 3),
            acceleration=acceleration,
            net_force=mass[:, None] * acceleration,
            angular_velocity=np.array([m.angular_velocity for m in motions]).reshape(-1, 3),
            world_T_base=ego.pose,
            base_velocity=ego.velocity,
            base_angular_velocity=ego.angular_velocity,
        )

    def base(self, t: float) -> npt.NDArray[np.float64]:
        """Return ``world_T_base`` of the state at ``t``; errors as there."""
        self._scenario.check_time(t)
        return np.asarray(self._ego.at(t).pose)


def open_drive(replay: Replay) -> Drive:
    """Return the drive that a scenario names.

    Raises:
        DriveError: if it cannot be read or has changed since the scenario was loaded.
    """
    folder = Path(replay.drive)
    if replay.digest and drive_digest(folder) != replay.digest:
        raise DriveError(f'{folder} has changed since the scenario was read; start anew')
    drive = read_drive(folder)
    if len(drive.textures) and drive.textures.shape[1:] != (SIZE, SIZE, 3):
        raise DriveError(
            f'{folder}: textures must be {SIZE}x{SIZE}, got {drive.textures.shape[1:3]}'
        )
    return drive


def kept_objects(drive: Drive, replay: Replay) -> list[DriveObject]:
    """Return the drive's objects without those that the scenario leaves out.

    Raises:
        DriveError: for an id that the drive does not have.
    """
    known = {item.id for item in drive.objects}
    unknown = sorted(set(replay.without) - known - {'*'})
    if unknown:
        raise DriveError(
            f'replay.without names {", ".join(unknown)}; the drive has '
            f'{", ".join(sorted(known)) or "no objects"}'
        )
    if '*' in replay.without:
        return []
    return [item for item in drive.objects if item.id not in replay.without]


def added_vehicles(drive: Drive, scenario: Scenario) -> list[DriveObject]:
    """Return vehicles that the scenario adds, placed relative to the ego's start.

    Raises:
        DriveError: for an unknown family, listing the known ones.
    """
    assert scenario.replay is not None
    if not scenario.replay.vehicles:
        return []
    fleet = {model.family: model for model in reversed(build_fleet(scenario))}
    rng = stream(scenario, 'added')
    added = []
    for k, wish in enumerate(scenario.replay.vehicles):
        if wish.family not in fleet:
            raise DriveError(
                f'replay.vehicles: unknown family {wish.family!r}; known: '
                f'{", ".join(sorted(fleet))}'
            )
        model = fleet[wish.family]
        drawn = car_color(rng, 0.5) if model.label == 'car' else truck_color(rng)
        yaw = float(np.deg2rad(wish.yaw_deg))
        start = drive.ego.poses[0] @ planar_pose(wish.ahead_m, wish.left_m, model.size[2] / 2, yaw)
        way = start[:3, 0] * wish.speed_mps * max(scenario.duration_s, 1.0)
        end = start.copy()
        end[:3, 3] += way
        motion = Motion(
            np.array([0.0, max(scenario.duration_s, 1.0)]), np.stack([start, end])
        )  # fmt: skip
        mesh = model.whole()
        vertices = mesh.vertices - np.array([0, 0, model.size[2] / 2], np.float32)
        added.append(
            DriveObject(
                id=f'added_{k}',
                category=model.label,
                size=model.size,
                color=wish.color or drawn,
                motion=motion,
                mesh=replace(mesh, vertices=vertices),
            )
        )
    return added


def _dressed(mesh: Mesh, textured: int) -> Mesh:
    """Return a mesh whose textured faces refer to their texture's material."""
    if not (mesh.material == TEXTURED).any():
        return mesh
    return replace(mesh, material=np.where(mesh.material == TEXTURED, textured, mesh.material))


def _materials(
    scenario: Scenario, drive: Drive
) -> tuple[tuple[Material, ...], npt.NDArray[np.uint8]]:
    """Return the slots' materials and after them one for each of the drive's textures."""
    variety = scenario.randomisation
    look = Look(scenario.domain, scenario.weather.season[0], variety.color, variety.texture)
    slots, own = build_materials(look, stream(scenario, 'look'))
    if not len(drive.textures):
        return slots, own
    recorded = tuple(
        Material(f'recorded_{k}', len(own) + k, specular=0.0, wettable=True)
        for k in range(len(drive.textures))
    )
    return (*slots, *recorded), np.concatenate([own, drive.textures])
