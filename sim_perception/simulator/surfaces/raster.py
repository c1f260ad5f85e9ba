# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""A z-buffer rasteriser: nearest face and inverse depth per sample.

Edges are solved per row in float64 from float32 screen coordinates, where every product is
exact, so neighbouring faces leave no cracks. The nearest face wins, on a tie the one with
the lower number: the result does not depend on drawing order or thread count. To that end a
sample holds one integer key, inverse depth above, inverted face number below, and the largest
key wins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32
from sim_perception.simulator.surfaces.frustum import NEAR, Grid, visible_instances
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.surfaces.projection import (
    clip_face,
    holds_no_sample,
    project_vertices,
)

#: Slack of a row's ends in samples: far below any visible size, far above rounding.
EDGE = 1e-9
#: Rows of fewer samples are tested one by one, which is cheaper than dividing.
_FEW = 8
#: Face number of samples that show the sky.
NOTHING = np.int32(2**31 - 1)


@inlined
def _narrow(a, inverse_a, e, low, high):
    """Shrink [low, high] to where ``a x + e >= 0``; low > high when nowhere."""
    if a > 0.0:
        low = max(low, -e * inverse_a)
    elif a < 0.0:
        high = min(high, -e * inverse_a)
    elif e < 0.0:
        high = low - 1.0
    return low, high


@intrinsic
def _bits(typing, value):
    """Return the bits of a float32 as int32; they sort like the value if it is positive."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.int32))

    return types.int32(types.float32), codegen


@intrinsic
def _value(typing, bits):
    """Return the float32 whose bits are given as int32."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), codegen


