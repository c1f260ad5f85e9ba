"""The form of every node: managed life cycle, one worker thread, newest data only.

Callbacks store the latest input; one worker processes it. Overload drops old data (counted)
instead of queueing it; only nodes to which every input matters let a few wait. Whatever goes
wrong becomes one throttled log line and a diagnostic with cause and remedy, and the node goes on.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import rclpy
from rclpy.clock import Clock, ClockChange, JumpThreshold
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from sim_perception.ros.conversions import stamp_to_ns
from sim_perception.ros.diagnostics import Diagnostics, describe_error
from sim_perception.ros.executor import NodeExecutor, OneThreadGroup
from sim_perception.ros.parameter_fields import ParameterError, declare_parameters, read_parameters
from sim_perception.ros.parameter_text import parameter_help
from sim_perception.ros.services import answering
from sim_perception.ros.stamps import StampGuard
from sim_perception.ros.worker import Newest, Worker, place_of
from sim_perception.suggestions import Parser

P = TypeVar('P')
_LEAVE_AFTER = 1.0
# Set by the first signal: rclpy's context is shut down only a moment later.
_ending = threading.Event()
"""Seconds that the end of the process waits for a thread."""


class ManagedNode(LifecycleNode, Generic[P]):
    """A lifecycle node with parameters, diagnostics and ``autostart``.

    Subclasses implement ``prepare`` and ``setup`` (configure: load and warm up, then create
    publishers), ``start`` (activate: subscribe, run), ``stop`` (deactivate) and ``teardown``
    (clean up). The first three may raise: the transition fails with the error as its diagnostic.
    While a node prepares, it answers services and reports itself.

    Attributes:
        parameters: the values read when the node was last configured; live ones follow
            changes, so read them from here whenever they are needed.
        diagnostics: counts and problems.
        prepared: what ``prepare`` has returned.
        work_name: what making an output is called in the diagnostics.
        preparation: what ``prepare`` does, and how long it takes if that is long.
        patience: seconds after which a thread that does not return is a problem.
    """

    parameters: P
    prepared: Any = None
    work_name = 'inference'
    preparation = 'loading'
    patience = 10.0
    _running = False  # on the class: rclpy may destroy a node whose __init__ raised
    _configured = False
    _preparing = False

    def __init__(self, name: str, parameters: type[P], **options: Any) -> None:
        super().__init__(name, **options)
        self._parameters_class = parameters
        declare_parameters(self, parameters, in_use=lambda: self._configured)
        self.parameters = read_parameters(self, parameters)
        self.add_post_set_parameters_callback(self._follow_parameters)
        self.diagnostics = Diagnostics(self, self.work_name)
        self._left: list[threading.Thread] = []
        self._ending = threading.Lock()
        service = self._service_change_state
        self._change_state_of_rclpy = service.callback
        service.callback = answering(self._change_state, self.report)
        self._autostart = self.create_timer(
            0.0, self._start_by_itself, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    @functools.cached_property
    def default_callback_group(self) -> OneThreadGroup:
        """The group of all callbacks: others run while one of them, configuring, waits."""
        return OneThreadGroup()

    def prepare(self, parameters: P) -> Any:
        """Return what takes long to load, compile and warm up; called on a thread of its own.

        It must leave ROS alone.
        """

    def setup(self) -> None:
        """Create what a configured node has; called after ``prepare``."""

    def start(self) -> None:
        """Begin to take and give data; called when the node is activated."""

    def stop(self) -> None:
        """Stop taking and giving data; called when the node is deactivated."""

    def teardown(self) -> None:
        """Free what ``setup`` made; called when the node is cleaned up."""

    def _follow_parameters(self, _changes: list[Any]) -> None:
        if self._configured:
            self.parameters = read_parameters(self, self._parameters_class)

    def report(self, problem: str) -> None:
        """Report a problem, unless it comes from ROS having been shut down meanwhile."""
        if self.context.ok():
            self.diagnostics.problems.report(problem)

    def create_service(
        self, service_type: type, name: str, callback: Callable[[Any, Any], Any], **options: Any
    ) -> Any:
        """Create a service as rclpy does, but a caller gets an answer whatever goes wrong."""
        answer = answering(callback, self.report)
        return super().create_service(service_type, name, answer, **options)

    def _change_state(self, request: Any, response: Any) -> Any:
        """Answer a request for a transition; while the node prepares, there is none to make."""
        if self._preparing:
            raise ValueError(f'the node is still {self.diagnostics.state}')
        return self._change_state_of_rclpy(request, response)

    def _start_by_itself(self) -> None:
        self._autostart.cancel()
        if not getattr(self.parameters, 'autostart', True):
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _attempt(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            action()
        # The border of the process: whatever went wrong is reported and the node lives on.
        except Exception as error:
            self.report(f'cannot {what}: {describe_error(error)}')
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters and set up."""

        def configure() -> None:
            self._configured = True
            self.parameters = read_parameters(self, self._parameters_class)
            self.prepared = self._prepare()
            self.setup()

        result = self._attempt('configure', configure)
        if result != TransitionCallbackReturn.SUCCESS:
            self._release()
            self.diagnostics.state = 'unconfigured'
            return result
        self.diagnostics.state = 'inactive'
        return super().on_configure(state)

    def _prepare(self) -> Any:
        self.diagnostics.state = f'configuring: {self.preparation}'
        self.get_logger().info(f'{self.preparation} ...')
        begin, work = time.monotonic(), functools.partial(self.prepare, self.parameters)
        executor = self.executor
        self._preparing = True
        try:
            prepared = executor.aside(work) if isinstance(executor, NodeExecutor) else work()
        finally:
            self._preparing = False
        self.get_logger().info(f'prepared in {time.monotonic() - begin:.1f} s')
        return prepared

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the publishers and start."""
        super().on_activate(state)
        self.diagnostics.state = 'activating'
        result = self._attempt('activate', self.start)
        if result != TransitionCallbackReturn.SUCCESS:
            self.stop()
            self.diagnostics.state = 'inactive'
            super().on_deactivate(state)
            return result
        self._running = True
        with self._ending:
            if self.diagnostics.state == 'activating':
                self.diagnostics.state = 'active'
        return result

    def finish(self) -> None:
        """Say that the work is over, from any thread, perhaps before activation has returned."""
        with self._ending:
            self.diagnostics.state = 'finished'

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and disable the publishers."""
        self._halt()
        self.diagnostics.state = 'inactive'
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything that configuring made."""
        self._release()
        self.diagnostics.state = 'unconfigured'
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free from any state."""
        self._halt()
        self._release()
        self.diagnostics.state = 'finalized'
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an error in a transition."""
        return self.on_shutdown(state)

    def wait_for(self, thread: threading.Thread) -> None:
        """Wait for the end of a thread that was told to stop, but not for ever.

        One that goes on is left alone: it can neither keep the node from its next state nor the
        process from its end.
        """
        ending = _ending.is_set() or not self.context.ok()
        thread.join(_LEAVE_AFTER if ending else self.patience)
        if thread.is_alive():
            self._left.append(thread)
            self.report(f'left alone: {self.work_name} does not return from {place_of(thread)}')

    @property
    def is_stuck(self) -> bool:
        """Whether a thread was left alone and still runs."""
        return any(thread.is_alive() for thread in self._left)

    def _release(self) -> None:
        self.teardown()
        self.prepared = None
        self._configured = False

    def _halt(self) -> None:
        if self._running:
            self._running = False
            self.stop()
            self.diagnostics.expect()

    def destroy_node(self) -> None:
        """Stop the worker before the node's entities go."""
        self._halt()
        super().destroy_node()


