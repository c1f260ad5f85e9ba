"""Short clips of neighbouring frames, with what is known of the camera's motion between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import invert
from training.datasets.images.undistort import undistorted
from training.datasets.sample import DatasetError, Sample, Samples, parse_numbers

Array = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int64]

#: Neighbours farther apart in time are no neighbours, seconds (or 1.5 times a wanted gap).
MAX_GAP_S = 0.3


@dataclass(frozen=True)
class Clip:
    """Frames of one camera in time order; the neighbours are the sources of the target.

    Attributes:
        frames: in time order, all of one size, without lens distortion.
        target: which of them is predicted from the others.
        target_T: for every frame the 4x4 ``frame_T_target``, which maps points of the target's
            optical frame to that frame's (identity for the target itself); None when unknown.
        distance: metres that the camera went between target and frame; NaN when unknown.
        right: the right image of a rectified stereo pair whose left image is the target.
        right_T_target: maps points of the target's optical frame to the right camera's: a
            translation by (-baseline, 0, 0).
        name: unique within its source.
    """

    frames: tuple[Sample, ...]
    target: int
    target_T: tuple[Array | None, ...]
    distance: tuple[float, ...]
    right: Sample | None = None
    right_T_target: Array | None = None
    name: str = ''


class Clips(Protocol):
    """Clips by index, in any process."""

    @property
    def camera_known(self) -> bool:
        """Whether every frame has intrinsics."""
        ...

    def __len__(self) -> int:
        """Return the number of clips."""
        ...

    def __getitem__(self, index: int) -> Clip:
        """Return one clip."""
        ...

    def describe(self) -> list[str]:
        """Return lines for people: how many, how far apart, what is known."""
        ...


@dataclass(frozen=True)
class Motion:
    """What is known of the camera's motion at N frames.

    Attributes:
        source: where from, in words; '' if nothing is known.
        poses: (N, 4, 4) ``world_T_camera`` of the optical frames, NaN where unknown; or None.
            Only poses of one sequence are compared, so every sequence may have its own world.
        way: (N,) metres along the path since any start, NaN where unknown; or None. Used where
            there are no poses.
    """

    source: str = ''
    poses: Array | None = None
    way: Array | None = None

    def frame_T_target(self, frame: int, target: int) -> Array | None:
        """Return the 4x4 transform of points from one frame's optical frame to another's."""
        if self.poses is None or not np.isfinite(self.poses[[frame, target]]).all():
            return None
        return np.asarray(invert(self.poses[frame]) @ self.poses[target])

    def distance(self, frame: int, target: int) -> float:
        """Return the metres between two frames: straight by poses, else along the path."""
        transform = self.frame_T_target(frame, target)
        if transform is not None:
            return float(np.linalg.norm(transform[:3, 3]))
        if self.way is None:
            return float('nan')
        return float(abs(self.way[frame] - self.way[target]))

    def select(self, indices: Sequence[int] | Indices) -> Motion:
        """Return the motion of some of the frames."""
        rows = np.asarray(indices, np.int64)
        return Motion(
            self.source,
            None if self.poses is None else self.poses[rows],
            None if self.way is None else self.way[rows],
        )


def constant_speed(stamps: Indices, speed: float) -> Motion:
    """Return the motion of a camera at a constant speed.

    Args:
        stamps: (N,) nanoseconds.
        speed: metres per second.
    """
    return Motion(f'constant speed {speed:g} m/s', way=stamps / 1e9 * speed)


@dataclass(frozen=True)
class Timeline:
    """Which recording every frame of a data set is from, and when it was taken.

    Attributes:
        sequence: (N,) number of the recording.
        stamp: (N,) nanoseconds; only differences within a recording count.
    """

    sequence: Indices
    stamp: Indices

    @classmethod
    def unknown(cls, count: int) -> Timeline:
        """Return that of so many frames of one recording whose times are not known."""
        return cls(np.zeros(count, np.int64), np.zeros(count, np.int64))

    def rate_hz(self) -> float:
        """Return the frames per second by the median step, NaN without two of different times."""
        steps = np.diff(self.stamp)[np.diff(self.sequence) == 0]
        steps = steps[steps > 0]
        return 1e9 / float(np.median(steps)) if len(steps) else float('nan')

    @property
    def place(self) -> Indices:
        """The (N,) numbers of the frames within their recording, from 0."""
        place = np.empty(len(self.sequence), np.int64)
        for number in np.unique(self.sequence):
            rows = np.flatnonzero(self.sequence == number)
            place[rows] = np.arange(len(rows))
        return place

    def numbered(self, numbers: str) -> Indices:
        """Return the indices of the frames whose number in their recording is in a range.

        Args:
            numbers: like ``0-27`` or ``0-9,20-29``; empty is all.

        Raises:
            DatasetError: if there is none, or the range is malformed.
        """
        if not numbers:
            return np.arange(len(self.sequence))
        place = self.place
        found = np.flatnonzero(np.isin(place, parse_numbers(numbers, 'frames')))
        if not len(found):
            raise DatasetError(f'no frame in {numbers}: frames are numbered 0 to {place.max()}')
        return found

    def select(self, indices: Sequence[int] | Indices) -> Timeline:
        """Return the timeline of some of the frames."""
        rows = np.asarray(indices, np.int64)
        return Timeline(self.sequence[rows], self.stamp[rows])


def triplets(time: Timeline, gap_s: float = 0.1, stride: int = 1) -> Indices:
    """Return (M, 3) frame numbers of previous, target and next frame.

    Neighbours are a whole number of frames away, as near to ``gap_s`` as that gets and at
    least one. Triplets across recordings or across holes in time (see ``MAX_GAP_S``) are left
    out.

    Args:
        time: of the frames, in time order within each recording.
        gap_s: wanted seconds between target and neighbour.
        stride: take every so many-th frame of a recording as target.
    """
    limit = max(MAX_GAP_S, 1.5 * gap_s) * 1e9
    found = [np.empty((0, 3), np.int64)]
    for number in np.unique(time.sequence):
        rows = np.flatnonzero(time.sequence == number)
        stamps = time.stamp[rows]
        steps = np.diff(stamps)
        if not len(steps) or np.median(steps) <= 0:
            continue
        step = max(1, round(gap_s * 1e9 / float(np.median(steps))))
        middle = np.arange(step, len(rows) - step, stride)
        near = (stamps[middle] - stamps[middle - step] <= limit) & (
            stamps[middle + step] - stamps[middle] <= limit
        )
        middle = middle[near]
        found.append(np.stack([rows[middle - step], rows[middle], rows[middle + step]], 1))
    return np.concatenate(found)


class SampleClips:
    """Clips made of the frames of any data set.

    Args:
        samples: frames by index.
        windows: (M, F) frame numbers of every clip in time order; the middle is the target.
        motion: of the frames.
        time: of the frames.
        what: names the source in messages.

    Raises:
        DatasetError: if there is no clip.
    """

    def __init__(
        self,
        samples: Samples,
        windows: Indices,
        motion: Motion,
        time: Timeline,
        what: str = 'the source',
    ) -> None:
        if not len(windows):
            raise DatasetError(
                f'{what} has no {windows.shape[1]} neighbouring frames less than {MAX_GAP_S} s '
                f'apart among {len(samples)}; is it a sequence, and is its frame rate right?'
            )
        self.samples, self.windows, self.motion, self.time = samples, windows, motion, time
        self.what = what
        self.camera_known = samples[int(windows[0, 0])].camera is not None

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.windows)

    def __getitem__(self, index: int) -> Clip:
        """Return one clip.

        Raises:
            DatasetError: if a frame is unreadable or the images' size changes.
        """
        numbers = [int(number) for number in self.windows[index]]
        middle = len(numbers) // 2
        target = numbers[middle]
        frames = tuple(undistorted(self.samples[number]) for number in numbers)
        sizes = {frame.image.shape for frame in frames}
        if len(sizes) != 1:
            raise DatasetError(
                f'{self.what}: images around {frames[middle].name} differ in size: '
                f'{sorted(sizes)}; split the recording there'
            )
        return Clip(
            frames,
            middle,
            tuple(self.motion.frame_T_target(number, target) for number in numbers),
            tuple(self.motion.distance(number, target) for number in numbers),
            name=frames[middle].name,
        )

    def describe(self) -> list[str]:
        """Return lines about number, spacing, intrinsics and motion."""
        first, last = self.windows[:, 0], self.windows[:, -1]
        gap = np.median(self.time.stamp[last] - self.time.stamp[first]) / 1e9
        gap /= self.windows.shape[1] - 1
        sequences = len(np.unique(self.time.sequence))
        return [
            f'{self.what}: {len(self)} clips of {self.windows.shape[1]} frames {gap:.3f} s apart '
            f'from {len(self.samples)} frames in {sequences} sequences',
            f'intrinsics {"known" if self.camera_known else "unknown"}, motion '
            f'{self.motion.source or "unknown"}{self._mean_motion()}',
        ]

    def mean_distance(self) -> float:
        """Return the mean metres between target and neighbour, NaN if unknown."""
        columns = [c for c in range(self.windows.shape[1]) if c != self.windows.shape[1] // 2]
        pairs = np.concatenate([self.windows[:, [c, self.windows.shape[1] // 2]] for c in columns])
        found = np.array([self.motion.distance(int(a), int(b)) for a, b in pairs])
        found = found[np.isfinite(found)]
        return float(found.mean()) if len(found) else float('nan')

    def _mean_motion(self) -> str:
        metres = self.mean_distance()
        return f', {metres:.2f} m between neighbours' if np.isfinite(metres) else ''
