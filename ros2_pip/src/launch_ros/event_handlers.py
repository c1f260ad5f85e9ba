"""Event handlers of lifecycle nodes."""

from __future__ import annotations

from collections.abc import Callable

from launch.event import Event
from launch.event_handler import EventHandler
from launch.some_entities_type import SomeEntitiesType

from .actions.lifecycle_node import LifecycleNode
from .events.lifecycle import StateTransition

__all__ = ['OnStateTransition']


class OnStateTransition(EventHandler):
    """Takes state transitions; what is not given is not compared."""

    def __init__(
        self,
        *,
        entities: SomeEntitiesType,
        target_lifecycle_node: LifecycleNode | None = None,
        transition: str | None = None,
        start_state: str | None = None,
        goal_state: str | None = None,
        matcher: Callable[[Event], bool] | None = None,
        **kwargs,
    ) -> None:
        if not isinstance(target_lifecycle_node, (LifecycleNode, type(None))):
            raise RuntimeError("OnStateTransition requires a 'LifecycleNode' action as the target")
        wanted = {'transition': transition, 'start_state': start_state, 'goal_state': goal_state}

        def matches(event: Event) -> bool:
            if not isinstance(event, StateTransition):
                return False
            if target_lifecycle_node is not None and event.action is not target_lifecycle_node:
                return False
            return all(v is None or getattr(event, key) == v for key, v in wanted.items())

        super().__init__(matcher=matcher or matches, entities=entities, **kwargs)
