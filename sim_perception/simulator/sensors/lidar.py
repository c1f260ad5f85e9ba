# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""A spinning LiDAR: rays column by column while the vehicle and the objects move."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import make_transform
from sim_perception.kernels import kernel
from sim_perception.simulator.common.noise import NORMAL, normal, salt, uniform
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F64, Scene, WorldState
from sim_perception.simulator.surfaces.packing import pack_instances, packed_meshes
from sim_perception.simulator.surfaces.tracing import make_tracer

#: Fields of a point: metres in the LiDAR's frame, intensity 0 to 1, ring from the top beam,
#: seconds after the scan's start.
POINT = np.dtype(
    [
        ('x', '<f4'),
        ('y', '<f4'),
        ('z', '<f4'),
        ('intensity', '<f4'),
        ('ring', '<u2'),
        ('time', '<f4'),
    ]
)


@dataclass(frozen=True)
class LidarSpec:
    """A spinning LiDAR; the defaults are those of a 64-beam roof sensor.

    Attributes:
        rings: beams, evenly spread in elevation, ring 0 is the highest.
        columns: firings per turn.
        rate_hz: turns per second.
        fov_up_deg, fov_down_deg: elevation of the first and last ring.
        azimuth_start_deg: where a turn starts, from x towards y; it goes clockwise seen from
            above, so that by default the front is reached half-way.
        min_range, max_range: metres.
        range_noise: standard deviation along the beam, metres.
        dropout: share of returns lost for no reason.
        reference_range: where a dark target (reflectance 0.1) at right angles is detected half
            of the time, metres; weaker returns are lost more often. Infinite for an ideal sensor.
    """

    rings: int = 64
    columns: int = 1024
    rate_hz: float = 10.0
    fov_up_deg: float = 3.0
    fov_down_deg: float = -25.0
    azimuth_start_deg: float = 180.0
    min_range: float = 1.0
    max_range: float = 120.0
    range_noise: float = 0.02
    dropout: float = 0.01
    reference_range: float = 90.0

    def __post_init__(self) -> None:
        if self.rings < 1 or self.columns < 1:
            raise ValueError(f'a LiDAR needs rings and columns, got {self.rings}x{self.columns}')
        if self.rings > 65535:
            raise ValueError(f'at most 65535 rings fit the ring column, got {self.rings}')
        if not self.rate_hz > 0:
            raise ValueError(f'rate_hz must be positive, got {self.rate_hz}')
        if not 0 <= self.min_range < self.max_range:
            raise ValueError(
                f'ranges must satisfy 0 <= min_range < max_range, got {self.min_range} and '
                f'{self.max_range}'
            )
        if not -90 <= self.fov_down_deg <= self.fov_up_deg <= 90:
            raise ValueError(
                'elevations must satisfy -90 <= fov_down_deg <= fov_up_deg <= 90, got '
                f'{self.fov_down_deg} and {self.fov_up_deg}'
            )
        if self.range_noise < 0 or not 0 <= self.dropout <= 1 or not self.reference_range > 0:
            raise ValueError('range_noise, dropout or reference_range is out of range')

    def directions(self) -> F64:
        """Return (columns, rings, 3) unit beam directions in the LiDAR's frame."""
        elevation = np.deg2rad(np.linspace(self.fov_up_deg, self.fov_down_deg, self.rings))
        turn = 2 * np.pi * np.arange(self.columns) / self.columns
        azimuth = np.deg2rad(self.azimuth_start_deg) - turn
        shape = (self.columns, self.rings)
        return np.stack(
            [
                np.cos(azimuth)[:, None] * np.cos(elevation),
                np.sin(azimuth)[:, None] * np.cos(elevation),
                np.broadcast_to(np.sin(elevation), shape),
            ],
            -1,
        )

    def times(self) -> F64:
        """Return (columns,) seconds after the scan's start."""
        return np.arange(self.columns) / self.columns / self.rate_hz


@dataclass(frozen=True)
class LidarScan:
    """One turn.

    Attributes:
        points: (N,) of dtype ``POINT``; raw: each in the LiDAR's frame at its own time. In
            firing order, only returns.
        start: seconds since the scenario's start.
        period: seconds of the turn.
    """

    points: npt.NDArray[np.void]
    start: float
    period: float


