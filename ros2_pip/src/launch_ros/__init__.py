"""Subset of the ROS 2 package `launch_ros`: the same names and behaviour, as far as used here."""

from . import (
    actions,
    descriptions,
    event_handlers,
    events,
    parameter_descriptions,
    substitutions,
    utilities,
)

__all__ = [
    'actions',
    'descriptions',
    'event_handlers',
    'events',
    'parameter_descriptions',
    'substitutions',
    'utilities',
]
