"""Fixtures of hostile inputs: real nodes as in the tests of ROS."""

from ros_harness import dummy_checkpoint, ros

__all__ = ['dummy_checkpoint', 'ros']