class WorkerNode(ManagedNode[P]):
    """A managed node whose one worker thread processes the newest input.

    Subclasses subscribe in ``start`` (before ``super().start()``), call ``submit`` in their
    callbacks, and implement ``process``, which runs on the worker and may raise, and
    ``reset``, called after a backward jump of the clock or of the stamps.

    Attributes:
        inbox_size: how many inputs of a stream may wait; set it before ``start``.
    """

    inbox_size = 1

    def __init__(self, name: str, parameters: type[P], **options: Any) -> None:
        super().__init__(name, parameters, **options)
        self._inbox: Newest[Any] = Newest()
        self._received: list[Any] = [0, 0.0]
        self._worker: Worker[Any] | None = None
        self.diagnostics.hang = self._hang
        self._jumped = threading.Event()
        self.stamps = StampGuard(1.0)
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
        )
        self._jump_handle = self.get_clock().create_jump_callback(
            threshold, post_callback=self._on_clock_jump
        )

    def process(self, item: Any) -> None:
        """Process one input; runs on the worker thread."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget the past after a jump back in time; runs on the worker thread."""

    def submit(self, item: Any, stream: int = 0) -> bool:
        """Hand an input to the worker; True if it replaced others of its stream that waited."""
        received = self.get_clock().now().nanoseconds, time.monotonic()
        replaced = self._inbox.put((item, *received), stream)
        self.diagnostics.dropped(replaced)
        return replaced > 0

    def age(self, stamp: int) -> float:
        """Return how old the data in process are, in seconds; for use within ``process``.

        That is their age when they came, by the node's clock, and the time since then by the
        computer's: a simulated clock moves in steps that are too large to measure with.
        """
        clock, monotonic = self._received
        # 0 is a simulated clock that has not started.
        return ((clock - stamp) * 1e-9 if clock else 0.0) + time.monotonic() - monotonic

    def start(self) -> None:
        """Start the worker."""
        self._inbox = Newest(self.inbox_size)
        self.stamps.reset()
        _spare_garbage_collection()
        self._worker = Worker(self.get_name(), self._inbox, self._work)

    def stop(self) -> None:
        """Stop the worker and drop what waits."""
        if self._worker is not None:
            self._worker.stop()
            self.wait_for(self._worker.thread)
            self._worker = None
        self._drop_waiting()

    def check_stamp(self, header: Any, stream: int = 0) -> None:
        """Check that an input is newer than its stream's last; start afresh after a jump back.

        Raises:
            ValueError: for a zero stamp or data out of order.
        """
        stamp = stamp_to_ns(header.stamp)
        if self.stamps.jumped(stamp, stream):
            self.report('stamps of the data jumped back (a looped bag?); starting afresh')
            self.reset()

    def _on_clock_jump(self, jump: Any) -> None:
        self._drop_waiting()
        self._jumped.set()
        if jump.clock_change == ClockChange.ROS_TIME_NO_CHANGE and jump.delta.nanoseconds < 0:
            self.report(
                f'the clock jumped back by {-jump.delta.nanoseconds * 1e-9:.1f} s (a looped '
                'bag?); starting afresh'
            )

    def _drop_waiting(self) -> None:
        self.diagnostics.dropped(self._inbox.clear())

    def _hang(self) -> str:
        where = self._worker.stuck(self.patience) if self._worker is not None else ''
        return where and (
            f'{self.work_name} does not return: at one input {where}; if it does not end, restart '
            'the node (it obeys signals) and look at what it was sent'
        )

    def _work(self, taken: Any | None) -> None:
        if self._jumped.is_set():
            self._jumped.clear()
            self._guarded(self._start_afresh)
        if taken is None:
            return
        item, *self._received = taken
        if not self._guarded(lambda: self.process(item)):
            self.diagnostics.dropped()

    def _start_afresh(self) -> None:
        self.stamps.reset()
        self.reset()

    def _guarded(self, action: Callable[[], None]) -> bool:
        """Return whether an action succeeded; bad data must not end the worker."""
        try:
            action()
        except Exception as error:
            self.report(describe_error(error))
            return False
        return True


