# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Sunlight that reaches samples: rays where shadows may end, softened without noise."""

from __future__ import annotations

import math

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32
from sim_perception.simulator.light.look import Look
from sim_perception.simulator.light.refinement import (
    BESIDE,
    Marks,
    first_column,
    neighbours,
    refine,
)
from sim_perception.simulator.light.sky import SUN
from sim_perception.simulator.light.table import TRANSLUCENCY
from sim_perception.simulator.surfaces.surface import Surface
from sim_perception.simulator.surfaces.tracing import Tracer

_REACH = 250.0
#: A sample's shadow is counted from 0, lit, to 4, dark; this one cannot be lit by the sun.
_DARK, _TURNED_AWAY = 4, 8
_SHADOW = 7


@kernel
def _sun_disc(light, softness):
    """Return (9, 3) directions to parts of the sun's disc."""
    sx, sy, sz = light[SUN], light[SUN + 1], light[SUN + 2]
    # Two axes across the sun's direction.
    flat = math.sqrt(sx * sx + sy * sy)
    ux, uy = 1.0, 0.0
    if flat > 1e-6:
        ux, uy = -sy / flat, sx / flat
    vx, vy, vz = -sz * uy, sz * ux, sx * uy - sy * ux
    targets = np.empty((9, 3))
    for cell in range(9):
        radius = softness * math.sqrt((cell * 4 % 9 + 0.5) / 9.0)
        a, b = radius * math.cos(2.399963 * cell), radius * math.sin(2.399963 * cell)
        targets[cell, 0] = sx + a * ux + b * vx
        targets[cell, 1] = sy + a * uy + b * vy
        targets[cell, 2] = sz + b * vz
    return targets


@inlined
def _is_turned_away(s, depth, normal, face, face_material, translucency, sun):
    """Whether no sunlight can reach a sample; ``sun`` is in the optical frame."""
    if not depth[s] > 0.0:
        return True
    facing = (
        float(normal[s, 0]) * sun[0] + float(normal[s, 1]) * sun[1] + float(normal[s, 2]) * sun[2]
    )
    return facing <= 0.0 and translucency[face_material[face[s]]] <= 0.0


@inlined
def _borrow(level, s, width, owner, blocked):
    """Return what the neighbours of a sample know of its shadow, -1 if it needs a ray."""
    a, b, c, d = neighbours(level, s, width)
    own = owner[s]
    if level == 1:
        alike = owner[a] == own and owner[b] == own and owner[c] == own and owner[d] == own
        value = blocked[a]
        agreed = value == blocked[b] and value == blocked[c] and value == blocked[d]
        return np.int64(value) if alike and agreed and value != _TURNED_AWAY else -1
    total, count = 0, 0
    if owner[a] == own and blocked[a] != _TURNED_AWAY:
        total, count = total + blocked[a], count + 1
    if owner[b] == own and blocked[b] != _TURNED_AWAY:
        total, count = total + blocked[b], count + 1
    if owner[c] == own and blocked[c] != _TURNED_AWAY:
        total, count = total + blocked[c], count + 1
    if owner[d] == own and blocked[d] != _TURNED_AWAY:
        total, count = total + blocked[d], count + 1
    return (2 * total + count) // (2 * count) if count > 1 else -1


@kernel
def _choose(
    level, first, last, height, width, depth, normal, face, face_material, translucency, sun,
    owner, blocked, marks,
):  # fmt: skip
    """Mark the samples of a level that need a ray, and write what the others know."""
    if level == BESIDE:
        for s in range(first, last):
            blocked[s] = _TURNED_AWAY
            if not _is_turned_away(s, depth, normal, face, face_material, translucency, sun):
                marks[s] = 1
        return
    for y in range(first, last):
        for x in range(first_column(level, y, width), width, 2):
            s = y * width + x
            if _is_turned_away(s, depth, normal, face, face_material, translucency, sun):
                blocked[s] = _TURNED_AWAY
                continue
            known = -1
            if level > 0 and 0 < x < width - 1 and 0 < y < height - 1:
                known = _borrow(level, s, width, owner, blocked)
            if known < 0:
                marks[s] = 1
            else:
                blocked[s] = known


