# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Backward optical flow: where each surface point was in the previous frame."""

from __future__ import annotations

import numpy as np

from sim_perception.kernels import kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64
from sim_perception.simulator.surfaces.frustum import NEAR
from sim_perception.simulator.surfaces.lens import Lens, distort
from sim_perception.simulator.surfaces.surface import Surface

#: A point counts as seen before if no sample around its place was nearer by this share.
_TOLERANCE = 0.02


def instance_motion(camera_T_instance: F64, previous_T_instance: F64) -> F64:
    """Return (N, 3, 4) maps from today's optical frame to the previous one, per instance.

    Args:
        camera_T_instance: (N, 3, 4) poses in today's optical frame.
        previous_T_instance: (N, 3, 4) poses in the previous optical frame.
    """
    rotation = previous_T_instance[:, :, :3] @ np.swapaxes(camera_T_instance[:, :, :3], 1, 2)
    moved = np.einsum('nij,nj->ni', rotation, camera_T_instance[:, :, 3])
    translation = previous_T_instance[:, :, 3] - moved
    return np.ascontiguousarray(np.concatenate([rotation, translation[:, :, None]], 2))


@kernel
def _previous_slopes(
    rays, first, last, depth, instance, motion, turn, slopes,
    distance,
):  # fmt: skip
    """Write each point's ray slopes and depth in the previous frame; infinite depth = sky."""
    for s in range(first, last):
        rx, ry = rays[s, 0], rays[s, 1]
        k = instance[s]
        if k < 0:
            x = turn[0, 0] * rx + turn[0, 1] * ry + turn[0, 2]
            y = turn[1, 0] * rx + turn[1, 1] * ry + turn[1, 2]
            z = turn[2, 0] * rx + turn[2, 1] * ry + turn[2, 2]
            distance[s] = np.inf if z > 0 else -1.0
        else:
            d = float(depth[s])
            px, py = rx * d, ry * d
            x = motion[k, 0, 0] * px + motion[k, 0, 1] * py + motion[k, 0, 2] * d + motion[k, 0, 3]
            y = motion[k, 1, 0] * px + motion[k, 1, 1] * py + motion[k, 1, 2] * d + motion[k, 1, 3]
            z = motion[k, 2, 0] * px + motion[k, 2, 1] * py + motion[k, 2, 2] * d + motion[k, 2, 3]
            distance[s] = z
        if z > 0:
            slopes[s, 0] = x / z
            slopes[s, 1] = y / z
        else:
            slopes[s, 0] = slopes[s, 1] = np.nan


@kernel
def _seen_before(
    slopes, distance, lens, width, height, first, last, intrinsics, inverse, near, flow
):  # fmt: skip
    """Write u, v, valid; ``inverse`` is the previous frame's inverse depth of the samples."""
    rows, columns = inverse.shape
    for s in range(first, last):
        flow[s, 0] = flow[s, 1] = flow[s, 2] = 0.0
        if not distance[s] > near:
            continue
        x, y = distort(slopes[s, 0], slopes[s, 1], lens)
        flow[s, 0] = x - s % width
        flow[s, 1] = y - s // width
        if x < -0.5 or y < -0.5 or x > width - 0.5 or y > height - 0.5:
            continue
        i = slopes[s, 0] * intrinsics[0] + intrinsics[2]
        j = slopes[s, 1] * intrinsics[1] + intrinsics[3]
        i0 = min(max(int(np.floor(i)), 0), columns - 1)
        j0 = min(max(int(np.floor(j)), 0), rows - 1)
        i1, j1 = min(i0 + 1, columns - 1), min(j0 + 1, rows - 1)
        # The farthest of the four samples around: a point is hidden only if all are nearer.
        farthest = min(
            min(inverse[j0, i0], inverse[j0, i1]), min(inverse[j1, i0], inverse[j1, i1])
        )
        if farthest <= (1.0 + _TOLERANCE) / distance[s]:
            flow[s, 2] = 1.0


def backward_flow(
    lens: Lens,
    surface: Surface,
    camera_T_instance: F64,
    previous_T_instance: F64,
    previous_T_camera: F64,
    inverse_depth: F32,
    workers: Workers,
) -> F32:
    """Return (H * W, 3) float32 u, v, valid.

    Args:
        lens: the camera's sample grid.
        surface: what today's pixels see.
        camera_T_instance: (N, 3, 4) poses in today's optical frame.
        previous_T_instance: (N, 3, 4) poses in the previous optical frame.
        previous_T_camera: (4, 4) today's camera in the previous optical frame.
        inverse_depth: (h, w) of the previous frame's samples, 0 in the sky.
        workers: threads.
    """
    count = len(lens.rays)
    motion = instance_motion(camera_T_instance, previous_T_instance)
    turn = np.ascontiguousarray(previous_T_camera[:3, :3])
    slopes, distance = np.empty((count, 2)), np.empty(count)

    def trace_back(first: int, last: int) -> None:
        _previous_slopes(
            lens.rays, first, last, surface.depth, surface.instance, motion, turn, slopes, distance
        )

    workers.split(trace_back, count)
    flow = np.empty((count, 3), np.float32)
    parameters = lens.parameters()

    def compare(first: int, last: int) -> None:
        _seen_before(
            slopes, distance, parameters, lens.camera.width, lens.camera.height, first, last,
            lens.grid.intrinsics, inverse_depth, NEAR, flow,
        )  # fmt: skip

    workers.split(compare, count)
    return flow
