"""The executor of every node: no message, timer or service ends it, and its thread owns ROS.

rclpy ends ``spin`` with whatever a callback raises, or the reading of a message before it. Here
that becomes a report of the node concerned, and spinning goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.node import Node

from sim_perception.ros.diagnostics import describe_error

T = TypeVar('T')
_LOOK = 0.2
"""Seconds between looks at what runs aside, should its end wake nobody."""
_PAUSE = 0.01
"""Seconds before the next attempt where waiting itself failed, so that it cannot spin hot."""


class Ended(BaseException):
    """Spinning has ended within a callback; nothing on the way out may take it for a failure."""


class OneThreadGroup(CallbackGroup):
    """Lets one thread at a time run callbacks, which may spin and so run others meanwhile.

    rclpy's own group would let nothing else of the node run until the first has returned.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._depth = 0

    def can_execute(self, entity: Any) -> bool:
        """Return whether the caller may run a callback now."""
        with self._lock:
            return self._owner in (None, threading.get_ident())

    def beginning_execution(self, entity: Any) -> bool:
        """Take the group for the caller's thread; False if another has it."""
        with self._lock:
            if self._owner not in (None, threading.get_ident()):
                return False
            self._owner = threading.get_ident()
            self._depth += 1
            return True

    def ending_execution(self, entity: Any) -> None:
        """Give the group back."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._owner = None


class NodeExecutor(SingleThreadedExecutor):
    """Runs callbacks on the thread that spins; what they raise is reported, never fatal.

    Entities of ROS (publishers, subscriptions, timers, services) must be created and destroyed
    on this thread only: rclpy walks over them while it waits. ``call`` brings a function there.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._spinner: int | None = None
        self._current: tuple[Any, Any, Any] | None = None
        self._pause = threading.Event()
        self._aside: list[threading.Thread] = []

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it.

        Raises:
            ExternalShutdownException: if ROS is shut down.
        """
        outer = self._spinner, self._current
        self._spinner = threading.get_ident()
        try:
            super().spin_once(timeout_sec)
        except ExternalShutdownException:
            raise
        except Ended as error:
            if outer[0] is not None:
                raise
            raise ExternalShutdownException from error
        # The border of the process: whatever a message, timer or service raised ends here.
        except Exception as error:
            if not self._context.ok():
                raise ExternalShutdownException from error
            self._survive(error)
        finally:
            self._spinner, self._current = outer

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Return the next callback as rclpy does, and remember whose it is."""
        self._current = None
        self._current = super().wait_for_ready_callbacks(*args, **kwargs)
        return self._current

    @property
    def is_here(self) -> bool:
        """Whether the caller runs within a callback of this executor."""
        return self._spinner == threading.get_ident()

    def call(self, function: Callable[[], T], timeout: float | None = None) -> T:
        """Run a function on the spinning thread, at once if that is the caller's.

        Returns what it returns and raises what it raises.

        Raises:
            TimeoutError: if it has not ended within ``timeout`` seconds.
        """
        if self.is_here:
            return function()
        outcome: Future[T] = Future()

        def task() -> None:
            try:
                outcome.set_result(function())
            # handed to the thread that waits for it
            except Exception as error:
                outcome.set_exception(error)

        self.create_task(task)
        return outcome.result(timeout)

    def aside(self, function: Callable[[], T]) -> T:
        """Run a function on a thread of its own and spin until it ends; for use in a callback.

        Returns what it returns and raises what it raises. Elsewhere it just runs the function.
        """
        if not self.is_here:
            return function()
        outcome: Future[T] = Future()

        def work() -> None:
            try:
                outcome.set_result(function())
            # handed to the thread that waits for it
            except Exception as error:
                outcome.set_exception(error)
            finally:
                self.wake()

        thread = threading.Thread(target=work, name='aside', daemon=True)
        self._aside = [*filter(threading.Thread.is_alive, self._aside), thread]
        thread.start()
        try:
            while not outcome.done():
                self.spin_once(_LOOK)
        except ExternalShutdownException as error:
            raise Ended from error
        return outcome.result()

    @property
    def is_busy_aside(self) -> bool:
        """Whether something still runs that was to run aside."""
        return any(thread.is_alive() for thread in self._aside)

    def _survive(self, error: Exception) -> None:
        """Report what a callback raised, and make its entity ready for the next time."""
        current, self._current = self._current, None
        if current is None:
            # Another thread destroyed something while it was waited for: wait anew.
            if not isinstance(error, rclpy_implementation.InvalidHandle):
                get_logger('executor').error(f'waiting failed, trying again: {error!r}')
            self._pause.wait(_PAUSE)
            return
        _, entity, node = current
        if entity is not None and entity._executor_event:
            # Raised before the callback, by reading the data: rclpy would never come back to
            # this entity, nor to any other of its group.
            entity._executor_event = False
            entity.callback_group.ending_execution(entity)
        report(node, f'{_name(entity)} could not be used: {describe_error(error)}')


def report(node: Node | None, problem: str) -> None:
    """Report a problem as the node does; in the log where it has no way of its own."""
    own = getattr(node, 'report', None)
    if own is not None:
        own(problem)
        return
    logger = get_logger('executor') if node is None else node.get_logger()
    logger.error(problem, throttle_duration_sec=10.0)


def _name(entity: Any) -> str:
    """Return what a person calls the data of an entity of ROS."""
    if topic := getattr(entity, 'topic_name', ''):
        return f'a message on {topic}'
    if service := getattr(entity, 'srv_name', ''):
        return f'a request to {service}'
    return 'a task' if entity is None else f'a {type(entity).__name__.lower()}'
