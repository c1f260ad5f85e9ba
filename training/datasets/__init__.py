"""Data sets: all yield ``datasets.sample.Sample``, by index, in any process."""

import os

import cv2

# OpenCV's threads do not survive a fork, and a forked loader worker that changes their number
# then waits for them for ever. So they end before every fork, and begin anew in the parent.
_threads = cv2.getNumThreads()


def _before_fork() -> None:
    global _threads
    _threads = cv2.getNumThreads()
    cv2.setNumThreads(1)


os.register_at_fork(before=_before_fork, after_in_parent=lambda: cv2.setNumThreads(_threads))
