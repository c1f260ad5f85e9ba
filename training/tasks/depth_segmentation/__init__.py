"""Depth and classes from simulated images with truth."""
