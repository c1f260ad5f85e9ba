# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""What each sample sees: depth, normal, texture coordinates, and where it was before.

A sample is a viewing ray and the face it meets. Everything is computed exactly from the
face's plane, not interpolated from the z-buffer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.surfaces.raster import NOTHING


@dataclass(frozen=True)
class Surface:
    """Per sample, S of them.

    Attributes:
        depth: (S,) float32 metres along the optical axis, NaN in the sky.
        instance: (S,) int32, -1 in the sky.
        face: (S,) int32 into the packed meshes' faces.
        normal: (S, 3) float32 unit shading normal in the optical frame, towards the viewer;
            0 in the sky.
        uv: (S, 2) float32 texture coordinates.
        occlusion: (S,) float32 baked ambient occlusion.
    """

    depth: F32
    instance: I32
    face: I32
    normal: F32
    uv: F32
    occlusion: F32

    @classmethod
    def empty(cls, count: int) -> Surface:
        """Return a surface with room for ``count`` samples."""
        return cls(
            np.empty(count, np.float32),
            np.empty(count, np.int32),
            np.empty(count, np.int32),
            np.empty((count, 3), np.float32),
            np.empty((count, 2), np.float32),
            np.empty(count, np.float32),
        )

    def copy_from(self, other: Surface, count: int) -> None:
        """Copy the first ``count`` samples of another surface."""
        for name in ('depth', 'instance', 'face', 'normal', 'uv', 'occlusion'):
            getattr(self, name)[:count] = getattr(other, name)[:count]

    def part(self, first: int, last: int) -> Surface:
        """Return views of the samples [first, last)."""
        return Surface(
            self.depth[first:last], self.instance[first:last], self.face[first:last],
            self.normal[first:last], self.uv[first:last], self.occlusion[first:last],
        )  # fmt: skip


@inlined
def _map(pose, vertices, i):
    x, y, z = float(vertices[i, 0]), float(vertices[i, 1]), float(vertices[i, 2])
    return (
        pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3],
        pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3],
        pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3],
    )


@kernel
def _surfaces(
    rays, numbers, first, last, vertices, normals, uv, occlusion, faces, face_start,
    mesh_of, face_base, of_face, poses, depth, instance, face, normal, texture, openness,
):  # fmt: skip
    """Meet the rays of samples [first, last) with their faces' planes.

    A sample's weights are the volumes of its ray and each edge, its depth follows from the whole
    volume (Cramer's rule). Neighbours on one face share the edges' cross products.
    """
    known = NOTHING
    ax = ay = az = px = py = pz = qx = qy = qz = ox = oy = oz = 0.0
    i0 = i1 = i2 = f = k = 0
    for s in range(first, last):
        number = numbers[s]
        if number == NOTHING:
            depth[s] = np.nan
            instance[s] = -1
            face[s] = -1
            normal[s, 0] = normal[s, 1] = normal[s, 2] = 0.0
            continue
        if number != known:
            known = number
            k = of_face[number]
            f = number - face_base[k] + face_start[mesh_of[k]]
            i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
            ax, ay, az = _map(poses[k], vertices, i0)
            bx, by, bz = _map(poses[k], vertices, i1)
            cx, cy, cz = _map(poses[k], vertices, i2)
            px, py, pz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
            qx, qy, qz = cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax
            ox, oy, oz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        pose = poses[k]
        rx, ry = rays[s, 0], rays[s, 1]
        w0, w1, w2 = rx * px + ry * py + pz, rx * qx + ry * qy + qz, rx * ox + ry * oy + oz
        total = w0 + w1 + w2
        instance[s] = k
        face[s] = f
        if total == 0.0:
            # The ray lies in the plane, seen edge-on: take the first corner.
            depth[s], w0, w1, w2 = az, 1.0, 0.0, 0.0
        else:
            inverse = 1.0 / total
            depth[s] = (ax * px + ay * py + az * pz) * inverse
            w0, w1, w2 = w0 * inverse, w1 * inverse, w2 * inverse
        nx = w0 * normals[i0, 0] + w1 * normals[i1, 0] + w2 * normals[i2, 0]
        ny = w0 * normals[i0, 1] + w1 * normals[i1, 1] + w2 * normals[i2, 1]
        nz = w0 * normals[i0, 2] + w1 * normals[i1, 2] + w2 * normals[i2, 2]
        mx = pose[0, 0] * nx + pose[0, 1] * ny + pose[0, 2] * nz
        my = pose[1, 0] * nx + pose[1, 1] * ny + pose[1, 2] * nz
        mz = pose[2, 0] * nx + pose[2, 1] * ny + pose[2, 2] * nz
        scale = 1.0 / math.sqrt(mx * mx + my * my + mz * mz + 1e-30)
        if mx * rx + my * ry + mz > 0.0:
            scale = -scale
        normal[s, 0] = mx * scale
        normal[s, 1] = my * scale
        normal[s, 2] = mz * scale
        texture[s, 0] = w0 * uv[i0, 0] + w1 * uv[i1, 0] + w2 * uv[i2, 0]
        texture[s, 1] = w0 * uv[i0, 1] + w1 * uv[i1, 1] + w2 * uv[i2, 1]
        openness[s] = w0 * occlusion[i0] + w1 * occlusion[i1] + w2 * occlusion[i2]


def compute_surface(
    meshes: PackedMeshes,
    instances: PackedInstances,
    camera_T_instance: F64,
    rays: F64,
    numbers: I32,
    out: Surface,
    workers: Workers,
) -> None:
    """Fill ``out`` for S samples.

    Args:
        meshes: the scene's meshes.
        instances: the scene's instances.
        camera_T_instance: (N, 3, 4) poses in the optical frame.
        rays: (S, 2) x and y of the viewing rays with z = 1.
        numbers: (S,) scene-wide face numbers from the rasteriser.
        out: room for S samples.
        workers: threads.
    """

    def part(first: int, last: int) -> None:
        _surfaces(
            rays, numbers, first, last, meshes.vertices, meshes.normals, meshes.uv,
            meshes.occlusion, meshes.faces, meshes.face_start, instances.mesh,
            instances.face_base, instances.of_face, camera_T_instance, out.depth, out.instance,
            out.face, out.normal, out.uv, out.occlusion,
        )  # fmt: skip

    workers.split(part, len(rays))
