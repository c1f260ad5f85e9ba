"""Rays against the scene: Embree from the `embreex` wheel.

The wheel's library is called directly from compiled loops in packets of 8, with instances
instead of copies and with linear motion inside a scan. Where the library or one of its
symbols cannot be found, the wheel's Python interface does the same work, slower and with
objects standing still during a scan.
"""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from sim_perception.simulator.kernels import inlined, kernel
from sim_perception.simulator.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.parallel import Workers
from sim_perception.simulator.scene import F32, F64, I32

_LOG = logging.getLogger(__name__)
_FLOAT3, _UINT3, _MATRIX = 0x9003, 0x5003, 0x9234
_TRIANGLES, _INSTANCE = 0, 121
_DYNAMIC = 1
_PACKET = 8
#: Embree's RTCRayHit8 holds 12 ray fields and 9 hit fields of one word per lane.
_WORDS = 21 * _PACKET
_ORIGIN, _NEAR, _DIRECTION, _TIME, _FAR = 0, 3 * _PACKET, 4 * _PACKET, 7 * _PACKET, 8 * _PACKET
_MASK, _ID, _FLAGS = 9 * _PACKET, 10 * _PACKET, 11 * _PACKET
_FACE, _GEOMETRY, _INSTANCE_ID = 17 * _PACKET, 18 * _PACKET, 19 * _PACKET

_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    'rtcNewDevice': (ctypes.c_void_p, [ctypes.c_char_p]),
    'rtcGetDeviceError': (ctypes.c_int, [ctypes.c_void_p]),
    'rtcNewScene': (ctypes.c_void_p, [ctypes.c_void_p]),
    'rtcSetSceneFlags': (None, [ctypes.c_void_p, ctypes.c_int]),
    'rtcCommitScene': (None, [ctypes.c_void_p]),
    'rtcReleaseScene': (None, [ctypes.c_void_p]),
    'rtcNewGeometry': (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    'rtcSetNewGeometryBuffer': (
        ctypes.c_void_p,
        [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_int]
        + [ctypes.c_size_t, ctypes.c_size_t],
    ),
    'rtcSetGeometryTimeStepCount': (None, [ctypes.c_void_p, ctypes.c_uint]),
    'rtcSetGeometryInstancedScene': (None, [ctypes.c_void_p, ctypes.c_void_p]),
    'rtcSetGeometryTransform': (
        None,
        [ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p],
    ),
    'rtcCommitGeometry': (None, [ctypes.c_void_p]),
    'rtcReleaseGeometry': (None, [ctypes.c_void_p]),
    'rtcAttachGeometry': (ctypes.c_uint, [ctypes.c_void_p, ctypes.c_void_p]),
    'rtcIntersect8': (None, [ctypes.c_void_p] * 4),
    'rtcOccluded8': (None, [ctypes.c_void_p] * 4),
}


class Tracer(Protocol):
    """Casts rays in world coordinates."""

    def pose(self, world_T_instance: F64, end: F64 | None = None) -> None:
        """Place the instances: (N, 4, 4) at time 0 and, if they move, at time 1."""

    def occluded(self, origins: F32, directions: F32, far: float, out: npt.NDArray) -> None:
        """Write 1 to ``out`` (n,) uint8 for rays that meet something, else 0.

        Rays with a zero direction are skipped and get 0.
        """

    def first_hits(
        self, origins: F32, directions: F32, times: F32, far: float
    ) -> tuple[F32, I32, I32]:
        """Return distance (inf for none), instance and face within its mesh (-1)."""


