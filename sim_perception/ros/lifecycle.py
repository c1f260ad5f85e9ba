"""The form of every node: managed life cycle, one worker thread, newest data only.

Callbacks store the latest input; one worker processes it. Overload drops old data (counted)
instead of queueing it; only nodes to which every input matters let a few wait. Whatever goes
wrong becomes one throttled log line and a diagnostic with cause and remedy, and the node goes on.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections import deque
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
from sim_perception.ros.executor import NodeExecutor
from sim_perception.ros.parameter_fields import ParameterError, declare_parameters, read_parameters
from sim_perception.ros.parameter_text import parameter_help
from sim_perception.ros.services import answering
from sim_perception.ros.stamps import StampGuard

T = TypeVar('T')
P = TypeVar('P')


class Newest(Generic[T]):
    """A place for the newest values of every stream, by default for one of each.

    A new value replaces the oldest of its stream.
    """

    def __init__(self, capacity: int = 1) -> None:
        self._capacity = capacity
        self._values: deque[tuple[int, T]] = deque()
        self._changed = threading.Condition()

    def put(self, value: T, stream: int = 0) -> bool:
        """Store a value; True if it replaced one."""
        with self._changed:
            own = [n for n, (owner, _) in enumerate(self._values) if owner == stream]
            replaced = len(own) >= self._capacity
            if replaced:
                del self._values[own[0]]
            self._values.append((stream, value))
            self._changed.notify()
        return replaced

    def take(self, timeout: float) -> T | None:
        """Wait for a value and remove the oldest; None after the timeout."""
        with self._changed:
            if not self._values:
                self._changed.wait(timeout)
            return self._values.popleft()[1] if self._values else None

    def clear(self) -> None:
        """Drop all values."""
        with self._changed:
            self._values.clear()


class ManagedNode(LifecycleNode, Generic[P]):
    """A lifecycle node with parameters, diagnostics and ``autostart``.

    Subclasses implement ``setup`` (configure: load, create publishers, warm up), ``start``
    (activate: subscribe, run), ``stop`` (deactivate) and ``teardown`` (clean up). ``setup``
    and ``start`` may raise: the transition fails with the error as its diagnostic.

    Attributes:
        parameters: the values read when the node was last configured; live ones follow
            changes, so read them from here whenever they are needed.
        diagnostics: counts and problems.
        work_name: what making an output is called in the diagnostics.
    """

    parameters: P
    work_name = 'inference'
    _running = False  # on the class: rclpy may destroy a node whose __init__ raised
    _configured = False

    def __init__(self, name: str, parameters: type[P], **options: Any) -> None:
        super().__init__(name, **options)
        self._parameters_class = parameters
        declare_parameters(self, parameters, in_use=lambda: self._configured)
        self.parameters = read_parameters(self, parameters)
        self.add_post_set_parameters_callback(self._follow_parameters)
        self.diagnostics = Diagnostics(self, self.work_name)
        self._autostart = self.create_timer(
            0.0, self._start_by_itself, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def setup(self) -> None:
        """Load and warm up; called when the node is configured."""

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
            self.setup()

        result = self._attempt('configure', configure)
        if result != TransitionCallbackReturn.SUCCESS:
            self._release()
            return result
        self.diagnostics.state = 'inactive'
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the publishers and start."""
        super().on_activate(state)
        result = self._attempt('activate', self.start)
        if result != TransitionCallbackReturn.SUCCESS:
            self.stop()
            super().on_deactivate(state)
            return result
        self._running = True
        self.diagnostics.state = 'active'
        return result

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

    def _release(self) -> None:
        self.teardown()
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
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
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
        """Hand an input to the worker; True if it replaced one that still waited.

        Where there are several streams, only one of the same stream is replaced.
        """
        received = self.get_clock().now().nanoseconds, time.monotonic()
        replaced = self._inbox.put((item, *received), stream)
        if replaced:
            self.diagnostics.dropped()
        return replaced

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
        self._stopping.clear()
        self._inbox = Newest(self.inbox_size)
        self.stamps.reset()
        self._thread = threading.Thread(target=self._work, name=self.get_name(), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker and drop what waits."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._inbox.clear()

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
        self._inbox.clear()
        self._jumped.set()
        if jump.clock_change == ClockChange.ROS_TIME_NO_CHANGE and jump.delta.nanoseconds < 0:
            self.report(
                f'the clock jumped back by {-jump.delta.nanoseconds * 1e-9:.1f} s (a looped '
                'bag?); starting afresh'
            )

    def _work(self) -> None:
        while not self._stopping.is_set():
            taken = self._inbox.take(0.1)
            if self._jumped.is_set():
                self._jumped.clear()
                self.stamps.reset()
                self.reset()
            if taken is None:
                continue
            item, *self._received = taken
            try:
                self.process(item)
            # Bad data must not end the worker: report them and take the next.
            except Exception as error:
                self.report(describe_error(error))


def node_main(
    factory: Callable[[], Node], description: str | None, parameters: type, argv: list[str] | None
) -> int:
    """Run one node as an executable with ``--help``; returns the exit status."""
    argv = sys.argv if argv is None else argv
    parser = argparse.ArgumentParser(
        description=description,
        epilog=parameter_help(parameters),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(remove_ros_args(argv)[1:])
    return run(factory, arguments=argv)


def run(*factories: Callable[[], Node], arguments: list[str] | None = None) -> int:
    """Spin the nodes that the factories make until shutdown; returns the exit status.

    Interrupts during teardown are ignored: Ctrl-C reaches children of ``ros2 launch`` twice.
    """
    rclpy.init(args=arguments)
    executor = NodeExecutor()
    nodes: list[Node] = []
    try:
        for factory in factories:
            nodes.append(factory())
            executor.add_node(nodes[-1])
        executor.spin()
    except ParameterError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
