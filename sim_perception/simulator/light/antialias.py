# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Smooth outlines for the price of a few more shaded samples.

Faces are known at 2x2 sub-samples per pixel. A sub-sample between pixels borrows the colour
of a neighbouring pixel that shows the same surface; only where none does, at thin or small
things, it is shaded itself. A pixel is the tent-weighted mean of the nine around it, in which
those that show its own surface count with its own colour: surfaces stay sharp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.surfaces.raster import NOTHING

#: Radiance above this is clipped before averaging, so that glints do not eat outlines.
_BRIGHTEST = 2.5
_SAME_PLANE = 0.93


@inlined
def _same(a, b, of_face, face_base, face_start, mesh_of, material, normals, leafy):  # fmt: skip
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
def _match(
    numbers, first, last, of_face, face_base, face_start, mesh_of, material, normals, leafy,
    matches,
):  # fmt: skip
    """Write which pixels around each sub-sample of rows [first, last) show its surface.

    Bit 0 is the pixel to the left and above, bit 1 right, bit 2 below, bit 3 right and below;
    a sub-sample in a pixel's row or column has only the two or one that exist.
    """
    rows, columns = numbers.shape
    for j in range(first, last):
        odd_j = j & 1
        for i in range(columns):
            odd_i = i & 1
            number, bits = numbers[j, i], 0
            for corner in range(4):
                right, below = corner & 1, corner >> 1
                if (right > odd_i) or (below > odd_j):
                    continue
                x, y = i + (2 * right - 1) * odd_i, j + (2 * below - 1) * odd_j
                if x >= columns or y >= rows:
                    continue
                other = numbers[y, x]
                if other == number or _same(
                    number, other, of_face, face_base, face_start, mesh_of, material, normals,
                    leafy,
                ):  # fmt: skip
                    bits |= 1 << corner
            matches[j, i] = bits


@kernel
def _resolve(matches, extra, colors, first, last, out):
    """Write rows [first, last) of the image."""
    rows, columns = matches.shape
    width = columns // 2
    for y in range(first, last):
        for x in range(width):
            center = y * width + x
            red, green, blue, total = 0.0, 0.0, 0.0, 0
            own = 0
            for dj in range(-1, 2):
                j = min(max(2 * y + dj, 0), rows - 1)
                for di in range(-1, 2):
                    i = min(max(2 * x + di, 0), columns - 1)
                    weight = (2 - abs(di)) * (2 - abs(dj))
                    # The pixel lies to the right of sub-samples on its left, and so on.
                    right, below = 1 if i < 2 * x else 0, 1 if j < 2 * y else 0
                    bits = matches[j, i]
                    if bits & (1 << (right + 2 * below)):
                        own += weight
                        continue
                    s = extra[j, i]
                    if bits != 0:
                        corner = 0
                        while not bits & (1 << corner):
                            corner += 1
                        column = (i >> 1) + (corner & 1)
                        s = ((j >> 1) + (corner >> 1)) * width + column
                    red += weight * min(colors[s, 0], _BRIGHTEST)
                    green += weight * min(colors[s, 1], _BRIGHTEST)
                    blue += weight * min(colors[s, 2], _BRIGHTEST)
                    total += weight
            if total == 0:
                for c in range(3):
                    out[y, x, c] = colors[center, c]
            else:
                red += own * min(colors[center, 0], _BRIGHTEST)
                green += own * min(colors[center, 1], _BRIGHTEST)
                blue += own * min(colors[center, 2], _BRIGHTEST)
                scale = 1.0 / (own + total)
                out[y, x, 0], out[y, x, 1] = red * scale, green * scale
                out[y, x, 2] = blue * scale


@dataclass(frozen=True)
class Plan:
    """How sub-samples get their colours.

    Attributes:
        matches: (2 H, 2 W) uint8 which pixels around show the same surface.
        extra: (2 H, 2 W) int32 index of the own colour where there is no match.
        shaded: (E,) int32 flat sub-samples to shade additionally.
    """

    matches: npt.NDArray[np.uint8]
    extra: I32
    shaded: I32


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

    def plan(self, numbers: I32) -> Plan:
        """Decide which sub-samples need a colour of their own.

        Args:
            numbers: (2 H, 2 W) scene-wide face numbers of the sub-samples.
        """
        matches = np.empty(numbers.shape, np.uint8)
        meshes, instances = self._meshes, self._instances

        def part(first: int, last: int) -> None:
            _match(
                numbers, first, last, instances.of_face, instances.face_base, meshes.face_start,
                instances.mesh, meshes.material, meshes.face_normal, self._leafy, matches,
            )  # fmt: skip

        self._workers.split(part, len(numbers))
        shaded = np.flatnonzero(matches == 0).astype(np.int32)
        extra = np.zeros(numbers.shape, np.int32)
        extra.reshape(-1)[shaded] = numbers.size // 4 + np.arange(len(shaded), dtype=np.int32)
        return Plan(matches, extra, shaded)

    def resolve(self, plan: Plan, colors: F32) -> F32:
        """Return (H, W, 3) float32 mean colours of the pixels.

        Args:
            plan: of this frame.
            colors: (H * W + E, 3) float32 radiance of the pixels and the additional samples.
        """
        rows, columns = plan.matches.shape
        out = np.empty((rows // 2, columns // 2, 3), np.float32)

        def part(first: int, last: int) -> None:
            _resolve(plan.matches, plan.extra, colors, first, last, out)

        self._workers.split(part, rows // 2)
        return out