@intrinsic
def _call4(typing, function, a, b, c, d):  # type: ignore[no-untyped-def]
    """Call a C function at an address with four pointer-sized arguments."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        word = context.get_value_type(types.intp)
        kind = ir.FunctionType(ir.VoidType(), [word] * 4)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), codegen


@kernel
def _aligned(words):  # type: ignore[no-untyped-def]
    raw = np.empty(words + 16, np.float32)
    skip = (64 - raw.ctypes.data % 64) % 64 // 4
    return raw[skip : skip + words]


@inlined
def _fill(ray, word, lane, origin, direction, time, far):  # type: ignore[no-untyped-def]
    """Write one lane of a packet."""
    for axis in range(3):
        ray[_ORIGIN + axis * _PACKET + lane] = origin[axis]
        ray[_DIRECTION + axis * _PACKET + lane] = direction[axis]
    ray[_NEAR + lane] = 0.0
    ray[_TIME + lane] = time
    ray[_FAR + lane] = far
    word[_MASK + lane] = -1
    word[_ID + lane] = 0
    word[_FLAGS + lane] = 0


@kernel
def _trace(
    functions, scenes, origins, directions, times, far, first, last, distance, instance, face, tables
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Nearest hits of packets [first, last) in both scenes (standing, moving)."""
    ray = _aligned(_WORDS)
    word = ray.view(np.int32)
    valid = _aligned(_PACKET).view(np.int32)
    count = len(origins)
    for packet in range(first, last):
        base = packet * _PACKET
        used = min(_PACKET, count - base)
        for lane in range(_PACKET):
            valid[lane] = 0
        for lane in range(used):
            i = base + lane
            valid[lane] = -1
            _fill(ray, word, lane, origins[i], directions[i], times[i], far)
            word[_GEOMETRY + lane] = -1
            word[_INSTANCE_ID + lane] = -1
            instance[i] = -1
            face[i] = -1
        for which in range(2):
            if scenes[which] == 0:
                continue
            for lane in range(used):
                word[_GEOMETRY + lane] = -1
            _call4(functions[0], valid.ctypes.data, scenes[which], ray.ctypes.data, 0)
            for lane in range(used):
                if word[_GEOMETRY + lane] != -1:
                    i = base + lane
                    instance[i] = tables[which, word[_INSTANCE_ID + lane]]
                    face[i] = word[_FACE + lane]
        for lane in range(used):
            i = base + lane
            distance[i] = ray[_FAR + lane] if instance[i] >= 0 else np.float32(np.inf)


@kernel
def _shadow(functions, scenes, origins, directions, far, first, last, out):  # type: ignore[no-untyped-def]  # fmt: skip
    """Whether rays of packets [first, last) meet anything in either scene."""
    ray = _aligned(_WORDS)
    word = ray.view(np.int32)
    valid = _aligned(_PACKET).view(np.int32)
    count = len(origins)
    for packet in range(first, last):
        base = packet * _PACKET
        active = 0
        for lane in range(_PACKET):
            i = base + lane
            valid[lane] = 0
            if i >= count:
                continue
            out[i] = 0
            if directions[i, 0] == 0 and directions[i, 1] == 0 and directions[i, 2] == 0:
                continue
            active += 1
            valid[lane] = -1
            _fill(ray, word, lane, origins[i], directions[i], np.float32(0.0), far)
        for which in range(2):
            if scenes[which] == 0 or active == 0:
                continue
            _call4(functions[1], valid.ctypes.data, scenes[which], ray.ctypes.data, 0)
            for lane in range(_PACKET):
                # Embree sets tfar to -inf where the ray is blocked.
                if valid[lane] != 0 and ray[_FAR + lane] < 0.0:
                    out[base + lane] = 1
                    valid[lane] = 0
                    active -= 1


@kernel
def _place(functions, geometries, members, start, end, steps):  # type: ignore[no-untyped-def]
    """Give each member geometry its column-major 3x4 transform at its 1 or 2 time steps."""
    matrix = np.empty(12, np.float32)
    for slot in range(len(geometries)):
        for step in range(steps):
            pose = start[members[slot]] if step == 0 else end[members[slot]]
            for column in range(4):
                for row in range(3):
                    matrix[column * 3 + row] = pose[row, column]
            _call4(functions[2], geometries[slot], step, 0x9234, matrix.ctypes.data)
        _call4(functions[3], geometries[slot], 0, 0, 0)


def _library_file() -> Path:
    """Return the Embree library inside the embreex wheel.

    Raises:
        OSError: if embreex or its library is missing.
    """
    try:
        import embreex
    except ImportError as error:
        raise OSError('the package embreex is not installed') from error
    package = Path(embreex.__file__).parent
    # auditwheel puts libraries beside the package, delocate and delvewheel elsewhere.
    for folder in (package.parent / 'embreex.libs', package / '.dylibs', package):
        if folder.is_dir():
            for tbb in sorted(folder.glob('*tbb*')):
                if tbb.suffix != '.py':
                    ctypes.CDLL(str(tbb), mode=ctypes.RTLD_GLOBAL)
            found = sorted(p for p in folder.glob('*embree4*') if p.suffix not in ('.py', '.pxd'))
            if found:
                return found[0]
    raise OSError(f'no Embree 4 library beside {package}')


