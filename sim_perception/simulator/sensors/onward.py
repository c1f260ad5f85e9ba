"""Where beams go on: through panes, off wet roads, beside edges; and the vehicle's own body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_perception.simulator.common.noise import salt
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32, Scene
from sim_perception.simulator.sensors.echoes import mirrored_share
from sim_perception.simulator.sensors.lidar_spec import LidarSpec
from sim_perception.simulator.surfaces.packing import (
    PackedInstances,
    PackedMeshes,
    pack_instances,
    packed_meshes,
)
from sim_perception.simulator.surfaces.tracing import Tracer, make_tracer

#: Directions, distances, instances and faces of rays.
Hits = tuple[F32, F32, I32, I32]
#: The same of rays that went on, the way before each, and the share of power that comes back.
Legs = tuple[F32, F32, I32, I32, F64, F64]

#: Panes that a beam can pass: those of a car's both sides and one more.
_PANES = 3
#: Faces nearer to each other are those of one pane, metres.
_THICKEST = 0.15
_FAINTEST = 2e-3
_STEP = 0.01


def rims(beams: F64, divergence_deg: float) -> F64:
    """Return beams half-way between the axis and the rim of the given ones, each to one side.

    Args:
        beams: (columns, rings, 3) unit vectors.
        divergence_deg: full angle of a beam.
    """
    angle = np.random.default_rng(salt(1)).uniform(0, 2 * np.pi, beams.shape[:2])
    level = np.hypot(beams[..., 0], beams[..., 1])
    left = np.stack([-beams[..., 1], beams[..., 0], np.zeros_like(level)], -1)
    left /= np.maximum(level, 1e-9)[..., None]
    up = np.cross(beams, left)
    tilt = np.tan(np.deg2rad(divergence_deg) / 4)
    turned = beams + tilt * (np.cos(angle)[..., None] * left + np.sin(angle)[..., None] * up)
    return np.ascontiguousarray(turned / np.linalg.norm(turned, axis=-1, keepdims=True))


class Onward:
    """Follows the beams of one scene beyond the first thing that they meet.

    Attributes:
        through: (K,) share of light that passes each material, one way.
        wet: (K,) how wet each material is for this sensor.
    """

    def __init__(
        self, scene: Scene, spec: LidarSpec, meshes: PackedMeshes, instances: PackedInstances
    ) -> None:
        self._meshes, self._instances = meshes, instances
        self._far = spec.max_range * 1.01
        materials = scene.assets.materials
        self.through = spec.glass * np.array([m.transmission for m in materials])
        wetness = spec.wet * scene.environment.wetness
        self.wet = wetness * np.array([float(m.wettable) for m in materials])

    def follow(
        self, tracer: Tracer, poses: F64, origins: F32, times: F32, hits: Hits
    ) -> tuple[I32, Legs]:
        """Return each ray's row among those that went on (-1 for none), and these.

        Args:
            tracer: holds the scene as it is during the turn.
            poses: (N, 4, 4) of the instances.
            origins, times: of the rays.
            hits: what they have met.
        """
        directions, distance, instance, face = hits
        material, rows = self._materials(instance, face)
        through = self.through[material]
        wet = self.wet[material]
        keep = (through > 0) | (wet > 0)
        rows, through, wet = rows[keep], through[keep], wet[keep]
        normal = self._normals(poses, instance[rows], face[rows])
        along = (normal * directions[rows]).sum(1)
        # Standing water mirrors, damp grains scatter; light comes back the way that it went.
        mirrored = (wet * mirrored_share(np.minimum(np.abs(along), 1.0)) * wet) ** 2
        share = np.where(through > 0, through**2, mirrored)
        keep = share > _FAINTEST
        rows, share = rows[keep], share[keep]
        turned = np.where(through[keep] > 0, 0.0, -2 * along[keep])[:, None] * normal[keep]
        ways = (directions[rows] + turned).astype(np.float32)
        before = distance[rows].astype(np.float64)
        places = origins[rows] + directions[rows] * before[:, None].astype(np.float32)
        leg_of = np.full(len(distance), -1, np.int32)
        leg_of[rows] = np.arange(len(rows))
        return leg_of, self._legs(tracer, places, ways, times[rows], before, share)

    def _legs(
        self, tracer: Tracer, places: F32, ways: F32, times: F32, before: F64, share: F64
    ) -> Legs:
        """Trace rays that went on, and through further panes."""
        count = len(before)
        distance = np.full(count, np.inf, np.float32)
        instance, face = np.full((2, count), -1, np.int32)
        going = np.arange(count, dtype=np.int32)
        for _ in range(_PANES):
            if not len(going):
                break
            start = np.ascontiguousarray(places[going] + _STEP * ways[going], np.float32)
            found = tracer.first_hits(
                start, np.ascontiguousarray(ways[going]), np.ascontiguousarray(times[going]),
                self._far,
            )  # fmt: skip
            distance[going], instance[going], face[going] = found[0] + _STEP, found[1], found[2]
            material, met = self._materials(found[1], found[2])
            through = self.through[material]
            met, through = going[met[through > 0]], through[through > 0]
            share[met] *= np.where(distance[met] > _THICKEST, through**2, 1.0)
            going = met[share[met] > _FAINTEST]
            places[going] += ways[going] * distance[going, None]
            before[going] += distance[going]
        return ways, distance, instance, face, before, share

    def _materials(self, instance: I32, face: I32) -> tuple[I32, I32]:
        """Return the materials of the rays that met something, and these rays."""
        rows: I32 = np.flatnonzero(instance >= 0).astype(np.int32)
        faces = self._meshes.face_start[self._instances.mesh[instance[rows]]] + face[rows]
        return self._meshes.material[faces], rows

    def _normals(self, poses: F64, instance: I32, face: I32) -> F64:
        faces = self._meshes.face_start[self._instances.mesh[instance]] + face
        normals = self._meshes.face_normal[faces].astype(np.float64)
        return np.einsum('nij,nj->ni', poses[instance, :3, :3], normals)


@dataclass(frozen=True)
class BodyView:
    """The vehicle's own body, which stands still for its sensors.

    Attributes:
        scene: just the body, in ``base_link``.
        base_T_lidar: (4, 4).
    """

    scene: Scene
    base_T_lidar: F64

    def see(self, beams: F64, spec: LidarSpec) -> F64:
        """Return (rays, 3) range (inf for none), power and intensity of the body per beam."""
        columns, rings = beams.shape[:2]
        meshes = packed_meshes(self.scene.assets)
        instances = pack_instances(self.scene, meshes)
        tracer = make_tracer(meshes, instances, Workers(1), motion=False)
        count = len(instances.mesh)
        tracer.pose(np.tile(np.eye(4), (count, 1, 1)))
        ways = np.ascontiguousarray(beams.reshape(-1, 3) @ self.base_T_lidar[:3, :3].T, np.float32)
        starts = np.ascontiguousarray(
            np.broadcast_to(self.base_T_lidar[:3, 3], ways.shape), np.float32
        )
        times = np.zeros(len(ways), np.float32)
        reach, instance, face = tracer.first_hits(starts, ways, times, spec.max_range)
        seen = np.zeros((columns * rings, 3))
        seen[:, 0] = np.where(instance >= 0, reach, np.inf)
        rows = np.flatnonzero(instance >= 0)
        faces = meshes.face_start[instances.mesh[instance[rows]]] + face[rows]
        cosine = np.abs((meshes.face_normal[faces] * ways[rows]).sum(1))
        reflectance = np.array([m.lidar_reflectance for m in self.scene.assets.materials])
        reflectance = reflectance[meshes.material[faces]]
        seen[rows, 1] = reflectance * np.sqrt(cosine) * (spec.reference_range / reach[rows]) ** 2
        seen[rows, 2] = reflectance * (0.3 + 0.7 * cosine)
        return seen
