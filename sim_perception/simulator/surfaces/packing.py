"""A scene's meshes and instances laid out in flat arrays for the kernels."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError

from sim_perception.simulator.common.scene import F32, I32, Assets, Mesh, Scene


@dataclass(frozen=True)
class PackedMeshes:
    """All meshes of an asset library one after the other.

    Attributes:
        vertices, normals, uv, occlusion: per vertex, float32.
        faces: (F, 3) int32 into the packed vertices.
        material: (F,) int32; semantic: (F,) uint8.
        density: (F,) float32 texture repeats per metre, for the level of detail.
        vertex_start, face_start: (meshes + 1,) int32 offsets.
        center, radius: bounding spheres in the meshes' frames.
        extent: (meshes, 3) float32 size of the bounding boxes.
        face_normal: (F, 3) float32 unit normals of the faces.
        hull_faces: (H, 3) int32 into the packed vertices: each mesh's convex hull.
        hull_start: (meshes + 1,) int32 offsets into ``hull_faces``.
        hull_vertices: packed vertices that are corners of their mesh's hull.
        hull_vertex_start: (meshes + 1,) int32 offsets into ``hull_vertices``.
        footprint: (meshes, 6) float32 x, y, z low and high of what is near the lowest point.
    """

    vertices: F32
    normals: F32
    uv: F32
    occlusion: F32
    faces: I32
    material: I32
    semantic: npt.NDArray[np.uint8]
    density: F32
    vertex_start: I32
    face_start: I32
    center: F32
    radius: F32
    extent: F32
    face_normal: F32
    hull_faces: I32
    hull_start: I32
    hull_vertices: I32
    hull_vertex_start: I32
    footprint: F32


@dataclass(frozen=True)
class PackedInstances:
    """Where each instance's faces lie in the numbering over the whole scene.

    Attributes:
        mesh: (N,) int32; object: (N,) int32, -1 for background.
        face_base: (N + 1,) int32 first scene-wide face number of each instance.
        of_face: (scene faces,) int32 the instance of a scene-wide face number.
        objects_order, objects_start: instances grouped by object, CSR form.
    """

    mesh: I32
    object: I32
    face_base: I32
    of_face: I32
    objects_order: I32
    objects_start: I32


def _uv_density(mesh: Mesh) -> F32:
    corners, uv = mesh.vertices[mesh.faces], mesh.uv[mesh.faces]
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(edge1, edge2), axis=1)
    uv1, uv2 = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    uv_area = np.abs(uv1[:, 0] * uv2[:, 1] - uv1[:, 1] * uv2[:, 0])
    return np.sqrt(uv_area / np.maximum(area, 1e-12)).astype(np.float32)


def _face_normals(mesh: Mesh) -> F32:
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return (normals / np.maximum(length, 1e-30)).astype(np.float32)


def _hull(mesh: Mesh) -> I32:
    """Return the convex hull's faces, or all faces of a flat mesh, which has no hull."""
    if len(mesh.faces) < 16:
        return mesh.faces
    try:
        return ConvexHull(mesh.vertices).simplices.astype(np.int32)
    except QhullError:
        return mesh.faces


def _footprint(mesh: Mesh, height: float = 0.5) -> F32:
    low = mesh.vertices[mesh.vertices[:, 2] <= mesh.vertices[:, 2].min() + height]
    return np.concatenate([low.min(0), low.max(0)]).astype(np.float32)


def _check(index: int, mesh: Mesh, materials: int) -> None:
    vertices = len(mesh.vertices)
    if not vertices or not len(mesh.faces):
        raise ValueError(f'mesh {index} is empty; leave it out of Assets.meshes')
    if mesh.faces.min() < 0 or mesh.faces.max() >= vertices:
        raise ValueError(f'mesh {index} has faces that refer to missing vertices')
    if mesh.material.min() < 0 or mesh.material.max() >= materials:
        raise ValueError(f'mesh {index} has faces that refer to missing materials')
    if not np.isfinite(mesh.vertices).all():
        raise ValueError(f'mesh {index} has vertices that are not finite')


