# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""The Embree library inside the `embreex` wheel, called from compiled loops."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.scene import F32, I32

_FLOAT3, _UINT3, _MATRIX = 0x9003, 0x5003, 0x9234
_TRIANGLES, INSTANCE = 0, 121
DYNAMIC = 1
_HIGH_QUALITY = 2
_COHERENT, _ALL_FEATURES = 1 << 16, 0xFFFFFFFF
PACKET = 8
#: Embree's RTCRayHit8 holds 12 ray fields and 9 hit fields of one word per lane.
_WORDS = 21 * PACKET
_ORIGIN, _NEAR, _DIRECTION, _TIME, _FAR = 0, 3 * PACKET, 4 * PACKET, 7 * PACKET, 8 * PACKET
_MASK, _ID, _FLAGS = 9 * PACKET, 10 * PACKET, 11 * PACKET
_FACE, _GEOMETRY, _INSTANCE_ID = 17 * PACKET, 18 * PACKET, 19 * PACKET

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    'rtcNewDevice': (ctypes.c_void_p, [ctypes.c_char_p]),
    'rtcGetDeviceError': (ctypes.c_int, [ctypes.c_void_p]),
    'rtcNewScene': (ctypes.c_void_p, [ctypes.c_void_p]),
    'rtcSetSceneFlags': (None, [ctypes.c_void_p, ctypes.c_int]),
    'rtcSetSceneBuildQuality': (None, [ctypes.c_void_p, ctypes.c_int]),
    'rtcCommitScene': (None, [ctypes.c_void_p]),
    'rtcReleaseScene': (None, [ctypes.c_void_p]),
    'rtcNewGeometry': (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    'rtcSetNewGeometryBuffer': (
        ctypes.c_void_p,
        [
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_size_t,
            ctypes.c_size_t,
        ],
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


@intrinsic
def _call4(typing, function, a, b, c, d):
    """Call a C function at an address with four pointer-sized arguments."""

    def codegen(context, builder, signature, arguments):
        word = context.get_value_type(types.intp)
        kind = ir.FunctionType(ir.VoidType(), [word] * 4)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), codegen


@kernel
def _aligned(words):
    raw = np.empty(words + 16, np.float32)
    skip = (64 - raw.ctypes.data % 64) % 64 // 4
    return raw[skip : skip + words]


@inlined
def _fill(ray, word, lane, origin, direction, time, far):
    """Write one lane of a packet."""
    for axis in range(3):
        ray[_ORIGIN + axis * PACKET + lane] = origin[axis]
        ray[_DIRECTION + axis * PACKET + lane] = direction[axis]
    ray[_NEAR + lane] = 0.0
    ray[_TIME + lane] = time
    ray[_FAR + lane] = far
    word[_MASK + lane] = -1
    word[_ID + lane] = 0
    word[_FLAGS + lane] = 0


@kernel
def trace(
    functions, scenes, origins, directions, times, far, first, last, distance, instance, face,
    of_face, face_base, members,
):  # fmt: skip
    """Nearest hits of packets [first, last) in both scenes (standing, moving)."""
    ray = _aligned(_WORDS)
    word = ray.view(np.int32)
    valid = _aligned(PACKET).view(np.int32)
    count = len(origins)
    for packet in range(first, last):
        base = packet * PACKET
        used = min(PACKET, count - base)
        for lane in range(PACKET):
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
def shadow(functions, scenes, origins, directions, far, first, last, coherent, out):  # fmt: skip
    """Whether rays of packets [first, last) meet anything in either scene."""
    ray = _aligned(_WORDS)
    word = ray.view(np.int32)
    valid = _aligned(PACKET).view(np.int32)
    count = len(origins)
    how = functions[4] if coherent else functions[5]
    for packet in range(first, last):
        base = packet * PACKET
        active = 0
        for lane in range(PACKET):
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
            _call4(functions[1], valid.ctypes.data, scenes[which], ray.ctypes.data, how)
            for lane in range(PACKET):
                # Embree sets tfar to -inf where the ray is blocked.
                if valid[lane] != 0 and ray[_FAR + lane] < 0.0:
                    out[base + lane] = 1
                    valid[lane] = 0
                    active -= 1


@kernel
def place(functions, geometries, start, end, steps):
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


class Embree:
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
        self._arguments = np.zeros((2, 16), np.int64)
        self._arguments.view(np.uint32)[:, 0] = _COHERENT, 0
        self._arguments.view(np.uint32)[:, 1] = _ALL_FEATURES
        names = ('rtcIntersect8', 'rtcOccluded8', 'rtcSetGeometryTransform', 'rtcCommitGeometry')
        self.functions = np.array(
            [ctypes.cast(getattr(self._library, n), ctypes.c_void_p).value for n in names]
            + [row.ctypes.data for row in self._arguments],
            np.int64,
        )

    def call(self, name: str, *arguments: object) -> int:
        """Call a function of the library by name; handles are addresses."""
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
        # Built once, traced millions of times: spatial splits are worth their time.
        self.call('rtcSetSceneBuildQuality', scene, _HIGH_QUALITY)
        self.call('rtcAttachGeometry', scene, geometry)
        self.call('rtcReleaseGeometry', geometry)
        self.call('rtcCommitScene', scene)
        return scene


@cache
def load_embree() -> Embree:
    """Return the library, loaded once.

    Raises:
        OSError: if embreex, its library or a device is missing.
        AttributeError: if the library lacks a symbol.
    """
    return Embree()
