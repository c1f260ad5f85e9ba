"""How much of every object is seen: exact coverage, visible fraction and image boxes.

An object's amodal coverage is rasterised alone, with the same edge rule as the picture, so
that the seen pixels are a subset of it and the fraction is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_perception.simulator.kernels import kernel
from sim_perception.simulator.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.parallel import Workers
from sim_perception.simulator.raster import (
    EDGE,
    NEAR,
    Grid,
    clip_face,
    narrow,
    project_vertices,
)
from sim_perception.simulator.scene import F32, F64, I32

#: Maps (n, 2) ray slopes x/z, y/z to (n, 2) pixels.
Projection = Callable[[F64], F64]


@dataclass(frozen=True)
class Visibility:
    """Per object, M of them.

    Attributes:
        fraction: (M,) float32 seen share of the coverage; 0 when outside or hidden.
        coverage: (M,) int32 pixels the object would own if nothing hid it.
        box_amodal: (M, 4) float32 x1 y1 x2 y2 of the whole projection, even beyond the image;
            NaN when behind the camera.
        box_visible: (M, 4) float32 box of the seen pixels' centres; NaN when none.
    """

    fraction: F32
    coverage: I32
    box_amodal: F32
    box_visible: F32


@kernel
def _mark_triangle(x0, y0, x1, y1, x2, y2, stamp, mask, weights):  # type: ignore[no-untyped-def]
    """Stamp a triangle's samples; return the weight of those not stamped before."""
    height, width = mask.shape
    top = max(0, math.ceil(min(y0, y1, y2)))
    bottom = min(height - 1, math.floor(max(y0, y1, y2)))
    left = max(0, math.ceil(min(x0, x1, x2)))
    right = min(width - 1, math.floor(max(x0, x1, x2)))
    if top > bottom or left > right:
        return 0
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area == 0.0:
        return 0
    sign = 1.0 if area > 0.0 else -1.0
    a0, a1, a2 = sign * (y1 - y2), sign * (y2 - y0), sign * (y0 - y1)
    added = 0
    for y in range(top, bottom + 1):
        e0 = sign * ((x2 - x1) * (y - y1)) - a0 * x1
        e1 = sign * ((x0 - x2) * (y - y2)) - a1 * x2
        e2 = sign * ((x1 - x0) * (y - y0)) - a2 * x0
        low, high = narrow(a0, e0, float(left), float(right))
        low, high = narrow(a1, e1, low, high)
        low, high = narrow(a2, e2, low, high)
        for x in range(math.ceil(low - EDGE), math.floor(high + EDGE) + 1):
            if mask[y, x] != stamp:
                mask[y, x] = stamp
                added += weights[y, x]
    return added


