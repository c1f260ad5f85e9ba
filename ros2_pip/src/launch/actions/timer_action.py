"""An action that yields others after a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..action import Action
from ..event_handler import EventHandler
from ..events import Shutdown, TimerEvent
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..utilities import normalize_to_list_of_entities
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from .event_actions import OpaqueFunction


class TimerAction(Action):
    """Visits actions once, `period` seconds later, unless it is cancelled before."""

    def __init__(
        self,
        *,
        period: Any,
        actions: Iterable[LaunchDescriptionEntity],
        cancel_on_shutdown: Any = True,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(period, (int, str)):
            period = float(period)
        self.period = normalize_typed_substitution(period, float)
        self.actions = normalize_to_list_of_entities(actions)
        self.__cancel_on_shutdown = normalize_typed_substitution(cancel_on_shutdown, bool)
        self.__cancelled = False
        self.__locals: dict[str, Any] = {}
        self.__timer: asyncio.TimerHandle | None = None
        self.__completed: asyncio.Future | None = None

    def describe_conditional_sub_entities(
        self,
    ) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return the actions."""
        return [(f'{self.period} seconds pass without being canceled', self.actions)]

    def cancel(self) -> None:
        """Do not visit the actions; allowed at any time."""
        self.__cancelled = True
        if self.__timer is not None:
            self.__timer.cancel()
        if self.__completed is not None and not self.__completed.done():
            self.__completed.set_result(None)

    def execute(self, context: LaunchContext) -> None:
        """Start the timer."""
        if self.__cancelled:
            return
        loop = context.asyncio_loop
        self.__completed = loop.create_future()
        self.__locals = context.get_locals_as_dict()
        context.register_event_handler(
            EventHandler(
                matcher=lambda event: isinstance(event, TimerEvent) and event.timer_action is self,
                entities=OpaqueFunction(function=self.__fire),
                handle_once=True,
            )
        )
        if perform_typed_substitution(context, self.__cancel_on_shutdown, bool):
            context.register_event_handler(
                EventHandler(
                    matcher=lambda event: isinstance(event, Shutdown),
                    entities=OpaqueFunction(function=lambda context: self.cancel()),
                )
            )
        period = perform_typed_substitution(context, self.period, float)
        self.__timer = loop.call_later(period, self.__expire, context)

    def __expire(self, context: LaunchContext) -> None:
        context.emit_event_sync(TimerEvent(timer_action=self))
        self.__completed.set_result(None)

    def __fire(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        context.extend_locals(self.__locals)
        return self.actions

    def get_asyncio_future(self) -> asyncio.Future | None:
        """Return what is done when the time has passed."""
        return self.__completed
