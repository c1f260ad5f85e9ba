"""Depth and motion from video by view synthesis."""