@kernel
def _cover_object(
    vertices, faces, vertex_start, face_start, mesh_of, members, poses, intrinsics, near,
    screen, stamp, mask, weights,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Return the weighted number of samples that the member instances cover."""
    polygon = np.empty((4, 3), np.float32)
    covered = 0
    for instance in members:
        mesh = mesh_of[instance]
        start = vertex_start[mesh]
        pose = poses[instance]
        if not project_vertices(
            vertices, start, vertex_start[mesh + 1], pose, intrinsics, near, screen
        ):
            continue
        for face in range(face_start[mesh], face_start[mesh + 1]):
            a, b, c = faces[face, 0] - start, faces[face, 1] - start, faces[face, 2] - start
            front = (screen[a, 2] > 0) + (screen[b, 2] > 0) + (screen[c, 2] > 0)
            if front == 3:
                covered += _mark_triangle(
                    float(screen[a, 0]), float(screen[a, 1]), float(screen[b, 0]),
                    float(screen[b, 1]), float(screen[c, 0]), float(screen[c, 1]),
                    stamp, mask, weights,
                )  # fmt: skip
            elif front > 0:
                corners = clip_face(vertices, faces[face], pose, intrinsics, near, polygon)
                for k in range(2, corners):
                    covered += _mark_triangle(
                        float(polygon[0, 0]), float(polygon[0, 1]), float(polygon[k - 1, 0]),
                        float(polygon[k - 1, 1]), float(polygon[k, 0]), float(polygon[k, 1]),
                        stamp, mask, weights,
                    )  # fmt: skip
    return covered


@kernel
def _hull_points(
    vertices, hull_faces, hull_start, mesh_of, members, poses, near, points
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Write x/z, y/z of the members' hull corners, clipped at ``near``; return how many."""
    unit = np.array([1.0, 1.0, 0.0, 0.0])
    polygon = np.empty((4, 3), np.float32)
    count = 0
    for instance in members:
        mesh = mesh_of[instance]
        for face in range(hull_start[mesh], hull_start[mesh + 1]):
            corners = clip_face(vertices, hull_faces[face], poses[instance], unit, near, polygon)
            for k in range(corners):
                points[count, 0] = polygon[k, 0]
                points[count, 1] = polygon[k, 1]
                count += 1
    return count


@kernel
def _count_seen(owner, boxes, seen):  # type: ignore[no-untyped-def]
    """Count the pixels of each object and bound them."""
    height, width = owner.shape
    seen[:] = 0
    boxes[:, 0] = width
    boxes[:, 1] = height
    boxes[:, 2:] = -1
    for y in range(height):
        for x in range(width):
            m = owner[y, x]
            if m >= 0:
                seen[m] += 1
                boxes[m, 0] = min(boxes[m, 0], x)
                boxes[m, 1] = min(boxes[m, 1], y)
                boxes[m, 2] = max(boxes[m, 2], x)
                boxes[m, 3] = max(boxes[m, 3], y)


class VisibilityCounter:
    """Computes ``Visibility`` for the objects of one scene on one sample grid."""

    def __init__(
        self,
        meshes: PackedMeshes,
        instances: PackedInstances,
        grid: Grid,
        weights: I32,
        workers: Workers,
    ) -> None:
        """Prepare scratch memory.

        Args:
            meshes: the scene's meshes.
            instances: the scene's instances.
            grid: the samples that pixels are taken from.
            weights: (grid.height, grid.width) how many pixels show each sample.
            workers: threads.
        """
        self._meshes, self._instances = meshes, instances
        self._grid, self._weights, self._workers = grid, weights, workers
        vertices = np.diff(meshes.vertex_start)
        starts = instances.objects_start
        self._count = len(starts) - 1
        self._screen = np.empty((workers.threads, int(vertices.max()), 3), np.float32)
        self._mask = np.zeros((workers.threads, grid.height, grid.width), np.int32)
        self._stamp = [0] * workers.threads
        hull = np.diff(meshes.hull_start)[instances.mesh[instances.objects_order]]
        sizes = [hull[a:b].sum() for a, b in zip(starts[:-1], starts[1:])]
        self._points = np.empty((workers.threads, 4 * int(max(sizes, default=0)), 2))

    def count(self, camera_T_instance: F64, owner: I32, project: Projection) -> Visibility:
        """Measure all objects.

        Args:
            camera_T_instance: (N, 3, 4) poses in the optical frame.
            owner: (H, W) row of ``Objects`` that each pixel shows, -1 for none.
            project: maps (n, 2) ray slopes x/z, y/z to pixels.
        """
        coverage = np.zeros(self._count, np.int32)
        box = np.full((self._count, 4), np.nan, np.float32)
        free = list(range(self._workers.threads))

        def measure(index: int) -> None:
            slot = free.pop()
            self._measure(index, slot, camera_T_instance, project, coverage, box)
            free.append(slot)

        self._workers.run(measure, self._count)
        seen, bounds = np.zeros(self._count, np.int32), np.zeros((self._count, 4), np.int32)
        _count_seen(owner, bounds, seen)
        box_visible = np.where(seen[:, None] > 0, bounds, np.nan).astype(np.float32)
        fraction = (seen / np.maximum(coverage, 1)).astype(np.float32)
        return Visibility(fraction, coverage, box, box_visible)

    def _measure(
        self,
        index: int,
        slot: int,
        poses: F64,
        project: Projection,
        coverage: I32,
        box: F32,
    ) -> None:
        meshes, instances = self._meshes, self._instances
        first, last = instances.objects_start[index], instances.objects_start[index + 1]
        members = instances.objects_order[first:last]
        points = self._points[slot]
        number = _hull_points(
            meshes.vertices, meshes.hull_faces, meshes.hull_start, instances.mesh, members,
            poses, NEAR, points,
        )  # fmt: skip
        if not number:
            return
        pixels = project(points[:number])
        low, high = pixels.min(0), pixels.max(0)
        box[index] = (*low, *high)
        if not self._meets_grid(points[:number]):
            return
        self._stamp[slot] += 1
        coverage[index] = _cover_object(
            meshes.vertices, meshes.faces, meshes.vertex_start, meshes.face_start,
            instances.mesh, members, poses, self._grid.intrinsics, NEAR, self._screen[slot],
            self._stamp[slot], self._mask[slot], self._weights,
        )  # fmt: skip

    def _meets_grid(self, slopes: F64) -> bool:
        grid = self._grid
        (x1, y1), (x2, y2) = slopes.min(0), slopes.max(0)
        return bool(
            x2 * grid.fx + grid.cx > -1
            and x1 * grid.fx + grid.cx < grid.width
            and y2 * grid.fy + grid.cy > -1
            and y1 * grid.fy + grid.cy < grid.height
        )