def _starts(counts: list[int]) -> I32:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def pack_meshes(assets: Assets) -> PackedMeshes:
    """Concatenate the meshes of an asset library.

    Raises:
        ValueError: for an empty mesh or one with indices out of range.
    """
    meshes = assets.meshes
    for index, mesh in enumerate(meshes):
        _check(index, mesh, len(assets.materials))
    vertex_start = _starts([len(m.vertices) for m in meshes])
    low = np.array([m.vertices.min(0) for m in meshes])
    high = np.array([m.vertices.max(0) for m in meshes])
    center = ((low + high) / 2).astype(np.float32)
    radius = [
        np.linalg.norm(m.vertices - c, axis=1).max() for m, c in zip(meshes, center, strict=True)
    ]
    hulls = [_hull(m) for m in meshes]
    corners = [np.unique(h).astype(np.int32) for h in hulls]

    def per_vertex(name: str) -> F32:
        return np.concatenate([getattr(m, name) for m in meshes]).astype(np.float32)

    return PackedMeshes(
        vertices=per_vertex('vertices'),
        normals=per_vertex('normals'),
        uv=per_vertex('uv'),
        occlusion=per_vertex('occlusion'),
        faces=np.concatenate(
            [m.faces + v for m, v in zip(meshes, vertex_start[:-1], strict=True)]
        ).astype(np.int32),
        material=np.concatenate([m.material for m in meshes]).astype(np.int32),
        semantic=np.concatenate([m.semantic for m in meshes]).astype(np.uint8),
        density=np.concatenate([_uv_density(m) for m in meshes]),
        vertex_start=vertex_start,
        face_start=_starts([len(m.faces) for m in meshes]),
        center=center,
        radius=np.array(radius, np.float32) * np.float32(1 + 1e-5),
        extent=(high - low).astype(np.float32),
        face_normal=np.concatenate([_face_normals(m) for m in meshes]),
        hull_faces=np.concatenate(
            [h + v for h, v in zip(hulls, vertex_start[:-1], strict=True)]
        ).astype(np.int32),
        hull_start=_starts([len(h) for h in hulls]),
        hull_vertices=np.concatenate(
            [c + v for c, v in zip(corners, vertex_start[:-1], strict=True)]
        ),
        hull_vertex_start=_starts([len(c) for c in corners]),
        footprint=np.stack([_footprint(m) for m in meshes]),
    )


_PACKED: dict[int, tuple[weakref.ref[Assets], PackedMeshes]] = {}


def packed_meshes(assets: Assets) -> PackedMeshes:
    """Return ``pack_meshes(assets)``, shared by all renderers and LiDARs of one library."""
    key = id(assets)
    entry = _PACKED.get(key)
    if entry is None or entry[0]() is not assets:
        reference = weakref.ref(assets, lambda _: _PACKED.pop(key, None))
        entry = (reference, pack_meshes(assets))
        _PACKED[key] = entry
    return entry[1]


def pack_instances(scene: Scene, meshes: PackedMeshes) -> PackedInstances:
    """Number the faces of all instances.

    Raises:
        ValueError: if an instance refers to a missing mesh or object.
    """
    mesh = np.ascontiguousarray(scene.instances.mesh, np.int32)
    owner = np.ascontiguousarray(scene.instances.object, np.int32)
    objects = len(scene.objects.id)
    if len(mesh) and (mesh.min() < 0 or mesh.max() >= len(meshes.radius)):
        raise ValueError('an instance refers to a mesh that is not in Assets.meshes')
    if len(mesh) and (owner.min() < -1 or owner.max() >= objects):
        raise ValueError('an instance refers to a row that is not in Objects')
    return _number_faces(meshes, mesh, owner, objects)


def select_instances(
    meshes: PackedMeshes, instances: PackedInstances, members: npt.NDArray[np.integer]
) -> PackedInstances:
    """Return some of the instances, numbered anew."""
    objects = len(instances.objects_start) - 1
    return _number_faces(meshes, instances.mesh[members], instances.object[members], objects)


def _number_faces(meshes: PackedMeshes, mesh: I32, owner: I32, objects: int) -> PackedInstances:
    counts = np.diff(meshes.face_start)[mesh]
    order = np.argsort(owner, kind='stable').astype(np.int32)
    return PackedInstances(
        mesh=mesh,
        object=owner,
        face_base=_starts(list(counts)),
        of_face=np.repeat(np.arange(len(mesh), dtype=np.int32), counts),
        objects_order=order,
        objects_start=np.searchsorted(owner[order], np.arange(objects + 1)).astype(np.int32),
    )
