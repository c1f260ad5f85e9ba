"""Names of frames."""

from __future__ import annotations


def frame_name(frame_id: str) -> str:
    """Return a frame's name without the leading slash that ROS 1 had and TF 2 has not."""
    return frame_id.lstrip('/')


def is_optical_name(frame_id: str) -> bool:
    """Return whether a frame's name says that it looks along z (REP-103), not along x."""
    return 'optical' in frame_id.lower()
