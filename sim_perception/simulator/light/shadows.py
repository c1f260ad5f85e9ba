# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Sunlight that reaches samples: one ray per sample, softened without noise."""

from __future__ import annotations

import math

import numpy as np

from sim_perception.kernels import kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32
from sim_perception.simulator.light.look import Look
from sim_perception.simulator.light.sky import SUN
from sim_perception.simulator.light.table import TRANSLUCENCY
from sim_perception.simulator.surfaces.surface import Surface
from sim_perception.simulator.surfaces.tracing import Tracer

_REACH = 250.0


@kernel
def _aim(
    rays, first, last, width, depth, normal, face, face_material, translucency, rotation,
    position, light, softness, origins, directions,
):  # fmt: skip
    """Prepare one ray to the sun per sample; zero direction where it faces away.

    The rays of a 3x3 block of pixels go to nine different parts of the sun's disc, so that
    the mean over any 3x3 neighbourhood is a soft shadow without noise.
    """
    sx, sy, sz = light[SUN], light[SUN + 1], light[SUN + 2]
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
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
    # The sun in the optical frame, to test the side a surface faces.
    cx = r00 * sx + r10 * sy + r20 * sz
    cy = r01 * sx + r11 * sy + r21 * sz
    cz = r02 * sx + r12 * sy + r22 * sz
    for s in range(first, last):
        z = float(depth[s])
        n0, n1, n2 = float(normal[s, 0]), float(normal[s, 1]), float(normal[s, 2])
        away = n0 * cx + n1 * cy + n2 * cz <= 0.0
        if not z > 0.0 or (away and translucency[face_material[face[s]]] <= 0.0):
            directions[s, 0] = directions[s, 1] = directions[s, 2] = 0.0
            continue
        lift = 0.004 + 0.0006 * z
        x, y, w = rays[s, 0] * z + n0 * lift, rays[s, 1] * z + n1 * lift, z + n2 * lift
        origins[s, 0] = r00 * x + r01 * y + r02 * w + position[0]
        origins[s, 1] = r10 * x + r11 * y + r12 * w + position[1]
        origins[s, 2] = r20 * x + r21 * y + r22 * w + position[2]
        cell = (s // width) % 3 * 3 + (s % width) % 3
        directions[s, 0] = targets[cell, 0]
        directions[s, 1] = targets[cell, 1]
        directions[s, 2] = targets[cell, 2]


@kernel
def _soften(first, last, width, height, depth, normal, blocked, lit):  # fmt: skip
    """Average shadows over 3x3 pixels of the same surface."""
    for y in range(first, last):
        top, bottom = max(0, y - 1), min(height, y + 2)
        for x in range(width):
            s = y * width + x
            z = depth[s]
            lit[s] = 0.0
            if not z > 0.0:
                continue
            left, right = max(0, x - 1), min(width, x + 2)
            # Most neighbourhoods are wholly lit or wholly dark.
            total = 0
            for j in range(top, bottom):
                for i in range(left, right):
                    total += blocked[j * width + i]
            if total == 0 or total == (bottom - top) * (right - left):
                lit[s] = 1.0 - blocked[s]
                continue
            total, count = 0, 0
            n0, n1, n2 = normal[s, 0], normal[s, 1], normal[s, 2]
            for j in range(top, bottom):
                for i in range(left, right):
                    t = j * width + i
                    aligned = normal[t, 0] * n0 + normal[t, 1] * n1 + normal[t, 2] * n2
                    if abs(depth[t] - z) < 0.04 * z and aligned > 0.7:
                        total += blocked[t]
                        count += 1
            lit[s] = 1.0 - total / count if count else 1.0 - blocked[s]


class Sunlight:
    """Casts the shadow rays of one image size; buffers are kept between frames."""

    def __init__(self, look: Look, face_material: I32, softness: float, workers: Workers) -> None:
        """Reserve buffers.

        Args:
            look: the scene's materials and sky.
            face_material: material of every packed face.
            softness: angular radius of the sun, radians.
            workers: threads.
        """
        self._light, self._softness, self._workers = look.light, softness, workers
        self._face_material = face_material
        self._translucency = look.materials[:, TRANSLUCENCY].copy()
        self._origins = np.empty((0, 3), np.float32)
        self._directions = np.empty((0, 3), np.float32)
        self._blocked = np.empty(0, np.uint8)

    def _reserve(self, count: int) -> None:
        if len(self._blocked) < count:
            self._origins, self._directions = np.empty((2, count + count // 4, 3), np.float32)
            self._blocked = np.empty(count + count // 4, np.uint8)

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
        lit = np.empty(count, np.float32)
        self._reserve(count)
        height, width = size
        origins, directions = self._origins[:count], self._directions[:count]
        blocked = self._blocked[:count]
        rotation = np.ascontiguousarray(world_T_camera[:3, :3])
        position = np.ascontiguousarray(world_T_camera[:3, 3])

        def aim(first: int, last: int) -> None:
            _aim(
                rays, first, last, width, surface.depth, surface.normal, surface.face,
                self._face_material, self._translucency, rotation, position, self._light,
                self._softness, origins, directions,
            )  # fmt: skip

        self._workers.split(aim, count)
        tracer.occluded(origins, directions, _REACH, blocked)

        def soften(first: int, last: int) -> None:
            _soften(first, last, width, height, surface.depth, surface.normal, blocked, lit)

        self._workers.split(soften, height)
        lit[height * width :] = 1.0 - blocked[height * width :]
        return lit
