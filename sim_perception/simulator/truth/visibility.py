# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""How much of every object is seen: visible fraction and image boxes.

Coverage comes from the rasteriser, which stamps an object's pixels whether they are hidden or
not, so that the seen pixels are a subset of it and the fraction is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.scene import F32, F64, I32
from sim_perception.simulator.surfaces.frustum import NEAR
from sim_perception.simulator.surfaces.lens import Lens, distort
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.surfaces.projection import clip_face


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


@inlined
def _extend(x, y, lens, box):
    """Make the box contain the projection of ray slopes x, y."""
    u, v = distort(x, y, lens)
    box[0], box[1] = min(box[0], u), min(box[1], v)
    box[2], box[3] = max(box[2], u), max(box[3], v)


@kernel
def _bound_instance(
    pose, vertices, hull, first, last, faces, face0, face1, near, lens,
    box,
):  # fmt: skip
    """Extend the box by one instance's convex hull, clipped at ``near``."""
    front = 0
    for i in range(first, last):
        v = vertices[hull[i]]
        z = pose[2, 0] * v[0] + pose[2, 1] * v[1] + pose[2, 2] * v[2] + pose[2, 3]
        if z > near:
            front += 1
            x = pose[0, 0] * v[0] + pose[0, 1] * v[1] + pose[0, 2] * v[2] + pose[0, 3]
            y = pose[1, 0] * v[0] + pose[1, 1] * v[1] + pose[1, 2] * v[2] + pose[1, 3]
            _extend(x / z, y / z, lens, box)
    if 0 < front < last - first:
        unit = np.array([1.0, 1.0, 0.0, 0.0])
        polygon = np.empty((4, 3), np.float32)
        for face in range(face0, face1):
            corners = clip_face(vertices, faces[face], pose, unit, near, polygon)
            for k in range(corners):
                _extend(float(polygon[k, 0]), float(polygon[k, 1]), lens, box)


@kernel
def _bound_objects(
    vertices, hull_vertices, hull_vertex_start, hull_faces, hull_start, mesh_of, order, starts,
    poses, near, lens, boxes,
):  # fmt: skip
    """Write each object's image box; NaN when it lies behind the camera."""
    box = np.empty(4)
    for row in range(len(starts) - 1):
        box[0] = box[1] = np.inf
        box[2] = box[3] = -np.inf
        for position in range(starts[row], starts[row + 1]):
            instance = order[position]
            mesh = mesh_of[instance]
            _bound_instance(
                poses[instance], vertices, hull_vertices, hull_vertex_start[mesh],
                hull_vertex_start[mesh + 1], hull_faces, hull_start[mesh], hull_start[mesh + 1],
                near, lens, box,
            )  # fmt: skip
        for c in range(4):
            boxes[row, c] = box[c] if box[0] <= box[2] else np.nan


@kernel
def _count_seen(owner, boxes, seen):
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


def measure_visibility(
    meshes: PackedMeshes,
    instances: PackedInstances,
    lens: Lens,
    camera_T_instance: F64,
    owner: I32,
    coverage: I32,
) -> Visibility:
    """Measure all objects.

    Args:
        meshes: the scene's meshes.
        instances: the scene's instances.
        lens: the camera's sample grid.
        camera_T_instance: (N, 3, 4) poses in the optical frame.
        owner: (H, W) row of ``Objects`` that each pixel shows, -1 for none.
        coverage: (M,) pixels of every object, from the rasteriser.
    """
    count = len(coverage)
    boxes = np.empty((count, 4), np.float32)
    _bound_objects(
        meshes.vertices, meshes.hull_vertices, meshes.hull_vertex_start, meshes.hull_faces,
        meshes.hull_start, instances.mesh, instances.objects_order, instances.objects_start,
        camera_T_instance, NEAR, lens.parameters(), boxes,
    )  # fmt: skip
    seen, bounds = np.zeros(count, np.int32), np.zeros((count, 4), np.int32)
    _count_seen(owner, bounds, seen)
    box_visible = np.where(seen[:, None] > 0, bounds, np.nan).astype(np.float32)
    fraction = (seen / np.maximum(coverage, 1)).astype(np.float32)
    return Visibility(fraction, coverage, boxes, box_visible)
