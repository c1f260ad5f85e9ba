"""LiDAR clouds seen through a camera."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.cameras import project
from sim_perception.types import Camera

Array = npt.NDArray[np.floating]


def project_cloud(camera: Camera, camera_T_lidar: Array, points: Array) -> npt.NDArray[np.float32]:
    """Draw a cloud into a sparse depth image; the nearest point wins.

    Args:
        camera: intrinsics of the image.
        camera_T_lidar: 4x4 transform from the cloud's frame to the optical frame.
        points: (N, 3); rows with NaN or Inf are skipped.

    Returns:
        (H, W) float32 metres along the optical axis, NaN where no point falls.
    """
    points = points[np.isfinite(points).all(-1)]
    points = points @ camera_T_lidar[:3, :3].T + camera_T_lidar[:3, 3]
    uv, depth = project(camera, points)
    with np.errstate(invalid='ignore'):
        inside = (
            (depth > 0)
            & (uv[:, 0] > -0.5)
            & (uv[:, 0] < camera.width - 0.5)
            & (uv[:, 1] > -0.5)
            & (uv[:, 1] < camera.height - 0.5)
        )
    column, row = np.rint(uv[inside]).astype(np.int64).T
    image = np.full(camera.height * camera.width, np.inf, np.float32)
    np.minimum.at(image, row * camera.width + column, depth[inside].astype(np.float32))
    image[np.isinf(image)] = np.nan
    return image.reshape(camera.height, camera.width)
