"""The parameters that several nodes have: one place for their defaults, ranges and words."""

from __future__ import annotations

from typing import Any

from sim_perception.ros.parameter_fields import parameter

TRANSPORTS = ('raw', 'compressed')


def autostart() -> Any:
    """Return the field of a node that may start itself."""
    return parameter(True, 'configure and activate without a lifecycle manager', read_at='start')


def device(of: str = "'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1'") -> Any:
    """Return the field for what a network runs on."""
    return parameter('auto', of)


def precision() -> Any:
    """Return the field for a network's number type."""
    return parameter(
        'auto', 'number type of the network', choices=('auto', 'float32', 'bfloat16', 'float16')
    )


def threads() -> Any:
    """Return the field for a network's CPU threads."""
    return parameter(0, "CPU threads of the network; 0 keeps PyTorch's choice", low=0, high=256)


def image_transport(prefix: str = '', none: str = '') -> Any:
    """Return the field for the topic that images come on.

    Args:
        prefix: which images are meant.
        none: what the choice 'none' means, where a node can do without images.
    """
    text = f"{prefix}'raw' takes camera/image_raw, 'compressed' takes camera/image_raw/compressed"
    if not none:
        return parameter('raw', text, choices=TRANSPORTS)
    return parameter('raw', f"{text}, 'none' {none}", choices=(*TRANSPORTS, 'none'))


def rectified() -> Any:
    """Return the field that says that images are rectified."""
    return parameter(
        False,
        'images are rectified: P of camera_info is their calibration, whatever its D says; where '
        'D is zero, and of topics named image_rect, they are so anyway',
    )


def class_map(default: str) -> Any:
    """Return the field that translates a detector's class names."""
    return parameter(
        default,
        "classes of the detector by the taxonomy's names, 'theirs=ours, ...'; names that are "
        'equal need no entry',
    )


def min_score(default: float, effect: str, read_at: str = 'always') -> Any:
    """Return the field for the least score of detections."""
    return parameter(
        default, f'weaker detections are {effect}', low=0.0, high=1.0, read_at=read_at
    )


def min_visibility(default: float, effect: str, read_at: str = 'always') -> Any:
    """Return the field for the least visible share of detections that know it."""
    return parameter(
        default,
        f"detections with a hypothesis 'visibility' below it are {effect}",
        low=0.0,
        high=1.0,
        read_at=read_at,
    )


def level_frame(what: str) -> Any:
    """Return the field for the upright frame that results are in."""
    return parameter(
        'base_link', f'frame with z up that moves with the robot; {what} are in it', frame=True
    )


def fixed_frame(also: str = '') -> Any:
    """Return the field for the frame that stands still."""
    return parameter(
        'odom',
        "frame that stands still, for removing the robot's motion from scans with a column "
        f"'time'{also}; empty removes none",
        frame=True,
    )


def frame_prefix() -> Any:
    """Return the field for what goes before the names of frames."""
    return parameter(
        '',
        "goes before the names of frames in these parameters, such as 'robot1/'; a name with a "
        'leading slash stays as it is',
    )


def sync_slop(what: str) -> Any:
    """Return the field for how far apart stamps may be that belong together."""
    return parameter(
        0.06,
        f'{what} whose stamps differ by more do not belong together, seconds',
        low=0.0,
        high=1.0,
    )


def tf_timeout() -> Any:
    """Return the field for the wait for transforms."""
    return parameter(0.1, 'longest wait for the transform of a frame, seconds', low=0.0, high=10.0)


def jump_threshold() -> Any:
    """Return the field for stamps that go back."""
    return parameter(
        1.0,
        'stamps that go back by more than this start afresh, by less are dropped, seconds',
        low=0.0,
        high=3600.0,
    )


def input_timeout() -> Any:
    """Return the field for silence that is worth a warning."""
    return parameter(
        3.0, 'seconds without data after which diagnostics warn', low=0.1, high=3600.0
    )
