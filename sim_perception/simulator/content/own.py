"""Meshes of the user's own, read by trimesh: colours become materials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sim_perception.simulator.common.scene import Material, Mesh
from sim_perception.simulator.content.meshes.builder import (
    MeshBuilder,
    cross,
    normalise,
    rotate,
    yaw_matrix,
)
from sim_perception.simulator.own_mesh import OwnMesh

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_LEVELS = 6
"""Steps of each colour channel that are told apart: at most 216 materials."""
_MOST_FACES = 500_000
_CREASE = np.deg2rad(35.0)
"""Faces that meet at a greater angle have an edge between them."""
_Z_FROM_Y = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def read_own(own: OwnMesh, class_id: int, first: int) -> tuple[Mesh, list[Material]]:
    """Read a mesh and turn it to look along x, on the ground, its box's middle over the origin.

    Textures and vertex colours become one colour per face.

    Args:
        own: which, and how it lies in its file.
        class_id: of its faces.
        first: index of its first material.

    Raises:
        ImportError: if trimesh is not installed.
        ValueError: if the file has no triangles or too many, or cannot be read.
    """
    vertices, faces, srgb = _read(Path(own.file))
    vertices, faces = _creased(_placed(vertices, own), faces)
    colors, which = _few(srgb)
    builder = MeshBuilder(class_id)
    builder.add(vertices, faces, first + which)
    mesh = builder.build()
    if not len(mesh.faces):
        raise ValueError(f'{own.file} has only triangles without area; is its unit metres?')
    materials = [
        Material(f'{own.name} {k}', color=(float(r), float(g), float(b)))
        for k, (r, g, b) in enumerate(colors)
    ]
    return mesh, materials


def _read(path: Path) -> tuple[F64, I64, F64]:
    """Return (V, 3) vertices, (F, 3) faces and (F, 3) sRGB colours of a file."""
    try:
        import trimesh
    except ImportError as error:
        raise ImportError(
            'own meshes need trimesh; install it with: pip install trimesh'
        ) from error
    try:
        scene: Any = trimesh.load(path, force='scene', process=False)
        parts = [p for p in scene.dump() if isinstance(p, trimesh.Trimesh) and len(p.faces)]
        colors = [_face_colors(part) for part in parts]
    # Its readers raise whatever they meet in a damaged file.
    except Exception as error:
        raise ValueError(
            f'{path} cannot be read as a mesh: {error}; known: GLB, glTF, OBJ, PLY and STL'
        ) from error
    count = sum(len(part.faces) for part in parts)
    if not 0 < count <= _MOST_FACES:
        raise ValueError(f'{path} has {count} triangles; 1 to {_MOST_FACES} are taken')
    corners = np.concatenate(
        [np.asarray(p.vertices, float)[p.faces].reshape(-1, 3) for p in parts]
    )
    if not np.isfinite(corners).all():
        raise ValueError(f'{path} has vertices that are not finite')
    vertices, which = np.unique(corners, axis=0, return_inverse=True)
    return vertices, which.reshape(-1, 3), np.concatenate(colors)


def _face_colors(part: Any) -> F64:
    visual = part.visual
    if hasattr(visual, 'to_color'):
        rgba = np.asarray(visual.to_color().vertex_colors, float).reshape(-1, 4)
        rgba = np.broadcast_to(rgba, (len(part.vertices), 4))[part.faces].mean(1)
    else:
        rgba = np.asarray(visual.face_colors, float)
    return np.asarray(rgba[:, :3] / 255)


def _placed(vertices: F64, own: OwnMesh) -> F64:
    up = own.up or ('y' if Path(own.file).suffix.lower() in ('.glb', '.gltf') else 'z')
    if up == 'y':
        vertices = np.asarray(rotate(vertices, _Z_FROM_Y), np.float64)
    turned = rotate(vertices, yaw_matrix(float(np.deg2rad(own.yaw_deg))))
    vertices = np.asarray(turned, np.float64)
    low, high = vertices.min(0), vertices.max(0)
    if own.length_m is not None:
        scale = own.length_m / max(float(high[0] - low[0]), 1e-9)
        vertices, low, high = vertices * scale, low * scale, high * scale
    middle = (low + high) / 2
    return np.asarray(vertices - [middle[0], middle[1], low[2]], np.float64)


def _creased(vertices: F64, faces: I64) -> tuple[F64, I64]:
    """Return a mesh whose faces share vertices only where they meet smoothly."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = normalise(cross(b - a, c - a))
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    order = np.lexsort(edges.T)
    same = np.flatnonzero((edges[order[1:]] == edges[order[:-1]]).all(1))
    one, other = order[same] // 3, order[same + 1] // 3
    smooth = (normal[one] * normal[other]).sum(1) > np.cos(_CREASE)
    one, other, count = one[smooth], other[smooth], len(faces)
    graph = coo_matrix((np.ones(len(one)), (one, other)), shape=(count, count))
    _, patch = connected_components(graph, directed=False)
    corners, which = np.unique(faces * count + patch[:, None], return_inverse=True)
    return vertices[corners // count], which.reshape(-1, 3)


def _few(srgb: F64) -> tuple[F64, I64]:
    """Return the (K, 3) linear colours of a mesh and which of them each face has."""
    steps = np.rint(srgb * (_LEVELS - 1)) / (_LEVELS - 1)
    kinds, which = np.unique(steps, axis=0, return_inverse=True)
    linear = np.where(kinds <= 0.04045, kinds / 12.92, ((kinds + 0.055) / 1.055) ** 2.4)
    return np.clip(linear, 0.01, 0.95), which.reshape(-1)
