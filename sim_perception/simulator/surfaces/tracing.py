"""Rays against the scene: Embree from the `embreex` wheel.

The wheel's library is called directly from compiled loops in packets of 8, with objects as
instances and with linear motion inside a scan. Where the library or one of its
symbols cannot be found, the wheel's Python interface does the same work, slower and with
objects standing still during a scan.
"""

from __future__ import annotations

import hashlib
import logging
import weakref
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32
from sim_perception.simulator.surfaces.embree import (
    DYNAMIC,
    INSTANCE,
    PACKET,
    Embree,
    load_embree,
    place,
    shadow,
    trace,
)
from sim_perception.simulator.surfaces.packing import (
    PackedInstances,
    PackedMeshes,
    select_instances,
)

_LOG = logging.getLogger(__name__)


class Tracer(Protocol):
    """Casts rays in world coordinates."""

    def pose(self, world_T_instance: F64, end: F64 | None = None) -> None:
        """Place the instances: (N, 4, 4) at time 0 and, if they move, at time 1."""

    def occluded(
        self,
        origins: F32,
        directions: F32,
        far: float,
        out: npt.NDArray[np.uint8],
        background_only: bool = False,
    ) -> None:
        """Write 1 to ``out`` (n,) for rays that meet something, else 0.

        Rays with a zero direction are skipped and get 0.
        """

    def first_hits(
        self, origins: F32, directions: F32, times: F32, far: float
    ) -> tuple[F32, I32, I32]:
        """Return distance (inf for none), instance and face within its mesh (-1)."""


class _Standing:
    """The background as one flat mesh: faster to hit than instances, rebuilt if it changes."""

    def __init__(self, embree: Embree, vertices: F32, faces: I32) -> None:
        self._embree = embree
        self.scene = embree.mesh_scene(vertices, faces)

    def __del__(self) -> None:
        self._embree.call('rtcReleaseScene', self.scene)


#: Standing scenes in use, so that the camera and the LiDAR of one scene share theirs.
_STANDING: weakref.WeakValueDictionary[bytes, _Standing] = weakref.WeakValueDictionary()


def _standing(
    embree: Embree, meshes: PackedMeshes, instances: PackedInstances, poses: F64
) -> _Standing:
    digest = hashlib.sha256(poses.tobytes())
    digest.update(instances.mesh.tobytes())
    digest.update(meshes.vertices.tobytes())
    key = digest.digest()
    standing = _STANDING.get(key)
    if standing is None:
        standing = _Standing(embree, *flatten(meshes, instances, poses))
        _STANDING[key] = standing
    return standing


def flatten(meshes: PackedMeshes, instances: PackedInstances, poses: F64) -> tuple[F32, I32]:
    """Return world vertices and faces of all instances; faces in scene-wide order."""
    counts = np.diff(meshes.vertex_start)[instances.mesh]
    starts = np.concatenate([[0], np.cumsum(counts)])
    vertices = np.empty((starts[-1], 3), np.float32)
    faces = np.empty((instances.face_base[-1], 3), np.int32)
    for k, (mesh, pose) in enumerate(zip(instances.mesh, poses, strict=True)):
        first, last = meshes.vertex_start[mesh], meshes.vertex_start[mesh + 1]
        local = meshes.vertices[first:last]
        vertices[starts[k] : starts[k + 1]] = local @ pose[:3, :3].T + pose[:3, 3]
        mine = meshes.faces[meshes.face_start[mesh] : meshes.face_start[mesh + 1]]
        faces[instances.face_base[k] : instances.face_base[k + 1]] = mine - first + starts[k]
    return vertices, faces


