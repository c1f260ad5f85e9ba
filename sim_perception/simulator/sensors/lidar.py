# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""A LiDAR: beam after beam while the vehicle and the objects move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import make_transform
from sim_perception.kernels import kernel
from sim_perception.simulator.common.noise import NORMAL, salt
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, Scene, WorldState
from sim_perception.simulator.sensors.echoes import measure_all, measure_first, slot
from sim_perception.simulator.sensors.lidar_spec import LidarSpec
from sim_perception.simulator.sensors.onward import BodyView, Hits, Onward, rims
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

#: Where beams report two returns: with their number, 1 for the nearer.
DUAL_POINT = np.dtype([*POINT.descr, ('return', 'u1')])


@dataclass(frozen=True)
class LidarScan:
    """One turn.

    Attributes:
        points: (N,) of dtype ``POINT`` or ``DUAL_POINT``; raw: each in the LiDAR's frame at its
            own time. In firing order, only returns; a beam's second right after its first.
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
def _aim(beams, firings, poses, origins, directions, times, fractions):
    """Write the world rays of all columns in tracing order."""
    rings = beams.shape[1]
    for column in range(len(beams)):
        for ring in range(rings):
            i = slot(column, ring, len(beams), rings)
            firing = firings[column, ring]
            pose = poses[firing]
            for row in range(3):
                origins[i, row] = pose[row, 3]
                directions[i, row] = (
                    pose[row, 0] * beams[column, ring, 0]
                    + pose[row, 1] * beams[column, ring, 1]
                    + pose[row, 2] * beams[column, ring, 2]
                )
            times[i] = fractions[firing]


@kernel
def _count(found):
    """Return how many returns there are."""
    count = 0
    for i in range(len(found)):
        for r in range(found.shape[1]):
            if found[i, r, 0] > 0.0:
                count += 1
    return count


@kernel
def _collect(order, beams, firings, seconds, found, points, numbers):
    """Write the returns as points, the rays in the given order."""
    rings = beams.shape[1]
    count = 0
    for i in order:
        column, ring = i // rings, i % rings
        for r in range(found.shape[1]):
            reach = found[i, r, 0]
            if reach > 0.0:
                points[count].x = beams[column, ring, 0] * reach
                points[count].y = beams[column, ring, 1] * reach
                points[count].z = beams[column, ring, 2] * reach
                points[count].intensity = found[i, r, 1]
                points[count].ring = ring
                points[count].time = seconds[firings[column, ring]]
                if len(numbers) > 0:
                    numbers[count] = r + 1
                count += 1


class Lidar:
    """Measures one scene.

    The same scene, state and seed give the same bytes for any number of threads. One LiDAR
    must not be used from two threads at once.
    """

    def __init__(
        self,
        scene: Scene,
        spec: LidarSpec,
        threads: int | None = None,
        body: BodyView | None = None,
    ) -> None:
        """Prepare beams and buffers.

        Args:
            scene: what to measure.
            spec: the sensor.
            threads: how many to use; None for all usable cores.
            body: the vehicle's own body as the sensor sees it, if it is in the way.
        """
        self.scene, self.spec = scene, spec
        self._workers = Workers(threads)
        self._meshes = packed_meshes(scene.assets)
        self._instances = pack_instances(scene, self._meshes)
        self._tracer = make_tracer(self._meshes, self._instances, self._workers, motion=True)
        self._beams = np.ascontiguousarray(spec.directions())
        self._firings, self._seconds = spec.firings(), spec.times()
        self._order = np.argsort(self._firings.reshape(-1), kind='stable').astype(np.int32)
        count = spec.rings * spec.columns
        self._origins, self._directions = np.empty((2, count, 3), np.float32)
        self._times = np.empty(count, np.float32)
        self._found = np.empty((count, 2 if spec.dual else 1, 2))
        materials = scene.assets.materials
        self._reflectance = np.array(
            [(m.lidar_reflectance, m.retroreflectivity) for m in materials]
        )
        self._sensor = (
            float(spec.min_range), float(spec.max_range), float(spec.range_noise),
            float(spec.dropout), float(spec.reference_range),
        )  # fmt: skip
        environment = scene.environment
        self._weather = (float(environment.fog_density), float(environment.rain))
        self._body = np.empty((0, 3)) if body is None else body.see(self._beams, spec)
        self._onward = None if spec.simple else Onward(scene, spec, self._meshes, self._instances)
        self._rims = rims(self._beams, spec.divergence_deg) if spec.dual else None

    def scan(self, state: WorldState, base_T_lidar: F64, seed: int) -> LidarScan:
        """Measure one turn that starts at the state's time.

        Args:
            state: poses at the start and velocities during the turn.
            base_T_lidar: (4, 4) pose of the sensor in ``base_link``.
            seed: of noise and dropouts.
        """
        spec, period = self.spec, 1.0 / self.spec.rate_hz
        start = np.asarray(state.world_T_instance, np.float64)
        poses = self._poses(state, base_T_lidar)

        def prepare(piece: int) -> None:
            if piece == 0:
                self._tracer.pose(start, moved_instances(self.scene, state, period))
            else:
                self._aim_beams(self._beams, poses, self._directions)

        # Embree rebuilds its top level on one thread: another aims the beams meanwhile.
        self._workers.run(prepare, 2)
        hits = self._hits(self._directions)
        beside = None
        if self._rims is not None:
            directions = np.empty_like(self._directions)
            self._aim_beams(self._rims, poses, directions)
            beside = self._hits(directions)
        self._measure(start, hits, beside, salt(seed))
        points = np.empty(_count(self._found), DUAL_POINT if spec.dual else POINT)
        numbers = points['return'] if spec.dual else np.empty(0, np.uint8)
        _collect(
            self._order, self._beams, self._firings, self._seconds, self._found, points, numbers
        )
        return LidarScan(points, state.time, period)

    def _measure(self, start: F64, hits: Hits, beside: Hits | None, key: np.uint32) -> None:
        """Turn what the beams meet into returns."""
        spec, meshes = self.spec, self._meshes
        surfaces = (
            start, meshes.face_normal, meshes.face_start, self._instances.mesh, meshes.material,
            self._reflectance,
        )  # fmt: skip
        size = (spec.columns, spec.rings)
        if self._onward is None:
            more: tuple[Any, ...] = ()
        else:
            leg_of, legs = self._onward.follow(
                self._tracer, start, self._origins, self._times, hits
            )
            nothing = tuple(array[:0] for array in hits)
            more = (leg_of, legs, nothing if beside is None else beside)

        def part(first: int, last: int) -> None:
            if self._onward is None:
                measure_first(
                    first, last, *size, hits, surfaces, self._sensor, self._weather, self._body,
                    key, NORMAL, self._found,
                )  # fmt: skip
            else:
                measure_all(
                    first, last, *size, hits, surfaces, self._onward.through,
                    self._onward.wet, self._sensor, self._weather, float(spec.separation),
                    self._body, *more, key, NORMAL, self._found,
                )  # fmt: skip

        self._workers.split(part, spec.columns)

    def _hits(self, directions: F32) -> Hits:
        far = self.spec.max_range * 1.01
        return directions, *self._tracer.first_hits(self._origins, directions, self._times, far)

    def _poses(self, state: WorldState, base_T_lidar: F64) -> F64:
        """Return (firings, 3, 4) poses of the sensor during a turn."""
        rotation, shift = twist_motion(
            state.base_velocity, state.base_angular_velocity, self._seconds
        )
        bases = make_transform(
            rotation @ state.world_T_base[:3, :3], state.world_T_base[:3, 3] + shift
        )
        return np.ascontiguousarray((bases @ base_T_lidar)[:, :3])

    def _aim_beams(self, beams: F64, poses: F64, directions: F32) -> None:
        """Write the world rays of a turn."""
        fractions = self._seconds * self.spec.rate_hz
        _aim(beams, self._firings, poses, self._origins, directions, self._times, fractions)
