"""The drawn pinhole grid and what can be seen in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import F64, I32
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes

#: Nearest distance along the optical axis that is drawn, metres.
NEAR = 0.1


@dataclass(frozen=True)
class Grid:
    """A pinhole sample grid: sample (i, j) looks along ((i - cx) / fx, (j - cy) / fy, 1)."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def intrinsics(self) -> F64:
        """The array (fx, fy, cx, cy) for kernels."""
        return np.array([self.fx, self.fy, self.cx, self.cy])


def camera_poses(world_T_camera: F64, world_T_instance: npt.NDArray[np.floating]) -> F64:
    """Return (N, 3, 4) ``camera_T_instance``; subtracts positions first to keep precision."""
    rotation = world_T_camera[:3, :3].T
    poses = np.empty((len(world_T_instance), 3, 4))
    poses[:, :, :3] = rotation @ world_T_instance[:, :3, :3]
    poses[:, :, 3] = (world_T_instance[:, :3, 3] - world_T_camera[:3, 3]) @ rotation.T
    return poses


def visible_instances(
    meshes: PackedMeshes, instances: PackedInstances, camera_T_instance: F64, grid: Grid
) -> I32:
    """Return the instances whose bounding sphere meets the view frustum, near ones first."""
    center = meshes.center[instances.mesh]
    rotation, translation = camera_T_instance[:, :, :3], camera_T_instance[:, :, 3]
    x, y, z = (np.einsum('nij,nj->ni', rotation, center) + translation).T
    radius = meshes.radius[instances.mesh]
    keep = z > NEAR - radius
    # The distance to each side plane of the frustum, through the outermost samples.
    for side, focal, offset, axis in (
        (-1, grid.fx, grid.cx, x),
        (1, grid.fx, grid.width - 1 - grid.cx, x),
        (-1, grid.fy, grid.cy, y),
        (1, grid.fy, grid.height - 1 - grid.cy, y),
    ):
        slope = (offset + 1.0) / focal
        keep &= (side * axis - slope * z) < radius * math.hypot(1.0, slope)
    chosen = np.flatnonzero(keep)
    return chosen[np.argsort(z[chosen], kind='stable')].astype(np.int32)