class _Moving:
    """The objects as instances of their meshes, placed anew for every frame."""

    def __init__(self, embree: Embree, scenes: list[int], steps: int) -> None:
        self._embree, self._steps = embree, steps
        self.scene = embree.call('rtcNewScene', embree.device)
        embree.call('rtcSetSceneFlags', self.scene, DYNAMIC)
        geometries = []
        for scene in scenes:
            geometry = embree.call('rtcNewGeometry', embree.device, INSTANCE)
            embree.call('rtcSetGeometryInstancedScene', geometry, scene)
            embree.call('rtcSetGeometryTimeStepCount', geometry, steps)
            embree.call('rtcAttachGeometry', self.scene, geometry)
            embree.call('rtcReleaseGeometry', geometry)  # the scene keeps it
            geometries.append(geometry)
        self._geometries = np.array(geometries, np.int64)

    def pose(self, start: F64, end: F64) -> None:
        """Place the instances and rebuild the top level."""
        place(self._embree.functions, self._geometries, start, end, self._steps)
        self._embree.call('rtcCommitScene', self.scene)

    def __del__(self) -> None:
        self._embree.call('rtcReleaseScene', self.scene)


class EmbreeTracer:
    """The fast tracer: background and objects are two scenes, only the second is rebuilt."""

    def __init__(
        self, meshes: PackedMeshes, instances: PackedInstances, workers: Workers, motion: bool
    ) -> None:
        embree = self._embree = load_embree()
        self._workers, self._meshes = workers, meshes
        self._standing_members = np.flatnonzero(instances.object < 0).astype(np.int32)
        self._moving_members = np.flatnonzero(instances.object >= 0).astype(np.int32)
        background = self._background = select_instances(meshes, instances, self._standing_members)
        # From a face of the flat background to the scene's instance and its first face.
        self._of_face = self._standing_members[background.of_face]
        self._face_base = np.zeros(len(instances.mesh) + 1, np.int32)
        self._face_base[self._standing_members] = background.face_base[:-1]
        self._standing: _Standing | None = None
        self._standing_poses: F64 | None = None
        self._moving: _Moving | None = None
        if len(self._moving_members):
            used = instances.mesh[self._moving_members]
            scenes = _mesh_scenes(embree, meshes, np.unique(used))
            steps = 2 if motion else 1
            self._moving = _Moving(embree, [scenes[m] for m in used], steps)
        self._scenes = np.zeros(2, np.int64)

    def pose(self, world_T_instance: F64, end: F64 | None = None) -> None:
        """See ``Tracer.pose``; the background is rebuilt only when it has changed."""
        start = np.asarray(world_T_instance, np.float64)
        end = start if end is None else np.asarray(end, np.float64)
        poses = start[self._standing_members]
        if len(poses) and (
            self._standing_poses is None or not np.array_equal(self._standing_poses, poses)
        ):
            self._standing = _standing(self._embree, self._meshes, self._background, poses)
            self._standing_poses = poses
            self._scenes[0] = self._standing.scene
        if self._moving is not None:
            self._moving.pose(start[self._moving_members], end[self._moving_members])
            self._scenes[1] = self._moving.scene

    def occluded(
        self,
        origins: F32,
        directions: F32,
        far: float,
        out: npt.NDArray[np.uint8],
        background_only: bool = False,
    ) -> None:
        """See ``Tracer.occluded``."""
        scenes = self._scenes * [1, 0] if background_only else self._scenes

        def part(first: int, last: int) -> None:
            shadow(
                self._embree.functions, scenes, origins, directions, far, first, last,
                background_only, out,
            )  # fmt: skip

        self._workers.split(part, -(-len(origins) // PACKET))

    def first_hits(
        self, origins: F32, directions: F32, times: F32, far: float
    ) -> tuple[F32, I32, I32]:
        """See ``Tracer.first_hits``."""
        count = len(origins)
        distance = np.empty(count, np.float32)
        instance, face = np.empty(count, np.int32), np.empty(count, np.int32)

        def part(first: int, last: int) -> None:
            trace(
                self._embree.functions, self._scenes, origins, directions, times, far,
                first, last, distance, instance, face, self._of_face, self._face_base,
                self._moving_members,
            )  # fmt: skip

        self._workers.split(part, -(-count // PACKET))
        return distance, instance, face


_MESH_SCENES: dict[int, tuple[weakref.ref[PackedMeshes], dict[int, int]]] = {}


def _mesh_scenes(
    embree: Embree, meshes: PackedMeshes, wanted: npt.NDArray[np.integer]
) -> dict[int, int]:
    """Return Embree scenes by mesh, shared by all tracers of one mesh library.

    They are released with the library; instances keep what they use alive.
    """
    key = id(meshes)
    if key not in _MESH_SCENES:

        def release(_: object) -> None:
            for scene in _MESH_SCENES.pop(key)[1].values():
                embree.call('rtcReleaseScene', scene)

        _MESH_SCENES[key] = (weakref.ref(meshes, release), {})
    scenes = _MESH_SCENES[key][1]
    for mesh in wanted:
        if int(mesh) not in scenes:
            v0, v1 = meshes.vertex_start[mesh], meshes.vertex_start[mesh + 1]
            f0, f1 = meshes.face_start[mesh], meshes.face_start[mesh + 1]
            scenes[int(mesh)] = embree.mesh_scene(meshes.vertices[v0:v1], meshes.faces[f0:f1] - v0)
    return scenes


class PythonTracer:
    """The slow tracer over embreex's Python interface: flat meshes, rebuilt at each pose."""

    def __init__(self, meshes: PackedMeshes, instances: PackedInstances) -> None:
        self._meshes, self._instances = meshes, instances
        background = np.flatnonzero(instances.object < 0)
        self._background = (background, select_instances(meshes, instances, background))
        self._poses: F64 = np.zeros((0, 4, 4))

    def pose(self, world_T_instance: F64, end: F64 | None = None) -> None:
        """See ``Tracer.pose``; motion is replaced by the pose half-way."""
        self._poses = world_T_instance if end is None else (world_T_instance + end) / 2

    def _scene(self, instances: PackedInstances, poses: F64) -> Any:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        vertices, faces = flatten(self._meshes, instances, poses)
        scene = EmbreeScene()
        TriangleMesh(scene, vertices[faces])
        return scene

    def occluded(
        self,
        origins: F32,
        directions: F32,
        far: float,
        out: npt.NDArray[np.uint8],
        background_only: bool = False,
    ) -> None:
        """See ``Tracer.occluded``."""
        members, background = self._background
        if background_only:
            scene = self._scene(background, self._poses[members])
        else:
            scene = self._scene(self._instances, self._poses)
        active = directions.any(1)
        out[:] = 0
        hits = scene.run(
            np.ascontiguousarray(origins[active]), np.ascontiguousarray(directions[active]),
            output=True,
        )  # fmt: skip
        out[active] = (hits['primID'] >= 0) & (hits['tfar'] < far)

    def first_hits(
        self, origins: F32, directions: F32, times: F32, far: float
    ) -> tuple[F32, I32, I32]:
        """See ``Tracer.first_hits``."""
        hits = self._scene(self._instances, self._poses).run(
            np.ascontiguousarray(origins), np.ascontiguousarray(directions), output=True
        )
        number = hits['primID']
        hit = (number >= 0) & (hits['tfar'] < far)
        number = np.where(hit, number, 0)
        instance = np.where(hit, self._instances.of_face[number], -1).astype(np.int32)
        face = np.where(hit, number - self._instances.face_base[instance], -1).astype(np.int32)
        return np.where(hit, hits['tfar'], np.inf).astype(np.float32), instance, face


def make_tracer(
    meshes: PackedMeshes, instances: PackedInstances, workers: Workers, *, motion: bool
) -> Tracer:
    """Return the fast tracer, or the slow one where the wheel's library cannot be used.

    Args:
        meshes: the scene's meshes.
        instances: the scene's instances.
        workers: threads to cast rays on.
        motion: whether objects move between times 0 and 1 of the rays.

    Raises:
        ImportError: if embreex is not installed at all.
    """
    try:
        return EmbreeTracer(meshes, instances, workers, motion)
    except (OSError, AttributeError) as error:
        _LOG.warning(
            'Embree is not reachable directly (%s); using the slower Python interface', error
        )
        return PythonTracer(meshes, instances)
