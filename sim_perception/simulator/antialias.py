"""Smooth outlines for the price of a few more shaded samples.

Faces are known at 2x2 sub-samples per pixel. A sub-sample between pixels borrows the colour
of a neighbouring pixel that shows the same surface; only where none does, at thin or small
things, it is shaded itself. A pixel is the tent-weighted mean of the nine around it.
"""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.kernels import inlined, kernel
from sim_perception.simulator.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.parallel import Workers
from sim_perception.simulator.raster import NOTHING
from sim_perception.simulator.scene import F32, F64, I32

#: Radiance above this is clipped before averaging, so that glints do not eat outlines.
_BRIGHTEST = 2.5
_SAME_PLANE = 0.93


@inlined
def _same(a, b, of_face, face_base, face_start, mesh_of, material, normals, leafy):  # type: ignore[no-untyped-def]  # fmt: skip
    """Whether two scene-wide faces may share a colour."""
    same = a == b
    if not same and a != NOTHING and b != NOTHING:
        k = of_face[a]
        if of_face[b] == k:
            offset = face_start[mesh_of[k]] - face_base[k]
            f, g = a + offset, b + offset
            if material[f] == material[g]:
                aligned = (
                    normals[f, 0] * normals[g, 0]
                    + normals[f, 1] * normals[g, 1]
                    + normals[f, 2] * normals[g, 2]
                )
                same = leafy[material[f]] > 0 or aligned > _SAME_PLANE
    return same


@kernel
def _sources(
    numbers, first, last, of_face, face_base, face_start, mesh_of, material, normals, leafy,
    source,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Write the pixel each sub-sample of rows [first, last) borrows from, -1 for none."""
    rows, columns = numbers.shape
    width = columns // 2
    for j in range(first, last):
        for i in range(columns):
            odd_i, odd_j = i & 1, j & 1
            if odd_i == 0 and odd_j == 0:
                source[j, i] = (j >> 1) * width + (i >> 1)
                continue
            # Inside a face all neighbours agree; the pixel to the left or above will do.
            i0, j0 = i - odd_i, j - odd_j
            if numbers[j0, i0] == numbers[j, i]:
                source[j, i] = (j0 >> 1) * width + (i0 >> 1)
                continue
            found = -1
            for corner in range(4):
                # Neighbours that are pixels: 2 beside or above, 4 on the diagonals.
                di, dj = (corner & 1) * 2 - 1, (corner >> 1) * 2 - 1
                if odd_i == 0:
                    di = 0
                if odd_j == 0:
                    dj = 0
                x, y = i + di, j + dj
                if x >= columns or y >= rows:
                    continue
                if _same(
                    numbers[j, i], numbers[y, x], of_face, face_base, face_start, mesh_of,
                    material, normals, leafy,
                ):  # fmt: skip
                    found = (y >> 1) * width + (x >> 1)
                    break
            source[j, i] = found


@kernel
def _resolve(source, colors, first, last, out):  # type: ignore[no-untyped-def]
    """Write rows [first, last) of the image."""
    rows, columns = source.shape
    for y in range(first, last):
        for x in range(columns // 2):
            center = source[2 * y, 2 * x]
            plain = True
            red, green, blue, total = 0.0, 0.0, 0.0, 0.0
            for dj in range(-1, 2):
                j = min(max(2 * y + dj, 0), rows - 1)
                for di in range(-1, 2):
                    i = min(max(2 * x + di, 0), columns - 1)
                    s = source[j, i]
                    plain = plain and s == center
                    weight = (2 - abs(di)) * (2 - abs(dj))
                    red += weight * min(colors[s, 0], _BRIGHTEST)
                    green += weight * min(colors[s, 1], _BRIGHTEST)
                    blue += weight * min(colors[s, 2], _BRIGHTEST)
                    total += weight
            if plain:
                for c in range(3):
                    out[y, x, c] = colors[center, c]
            else:
                out[y, x, 0] = red / total
                out[y, x, 1] = green / total
                out[y, x, 2] = blue / total


class Antialiasing:
    """Chooses additional samples and averages colours for one scene and image size."""

    def __init__(
        self, meshes: PackedMeshes, instances: PackedInstances, leafy: F64, workers: Workers
    ) -> None:
        """Keep references.

        Args:
            meshes: the scene's meshes.
            instances: the scene's instances.
            leafy: (K,) per material, positive where neighbouring faces may share colours
                whatever their normals.
            workers: threads.
        """
        self._meshes, self._instances = meshes, instances
        self._leafy, self._workers = leafy, workers

    def plan(self, numbers: I32) -> tuple[I32, I32]:
        """Decide which sub-samples need a colour of their own.

        Args:
            numbers: (2 H, 2 W) scene-wide face numbers of the sub-samples.

        Returns:
            (2 H, 2 W) int32 index of each sub-sample's colour: a pixel's, or from H * W on one
            of the additional ones; and (E,) int32 flat sub-samples to shade additionally.
        """
        source = np.empty(numbers.shape, np.int32)
        meshes, instances = self._meshes, self._instances

        def part(first: int, last: int) -> None:
            _sources(
                numbers, first, last, instances.of_face, instances.face_base, meshes.face_start,
                instances.mesh, meshes.material, meshes.face_normal, self._leafy, source,
            )  # fmt: skip

        self._workers.split(part, len(numbers))
        flat = source.reshape(-1)
        extra = np.flatnonzero(flat < 0).astype(np.int32)
        flat[extra] = numbers.size // 4 + np.arange(len(extra), dtype=np.int32)
        return source, extra

    def resolve(self, source: I32, colors: F32) -> F32:
        """Return (H, W, 3) float32 mean colours of the pixels."""
        rows, columns = source.shape
        out = np.empty((rows // 2, columns // 2, 3), np.float32)

        def part(first: int, last: int) -> None:
            _resolve(source, colors, first, last, out)

        self._workers.split(part, rows // 2)
        return out
