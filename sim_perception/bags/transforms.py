"""A bag's transform tree, looked up at any time by interpolation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags.decode import transform_matrix
from sim_perception.bags.errors import TransformError
from sim_perception.geometry.transforms import interpolate, invert

Array = npt.NDArray[np.floating]


@dataclass
class _Edge:
    """The poses of one frame in its parent, by stamp; a single one if static."""

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    poses: list[Array] = field(default_factory=list)


class TransformTree:
    """Static and moving transforms between named frames."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def add(self, message: Any, static: bool) -> None:
        """Take the transforms of a ``tf2_msgs/TFMessage``."""
        for stamped in message.transforms:
            stamp = stamped.header.stamp
            nanoseconds = stamp.sec * 10**9 + stamp.nanosec
            parent = stamped.header.frame_id.lstrip('/')
            pose = transform_matrix(stamped.transform)
            self.add_pose(stamped.child_frame_id.lstrip('/'), parent, pose, nanoseconds, static)

    def add_pose(
        self, child: str, parent: str, parent_T_child: Array, stamp: int, static: bool
    ) -> None:
        """Take one transform; stamps may come in any order."""
        edge = self._edges.get(child)
        if edge is None or static or edge.parent != parent:
            edge = self._edges[child] = _Edge(parent, static)
        place = len(edge.stamps)
        while place and edge.stamps[place - 1] > stamp:
            place -= 1
        edge.stamps.insert(place, stamp)
        edge.poses.insert(place, parent_T_child)

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
            return edge.poses[-1]
        if not edge.stamps[0] <= stamp <= edge.stamps[-1]:
            raise TransformError(
                f'transform {edge.parent!r} -> {child!r} is known from {edge.stamps[0] / 1e9:.3f} '
                f'to {edge.stamps[-1] / 1e9:.3f} s, not at {stamp / 1e9:.3f} s'
            )
        after = int(np.searchsorted(edge.stamps, stamp))
        if edge.stamps[after] == stamp:
            return edge.poses[after]
        before = after - 1
        fraction = (stamp - edge.stamps[before]) / (edge.stamps[after] - edge.stamps[before])
        return interpolate(edge.poses[before], edge.poses[after], fraction)
