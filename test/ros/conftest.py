"""Fixtures of tests with real nodes."""

from ros_harness import dummy_checkpoint, ros

__all__ = ['dummy_checkpoint', 'ros']
