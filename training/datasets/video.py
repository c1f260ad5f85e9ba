"""``images.video`` under the name that scripts written for release 0.1 import."""

from training.datasets.images.video import VideoFile

__all__ = ['VideoFile']