class _Embree:
    """The library, one device and the addresses that kernels call."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(_library_file()))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        # One instruction set, that of packets of 8: the same bits on every x86-64 machine.
        # One builder thread: no hidden threads beside ours.
        self.device = self.call('rtcNewDevice', b'threads=1,set_affinity=0,isa=avx2')
        if not self.device:
            raise OSError('Embree could not create a device')
        names = ('rtcIntersect8', 'rtcOccluded8', 'rtcSetGeometryTransform', 'rtcCommitGeometry')
        self.functions = np.array(
            [ctypes.cast(getattr(self._library, n), ctypes.c_void_p).value for n in names], np.int64
        )

    def call(self, name: str, *arguments: object) -> int:
        return getattr(self._library, name)(*arguments)

    def mesh_scene(self, vertices: F32, faces: I32) -> int:
        """Return a committed scene of one triangle mesh; (V, 3) and (F, 3) from 0."""
        geometry = self.call('rtcNewGeometry', self.device, _TRIANGLES)
        for slot, form, data in (
            (1, _FLOAT3, np.ascontiguousarray(vertices, np.float32)),
            (0, _UINT3, np.ascontiguousarray(faces, np.uint32)),
        ):
            target = self.call('rtcSetNewGeometryBuffer', geometry, slot, 0, form, 12, len(data))
            ctypes.memmove(target, data.ctypes.data, data.nbytes)
        self.call('rtcCommitGeometry', geometry)
        scene = self.call('rtcNewScene', self.device)
        self.call('rtcAttachGeometry', scene, geometry)
        self.call('rtcReleaseGeometry', geometry)
        self.call('rtcCommitScene', scene)
        return scene


@cache
def _embree() -> _Embree:
    return _Embree()


class _Group:
    """One top-level scene over some of the instances."""

    def __init__(
        self, embree: _Embree, members: I32, scenes: list[int], dynamic: bool, steps: int
    ) -> None:
        self._embree = embree
        self.members = members
        self.scene = embree.call('rtcNewScene', embree.device)
        if dynamic:
            embree.call('rtcSetSceneFlags', self.scene, _DYNAMIC)
        geometries = []
        for scene in scenes:
            geometry = embree.call('rtcNewGeometry', embree.device, _INSTANCE)
            embree.call('rtcSetGeometryInstancedScene', geometry, scene)
            embree.call('rtcSetGeometryTimeStepCount', geometry, steps)
            embree.call('rtcAttachGeometry', self.scene, geometry)
            embree.call('rtcReleaseGeometry', geometry)  # the scene keeps it
            geometries.append(geometry)
        self._geometries = np.array(geometries, np.int64)
        self._steps = steps

    def pose(self, start: F64, end: F64) -> None:
        """Place the members and rebuild the top level."""
        functions = self._embree.functions
        _place(functions, self._geometries, self.members, start, end, self._steps)
        self._embree.call('rtcCommitScene', self.scene)

    def release(self) -> None:
        """Free the scene."""
        self._embree.call('rtcReleaseScene', self.scene)


class EmbreeTracer:
    """The fast tracer: background and objects are two scenes, only the second is rebuilt."""

    def __init__(
        self, meshes: PackedMeshes, instances: PackedInstances, workers: Workers, motion: bool
    ) -> None:
        embree = _embree()
        self._embree = embree
        self._workers = workers
        scenes = _mesh_scenes(embree, meshes)
        self._groups: list[_Group | None] = []
        self._tables = np.zeros((2, max(1, len(instances.mesh))), np.int32)
        for which, mask in enumerate((instances.object < 0, instances.object >= 0)):
            members = np.flatnonzero(mask).astype(np.int32)
            self._tables[which, : len(members)] = members
            used = [scenes[m] for m in instances.mesh[members]]
            steps = 2 if motion and which == 1 else 1
            self._groups.append(
                _Group(embree, members, used, which == 1, steps) if used else None
            )
        self._scenes = np.array([g.scene if g else 0 for g in self._groups], np.int64)
        self._background: F64 | None = None

    def __del__(self) -> None:
        for group in getattr(self, '_groups', []):
            if group is not None:
                group.release()

    def pose(self, world_T_instance: F64, end: F64 | None = None) -> None:
        """See ``Tracer.pose``; the background is rebuilt only when it has changed."""
        start = np.ascontiguousarray(world_T_instance, np.float64)
        end = start if end is None else np.ascontiguousarray(end, np.float64)
        standing, moving = self._groups
        if standing is not None:
            poses = start[standing.members]
            if self._background is None or not np.array_equal(self._background, poses):
                standing.pose(start, start)
                self._background = poses
        if moving is not None:
            moving.pose(start, end)

    def occluded(self, origins: F32, directions: F32, far: float, out: npt.NDArray) -> None:
        """See ``Tracer.occluded``."""

        def part(first: int, last: int) -> None:
            _shadow(
                self._embree.functions, self._scenes, origins, directions, far, first, last, out
            )

        self._workers.split(part, -(-len(origins) // _PACKET))

    def first_hits(
        self, origins: F32, directions: F32, times: F32, far: float
    ) -> tuple[F32, I32, I32]:
        """See ``Tracer.first_hits``."""
        count = len(origins)
        distance = np.empty(count, np.float32)
        instance, face = np.empty(count, np.int32), np.empty(count, np.int32)

        def part(first: int, last: int) -> None:
            _trace(
                self._embree.functions, self._scenes, origins, directions, times, far,
                first, last, distance, instance, face, self._tables,
            )  # fmt: skip

        self._workers.split(part, -(-count // _PACKET))
        return distance, instance, face


_MESH_SCENES: dict[int, tuple[PackedMeshes, list[int]]] = {}


def _mesh_scenes(embree: _Embree, meshes: PackedMeshes) -> list[int]:
    """Return one Embree scene per mesh, shared by all tracers of one mesh library.

    Only the newest few libraries are kept; instances hold references to what they use.
    """
    key = id(meshes)
    if key not in _MESH_SCENES:
        scenes = [
            embree.mesh_scene(meshes.vertices[v0:v1], meshes.faces[f0:f1] - v0)
            for v0, v1, f0, f1 in zip(
                meshes.vertex_start[:-1], meshes.vertex_start[1:],
                meshes.face_start[:-1], meshes.face_start[1:],
            )
        ]  # fmt: skip
        while len(_MESH_SCENES) >= 2:
            _, old = _MESH_SCENES.pop(next(iter(_MESH_SCENES)))
            for scene in old:
                embree.call('rtcReleaseScene', scene)
        _MESH_SCENES[key] = (meshes, scenes)
    return _MESH_SCENES[key][1]


class PythonTracer:
    """The slow tracer over embreex's Python interface: one flat mesh, rebuilt at each pose."""

    def __init__(self, meshes: PackedMeshes, instances: PackedInstances) -> None:
        self._meshes = meshes
        self._instances = instances
        self._scene: object = None

    def pose(self, world_T_instance: F64, end: F64 | None = None) -> None:
        """See ``Tracer.pose``; motion is replaced by the pose half-way."""
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        poses = world_T_instance if end is None else (world_T_instance + end) / 2
        meshes, parts = self._meshes, []
        for mesh, pose in zip(self._instances.mesh, poses):
            start = meshes.vertex_start[mesh]
            vertices = meshes.vertices[start : meshes.vertex_start[mesh + 1]]
            faces = meshes.faces[meshes.face_start[mesh] : meshes.face_start[mesh + 1]] - start
            parts.append((vertices @ pose[:3, :3].T + pose[:3, 3])[faces])
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, np.concatenate(parts).astype(np.float32))

    def occluded(self, origins: F32, directions: F32, far: float, out: npt.NDArray) -> None:
        """See ``Tracer.occluded``."""
        distance, _, _ = self.first_hits(origins, directions, np.zeros(len(out), np.float32), far)
        out[:] = np.isfinite(distance) & directions.any(1)

    def first_hits(
        self, origins: F32, directions: F32, times: F32, far: float
    ) -> tuple[F32, I32, I32]:
        """See ``Tracer.first_hits``."""
        hits = self._scene.run(  # type: ignore[attr-defined]
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
