"""Primitive surfaces and the builder that joins them into one ``Mesh``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh

Array = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]


def grid_faces(rows: int, columns: int, wrap: bool = False) -> npt.NDArray[np.int32]:
    """Return the (F, 3) triangles of a row-major grid of vertices.

    A quad (i, j), (i, j+1), (i+1, j+1), (i+1, j) is wound in that order, so its normal is
    (column direction) x (row direction).

    Args:
        rows: vertices along the first axis.
        columns: vertices along the second axis.
        wrap: join the last column to the first.
    """
    i = np.arange(rows - 1)[:, None]
    j = np.arange(columns if wrap else columns - 1)[None]
    k = (j + 1) % columns
    a, b = i * columns + j, i * columns + k
    c, d = b + columns, a + columns
    quads = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2)
    return quads.reshape(-1, 3).astype(np.int32)


def cross(a: Array, b: Array) -> Array:
    """Return the cross product of (..., 3) vectors; numpy's takes ten times as long for a few."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for k, (m, n) in enumerate(((1, 2), (2, 0), (0, 1))):
        out[..., k] = a[..., m] * b[..., n] - a[..., n] * b[..., m]
    return out


def vertex_normals(vertices: Array, faces: IntArray) -> Array:
    """Return (V, 3) area-weighted unit normals; (0, 0, 1) where no face gives one."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = cross(b - a, c - a)
    normals = np.zeros((len(vertices), 3))
    for axis in range(3):
        weights = np.repeat(area[:, axis], 3)
        normals[:, axis] = np.bincount(faces.ravel(), weights, len(vertices))
    return normalise(normals)


def normalise(vectors: Array) -> Array:
    """Return unit (..., 3) vectors; zero vectors become (0, 0, 1)."""
    length = np.sqrt((vectors * vectors).sum(-1, keepdims=True))
    unit = vectors / np.maximum(length, 1e-12)
    return np.where(length > 1e-12, unit, np.array([0.0, 0.0, 1.0]))


@dataclass
class MeshBuilder:
    """Collects surfaces; ``build`` joins them.

    Attributes:
        semantic: class id given to surfaces that name none.
    """

    semantic: int = 0
    _parts: list[tuple[Any, ...]] = field(default_factory=list)
    _count: int = 0

    def add(
        self,
        vertices: Array,
        faces: IntArray,
        material: int | IntArray,
        *,
        uv: Array | None = None,
        normals: Array | None = None,
        occlusion: float | Array = 1.0,
        semantic: int | None = None,
    ) -> None:
        """Add a surface.

        Args:
            vertices: (V, 3) metres.
            faces: (F, 3) into ``vertices``; degenerate triangles are dropped.
            material: index of the material for all faces, or (F,).
            uv: (V, 2) texture repeats; x and y of the vertices when omitted.
            normals: (V, 3) unit normals; smooth over the surface when omitted.
            occlusion: baked ambient occlusion, for all vertices or (V,).
            semantic: class id, or None for the builder's.
        """
        vertices = np.asarray(vertices, float).reshape(-1, 3)
        faces = np.asarray(faces).reshape(-1, 3)
        kind = np.broadcast_to(np.asarray(material), len(faces))
        a, b, c = (vertices[faces[:, k]] for k in range(3))
        keep = (np.abs(cross(b - a, c - a)) > 1e-9).any(1)
        faces, kind = faces[keep], kind[keep]
        if normals is None:
            normals = vertex_normals(vertices, faces)
        if uv is None:
            uv = vertices[:, :2]
        label = self.semantic if semantic is None else semantic
        self._parts.append(
            (
                vertices,
                faces + self._count,
                np.asarray(normals, float).reshape(-1, 3),
                np.asarray(uv, float).reshape(-1, 2),
                kind,
                np.full(len(faces), label),
                np.broadcast_to(np.asarray(occlusion, float), len(vertices)),
            )
        )
        self._count += len(vertices)

    def add_mesh(self, mesh: Mesh, a_T_mesh: Array | None = None) -> None:
        """Add a finished mesh, moved by a 4x4 transform."""
        vertices, normals = mesh.vertices.astype(float), mesh.normals.astype(float)
        if a_T_mesh is not None:
            vertices = rotate(vertices, a_T_mesh[:3, :3]) + a_T_mesh[:3, 3]
            normals = rotate(normals, a_T_mesh[:3, :3])
        self._parts.append(
            (
                vertices,
                mesh.faces + self._count,
                normals,
                mesh.uv,
                mesh.material,
                mesh.semantic,
                mesh.occlusion,
            )
        )
        self._count += len(vertices)

    def box(
        self,
        centre: tuple[float, float, float],
        size: tuple[float, float, float],
        material: int,
        *,
        yaw: float = 0.0,
        texel: float = 2.0,
        bottom: bool = False,
        semantic: int | None = None,
        occlusion: float = 1.0,
    ) -> None:
        """Add an axis-aligned box (turned by ``yaw`` about its centre) with flat normals.

        Args:
            centre: of the box.
            size: length, width, height.
            material: index.
            yaw: radians.
            texel: metres per texture repeat.
            bottom: whether to close the underside.
            semantic: class id, or None for the builder's.
            occlusion: of the lower vertices; the upper ones are open.
        """
        v, n, uv = _box_arrays(size, texel)
        faces = _BOX_FACES if bottom else _BOX_FACES[:-2]
        count = 24 if bottom else 20
        shade = np.where(v[:, 2] > 0, 1.0, occlusion)
        if yaw:
            turn = yaw_matrix(yaw)
            v, n = rotate(v, turn), rotate(n, turn)
        self.add(
            v[:count] + np.asarray(centre),
            faces,
            material,
            uv=uv[:count],
            normals=n[:count],
            occlusion=shade[:count],
            semantic=semantic,
        )

    def tube(
        self,
        points: Array,
        radii: Array | float,
        material: int,
        *,
        sides: int = 8,
        texel: float = 1.0,
        caps: bool = True,
        semantic: int | None = None,
    ) -> None:
        """Add a round tube along a polyline.

        Args:
            points: (K, 3) centre line.
            radii: (K,) or scalar.
            material: index.
            sides: segments around.
            texel: metres per texture repeat.
            caps: close both ends.
            semantic: class id, or None for the builder's.
        """
        points = np.asarray(points, float)
        radius = np.broadcast_to(np.asarray(radii, float), len(points))
        tangent = normalise(np.gradient(points, axis=0))
        axis = np.zeros(3)
        axis[int(np.argmin(np.abs(tangent).max(0)))] = 1.0
        side = normalise(cross(tangent, axis))
        up = cross(tangent, side)
        angle = np.linspace(0.0, 2 * np.pi, sides + 1)
        ring = (
            np.cos(angle)[None, :, None] * side[:, None]
            - np.sin(angle)[None, :, None] * up[:, None]
        )
        vertices = points[:, None] + radius[:, None, None] * ring
        along = np.concatenate([[0.0], np.cumsum(np.sqrt((np.diff(points, axis=0) ** 2).sum(1)))])
        around = angle / (2 * np.pi) * max(1.0, round(2 * np.pi * radius.max() / texel))
        uv = np.stack(np.broadcast_arrays(around[None], along[:, None] / texel), -1)
        # The ring runs clockwise about the tangent, so swap the winding to face outwards.
        faces = grid_faces(len(points), sides + 1)[:, ::-1]
        self.add(
            vertices.reshape(-1, 3),
            faces,
            material,
            uv=uv,
            normals=ring.reshape(-1, 3),
            semantic=semantic,
        )
        if caps:
            for end, sign in ((0, -1.0), (len(points) - 1, 1.0)):
                if radius[end] > 1e-3:
                    self._disc(
                        points[end], vertices[end, :-1], sign * tangent[end], material, semantic
                    )

    def _disc(
        self, centre: Array, ring: Array, normal: Array, material: int, semantic: int | None
    ) -> None:
        count = len(ring)
        i = np.arange(count)
        faces = np.stack([np.full(count, count), i, (i + 1) % count], -1)
        vertices = np.concatenate([ring, centre[None]])
        first = cross(ring[0] - centre, ring[1] - centre)
        if (first * normal).sum() < 0:
            faces = faces[:, ::-1]
        self.add(
            vertices,
            faces,
            material,
            normals=np.broadcast_to(normal, vertices.shape),
            semantic=semantic,
        )

    def polygon(
        self,
        points: Array,
        material: int,
        *,
        uv: Array | None = None,
        semantic: int | None = None,
        double_sided: bool = False,
    ) -> None:
        """Add a convex polygon (K, 3), counter-clockwise seen from its front, flat."""
        points = np.asarray(points, float)
        k = np.arange(1, len(points) - 1)
        faces = np.stack([np.zeros_like(k), k, k + 1], -1)
        normal = normalise(cross(points[1] - points[0], points[2] - points[0]))
        for sign in (1, -1) if double_sided else (1,):
            self.add(
                points,
                faces if sign > 0 else faces[:, ::-1],
                material,
                uv=uv,
                normals=np.broadcast_to(sign * normal, points.shape),
                semantic=semantic,
            )

    def build(self) -> Mesh:
        """Join everything added so far.

        Raises:
            ValueError: when nothing was added.
        """
        if not self._parts:
            raise ValueError('an empty mesh cannot be built; add a surface first')
        v, f, n, uv, m, s, o = (np.concatenate(x) for x in zip(*self._parts, strict=True))
        return Mesh(
            vertices=np.ascontiguousarray(v, np.float32),
            faces=np.ascontiguousarray(f, np.int32),
            normals=np.ascontiguousarray(n, np.float32),
            uv=np.ascontiguousarray(uv, np.float32),
            material=np.ascontiguousarray(m, np.int32),
            semantic=np.ascontiguousarray(s, np.uint8),
            occlusion=np.ascontiguousarray(o, np.float32),
        )


def part_of(mesh: Mesh, chosen: npt.NDArray[np.bool_]) -> Mesh:
    """Return the faces of a mesh that are chosen, (F,) bool, with their vertices."""
    used, faces = np.unique(mesh.faces[chosen], return_inverse=True)
    return Mesh(
        vertices=mesh.vertices[used],
        faces=faces.reshape(-1, 3).astype(np.int32),
        normals=mesh.normals[used],
        uv=mesh.uv[used],
        material=mesh.material[chosen],
        semantic=mesh.semantic[chosen],
        occlusion=mesh.occlusion[used],
    )


def rotate(vectors: Array, matrix: Array) -> Array:
    """Return ``vectors @ matrix.T`` for (N, 3), summed in a fixed order on every machine."""
    x, y, z = vectors[:, 0:1], vectors[:, 1:2], vectors[:, 2:3]
    return x * matrix[:, 0] + y * matrix[:, 1] + z * matrix[:, 2]


def yaw_matrix(yaw: float) -> Array:
    """Return the 3x3 rotation about z."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _box_arrays(size: tuple[float, float, float], texel: float) -> tuple[Array, Array, Array]:
    half = np.asarray(size, float) / 2
    vertices, normals, uv = [], [], []
    # (normal axis, sign, u axis, v axis): u x v = normal, so quads are counter-clockwise.
    for axis, sign, u, v in (
        (0, 1, 1, 2), (0, -1, 1, 2), (1, 1, 0, 2), (1, -1, 0, 2), (2, 1, 0, 1), (2, -1, 0, 1),
    ):  # fmt: skip
        flip = sign if axis != 1 else -sign
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            p, n = np.zeros(3), np.zeros(3)
            p[axis], p[u], p[v] = sign * half[axis], a * flip * half[u], b * half[v]
            n[axis] = sign
            vertices.append(p)
            normals.append(n)
            uv.append(((a + 1) * half[u] / texel, (b + 1) * half[v] / texel))
    return np.array(vertices), np.array(normals), np.array(uv)


_BOX_FACES = np.concatenate([[[4 * k, 4 * k + 1, 4 * k + 2], [4 * k, 4 * k + 2, 4 * k + 3]]
                             for k in range(6)])  # fmt: skip
