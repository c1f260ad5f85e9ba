"""A buffer of transforms: look-ups between any two connected frames at any buffered time."""

from __future__ import annotations

import math
import threading
import time as system_time
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time

from tf2_ros.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_ros.time_cache import (
    Quaternion,
    Sample,
    TimeCache,
    Vector,
    conjugate,
    multiply,
    rotate,
)

_QUATERNION_TOLERANCE = 10e-3


class Buffer:
    """Stores transforms for ``cache_time`` (10 s) and combines them.

    Safe to fill and to query from several threads; a look-up with a timeout must not run on
    the thread that fills the buffer. Time 0 in a look-up means the latest common time.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        self._cache_time = 10_000_000_000 if cache_time is None else cache_time.nanoseconds
        self._frames: dict[str, TimeCache] = {}
        self._names: set[str] = set()
        self._changed = threading.Condition(threading.RLock())
        self._waiting: list[tuple[Future, str, str, Time]] = []
        self._node = node

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that is valid at its stamp."""
        self._insert(transform, authority, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that is valid at any time."""
        self._insert(transform, authority, is_static=True)

    def clear(self) -> None:
        """Forget all transforms that are not static."""
        with self._changed:
            self._frames = {k: v for k, v in self._frames.items() if v.is_static}

    def all_frames_as_string(self) -> str:
        """Return one line per frame with its parent."""
        with self._changed:
            return ''.join(
                f'Frame {child} exists with parent {cache.newest.parent}.\n'
                for child, cache in self._frames.items()
            )

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008 (the original's signature)
    ) -> TransformStamped:
        """Return the transform that maps points of the source frame to the target frame.

        Raises:
            LookupException, ConnectivityException, ExtrapolationException: if the timeout
                passes and the transform is still not available.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_core(
        self, target_frame: str, source_frame: str, time: Time
    ) -> TransformStamped:
        """Return the transform from what is in the buffer now; raises as lookup_transform."""
        stamp, translation, rotation = self._combine(target_frame, source_frame, time.nanoseconds)
        result = TransformStamped()
        result.header.stamp = Time(nanoseconds=stamp).to_msg()
        result.header.frame_id = target_frame
        result.child_frame_id = source_frame
        vector, quaternion = result.transform.translation, result.transform.rotation
        vector.x, vector.y, vector.z = translation
        quaternion.x, quaternion.y, quaternion.z, quaternion.w = rotation
        return result

    async def lookup_transform_async(
        self, target_frame: str, source_frame: str, time: Time
    ) -> TransformStamped:
        """Wait for a transform without blocking the executor."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future that is done once the transform is available."""
        future = Future()
        with self._changed:
            if self.can_transform(target_frame, source_frame, time):
                future.set_result(self.lookup_transform_core(target_frame, source_frame, time))
            else:
                self._waiting.append((future, target_frame, source_frame, time))
        return future

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
        return_debug_tuple: bool = False,
    ) -> Any:
        """Return whether a look-up would succeed, waiting for it at most ``timeout``.

        With ``return_debug_tuple`` the answer is (success, reason).
        """
        deadline = system_time.monotonic() + timeout.nanoseconds * 1e-9
        with self._changed:
            reason = self._why_not(target_frame, source_frame, time)
            while reason:
                left = deadline - system_time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    reason = self._why_not(target_frame, source_frame, time)
                    break
                reason = self._why_not(target_frame, source_frame, time)
        return (not reason, reason) if return_debug_tuple else not reason

    def _why_not(self, target_frame: str, source_frame: str, time: Time) -> str:
        try:
            self._combine(target_frame, source_frame, time.nanoseconds)
        except TransformException as error:
            return str(error) or type(error).__name__
        return ''

    def _insert(self, transform: TransformStamped, authority: str, is_static: bool) -> None:
        parent = transform.header.frame_id.lstrip('/')
        child = transform.child_frame_id.lstrip('/')
        vector, quaternion = transform.transform.translation, transform.transform.rotation
        translation = (vector.x, vector.y, vector.z)
        rotation = (quaternion.x, quaternion.y, quaternion.z, quaternion.w)
        problem = _problem(parent, child, translation, rotation)
        if problem:
            get_logger('tf2_buffer').error(
                f'TF_ERROR: ignoring transform with child_frame_id "{child}" from authority '
                f'"{authority}" because {problem}'
            )
            return
        sample = Sample(
            Time.from_msg(transform.header.stamp).nanoseconds, parent, translation, rotation
        )
        with self._changed:
            cache = self._frames.get(child)
            if cache is None or cache.is_static != is_static:
                cache = self._frames[child] = TimeCache(is_static, self._cache_time)
            if not cache.insert(sample):
                get_logger('tf2_buffer').warning(
                    f'TF_OLD_DATA ignoring data from the past for frame {child} at time '
                    f'{sample.stamp * 1e-9:.6f} according to authority {authority}'
                )
            self._names.update((parent, child))
            self._changed.notify_all()
            self._answer_waiting()

    def _answer_waiting(self) -> None:
        still = []
        for future, target, source, time in self._waiting:
            if future.cancelled():
                continue
            if self.can_transform(target, source, time):
                future.set_result(self.lookup_transform_core(target, source, time))
            else:
                still.append((future, target, source, time))
        self._waiting = still

    def _check_frame(self, name: str, argument: str) -> None:
        if not name or name.startswith('/'):
            raise InvalidArgumentException(
                f'Invalid argument passed to lookupTransform argument {argument} in tf2 '
                f'frame_ids cannot be empty or start with a slash: "{name}"'
            )
        if name not in self._names:
            raise LookupException(
                f'"{name}" passed to lookupTransform argument {argument} does not exist. '
            )

    def _chain(self, frame: str, stamp: int) -> tuple[dict[str, Sample], str, str]:
        """Return the samples from a frame upwards, the top reached and what stopped it."""
        chain: dict[str, Sample] = {}
        while frame in self._frames and frame not in chain:
            try:
                sample = self._frames[frame].at(stamp)
            except ExtrapolationException as error:
                return chain, frame, str(error)
            chain[frame] = sample
            frame = sample.parent
        return chain, frame, ''

    def _latest_common_time(self, target: str, source: str) -> int:
        """Return the newest time at which every dynamic link between two frames has data."""
        from_source, top_source, _ = self._chain(source, 0)
        from_target, top_target, _ = self._chain(target, 0)
        above_source = [*from_source, top_source]
        above_target = [*from_target, top_target]
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            return 0
        links = [
            *above_source[: above_source.index(common)],
            *above_target[: above_target.index(common)],
        ]
        stamps = [self._frames[f].newest.stamp for f in links if not self._frames[f].is_static]
        return min(stamps, default=0)

    def _combine(self, target: str, source: str, stamp: int) -> tuple[int, Vector, Quaternion]:
        """Return time, translation and rotation of the transform from source to target."""
        with self._changed:
            self._check_frame(target, 'target_frame')
            self._check_frame(source, 'source_frame')
            if stamp == 0:
                stamp = self._latest_common_time(target, source)
            from_source, top_source, error_source = self._chain(source, stamp)
            from_target, top_target, error_target = self._chain(target, stamp)
            above_target = {*from_target, top_target}
            above_source = [*from_source, top_source]
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            between = f'looking up transform from frame [{source}] to frame [{target}]'
            if error_source or error_target:
                raise ExtrapolationException(f'{error_source or error_target}, when {between}')
            raise ConnectivityException(
                f"Could not find a connection between '{target}' and '{source}' because they "
                'are not part of the same tree.Tf has two or more unconnected trees.'
            )
        source_translation, source_rotation = _accumulate(from_source, source, common)
        target_translation, target_rotation = _accumulate(from_target, target, common)
        inverse = conjugate(target_rotation)
        difference = (
            source_translation[0] - target_translation[0],
            source_translation[1] - target_translation[1],
            source_translation[2] - target_translation[2],
        )
        return stamp, rotate(inverse, difference), multiply(inverse, source_rotation)


def _accumulate(chain: dict[str, Sample], frame: str, top: str) -> tuple[Vector, Quaternion]:
    """Return the transform that maps points of a frame to a frame above it."""
    translation: Vector = (0.0, 0.0, 0.0)
    rotation: Quaternion = (0.0, 0.0, 0.0, 1.0)
    while frame != top:
        sample = chain[frame]
        x, y, z = rotate(sample.rotation, translation)
        dx, dy, dz = sample.translation
        translation = (x + dx, y + dy, z + dz)
        rotation = multiply(sample.rotation, rotation)
        frame = sample.parent
    return translation, rotation


def _problem(parent: str, child: str, translation: Vector, rotation: Quaternion) -> str:
    """Return why a transform is invalid, or an empty string."""
    if not child:
        return 'child_frame_id not set'
    if not parent:
        return 'frame_id not set'
    if parent == child:
        return f'frame_id and child_frame_id are the same: "{child}"'
    if not all(math.isfinite(value) for value in (*translation, *rotation)):
        return 'of a nan or infinite value in the transform'
    if abs(sum(value * value for value in rotation) - 1) > _QUATERNION_TOLERANCE:
        return f'of an invalid quaternion in the transform {rotation}'
    return ''