@kernel
def _aim(chosen, first, last, rays, width, depth, normal, rotation, position, targets,
    origins, directions):  # fmt: skip
    """Prepare one ray to the sun per chosen sample.

    The rays of a 3x3 block of pixels go to nine different parts of the sun's disc, so that
    the mean over any 3x3 neighbourhood is a soft shadow without noise.
    """
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    for k in range(first, last):
        s = chosen[k]
        z = float(depth[s])
        n0, n1, n2 = float(normal[s, 0]), float(normal[s, 1]), float(normal[s, 2])
        lift = 0.004 + 0.0006 * z
        x, y, w = rays[s, 0] * z + n0 * lift, rays[s, 1] * z + n1 * lift, z + n2 * lift
        origins[k, 0] = r00 * x + r01 * y + r02 * w + position[0]
        origins[k, 1] = r10 * x + r11 * y + r12 * w + position[1]
        origins[k, 2] = r20 * x + r21 * y + r22 * w + position[2]
        cell = (s // width) % 3 * 3 + (s % width) % 3
        directions[k, 0] = targets[cell, 0]
        directions[k, 1] = targets[cell, 1]
        directions[k, 2] = targets[cell, 2]


@kernel
def _scatter(chosen, met, blocked):
    """Write what rays met to their samples."""
    for k in range(len(chosen)):
        blocked[chosen[k]] = _DARK * met[k]


@kernel
def _soften(first, last, width, height, depth, normal, blocked, lit):  # fmt: skip
    """Average shadows over 3x3 pixels of the same surface."""
    columns = np.empty(width, np.int64)
    share = 1.0 / _DARK
    for y in range(first, last):
        top, bottom = max(0, y - 1), min(height, y + 2)
        rows = bottom - top
        for x in range(width):
            columns[x] = 0
            for j in range(top, bottom):
                columns[x] += blocked[j * width + x] & _SHADOW
        for x in range(width):
            s = y * width + x
            z = depth[s]
            lit[s] = 0.0
            if not z > 0.0:
                continue
            left, right = max(0, x - 1), min(width, x + 2)
            # Most neighbourhoods are wholly lit or wholly dark.
            total = columns[left] + columns[right - 1]
            if right - left == 3:
                total += columns[x]
            if total == 0 or total == _DARK * rows * (right - left):
                lit[s] = 1.0 - share * (blocked[s] & _SHADOW)
                continue
            total, count = 0, 0
            n0, n1, n2 = normal[s, 0], normal[s, 1], normal[s, 2]
            for j in range(top, bottom):
                for i in range(left, right):
                    t = j * width + i
                    aligned = normal[t, 0] * n0 + normal[t, 1] * n1 + normal[t, 2] * n2
                    if abs(depth[t] - z) < 0.04 * z and aligned > 0.7:
                        total += blocked[t] & _SHADOW
                        count += 1
            if count == 0:
                total, count = blocked[s] & _SHADOW, 1
            lit[s] = 1.0 - share * total / count


class Sunlight:
    """Casts the shadow rays of one scene."""

    def __init__(self, look: Look, face_material: I32, softness: float, workers: Workers) -> None:
        """Keep what all frames need.

        Args:
            look: the scene's materials and sky.
            face_material: material of every packed face.
            softness: angular radius of the sun, radians.
            workers: threads.
        """
        self._light, self._softness, self._workers = look.light, softness, workers
        self._face_material = face_material
        self._translucency = look.materials[:, TRANSLUCENCY].copy()

    def cast(
        self,
        rays: F64,
        surface: Surface,
        world_T_camera: F64,
        size: tuple[int, int],
        tracer: Tracer,
    ) -> F32:
        """Return (S,) float32 the share of the sun's disc that each sample sees.

        Args:
            rays: (S, 2) slopes of the viewing rays.
            surface: what the samples see.
            world_T_camera: the camera's pose.
            size: height and width; the first height * width samples are the image's pixels and
                are softened, further ones are not.
            tracer: posed scene.
        """
        count = len(rays)
        lit, blocked = np.empty(count, np.float32), np.empty(count, np.uint8)
        height, width = size
        rotation = np.ascontiguousarray(world_T_camera[:3, :3])
        position = np.ascontiguousarray(world_T_camera[:3, 3])
        sun = self._light[SUN : SUN + 3] @ rotation
        targets = _sun_disc(self._light, self._softness)

        def choose(level: int, first: int, last: int, marks: Marks) -> None:
            _choose(
                level, first, last, height, width, surface.depth, surface.normal, surface.face,
                self._face_material, self._translucency, sun, surface.instance, blocked, marks,
            )  # fmt: skip

        def trace(chosen: I32) -> None:
            origins, directions = np.empty((2, len(chosen), 3), np.float32)
            met = np.empty(len(chosen), np.uint8)

            def aim(first: int, last: int) -> None:
                _aim(
                    chosen, first, last, rays, width, surface.depth, surface.normal, rotation,
                    position, targets, origins, directions,
                )  # fmt: skip

            self._workers.split(aim, len(chosen))
            tracer.occluded(origins, directions, _REACH, met)
            _scatter(chosen, met, blocked)

        refine(size, count - height * width, choose, trace, self._workers)

        def soften(first: int, last: int) -> None:
            _soften(first, last, width, height, surface.depth, surface.normal, blocked, lit)

        self._workers.split(soften, height)
        lit[height * width :] = 1.0 - (blocked[height * width :] & _SHADOW) / _DARK
        return lit
