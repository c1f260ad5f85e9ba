"""Lays meshes of flat ground on uneven ground, cut as finely as the ground bends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.meshes.builder import normalise
from sim_perception.simulator.street.relief import Relief

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

#: Most times that an edge is halved, and the shortest that is, metres.
_HALVINGS, _SHORTEST = 14, 0.08
#: Places along an edge where the ground is compared with the mesh, by the edge's length.
_PROBES = {2.5: np.array([0.25, 0.5, 0.75]), np.inf: np.array([0.1, 0.3, 0.5, 0.7, 0.9])}


def drape(mesh: Mesh, relief: Relief) -> Mesh:
    """Return a mesh of the plan, in world coordinates, laid on the ground.

    Edges are halved until they follow the ground within ``relief.tolerance``; whether an edge is
    halved depends on its ends alone, so neighbouring meshes still meet.
    """
    mesh = _refined(mesh, relief)
    vertices = mesh.vertices.astype(float)
    slope = relief.gradient(vertices)
    # Normals turn with the inverse transpose of what moves the vertices.
    upward = mesh.normals[:, 2] / np.maximum(slope[:, 2], 0.05)
    flat = mesh.normals[:, :2] - slope[:, :2] * upward[:, None]
    normals = normalise(np.concatenate([flat, upward[:, None]], 1))
    vertices[:, 2] = relief.lifted(vertices)
    return replace(mesh, vertices=vertices.astype(np.float32), normals=normals.astype(np.float32))


def _refined(mesh: Mesh, relief: Relief) -> Mesh:
    """Return the mesh with edges halved where the ground leaves them."""
    attributes = np.concatenate(
        [mesh.vertices, mesh.normals, mesh.uv, mesh.occlusion[:, None]], 1
    ).astype(float)
    faces, origin = mesh.faces.astype(np.int64), np.arange(len(mesh.faces))
    done, done_origin = [], []
    for _ in range(_HALVINGS):
        edges, of_face = _edges(faces)
        split = _bends_away(attributes[:, :3], edges, relief)
        cut = split[of_face]
        whole = ~cut.any(1)
        done.append(faces[whole])
        done_origin.append(origin[whole])
        if whole.all():
            break
        middle = np.full(len(edges), -1)
        middle[split] = len(attributes) + np.arange(int(split.sum()))
        attributes = np.concatenate([attributes, attributes[edges[split]].mean(1)])
        faces, parents = _cut(faces[~whole], middle[of_face[~whole]])
        origin = origin[~whole][parents]
    else:
        done.append(faces)
        done_origin.append(origin)
    source = np.concatenate(done_origin)
    return replace(
        mesh,
        vertices=attributes[:, :3].astype(np.float32),
        normals=normalise(attributes[:, 3:6]).astype(np.float32),
        uv=attributes[:, 6:8].astype(np.float32),
        occlusion=attributes[:, 8].astype(np.float32),
        faces=np.concatenate(done).astype(np.int32),
        material=mesh.material[source],
        semantic=mesh.semantic[source],
    )


def _edges(faces: I64) -> tuple[I64, I64]:
    """Return the (E, 2) edges and the (F, 3) edge from each corner to the next."""
    pairs = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
    edges, of_pair = np.unique(np.sort(pairs, 1), axis=0, return_inverse=True)
    return edges, of_pair.reshape(-1, 3)


def _bends_away(vertices: F64, edges: I64, relief: Relief) -> npt.NDArray[np.bool_]:
    """Return which edges the ground leaves by more than it may."""
    heights = relief.lifted(vertices)
    a, b = vertices[edges[:, 0]], vertices[edges[:, 1]]
    low, high = heights[edges[:, 0]], heights[edges[:, 1]]
    length = np.sqrt(((b - a)[:, :2] ** 2).sum(1))
    off, shorter = np.zeros(len(edges)), 0.0
    for longest, probes in _PROBES.items():
        rows = np.flatnonzero((length >= shorter) & (length < longest) & (length > _SHORTEST))
        shorter = longest
        u = probes[:, None]
        places = a[rows] + u[..., None] * (b - a)[rows]
        ground = relief.lifted(places.reshape(-1, 3)).reshape(u.shape[0], -1)
        off[rows] = np.abs(ground - (low[rows] + u * (high - low)[rows])).max(0)
    return np.asarray(off > relief.tolerance(0.5 * (a + b)))


def _cut(faces: I64, middle: I64) -> tuple[I64, I64]:
    """Cut triangles at the middles of their edges, -1 where an edge stays whole.

    Returns:
        The parts and which triangle each is of.
    """
    pieces, parents = [], []
    count = (middle >= 0).sum(1)
    rows = np.arange(len(faces))
    # Turn each triangle so that the edge from its first corner is cut, and of two the last is not.
    turn = np.where(count == 2, (middle < 0).argmax(1) + 1, (middle >= 0).argmax(1))
    column = (np.arange(3) + turn[:, None]) % 3
    corner, half = faces[rows[:, None], column], middle[rows[:, None], column]
    a, b, c = corner.T
    ab, bc, ca = half.T
    shapes = {
        1: ((a, ab, c), (ab, b, c)),
        2: ((ab, b, bc), (a, ab, bc), (a, bc, c)),
        3: ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)),
    }
    for cuts, triangles in shapes.items():
        chosen = np.flatnonzero(count == cuts)
        for triangle in triangles:
            pieces.append(np.stack([x[chosen] for x in triangle], -1))
            parents.append(chosen)
    return np.concatenate(pieces), np.concatenate(parents)
