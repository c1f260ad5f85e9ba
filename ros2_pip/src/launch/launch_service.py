"""Runs launch descriptions."""

from __future__ import annotations

import asyncio
import signal
import threading
import traceback
from collections.abc import Iterable

import launch.logging

from .event import Event
from .event_handler import BaseEventHandler
from .event_handlers import OnShutdown
from .events import IncludeLaunchDescription, Shutdown
from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .launch_description_entity import LaunchDescriptionEntity
from .utilities import (
    normalize_to_list_of_entities,
    visit_all_entities_and_collect_futures,
)


class _OnInclude(BaseEventHandler):
    """Visits launch descriptions that are handed to the service."""

    def __init__(self) -> None:
        super().__init__(matcher=lambda event: isinstance(event, IncludeLaunchDescription))

    def handle(self, event: IncludeLaunchDescription, context: LaunchContext) -> LaunchDescription:
        super().handle(event, context)
        return event.launch_description


class LaunchService:
    """Visits entities, handles events and waits for processes until all is done."""

    def __init__(
        self,
        *,
        argv: Iterable[str] | None = None,
        noninteractive: bool = False,
        debug: bool = False,
    ) -> None:
        self.__debug = debug
        self.__logger = launch.logging.get_logger('launch')
        self.__context = LaunchContext(argv=argv, noninteractive=noninteractive)
        self.__context.register_event_handler(_OnInclude())
        self.__context.register_event_handler(OnShutdown(on_shutdown=self.__on_shutdown))
        self.__futures: list[tuple[LaunchDescriptionEntity, asyncio.Future]] = []
        self.__shutting_down = False
        self.__return_code = 0

    @property
    def context(self) -> LaunchContext:
        """Return the context."""
        return self.__context

    def include_launch_description(self, launch_description: LaunchDescription) -> None:
        """Visit a launch description as soon as the service runs."""
        self.emit_event(IncludeLaunchDescription(launch_description))

    def emit_event(self, event: Event) -> None:
        """Queue an event; may be called from any thread."""
        loop = self.__context.asyncio_loop
        if loop is None:
            self.__context.emit_event_sync(event)
        else:
            loop.call_soon_threadsafe(self.__context.emit_event_sync, event)

    def shutdown(self) -> None:
        """End the launch; may be called from any thread."""
        self.emit_event(Shutdown(reason='LaunchService.shutdown() called'))

    def run(self, *, shutdown_when_idle: bool = True) -> int:
        """Run until all is done and return the exit code: 0, or 1 after an error."""
        return asyncio.run(
            self.run_async(shutdown_when_idle=shutdown_when_idle), debug=self.__debug
        )

    async def run_async(self, *, shutdown_when_idle: bool = True) -> int:
        """Run within an event loop of the main thread; see `run`.

        Raises:
            RuntimeError: called from another thread than the main one.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError('LaunchService can only be run in the main thread')
        loop = asyncio.get_running_loop()
        self.__context._set_asyncio_loop(loop)
        self.__logger.info(
            'All log files can be found below %s', launch.logging.launch_config.log_dir
        )
        self.__return_code = 0
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
        for number in handled:
            loop.add_signal_handler(number, self.__on_signal, number)
        try:
            while await self.__step(shutdown_when_idle):
                pass
        finally:
            for number in handled:
                loop.remove_signal_handler(number)
            self.__context._set_asyncio_loop(None)
            self.__shutting_down = False
        return self.__return_code

    async def __step(self, shutdown_when_idle: bool) -> bool:
        """Handle one event or wait for something to happen; return False at the end."""
        context = self.__context
        try:
            self.__raise_from_done_futures()
            if context._event_queue:
                self.__process_event(context._event_queue.popleft())
                await asyncio.sleep(0)  # let tasks run between events
                return True
            pending = [future for _, future in self.__futures] + context._completion_futures
            if not pending:
                if self.__shutting_down:
                    return False
                if shutdown_when_idle:
                    self.__shut_down('idle')
                    return True
            await self.__wait(pending)
        except Exception as error:  # whatever an action or a user's callback raises
            self.__logger.debug(traceback.format_exc())
            self.__logger.error('Caught exception in launch (see debug for traceback): %s', error)
            self.__return_code = 1
            self.__shut_down(str(error))
        return True

    async def __wait(self, pending: list[asyncio.Future]) -> None:
        """Wait until an event is queued or one of the futures is done."""
        wake = self.__context._wake
        waiter = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait([waiter, *pending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        wake.clear()

    def __raise_from_done_futures(self) -> None:
        """Forget the futures that are done; raise the exception of one that failed."""
        done = [future for _, future in self.__futures if future.done()]
        done += [future for future in self.__context._completion_futures if future.done()]
        self.__futures = [pair for pair in self.__futures if not pair[1].done()]
        self.__context._completion_futures = [
            future for future in self.__context._completion_futures if not future.done()
        ]
        errors = [f.exception() for f in done if not f.cancelled() and f.exception()]
        for error in errors[1:]:
            self.__logger.error('%s', error)
        if errors:
            raise errors[0]

    def __process_event(self, event: Event) -> None:
        context = self.__context
        for handler in tuple(context._event_handlers):
            if not handler.matches(event):
                continue
            context._push_locals()
            try:
                for entity in normalize_to_list_of_entities(handler.handle(event, context)):
                    self.__futures += visit_all_entities_and_collect_futures(entity, context)
            finally:
                context._pop_locals()

    def __on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if self.__shutting_down:
            self.__logger.warning('interrupted by %s again, ignoring...', name)
            return
        if number == signal.SIGINT:
            self.__logger.warning('user interrupted with ctrl-c (SIGINT)')
        else:
            self.__logger.warning('interrupted by %s', name)
            self.__return_code = 1
        # From a terminal every process of the group gets the SIGINT; other signals come alone.
        self.__shut_down(f'{name}', due_to_sigint=number == signal.SIGINT)

    def __on_shutdown(self, event: Event, context: LaunchContext) -> None:
        self.__shutting_down = True
        context._set_is_shutdown(True)

    def __shut_down(self, reason: str, due_to_sigint: bool = False) -> None:
        if not self.__shutting_down:
            self.__context.emit_event_sync(Shutdown(reason=reason, due_to_sigint=due_to_sigint))
        self.__shutting_down = True
        self.__context._set_is_shutdown(True)
