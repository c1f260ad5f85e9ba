"""Event handlers for the usual events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .action import Action
from .event import Event
from .event_handler import BaseEventHandler
from .events import ExecutionComplete, Shutdown
from .events.process import ProcessExited, ProcessIO, ProcessStarted
from .some_entities_type import SomeEntitiesType
from .utilities import normalize_to_list_of_entities

if TYPE_CHECKING:
    from .launch_context import LaunchContext

__all__ = [
    'OnActionEventBase',
    'OnExecutionComplete',
    'OnProcessExit',
    'OnProcessIO',
    'OnProcessStart',
    'OnShutdown',
]


class OnActionEventBase(BaseEventHandler):
    """Takes one type of event of one action, of the actions a callable takes, or of all."""

    def __init__(
        self,
        *,
        action_matcher: Action | Callable[[Action], bool] | None,
        on_event: Any,
        target_event_cls: type[Event],
        target_action_cls: type,
        **kwargs,
    ) -> None:
        is_action = isinstance(action_matcher, target_action_cls)
        if not (is_action or action_matcher is None or callable(action_matcher)):
            raise TypeError(
                f'the target must be a {target_action_cls.__name__} or a callable, '
                f'got {action_matcher!r}'
            )

        def matches(event: Event) -> bool:
            if not isinstance(event, target_event_cls):
                return False
            if is_action:
                return event.action is action_matcher
            return action_matcher is None or action_matcher(event.action)

        super().__init__(matcher=matches, **kwargs)
        self.__on_event = on_event if callable(on_event) else None
        self.entities = [] if callable(on_event) else normalize_to_list_of_entities(on_event)

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        """Return the fixed entities or what the callable returns for the event."""
        super().handle(event, context)
        return self.__on_event(event, context) if self.__on_event else self.entities


class _OnProcessEvent(OnActionEventBase):
    """Common part of the handlers of process events."""

    EVENT: type[Event]

    def __init__(self, *, target_action: Any, on_event: Any, **kwargs) -> None:
        from .actions.execute_process import ExecuteProcess

        super().__init__(
            action_matcher=target_action,
            on_event=on_event,
            target_event_cls=self.EVENT,
            target_action_cls=ExecuteProcess,
            **kwargs,
        )


class OnProcessStart(_OnProcessEvent):
    """Takes the start of a process."""

    EVENT = ProcessStarted

    def __init__(self, *, target_action: Any = None, on_start: Any, **kwargs) -> None:
        super().__init__(target_action=target_action, on_event=on_start, **kwargs)


class OnProcessExit(_OnProcessEvent):
    """Takes the end of a process."""

    EVENT = ProcessExited

    def __init__(self, *, target_action: Any = None, on_exit: Any = None, **kwargs) -> None:
        super().__init__(target_action=target_action, on_event=on_exit, **kwargs)


class OnProcessIO(_OnProcessEvent):
    """Takes what a process writes."""

    EVENT = ProcessIO

    def __init__(
        self,
        *,
        target_action: Any = None,
        on_stdout: Callable[[ProcessIO], Any] | None = None,
        on_stderr: Callable[[ProcessIO], Any] | None = None,
        **kwargs,
    ) -> None:
        def dispatch(event: ProcessIO, _context: LaunchContext) -> Any:
            callback = on_stdout if event.from_stdout else on_stderr
            return callback(event) if callback else None

        super().__init__(target_action=target_action, on_event=dispatch, **kwargs)


class OnExecutionComplete(OnActionEventBase):
    """Takes the completion of an action."""

    def __init__(self, *, target_action: Any = None, on_completion: Any, **kwargs) -> None:
        super().__init__(
            action_matcher=target_action,
            on_event=on_completion,
            target_event_cls=ExecutionComplete,
            target_action_cls=Action,
            **kwargs,
        )


class OnShutdown(BaseEventHandler):
    """Takes the launch's end."""

    def __init__(self, *, on_shutdown: Any, **kwargs) -> None:
        super().__init__(matcher=lambda event: isinstance(event, Shutdown), **kwargs)
        self.__on_shutdown = on_shutdown

    def handle(self, event: Event, context: LaunchContext) -> SomeEntitiesType | None:
        """Return the fixed entities or what the callable returns for the event."""
        super().handle(event, context)
        if callable(self.__on_shutdown):
            return self.__on_shutdown(event, context)
        return self.__on_shutdown
