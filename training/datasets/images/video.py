"""Video files as unlabelled images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.utils.data import Dataset

from sim_perception.types import Camera
from training.datasets.clips import Timeline
from training.datasets.sample import DatasetError, LabelSpace, Sample

#: To go so many frames ahead, decoding them is faster than seeking.
_SKIP = 10

_INHERITED: list[Any] = []


class VideoFile(Dataset[Sample]):
    """The frames of a video, by index; reading in order is fastest.

    Args:
        path: any file that OpenCV's FFmpeg reads.
        stride: take every so many-th frame.
        camera: the intrinsics, if known.

    Raises:
        DatasetError: if the file cannot be read.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, path: Path | str, stride: int = 1, camera: Camera | None = None) -> None:
        self.path = Path(path)
        self.stride = stride
        self.camera = camera
        self._capture: Any = None
        self._process = -1
        self._next = 0
        capture = self._open()
        self._count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_rate = float(capture.get(cv2.CAP_PROP_FPS))

    def _open(self) -> Any:
        """Return this process's own decoder."""
        if self._capture is None or self._process != os.getpid():
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
        return -(-self._count // self.stride)

    def timeline(self) -> Timeline:
        """Return the times of the frames.

        Raises:
            DatasetError: if the file does not tell its frame rate.
        """
        if self.frame_rate <= 0:
            raise DatasetError(f'{self.path} does not tell its frame rate; encode it again')
        numbers = np.arange(len(self), dtype=np.int64)
        stamps = np.round(numbers * self.stride / self.frame_rate * 1e9).astype(np.int64)
        return Timeline(np.zeros(len(self), np.int64), stamps)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame.

        Raises:
            IndexError: beyond the end.
            DatasetError: if the frame cannot be decoded.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'{self.path} has {len(self)} frames, not number {index}')
        capture, number = self._open(), index * self.stride
        if self._next < number <= self._next + _SKIP:
            while self._next < number and capture.grab():
                self._next += 1
        if number != self._next:
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        good, image = capture.read()
        self._next = number + 1
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
            stamp=round(number / self.frame_rate * 1e9) if self.frame_rate > 0 else 0,
        )
