"""What entities see and change while a launch runs."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from .event import Event

if TYPE_CHECKING:
    from .event_handler import BaseEventHandler
    from .substitution import Substitution


class _Locals:
    """Read-only attribute access to the context's local values."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__['_values'] = values

    def __getattr__(self, key: str) -> Any:
        values = self.__dict__['_values']
        if key not in values:
            raise AttributeError(
                f"context.locals has no '{key}', it contains: [{', '.join(values)}]"
            )
        return values[key]

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"cannot set '{key}', locals are read-only")


class LaunchContext:
    """Launch configurations, environment, locals, event queue and event handlers."""

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False) -> None:
        self.argv = list(argv or [])
        self.noninteractive = noninteractive
        self._event_queue: deque[Event] = deque()
        self._wake: asyncio.Event | None = None
        self._event_handlers: deque[BaseEventHandler] = deque()
        self._completion_futures: list[asyncio.Future] = []
        self.__globals: dict[str, Any] = {}
        self.__locals: dict[str, Any] = {}
        self.__locals_stack: list[dict[str, Any]] = []
        self.__configurations: dict[str, Any] = {}
        self.__configurations_stack: list[dict[str, Any]] = []
        self.__environment_stack: list[dict[str, str]] = []
        self.__environment_reset = dict(os.environ)
        self.is_shutdown = False
        self.asyncio_loop: asyncio.AbstractEventLoop | None = None

    def _set_is_shutdown(self, state: bool) -> None:
        self.is_shutdown = state

    def _set_asyncio_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.asyncio_loop = loop
        self._wake = asyncio.Event() if loop is not None else None

    def add_completion_future(self, completion_future: asyncio.Future) -> None:
        """Let the launch wait for one more future before it is idle."""
        self._completion_futures.append(completion_future)

    # Local and global values.
    def _push_locals(self) -> None:
        self.__locals_stack.append(dict(self.__locals))

    def _pop_locals(self) -> None:
        self.__locals = self.__locals_stack.pop()

    def extend_globals(self, extensions: dict[str, Any]) -> None:
        """Add values to `locals` for good."""
        self.__globals.update(extensions)

    def extend_locals(self, extensions: dict[str, Any]) -> None:
        """Add values to `locals` until the current event is handled."""
        self.__locals.update(extensions)

    def get_locals_as_dict(self) -> dict[str, Any]:
        """Return local values over global ones."""
        return {**self.__globals, **self.__locals}

    @property
    def locals(self) -> _Locals:
        """Return the values as attributes."""
        return _Locals(self.get_locals_as_dict())

    # Environment of the processes to come: the launch's own.
    @property
    def environment(self) -> MutableMapping[str, str]:
        """Return the environment variables."""
        return os.environ

    def _push_environment(self) -> None:
        self.__environment_stack.append(dict(os.environ))

    def _pop_environment(self) -> None:
        self.__replace_environment(self.__environment_stack.pop())

    def _reset_environment(self) -> None:
        self.__replace_environment(self.__environment_reset)

    @staticmethod
    def __replace_environment(values: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(values)

    # Launch configurations.
    @property
    def launch_configurations(self) -> dict[str, Any]:
        """Return the launch configurations of the current scope."""
        return self.__configurations

    def _push_launch_configurations(self) -> None:
        self.__configurations_stack.append(dict(self.__configurations))

    def _pop_launch_configurations(self) -> None:
        self.__configurations = self.__configurations_stack.pop()

    # Events.
    def would_handle_event(self, event: Event) -> bool:
        """Return whether a handler takes the event."""
        return any(handler.matches(event) for handler in self._event_handlers)

    def register_event_handler(
        self, event_handler: BaseEventHandler, append: bool = False
    ) -> None:
        """Add a handler before (or, with append, after) those registered."""
        if append:
            self._event_handlers.append(event_handler)
        else:
            self._event_handlers.appendleft(event_handler)

    def unregister_event_handler(self, event_handler: BaseEventHandler) -> None:
        """Remove a handler; ValueError when it is not registered."""
        self._event_handlers.remove(event_handler)

    def emit_event_sync(self, event: Event) -> None:
        """Queue an event; to be called on the launch's own thread."""
        self._event_queue.append(event)
        if self._wake is not None:
            self._wake.set()

    async def emit_event(self, event: Event) -> None:
        """Queue an event."""
        self.emit_event_sync(event)

    def perform_substitution(self, substitution: Substitution) -> str:
        """Return a substitution's text."""
        return substitution.perform(self)