@inlined
def draw_triangle(
    x0, y0, i0, x1, y1, i1, x2, y2, i2, number, keys, stamp, step, mask, weights
):  # fmt: skip
    """Draw the screen triangle with corners (x, y, 1/z), all float64, into the samples' keys.

    With a positive stamp, pixels are stamped too, hidden or not.

    Returns:
        The weight of the newly stamped pixels.
    """
    height, width = keys.shape
    top = max(0, math.ceil(min(y0, y1, y2)))
    bottom = min(height - 1, math.floor(max(y0, y1, y2)))
    if top > bottom:
        return 0
    left = max(0, math.ceil(min(x0, x1, x2)))
    right = min(width - 1, math.floor(max(x0, x1, x2)))
    if left > right:
        return 0
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area == 0.0:
        return 0
    # Twice the barycentric areas, made positive inside: w = a x + e.
    sign = 1.0 if area > 0.0 else -1.0
    a0, a1, a2 = sign * (y1 - y2), sign * (y2 - y0), sign * (y0 - y1)
    b0, b1, b2 = sign * (x2 - x1), sign * (x0 - x2), sign * (x1 - x0)
    scale = sign / area
    slope = (a0 * i0 + a1 * i1 + a2 * i2) * scale
    added = 0
    rest = np.int64(NOTHING) - number
    small = right - left < _FEW
    # Samples on a shared edge must not fall between two faces by rounding.
    t0, t1, t2 = -EDGE * abs(a0), -EDGE * abs(a1), -EDGE * abs(a2)
    v0, v1, v2 = 0.0, 0.0, 0.0
    if not small:
        v0, v1, v2 = 1.0 / a0, 1.0 / a1, 1.0 / a2
    for y in range(top, bottom + 1):
        e0 = b0 * (y - y1) - a0 * x1
        e1 = b1 * (y - y2) - a1 * x2
        e2 = b2 * (y - y0) - a2 * x0
        first, last = left, right
        if small:
            while first <= right and not (
                a0 * first + e0 >= t0 and a1 * first + e1 >= t1 and a2 * first + e2 >= t2
            ):
                first += 1
            while last >= first and not (
                a0 * last + e0 >= t0 and a1 * last + e1 >= t1 and a2 * last + e2 >= t2
            ):
                last -= 1
        else:
            low, high = _narrow(a0, v0, e0, float(left), float(right))
            low, high = _narrow(a1, v1, e1, low, high)
            low, high = _narrow(a2, v2, e2, low, high)
            first, last = math.ceil(low - EDGE), math.floor(high + EDGE)
        base = (e0 * i0 + e1 * i1 + e2 * i2) * scale
        for x in range(first, last + 1):
            key = (np.int64(_bits(np.float32(base + slope * x))) << 32) | rest
            keys[y, x] = max(keys[y, x], key)
        if stamp > 0 and y % step == 0:
            j = y // step
            for i in range((first + step - 1) // step, last // step + 1):
                if mask[j, i] != stamp:
                    mask[j, i] = stamp
                    added += weights[j, i]
    return added


@kernel
def _is_hidden(pose, center, radius, intrinsics, near, keys):
    """Whether all samples around a bounding sphere already show something nearer."""
    x = pose[0, 0] * center[0] + pose[0, 1] * center[1] + pose[0, 2] * center[2] + pose[0, 3]
    y = pose[1, 0] * center[0] + pose[1, 1] * center[1] + pose[1, 2] * center[2] + pose[1, 3]
    z = pose[2, 0] * center[0] + pose[2, 1] * center[1] + pose[2, 2] * center[2] + pose[2, 3]
    front = z - radius
    if front < 4.0 * near:
        return False
    height, width = keys.shape
    # No point of the sphere lies further off its middle's slopes than this.
    reach_x = (abs(x) + radius) / front - abs(x) / z
    reach_y = (abs(y) + radius) / front - abs(y) / z
    u, v = intrinsics[0] * x / z + intrinsics[2], intrinsics[1] * y / z + intrinsics[3]
    left = max(0, math.floor(u - intrinsics[0] * reach_x))
    right = min(width - 1, math.ceil(u + intrinsics[0] * reach_x))
    top = max(0, math.floor(v - intrinsics[1] * reach_y))
    bottom = min(height - 1, math.ceil(v + intrinsics[1] * reach_y))
    nearest = np.int64(_bits(np.float32(1.0 / front))) + 1
    for j in range(top, bottom + 1):
        for i in range(left, right + 1):
            if (keys[j, i] >> 32) <= nearest:
                return False
    return True


@kernel
def draw_instances(
    vertices, columns, faces, vertex_start, face_start, center, radius, mesh_of, owner,
    face_base, poses, order, first, last, intrinsics, near, screen, reach, keys, step, mask,
    weights, coverage,
):  # fmt: skip
    """Draw instances ``order[first:last]`` and add up their objects' coverage.

    ``screen`` and ``reach`` are scratch for one mesh's vertices, ``mask`` for the objects' pixels.
    The instances of an object must follow each other.
    """
    polygon = np.empty((4, 3), np.float32)
    height, width = keys.shape
    for position in range(first, last):
        instance = order[position]
        mesh = mesh_of[instance]
        start = vertex_start[mesh]
        pose = poses[instance]
        if owner[instance] < 0 and _is_hidden(
            pose, center[mesh], radius[mesh], intrinsics, near, keys
        ):
            continue
        front = project_vertices(
            columns, start, vertex_start[mesh + 1], pose, intrinsics, near, screen, reach
        )
        if front == 0:
            continue
        whole = front == vertex_start[mesh + 1] - start
        base = face_base[instance] - face_start[mesh]
        stamp = owner[instance] + 1
        added = 0
        for face in range(face_start[mesh], face_start[mesh + 1]):
            a, b, c = faces[face, 0] - start, faces[face, 1] - start, faces[face, 2] - start
            if whole and holds_no_sample(reach, a, b, c, width, height):
                continue
            number = base + face
            za, zb, zc = float(screen[2, a]), float(screen[2, b]), float(screen[2, c])
            if za > 0.0 and zb > 0.0 and zc > 0.0:
                added += draw_triangle(
                    float(screen[0, a]), float(screen[1, a]), za,
                    float(screen[0, b]), float(screen[1, b]), zb,
                    float(screen[0, c]), float(screen[1, c]), zc,
                    number, keys, stamp, step, mask, weights,
                )  # fmt: skip
            elif za > 0.0 or zb > 0.0 or zc > 0.0:
                corners = clip_face(vertices, faces[face], pose, intrinsics, near, polygon)
                for k in range(2, corners):
                    added += draw_triangle(
                        float(polygon[0, 0]), float(polygon[0, 1]), float(polygon[0, 2]),
                        float(polygon[k - 1, 0]), float(polygon[k - 1, 1]),
                        float(polygon[k - 1, 2]), float(polygon[k, 0]), float(polygon[k, 1]),
                        float(polygon[k, 2]), number, keys, stamp, step, mask, weights,
                    )  # fmt: skip
        if stamp > 0:
            coverage[stamp - 1] += added


@kernel
def _merge_rows(keys, first, last, inverse_depth, numbers):
    """Merge the layers' rows [first, last) and take the keys apart."""
    for y in range(first, last):
        for x in range(keys.shape[2]):
            key = keys[0, y, x]
            for layer in range(1, keys.shape[0]):
                key = max(key, keys[layer, y, x])
            numbers[y, x] = np.int64(NOTHING) - (key & np.int64(0xFFFFFFFF))
            inverse_depth[y, x] = _value(np.int32(key >> 32))


@dataclass(frozen=True)
class Drawing:
    """A drawn scene; the arrays are overwritten by the next one.

    Attributes:
        inverse_depth: (h, w) float32, 0 in the sky.
        numbers: (h, w) int32 scene-wide face numbers, ``NOTHING`` in the sky.
        coverage: (M,) int32 pixels of every object, hidden or not.
    """

    inverse_depth: F32
    numbers: I32
    coverage: I32


class Rasterizer:
    """Draws all instances of a scene into one grid; buffers are kept between frames."""

    def __init__(
        self,
        meshes: PackedMeshes,
        instances: PackedInstances,
        grid: Grid,
        step: int,
        weights: I32,
        workers: Workers,
    ) -> None:
        """Reserve buffers.

        Args:
            meshes: the scene's meshes.
            instances: the scene's instances.
            grid: the samples to draw.
            step: every how many samples per axis coverage is counted.
            weights: (h / step, w / step) int32 how many pixels show such a sample.
            workers: threads.
        """
        self.grid = grid
        self._meshes, self._instances, self._workers = meshes, instances, workers
        self._step, self._weights = step, weights
        size = (workers.threads, grid.height, grid.width)
        self._keys = np.empty(size, np.int64)
        self._inverse_depth: F32 = np.empty(size[1:], np.float32)
        self._numbers: I32 = np.empty(size[1:], np.int32)
        self._mask: I32 = np.empty((workers.threads, *weights.shape), np.int32)
        self._columns: F32 = np.ascontiguousarray(meshes.vertices.T)
        largest = int(np.diff(meshes.vertex_start).max())
        self._screen = np.empty((workers.threads, 3, largest), np.float32)
        self._reach: I32 = np.empty((workers.threads, 4, largest), np.int32)

    def draw(self, camera_T_instance: F64) -> Drawing:
        """Draw the scene.

        Args:
            camera_T_instance: (N, 3, 4) poses in the optical frame.
        """
        meshes, instances = self._meshes, self._instances
        order, bounds = self._schedule(camera_T_instance)
        coverage = np.zeros(len(instances.objects_start) - 1, np.int32)
        free = list(range(self._workers.threads))
        intrinsics = self.grid.intrinsics
        self._keys[:] = 0
        self._mask[:] = 0

        def piece(index: int) -> None:
            layer = free.pop()
            draw_instances(
                meshes.vertices, self._columns, meshes.faces, meshes.vertex_start,
                meshes.face_start, meshes.center, meshes.radius, instances.mesh,
                instances.object, instances.face_base, camera_T_instance, order, bounds[index],
                bounds[index + 1], intrinsics, NEAR, self._screen[layer],
                self._reach[layer], self._keys[layer], self._step, self._mask[layer],
                self._weights, coverage,
            )  # fmt: skip
            free.append(layer)

        self._workers.run(piece, len(bounds) - 1)
        self._workers.split(self._merge, self.grid.height)
        return Drawing(self._inverse_depth, self._numbers, coverage)

    def _schedule(self, camera_T_instance: F64) -> tuple[I32, npt.NDArray[np.integer]]:
        """Return what to draw, objects kept together, and where to cut it into pieces."""
        instances = self._instances
        order = visible_instances(self._meshes, instances, camera_T_instance, self.grid)
        owner = instances.object[order]
        # The first of an object's instances stands for all; background stands alone.
        rank = np.arange(len(order))
        leader = np.full(len(instances.objects_start) - 1, len(order))
        np.minimum.at(leader, owner[owner >= 0], rank[owner >= 0])
        rank = np.where(owner >= 0, np.append(leader, 0)[owner], rank)
        together = np.argsort(rank, kind='stable')
        order, rank = order[together], rank[together]
        heads = np.flatnonzero(np.diff(rank, prepend=-1))
        work = np.cumsum(np.append(0, np.diff(instances.face_base)[order]))
        pieces = 6 * self._workers.threads if self._workers.threads > 1 else 1
        goals = np.searchsorted(work[heads], np.arange(1, pieces) / pieces * work[-1])
        ends = np.append(heads, len(order))[goals]
        return order, np.concatenate([[0], ends, [len(order)]])

    def _merge(self, first: int, last: int) -> None:
        _merge_rows(self._keys, first, last, self._inverse_depth, self._numbers)
