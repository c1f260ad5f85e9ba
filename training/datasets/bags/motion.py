"""How a recording's camera moved: from odometry, transforms or measured speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics as t_
from sim_perception.bags.errors import TransformError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.transforms import TransformTree
from sim_perception.geometry.transforms import from_quaternion
from training.datasets.clips import Motion, Timeline

Array = npt.NDArray[np.floating]
Stamps = npt.NDArray[np.int64]

_ODOMETRY = 'nav_msgs/msg/Odometry'
_SPEEDS = ('geometry_msgs/msg/TwistStamped', 'geometry_msgs/msg/TwistWithCovarianceStamped')
#: Frames that do not move with the robot, the smoothest first (REP-105).
_FIXED = (t_.ODOM_FRAME, t_.MAP_FRAME, 'world')


def bag_motion(bag: BagReader, camera_frame: str, stamps: Stamps) -> Motion:
    """Return the best that a bag knows of its camera's motion.

    Odometry first, with the camera's mounting if the transforms have it, then ``/tf``, then a
    stamped speed. Poses are as good as the recording's odometry.

    Args:
        bag: the recording.
        camera_frame: the optical frame of the images.
        stamps: (N,) of the images, nanoseconds.
    """
    for topic in _robot_topics(bag, _ODOMETRY):
        return _from_odometry(bag, topic, camera_frame, stamps)
    if bag.count(t_.TF.name):
        for fixed in _FIXED:
            poses = _lookups(partial(bag.transforms.lookup, fixed, camera_frame), stamps)
            if np.isfinite(poses).any():
                return Motion(f'poses from /tf ({fixed})', poses)
    for topic in _robot_topics(bag, *_SPEEDS):
        return Motion(f'speed from {topic}', way=_from_speed(bag, topic, stamps))
    return Motion()


def bags_motion(paths: Sequence[Path], time: Timeline, headers: Sequence[str]) -> Motion:
    """Return the motion of the frames of several bags.

    Args:
        paths: the bags.
        time: of the frames; sequence numbers are places in ``paths``.
        headers: of every bag the topic whose headers name the camera's frame.
    """
    poses = np.full((len(time.stamp), 4, 4), np.nan)
    way = np.full(len(time.stamp), np.nan)
    sources: list[str] = []
    for number, path in enumerate(paths):
        rows = np.flatnonzero(time.sequence == number)
        if not len(rows):
            continue
        with BagReader(path) as bag:
            frame = bag.message(headers[number], 0).header.frame_id
            motion = bag_motion(bag, frame, time.stamp[rows])
        if motion.poses is not None:
            poses[rows] = motion.poses
        if motion.way is not None:
            way[rows] = motion.way
        if motion.source not in sources:
            sources.append(motion.source)
    return Motion(
        ', '.join(source or 'unknown' for source in sources) if any(sources) else '',
        poses if np.isfinite(poses).any() else None,
        way if np.isfinite(way).any() else None,
    )


def _robot_topics(bag: BagReader, *types: str) -> list[str]:
    """Return the topics of some types, the plainest name first; truth is no measurement."""
    found = [name for name in bag.of_type(*types) if 'ground_truth' not in name]
    return sorted(found, key=lambda name: (name.count('/'), name))


def _lookups(lookup: Callable[[int], Array], stamps: Stamps) -> Array:
    """Return (N, 4, 4) transforms, NaN where one is not known."""
    found = np.full((len(stamps), 4, 4), np.nan)
    for row, stamp in enumerate(stamps):
        try:
            found[row] = lookup(int(stamp))
        except TransformError:
            continue
    return found


def _from_odometry(bag: BagReader, topic: str, camera_frame: str, stamps: Stamps) -> Motion:
    """Return camera poses if the mounting is known, else the way of the robot's base."""
    tree = TransformTree()
    times = bag.stamps(topic)
    places = np.empty((len(times), 3))
    child = ''
    for number, time in enumerate(times):
        message = bag.message(topic, number)
        child = message.child_frame_id.lstrip('/') or t_.BASE_FRAME
        pose = _pose(message.pose.pose)
        places[number] = pose[:3, 3]
        tree.add_pose('base', 'odom', pose, int(time), static=False)
    base_T_camera = _lookups(partial(bag.transforms.lookup, child, camera_frame), stamps)
    poses = _lookups(partial(tree.lookup, 'odom', 'base'), stamps) @ base_T_camera
    if np.isfinite(poses).any():
        return Motion(f'poses from {topic}', poses)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    return Motion(f'distance from {topic}', way=_way(times, steps, stamps))


def _pose(pose: Any) -> Array:
    p, q = pose.position, pose.orientation
    quaternion = (q.x, q.y, q.z, q.w)
    # planar odometry often leaves the orientation empty
    turn = quaternion if any(quaternion) else (0.0, 0.0, 0.0, 1.0)
    return from_quaternion(turn, np.array([p.x, p.y, p.z]))


def _from_speed(bag: BagReader, topic: str, stamps: Stamps) -> Array:
    """Return (N,) metres by integrating speeds (trapezoids), NaN outside the recording."""
    times = bag.stamps(topic)
    speeds = np.empty(len(times))
    for number in range(len(times)):
        twist = bag.message(topic, number).twist
        linear = getattr(twist, 'twist', twist).linear
        speeds[number] = np.linalg.norm([linear.x, linear.y, linear.z])
    steps = np.diff(times) / 1e9 * (speeds[1:] + speeds[:-1]) / 2
    return _way(times, steps, stamps)


def _way(times: Stamps, steps: Array, stamps: Stamps) -> Array:
    """Return (N,) metres gone at the stamps, from steps between times; NaN outside them."""
    way = np.concatenate([[0.0], np.cumsum(steps)])
    seconds, at = ((t - times[0]) / 1e9 for t in (times, stamps))
    return np.interp(at, seconds, way, left=np.nan, right=np.nan)