def twist_motion(velocity: F64, angular: F64, times: F64) -> tuple[F64, F64]:
    """Return (T, 3, 3) rotations and (T, 3) displacements of constant twists.

    Args:
        velocity: (3,) or (T, 3) of the moving origin at time 0, in the fixed frame.
        angular: (3,) or (T, 3) angular velocity, in the fixed frame.
        times: (T,) seconds.
    """
    shape = (len(times), 3)
    x, y, z = np.broadcast_to(angular, shape).T
    zero = np.zeros(len(times))
    cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    rate = np.sqrt(x * x + y * y + z * z)
    angle = rate * times
    # sin(a)/a, (1 - cos a)/a^2, (a - sin a)/a^3 without loss for small angles.
    tiny = angle < 1e-4
    a = np.where(tiny, 1.0, angle)
    first = np.where(tiny, 1.0, np.sin(a) / a)
    second = np.where(tiny, 0.5, (1 - np.cos(a)) / a**2)
    third = np.where(tiny, 1 / 6, (a - np.sin(a)) / a**3)
    t = times[:, None, None]
    square = cross @ cross
    eye = np.eye(3)
    rotation = eye + (t * first[:, None, None]) * cross + (t * t * second[:, None, None]) * square
    integral = t * (
        eye + (t * second[:, None, None]) * cross + (t * t * third[:, None, None]) * square
    )
    shift = (integral @ np.broadcast_to(velocity, shape)[:, :, None])[:, :, 0]
    return rotation, shift


def moved_instances(scene: Scene, state: WorldState, duration: float) -> F64:
    """Return (N, 4, 4) instance poses after ``duration`` seconds of the objects' velocities."""
    poses = np.array(state.world_T_instance, np.float64)
    moving = (state.velocity != 0).any(1) | (state.angular_velocity != 0).any(1)
    if not moving.any():
        return poses
    rows = np.flatnonzero(moving)
    rotation, shift = twist_motion(
        state.velocity[rows], state.angular_velocity[rows], np.full(len(rows), duration)
    )
    owner = scene.instances.object
    members = np.flatnonzero((owner >= 0) & np.append(moving, False)[owner])
    place = np.searchsorted(rows, owner[members])
    rotation, shift = rotation[place], shift[place]
    center = state.world_T_object[owner[members], :3, 3]
    offset = poses[members, :3, 3] - center
    poses[members, :3, 3] = center + shift + (rotation @ offset[:, :, None])[:, :, 0]
    poses[members, :3, :3] = rotation @ poses[members, :3, :3]
    return poses


@kernel
def _slot(column, ring, columns, rings):
    """Return a ray's place in tracing order: packets are tiles of 4 columns and 2 rings."""
    left = column // 4 * 4
    top = ring // 2 * 2
    width = min(4, columns - left)
    return left * rings + top * width + (ring - top) * width + column - left


@kernel
def _aim(beams, poses, origins, directions, times, fractions):
    """Write the world rays of all columns in tracing order."""
    rings = beams.shape[1]
    for column in range(len(beams)):
        pose = poses[column]
        for ring in range(rings):
            i = _slot(column, ring, len(beams), rings)
            for row in range(3):
                origins[i, row] = pose[row, 3]
                directions[i, row] = (
                    pose[row, 0] * beams[column, ring, 0]
                    + pose[row, 1] * beams[column, ring, 1]
                    + pose[row, 2] * beams[column, ring, 2]
                )
            times[i] = fractions[column]


@kernel
def _measure(
    first, last, columns, rings, directions, distance, instance, face, instance_pose, face_normal,
    face_start, mesh_of, material, reflectance, sensor, weather, seed, table, found,
):  # fmt: skip
    """Turn hits of columns [first, last) into range and intensity; range 0 is no return."""
    low, high, range_noise, dropout, limit = sensor
    fog, rain = weather
    # Haze returns next to nothing, thick fog a lot.
    clutter = min(0.3, 0.012 * rain + 60.0 * fog * fog)
    for column in range(first, last):
        for ring in range(rings):
            i = column * rings + ring
            found[i, 0] = found[i, 1] = 0.0
            place = np.uint32(i * 8) ^ seed
            reach, strength, power = np.inf, 0.0, 0.0
            hit = _slot(column, ring, columns, rings)
            if instance[hit] >= 0:
                k = instance[hit]
                f = face_start[mesh_of[k]] + face[hit]
                reach = float(distance[hit])
                # The beam in the mesh's frame, where the face's normal is known.
                dx, dy, dz = directions[hit, 0], directions[hit, 1], directions[hit, 2]
                n0, n1, n2 = face_normal[f, 0], face_normal[f, 1], face_normal[f, 2]
                turn = instance_pose[k]
                cosine = abs(
                    n0 * (turn[0, 0] * dx + turn[1, 0] * dy + turn[2, 0] * dz)
                    + n1 * (turn[0, 1] * dx + turn[1, 1] * dy + turn[2, 1] * dz)
                    + n2 * (turn[0, 2] * dx + turn[1, 2] * dy + turn[2, 2] * dz)
                )
                m = material[f]
                air = math.exp(-2.0 * fog * reach) if fog > 0.0 else 1.0
                # Rough surfaces return more than Lambert's law says at grazing incidence.
                power = (reflectance[m, 0] * math.sqrt(cosine) + 4.0 * reflectance[m, 1]) * air
                strength = (
                    reflectance[m, 0] * (0.3 + 0.7 * cosine) / (1.0 + reach * reach / 14400.0)
                    + 0.9 * reflectance[m, 1] * cosine
                ) * air
                power = power * limit * limit / max(reach * reach, 1e-6)
            # Strong returns are certain; spare them the exponential.
            chance = 1.0 if power > 4.0 else 1.0 - math.exp(-6.931 * power)
            if uniform(place) >= chance * (1.0 - dropout):
                reach = np.inf
            # Drops and droplets in front of the surface.
            if clutter > 0.0 and uniform(place + np.uint32(1)) < clutter:
                near = low - 5.0 * math.log(1.0 - uniform(place + np.uint32(2)))
                if near < reach:
                    reach, strength = near, 0.02 + 0.05 * uniform(place + np.uint32(3))
            if not (low <= reach <= high):
                continue
            reach += range_noise * normal(place + np.uint32(4), table)
            strength *= 1.0 + 0.05 * normal(place + np.uint32(5), table)
            found[i, 0] = max(reach, 1e-3)
            found[i, 1] = min(max(strength, 0.0), 1.0)


