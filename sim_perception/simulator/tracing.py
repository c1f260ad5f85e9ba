"""Rays against the scene: Embree from the `embreex` wheel.

The wheel's library is called directly from compiled loops in packets of 8, with objects as
instances and with linear motion inside a scan. Where the library or one of its
symbols cannot be found, the wheel's Python interface does the same work, slower and with
objects standing still during a scan.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import weakref
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from sim_perception.simulator.kernels import inlined, kernel
from sim_perception.simulator.packing import PackedInstances, PackedMeshes, select_instances
from sim_perception.simulator.parallel import Workers
from sim_perception.simulator.scene import F32, F64, I32

_LOG = logging.getLogger(__name__)
_FLOAT3, _UINT3, _MATRIX = 0x9003, 0x5003, 0x9234
_TRIANGLES, _INSTANCE = 0, 121
_DYNAMIC = 1
_COHERENT, _ALL_FEATURES = 1 << 16, 0xFFFFFFFF
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
    functions, scenes, origins, directions, times, far, first, last, distance, instance, face,
    of_face, face_base, members,
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
            _call4(functions[0], valid.ctypes.data, scenes[which], ray.ctypes.data, functions[4])
            for lane in range(used):
                if word[_GEOMETRY + lane] != -1:
                    i = base + lane
                    number = word[_FACE + lane]
                    if which == 0:
                        instance[i] = of_face[number]
                        face[i] = number - face_base[of_face[number]]
                    else:
                        instance[i] = members[word[_INSTANCE_ID + lane]]
                        face[i] = number
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
            _call4(functions[1], valid.ctypes.data, scenes[which], ray.ctypes.data, functions[4])
            for lane in range(_PACKET):
                # Embree sets tfar to -inf where the ray is blocked.
                if valid[lane] != 0 and ray[_FAR + lane] < 0.0:
                    out[base + lane] = 1
                    valid[lane] = 0
                    active -= 1


@kernel
def _place(functions, geometries, start, end, steps):  # type: ignore[no-untyped-def]
    """Give each geometry its column-major 3x4 transform at its 1 or 2 time steps."""
    matrix = np.empty(12, np.float32)
    for slot in range(len(geometries)):
        for step in range(steps):
            pose = start[slot] if step == 0 else end[slot]
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
        # RTCIntersectArguments and RTCOccludedArguments: flags and features, then pointers.
        self._arguments = np.zeros(16, np.int64)
        self._arguments.view(np.uint32)[:2] = _COHERENT, _ALL_FEATURES
        names = ('rtcIntersect8', 'rtcOccluded8', 'rtcSetGeometryTransform', 'rtcCommitGeometry')
        self.functions = np.array(
            [ctypes.cast(getattr(self._library, n), ctypes.c_void_p).value for n in names]
            + [self._arguments.ctypes.data],
            np.int64,
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


class _Standing:
    """The background as one flat mesh: faster to hit than instances, rebuilt if it changes."""

    def __init__(self, embree: _Embree, vertices: F32, faces: I32) -> None:
        self._embree = embree
        self.scene = embree.mesh_scene(vertices, faces)

    def __del__(self) -> None:
        self._embree.call('rtcReleaseScene', self.scene)


#: Standing scenes in use, so that the camera and the LiDAR of one scene share theirs.
_STANDING: weakref.WeakValueDictionary[bytes, _Standing] = weakref.WeakValueDictionary()


def _standing(
    embree: _Embree, meshes: PackedMeshes, instances: PackedInstances, poses: F64
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
    for k, (mesh, pose) in enumerate(zip(instances.mesh, poses)):
        first, last = meshes.vertex_start[mesh], meshes.vertex_start[mesh + 1]
        local = meshes.vertices[first:last]
        vertices[starts[k] : starts[k + 1]] = local @ pose[:3, :3].T + pose[:3, 3]
        mine = meshes.faces[meshes.face_start[mesh] : meshes.face_start[mesh + 1]]
        faces[instances.face_base[k] : instances.face_base[k + 1]] = mine - first + starts[k]
    return vertices, faces


class _Moving:
    """The objects as instances of their meshes, placed anew for every frame."""

    def __init__(self, embree: _Embree, scenes: list[int], steps: int) -> None:
        self._embree, self._steps = embree, steps
        self.scene = embree.call('rtcNewScene', embree.device)
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

    def pose(self, start: F64, end: F64) -> None:
        """Place the instances and rebuild the top level."""
        _place(self._embree.functions, self._geometries, start, end, self._steps)
        self._embree.call('rtcCommitScene', self.scene)

    def __del__(self) -> None:
        self._embree.call('rtcReleaseScene', self.scene)


class EmbreeTracer:
    """The fast tracer: background and objects are two scenes, only the second is rebuilt."""

    def __init__(
        self, meshes: PackedMeshes, instances: PackedInstances, workers: Workers, motion: bool
    ) -> None:
        embree = self._embree = _embree()
        self._workers, self._meshes = workers, meshes
        self._standing_members = np.flatnonzero(instances.object < 0).astype(np.int32)
        self._moving_members = np.flatnonzero(instances.object >= 0).astype(np.int32)
        background = self._background = select_instances(
            meshes, instances, self._standing_members
        )
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
            _shadow(self._embree.functions, scenes, origins, directions, far, first, last, out)

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
                first, last, distance, instance, face, self._of_face, self._face_base,
                self._moving_members,
            )  # fmt: skip

        self._workers.split(part, -(-count // _PACKET))
        return distance, instance, face


_MESH_SCENES: dict[int, tuple[weakref.ref[PackedMeshes], dict[int, int]]] = {}


def _mesh_scenes(
    embree: _Embree, meshes: PackedMeshes, wanted: npt.NDArray[np.integer]
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
