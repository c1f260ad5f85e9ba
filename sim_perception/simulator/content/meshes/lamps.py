"""A vehicle's lamps cut out of its body, so that they can light up on their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.simulator.common.scene import F64, Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import part_of

#: Lamps are divided until no edge is longer than this, metres.
_FINEST = 0.05
#: Share of a lamp's width, from its outer end, that indicates.
_INDICATOR = 0.4


def cut_lamps(body: Mesh) -> tuple[Mesh, dict[str, Mesh]]:
    """Return a body without brake lights and indicators, and these as meshes of their own.

    All keep their places and materials: put together they look as the body did. Bodies whose
    lamps are not made of HEADLIGHT and TAILLIGHT come back whole, without lamps.

    Returns:
        The rest of the body; meshes by name: 'brake', 'left', 'right', those that exist.
    """
    rear = body.material == Slot.TAILLIGHT
    lamp = rear | (body.material == Slot.HEADLIGHT)
    if not rear.any():
        return body, {}
    rest, lamps = part_of(body, ~lamp), _divided(part_of(body, lamp))
    middle = lamps.vertices[lamps.faces].mean(1)
    names = np.full(len(middle), 'brake', dtype='<U5')
    for slot in (Slot.HEADLIGHT, Slot.TAILLIGHT):
        for side, name in ((1, 'left'), (-1, 'right')):
            ours = np.flatnonzero((lamps.material == slot) & (side * middle[:, 1] > 0))
            if not len(ours):
                continue
            y = side * middle[ours, 1]
            edge = y.max() - _INDICATOR * np.ptp(y)
            names[ours[y >= edge]] = name
            if slot == Slot.HEADLIGHT:
                names[ours[y < edge]] = 'head'
    kept = _joined(rest, part_of(lamps, names == 'head'))
    cut = {n: part_of(lamps, names == n) for n in ('brake', 'left', 'right')}
    return kept, {n: mesh for n, mesh in cut.items() if len(mesh.faces)}


def _joined(a: Mesh, b: Mesh) -> Mesh:
    fields = ('vertices', 'normals', 'uv', 'material', 'semantic', 'occlusion')
    both = {f: np.concatenate([getattr(a, f), getattr(b, f)]) for f in fields}
    faces = np.concatenate([a.faces, b.faces + len(a.vertices)]).astype(np.int32)
    return replace(a, faces=faces, **both)


def _divided(mesh: Mesh) -> Mesh:
    """Return a mesh with its triangles quartered until they are fine."""
    faces = mesh.faces
    table: F64 = np.concatenate(
        [mesh.vertices, mesh.normals, mesh.uv, mesh.occlusion[:, None]], 1
    ).astype(np.float64)
    corners, material, semantic = table[faces], mesh.material, mesh.semantic
    while len(corners):
        edges = corners[:, :, :3] - np.roll(corners[:, :, :3], -1, axis=1)
        long = np.sqrt((edges**2).sum(-1)).max(1) > _FINEST
        if not long.any():
            break
        a, b, c = corners[long].transpose(1, 0, 2)
        ab, bc, ca = 0.5 * (a + b), 0.5 * (b + c), 0.5 * (c + a)
        quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        corners = np.concatenate([corners[~long], *(np.stack(q, 1) for q in quarters)])
        material = np.concatenate([material[~long], *[material[long]] * 4])
        semantic = np.concatenate([semantic[~long], *[semantic[long]] * 4])
    flat = corners.reshape(-1, table.shape[1]).astype(np.float32)
    normals = flat[:, 3:6] / np.maximum(np.linalg.norm(flat[:, 3:6], axis=1), 1e-9)[:, None]
    return Mesh(
        vertices=flat[:, :3],
        faces=np.arange(len(flat), dtype=np.int32).reshape(-1, 3),
        normals=normals.astype(np.float32),
        uv=flat[:, 6:8],
        material=material,
        semantic=semantic,
        occlusion=flat[:, 8],
    )