@kernel
def _count(found):
    """Return how many rays have a return."""
    count = 0
    for i in range(len(found)):
        if found[i, 0] > 0.0:
            count += 1
    return count


@kernel
def _collect(beams, seconds, found, points):
    """Write the returns as points in firing order."""
    rings = beams.shape[1]
    count = 0
    for column in range(beams.shape[0]):
        for ring in range(rings):
            i = column * rings + ring
            reach = found[i, 0]
            if reach > 0.0:
                points[count].x = beams[column, ring, 0] * reach
                points[count].y = beams[column, ring, 1] * reach
                points[count].z = beams[column, ring, 2] * reach
                points[count].intensity = found[i, 1]
                points[count].ring = ring
                points[count].time = seconds[column]
                count += 1


class Lidar:
    """Measures one scene.

    The same scene, state and seed give the same bytes for any number of threads. One LiDAR
    must not be used from two threads at once.
    """

    def __init__(self, scene: Scene, spec: LidarSpec, threads: int | None = None) -> None:
        """Prepare beams and buffers.

        Args:
            scene: what to measure.
            spec: the sensor.
            threads: how many to use; None for all usable cores.
        """
        self.scene, self.spec = scene, spec
        self._workers = Workers(threads)
        self._meshes = packed_meshes(scene.assets)
        self._instances = pack_instances(scene, self._meshes)
        self._tracer = make_tracer(self._meshes, self._instances, self._workers, motion=True)
        self._beams = np.ascontiguousarray(spec.directions())
        self._seconds = spec.times()
        count = spec.rings * spec.columns
        self._origins, self._directions = np.empty((2, count, 3), np.float32)
        self._times = np.empty(count, np.float32)
        self._found = np.empty((count, 2))
        self._reflectance = np.array(
            [(m.lidar_reflectance, m.retroreflectivity) for m in scene.assets.materials]
        )
        self._sensor = (
            float(spec.min_range), float(spec.max_range), float(spec.range_noise),
            float(spec.dropout), float(spec.reference_range),
        )  # fmt: skip
        environment = scene.environment
        self._weather = (float(environment.fog_density), float(environment.rain))

    def scan(self, state: WorldState, base_T_lidar: F64, seed: int) -> LidarScan:
        """Measure one turn that starts at the state's time.

        Args:
            state: poses at the start and velocities during the turn.
            base_T_lidar: (4, 4) pose of the sensor in ``base_link``.
            seed: of noise and dropouts.
        """
        spec, period = self.spec, 1.0 / self.spec.rate_hz
        start = np.asarray(state.world_T_instance, np.float64)

        def prepare(piece: int) -> None:
            if piece == 0:
                self._tracer.pose(start, moved_instances(self.scene, state, period))
            else:
                self._aim_beams(state, base_T_lidar)

        # Embree rebuilds its top level on one thread: another aims the beams meanwhile.
        self._workers.run(prepare, 2)
        distance, instance, face = self._tracer.first_hits(
            self._origins, self._directions, self._times, spec.max_range * 1.01
        )
        meshes, key = self._meshes, salt(seed)

        def measure(first: int, last: int) -> None:
            _measure(
                first, last, spec.columns, spec.rings, self._directions, distance, instance, face,
                start, meshes.face_normal, meshes.face_start, self._instances.mesh,
                meshes.material, self._reflectance, self._sensor, self._weather, key, NORMAL,
                self._found,
            )  # fmt: skip

        self._workers.split(measure, spec.columns)
        points = np.empty(_count(self._found), POINT)
        _collect(self._beams, self._seconds, self._found, points)
        return LidarScan(points, state.time, period)

    def _aim_beams(self, state: WorldState, base_T_lidar: F64) -> None:
        """Write the world rays of a turn that starts at the state's time."""
        rotation, shift = twist_motion(
            state.base_velocity, state.base_angular_velocity, self._seconds
        )
        bases = make_transform(
            rotation @ state.world_T_base[:3, :3], state.world_T_base[:3, 3] + shift
        )
        poses = np.ascontiguousarray((bases @ base_T_lidar)[:, :3])
        fractions = self._seconds * self.spec.rate_hz
        _aim(self._beams, poses, self._origins, self._directions, self._times, fractions)
