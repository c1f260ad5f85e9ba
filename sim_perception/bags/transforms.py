"""A bag's transform tree, looked up at any time by interpolation."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags.errors import MessageError, TransformError
from sim_perception.geometry.frames import frame_name
from sim_perception.geometry.transforms import (
    from_quaternion,
    interpolate,
    invert,
    to_quaternion,
)

Array = npt.NDArray[np.floating]


@dataclass
class _Edge:
    """The poses of one frame in its parent, sorted by stamp; a single one if static.

    A pose is kept as translation and quaternion, and made a matrix when it is looked up.
    """

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    poses: list[tuple[float, ...]] = field(default_factory=list)

    def matrix(self, number: int) -> Array:
        """Return one pose as 4x4 ``parent_T_child``."""
        pose = self.poses[number]
        return from_quaternion(pose[3:], np.array(pose[:3]))


class TransformTree:
    """Static and moving transforms between named frames."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def add(self, message: Any, static: bool) -> None:
        """Take the transforms of a ``tf2_msgs/TFMessage``.

        Raises:
            MessageError: if a transform is not finite or has no rotation.
        """
        for stamped in message.transforms:
            stamp = stamped.header.stamp
            t, q = stamped.transform.translation, stamped.transform.rotation
            pose = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
            if not all(map(math.isfinite, pose)) or not any(pose[3:]):
                raise MessageError(
                    f'transform of {stamped.child_frame_id!r} is not finite or has no rotation'
                )
            child, parent = (
                frame_name(name) for name in (stamped.child_frame_id, stamped.header.frame_id)
            )
            self._insert(child, parent, pose, stamp.sec * 10**9 + stamp.nanosec, static)

    def add_pose(
        self, child: str, parent: str, parent_T_child: Array, stamp: int, static: bool
    ) -> None:
        """Take one 4x4 transform; stamps may come in any order."""
        values = (*parent_T_child[:3, 3], *to_quaternion(parent_T_child))
        pose = tuple(float(v) for v in values)
        self._insert(frame_name(child), frame_name(parent), pose, stamp, static)

    def _insert(
        self, child: str, parent: str, pose: tuple[float, ...], stamp: int, static: bool
    ) -> None:
        edge = self._edges.get(child)
        if edge is None or static or edge.parent != parent:
            edge = self._edges[child] = _Edge(parent, static)
        place = bisect_right(edge.stamps, stamp)
        edge.stamps.insert(place, stamp)
        edge.poses.insert(place, pose)

    @property
    def frames(self) -> tuple[str, ...]:
        """Every known frame id."""
        parents = {edge.parent for edge in self._edges.values()}
        return tuple(sorted(parents | set(self._edges)))

    def lookup(self, target: str, source: str, stamp: int = 0) -> Array:
        """Return the 4x4 ``target_T_source`` at a time, which static transforms ignore.

        Raises:
            TransformError: for an unknown frame, unconnected frames or a stamp outside what
                was recorded.
        """
        target, source = frame_name(target), frame_name(source)
        for frame in (target, source):
            if frame not in self.frames:
                known = ', '.join(self.frames) or 'none'
                raise TransformError(
                    f'frame {frame!r} is not in /tf or /tf_static; known: {known}'
                )
        up, down = self._chain(source), self._chain(target)
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            raise TransformError(f'frames {target!r} and {source!r} are not connected')
        common_T_source = self._climb(up[: up.index(common)], stamp)
        common_T_target = self._climb(down[: down.index(common)], stamp)
        return invert(common_T_target) @ common_T_source

    def _chain(self, frame: str) -> list[str]:
        """Return a frame and its ancestors."""
        chain = [frame]
        while chain[-1] in self._edges:
            parent = self._edges[chain[-1]].parent
            if parent in chain:
                raise TransformError(f'transforms form a loop: {" -> ".join([*chain, parent])}')
            chain.append(parent)
        return chain

    def _climb(self, frames: list[str], stamp: int) -> Array:
        pose = np.eye(4)
        for frame in frames:
            pose = self._pose(frame, stamp) @ pose
        return pose

    def _pose(self, child: str, stamp: int) -> Array:
        edge = self._edges[child]
        if edge.static:
            return edge.matrix(-1)
        if not edge.stamps[0] <= stamp <= edge.stamps[-1]:
            raise TransformError(
                f'transform {edge.parent!r} -> {child!r} is known from {edge.stamps[0] / 1e9:.3f} '
                f'to {edge.stamps[-1] / 1e9:.3f} s, not at {stamp / 1e9:.3f} s'
            )
        after = bisect_left(edge.stamps, stamp)
        if edge.stamps[after] == stamp:
            return edge.matrix(after)
        before = after - 1
        fraction = (stamp - edge.stamps[before]) / (edge.stamps[after] - edge.stamps[before])
        return interpolate(edge.matrix(before), edge.matrix(after), fraction)
