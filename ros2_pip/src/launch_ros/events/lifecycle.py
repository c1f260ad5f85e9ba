"""Events of lifecycle nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from launch.event import Event
from lifecycle_msgs.msg import Transition

from .matchers import matches_node_name

if TYPE_CHECKING:
    from lifecycle_msgs.msg import TransitionEvent

    from ..actions.lifecycle_node import LifecycleNode

__all__ = ['ChangeState', 'StateTransition', 'matches_node_name']


class ChangeState(Event):
    """A lifecycle node shall change its state."""

    name = 'launch_ros.events.lifecycle.ChangeState'
    valid_transitions: ClassVar[dict[int, str]] = {
        getattr(Transition, label): label
        for label in (
            'TRANSITION_CREATE',
            'TRANSITION_CONFIGURE',
            'TRANSITION_CLEANUP',
            'TRANSITION_ACTIVATE',
            'TRANSITION_DEACTIVATE',
            'TRANSITION_UNCONFIGURED_SHUTDOWN',
            'TRANSITION_INACTIVE_SHUTDOWN',
            'TRANSITION_ACTIVE_SHUTDOWN',
            'TRANSITION_DESTROY',
        )
    }

    def __init__(
        self, *, lifecycle_node_matcher: Callable[[LifecycleNode], bool], transition_id: int
    ) -> None:
        """Create the request; ValueError for an unknown transition."""
        if transition_id not in self.valid_transitions:
            raise ValueError(
                f"given transition_id of '{transition_id}', expected one of "
                f'{self.valid_transitions}'
            )
        self.lifecycle_node_matcher = lifecycle_node_matcher
        self.transition_id = transition_id


class StateTransition(Event):
    """A lifecycle node has changed its state."""

    name = 'launch_ros.events.lifecycle.StateTransition'

    def __init__(self, *, action: LifecycleNode, msg: TransitionEvent) -> None:
        self.action = action
        self.msg = msg
        self.timestamp: int = msg.timestamp
        self.transition: str = msg.transition.label
        self.start_state: str = msg.start_state.label
        self.goal_state: str = msg.goal_state.label
