"""The events of a launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..event import Event
from . import process

if TYPE_CHECKING:
    from ..action import Action
    from ..actions.timer_action import TimerAction
    from ..launch_description import LaunchDescription

__all__ = [
    'ExecutionComplete',
    'IncludeLaunchDescription',
    'Shutdown',
    'TimerEvent',
    'matches_action',
    'process',
]


class Shutdown(Event):
    """The launch shall end."""

    name = 'launch.events.Shutdown'

    def __init__(self, *, reason: str = 'reason not given', due_to_sigint: bool = False) -> None:
        self.reason = reason
        self.due_to_sigint = due_to_sigint


class ExecutionComplete(Event):
    """An action has done all it had to do."""

    name = 'launch.events.ExecutionComplete'

    def __init__(self, *, action: Action) -> None:
        self.action = action


class IncludeLaunchDescription(Event):
    """A launch description shall be visited."""

    name = 'launch.events.IncludeLaunchDescription'

    def __init__(self, launch_description: LaunchDescription) -> None:
        self.launch_description = launch_description


class TimerEvent(Event):
    """A timer has run out."""

    name = 'launch.events.TimerEvent'

    def __init__(self, *, timer_action: TimerAction) -> None:
        self.timer_action = timer_action


def matches_action(target_action: Action) -> Callable[[Action], bool]:
    """Return a matcher for exactly this action."""
    return lambda action: action is target_action
