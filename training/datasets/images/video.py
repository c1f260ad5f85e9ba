"""Video files as unlabelled images."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from sim_perception.types import Camera
from training.datasets.clips import Timeline
from training.datasets.sample import DatasetError, LabelSpace, Sample

#: To go so many frames ahead, decoding them is faster than seeking.
_SKIP = 10
#: Containers round times to milliseconds or finer.
_SAME_MS = 0.75

_INHERITED: list[Any] = []

Times = npt.NDArray[np.float64]


class VideoFile(Dataset[Sample]):
    """The frames of a video, by index; reading in order is fastest.

    Times are the container's, so that videos of variable rate are what they are. Of a video
    that was cut short the frames that can be decoded are used.

    Args:
        path: any file that OpenCV's FFmpeg reads.
        stride: take every so many-th frame.
        camera: the intrinsics, if known.

    Attributes:
        problems: what could not be read, in words.

    Raises:
        DatasetError: if the file cannot be read or has no frame.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, path: Path | str, stride: int = 1, camera: Camera | None = None) -> None:
        self.path = Path(path)
        self.stride = stride
        self.camera = camera
        self.problems: list[str] = []
        self._capture: Any = None
        self._process = -1
        self._next = 0
        capture = self._open()
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        self._timed = True
        self._times = self._readable(_packet_times(self.path))
        if not len(self._times):
            self._times = _decoded_times(self.path)
        if not len(self._times):
            raise DatasetError(f'{self.path}: no frame of this video can be decoded')
        self._timed = _rising(self._times)
        if not self._timed:  # a bare stream
            if not 0 < rate < 1000:
                raise DatasetError(f'{self.path} does not tell its frame rate; encode it again')
            self._times = np.arange(len(self._times), dtype=np.float64) * (1000.0 / rate)
            self._note('its frames have no times; the frame rate of its header is taken')
        # Containers promise a duration, and OpenCV makes it frames: not so many if times vary.
        step = self._times[-1] / max(len(self._times) - 1, 1)
        end = 1000.0 * promised / rate if rate > 0 else 0.0
        if promised > len(self._times) and end > self._times[-1] + 1.5 * step:
            self._note(
                f'its header promises {promised} frames, {len(self._times)} can be decoded and '
                'are used; was it cut short?'
            )

    def _note(self, problem: str) -> None:
        self.problems.append(f'{self.path}: {problem}')
        warnings.warn(self.problems[-1], stacklevel=3)

    def _readable(self, times: Times) -> Times:
        """Return the times up to the last frame that can be decoded; none if that is far off."""
        if not _rising(times):
            return times[:0]
        for last in range(len(times) - 1, max(-1, len(times) - 4), -1):
            if self._seek(times, last):
                return times[: last + 1]
        return times[:0]

    def _open(self, anew: bool = False) -> Any:
        """Return this process's own decoder."""
        if anew or self._capture is None or self._process != os.getpid():
            if self._process != os.getpid():
                # To close a decoder after a fork would be to wait for threads that are not there.
                _INHERITED.append(self._capture)
            self._capture = cv2.VideoCapture(str(self.path))
            self._process, self._next = os.getpid(), 0
            if not self._capture.isOpened():
                raise DatasetError(f'{self.path} is missing or no readable video')
        return self._capture

    def __getstate__(self) -> dict[str, Any]:
        """Leave the decoder behind when sent to another process."""
        return {**self.__dict__, '_capture': None, '_process': -1}

    def __len__(self) -> int:
        """Return the number of frames taken."""
        return -(-len(self._times) // self.stride)

    def timeline(self) -> Timeline:
        """Return the times of the frames."""
        stamps = np.round(self._times[:: self.stride] * 1e6).astype(np.int64)
        return Timeline(np.zeros(len(self), np.int64), stamps)

    def _seek(self, times: Times, number: int) -> bool:
        """Decode a frame, to be retrieved next; False if that is not possible."""
        capture, time = self._open(), times[number]
        if self._next <= number <= self._next + _SKIP and self._advance(times, number):
            return True
        # OpenCV seeks by the mean rate, and to key frames: so to a place before, then ahead.
        step = times[-1] / max(len(times) - 1, 1)
        for back in (2 * step, 20 * step):
            if time - back <= 0 or not self._timed:
                break
            capture.set(cv2.CAP_PROP_POS_MSEC, time - back)
            if self._advance(times, number):
                return True
        self._open(anew=True)
        return self._advance(times, number)

    def _advance(self, times: Times, number: int) -> bool:
        """Decode until a frame is reached; False if it is not among the next ones."""
        capture = self._open()
        while capture.grab():
            if not self._timed:
                self._next += 1
                if self._next > number:
                    return True
                continue
            now = capture.get(cv2.CAP_PROP_POS_MSEC)
            if now >= times[number] - _SAME_MS:
                self._next = number + 1
                return bool(now <= times[number] + _SAME_MS)
        self._next = len(times) + 1
        return False

    def __getitem__(self, index: int) -> Sample:
        """Return one frame.

        Raises:
            IndexError: beyond the end.
            DatasetError: if the frame cannot be decoded.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'{self.path} has {len(self)} frames, not number {index}')
        number = index * self.stride
        good, image = self._open().retrieve() if self._seek(self._times, number) else (False, None)
        if not good:
            raise DatasetError(f'{self.path}: frame {number} cannot be decoded; is it truncated?')
        return Sample(
            image=np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8),
            camera=self.camera,
            depth=None,
            semantic=None,
            name=f'{self.path.stem}_{number:06d}',
            sequence=str(self.path),
            index=number,
            stamp=round(self._times[number] * 1e6),
        )


def _packet_times(path: Path) -> Times:
    """Return the frames' times in milliseconds by the container alone, which is fast."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    return np.sort(_times(capture))


def _decoded_times(path: Path) -> Times:
    """Return the frames' times in milliseconds by decoding them all."""
    return _times(cv2.VideoCapture(str(path)))


def _rising(times: Times) -> bool:
    return bool((np.diff(times) > 0).all())


def _times(capture: Any) -> Times:
    times = []
    while capture.grab():
        times.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
    return np.array(times, np.float64)
