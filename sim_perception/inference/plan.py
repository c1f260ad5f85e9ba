"""A frame as the 3D detector sees it: painted points on a plan of the street, and boxes there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.lidar_frame import LidarFrame, PreparedFrame
from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    make_transform,
    transform_points,
)
from sim_perception.types import Box3D, Camera

Array = npt.NDArray[np.floating]
F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]

#: Points whose pixels are farther beside the image than this share of its width are dropped.
BESIDE = 0.1
#: Every so many-th pixel of every so many-th row of a depth image becomes a point.
DEPTH_STRIDE = 2
#: Columns of a box on the plan: centre x, y, z above the ground, yaw, length, width, height.
BOX_COLUMNS = 7


@dataclass(frozen=True)
class Plan:
    """The plan's frame: origin on the ground below the camera, x along its line of sight.

    Attributes:
        level_T_plan: 4x4; z of the plan is the level frame's.
        ground: (3,) a, b, c of the ground ``z = a x + b y + c`` in the level frame.
    """

    level_T_plan: Array
    ground: Array

    def ground_at(self, places: Array) -> Array:
        """Return the ground's z at (..., 2 or 3) places of the level frame."""
        return np.asarray(places[..., :2] @ self.ground[:2] + self.ground[2])

    def points(self, level: Array) -> Array:
        """Return (N, 3) points of the level frame on the plan, z above the ground."""
        found = transform_points(invert(self.level_T_plan), level)
        found[:, 2] = level[:, 2] - self.ground_at(level)
        return found

    def rows(self, boxes: Sequence[Box3D]) -> F64:
        """Return (K, 7) rows of ``BOX_COLUMNS`` of boxes in the level frame."""
        rows = np.empty((len(boxes), BOX_COLUMNS))
        for row, box in zip(rows, boxes, strict=True):
            row[:3] = self.points(np.asarray(box.parent_T_box)[None, :3, 3])[0]
            forward = invert(self.level_T_plan)[:3, :3] @ box.parent_T_box[:3, 0]
            row[3] = math.atan2(forward[1], forward[0])
            row[4:] = box.size
        return rows

    def boxes(self, rows: Array) -> list[Box3D]:
        """Return upright boxes in the level frame of (K, 7) rows; the inverse of ``rows``."""
        turn = math.atan2(self.level_T_plan[1, 0], self.level_T_plan[0, 0])
        boxes = []
        for row in np.asarray(rows, np.float64):
            centre = transform_points(self.level_T_plan, row[:3])
            centre[2] = row[2] + self.ground_at(centre)
            length, width, height = (float(value) for value in row[4:])
            pose = from_euler(0.0, 0.0, float(row[3]) + turn, centre)
            boxes.append(Box3D(pose, (length, width, height)))
        return boxes


@dataclass(frozen=True)
class PlanPoints:
    """Points on a plan; see ``models.detector3d.POINT_COLUMNS``.

    Attributes:
        plan: where they are.
        points: (N, 6) float32.
    """

    plan: Plan
    points: F32


def plan_points(frame: LidarFrame, max_range: float) -> PlanPoints:
    """Return a frame's points that the camera sees or nearly sees, on the plan.

    Where no ground can be found, the level frame's z = 0 is taken for it.

    Args:
        frame: camera and cloud.
        max_range: points farther from the sensor are dropped, metres.
    """
    prepared = PreparedFrame(frame, max_range)
    camera = frame.camera
    level_T_camera = invert(np.asarray(frame.camera_T_level, np.float64))
    sight = level_T_camera[:3, 2]
    if math.hypot(sight[0], sight[1]) < 0.2:
        raise ValueError('the camera looks straight up or down; is the level frame level?')
    ground = np.zeros(3) if prepared.ground is None else prepared.ground
    origin = np.array([*level_T_camera[:2, 3], 0.0])
    turn = math.atan2(sight[1], sight[0])
    plan = Plan(from_euler(0.0, 0.0, turn, origin), np.asarray(ground, np.float64))
    u, v = prepared.pixels.T
    with np.errstate(invalid='ignore'):
        kept = (u > -BESIDE * camera.width) & (u < (1 + BESIDE) * camera.width)
        inside = (u > -0.5) & (u < camera.width - 0.5) & (v > -0.5) & (v < camera.height - 0.5)
    scale = np.array([2 / camera.width, 2 / camera.height])
    columns = (
        plan.points(prepared.points),
        # grid_sample's coordinates: -1 and 1 are the outer edges of the border pixels
        (prepared.pixels + 0.5) * scale - 1,
        inside[:, None],
    )
    return PlanPoints(plan, np.concatenate(columns, 1)[kept].astype(np.float32))


def warm_up_frame() -> LidarFrame:
    """Return a street without anything on it, as seen by a car's camera and LiDAR."""
    camera = Camera(640, 192, 372.0, 372.0, 319.5, 95.5)
    level_T_camera = make_transform(BODY_T_OPTICAL[:3, :3], np.array([0.0, 0.0, 1.6]))
    x, y = np.meshgrid(np.linspace(4, 40, 60), np.linspace(-15, 15, 60))
    floor = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    return LidarFrame(camera, invert(level_T_camera), floor, np.array([0.0, 0.0, 1.8]))


def depth_frame(
    depth: npt.NDArray[np.floating], camera: Camera, camera_T_level: Array
) -> LidarFrame:
    """Return a depth image as the cloud that detection takes.

    Args:
        depth: (H, W) metres along the optical axis; what is not finite or not positive is no
            point.
        camera: an ideal pinhole of that image's size.
        camera_T_level: 4x4.

    Raises:
        ValueError: for a depth image of another size.
    """
    if depth.shape != (camera.height, camera.width):
        raise ValueError(
            f'depth is {depth.shape[1]}x{depth.shape[0]}, its camera {camera.width}x'
            f'{camera.height}; use the calibration that belongs to the depth image'
        )
    first = DEPTH_STRIDE // 2
    v, u = np.mgrid[first : camera.height : DEPTH_STRIDE, first : camera.width : DEPTH_STRIDE]
    z = np.asarray(depth, np.float64)[v, u]
    known = np.isfinite(z) & (z > 0)
    u, v, z = u[known], v[known], z[known]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(u))], 1)
    level_T_camera = invert(np.asarray(camera_T_level, np.float64))
    points = transform_points(level_T_camera, rays * z[:, None])
    ideal = camera.ideal
    return LidarFrame(ideal, np.asarray(camera_T_level), points, level_T_camera[:3, 3])