_SPARED_EVERY_S = 60.0
_spared = float('-inf')


def _spare_garbage_collection() -> None:
    """Take what is there by now out of the garbage collector's rounds.

    Libraries and networks are a million objects; looking at all of them takes a tenth of a
    second again and again while messages come and go.
    """
    gc.unfreeze()  # what an earlier start spared may be garbage by now
    gc.collect()
    gc.freeze()


def node_main(
    factory: Callable[[], Node], description: str | None, parameters: type, argv: list[str] | None
) -> int:
    """Run one node as an executable with ``--help``; returns the exit status."""
    argv = sys.argv if argv is None else argv
    parser = Parser(
        description=description,
        epilog=parameter_help(parameters),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(remove_ros_args(argv)[1:])
    return run(factory, arguments=argv)


def run(*factories: Callable[[], Node], arguments: list[str] | None = None) -> int:
    """Spin the nodes that the factories make until shutdown; returns the exit status.

    The first SIGINT or SIGTERM ends it, later ones are ignored: Ctrl-C reaches children of
    ``ros2 launch`` twice. While nodes spin it shuts ROS down, so that the callback that runs,
    and rclpy's own code, come to their end.
    """
    spinning = threading.Event()
    _end_at_first_signal(spinning)
    rclpy.init(args=arguments)
    executor = NodeExecutor()
    nodes: list[Node] = []
    try:
        for factory in factories:
            nodes.append(factory())
            executor.add_node(nodes[-1])
        spinning.set()
        executor.spin()
    except ParameterError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
    if executor.is_busy_aside or any(getattr(node, 'is_stuck', False) for node in nodes):
        print('ended without waiting for work in progress', file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # Not through Python's end: it would tear a thread out of C++, which aborts the process.
        os._exit(0)
    return 0


def _end_at_first_signal(spinning: threading.Event) -> None:
    """Let one signal raise KeyboardInterrupt; a second must not interrupt the tidying up.

    Once nodes spin none raises it: rclpy's own handlers, which call these and so are set after
    them, shut ROS down, and spinning ends.
    """

    def on_signal(number: int, _frame: Any) -> None:
        if not _ending.is_set():
            _ending.set()
            if not spinning.is_set():
                raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
