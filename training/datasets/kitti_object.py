"""``kitti.object`` under the name that scripts written for release 0.1 import."""

from training.datasets.kitti.object import object_scenes, read_scan

__all__ = ['object_scenes', 'read_scan']
