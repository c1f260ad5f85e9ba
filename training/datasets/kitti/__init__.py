"""KITTI's folders as data."""
