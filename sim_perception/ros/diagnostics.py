"""What a node reports about itself on ``/diagnostics`` once a second."""

from __future__ import annotations

import platform
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

_WINDOW = 200
_KINDS = 200  # of problems
_NUMBER = re.compile(r'[-+]?\d+(\.\d+)?(e[-+]?\d+)?')


class Problems:
    """Failures in words, logged once per kind and period with the number of repetitions.

    Messages that differ in their numbers only are one kind. The latest kinds are remembered.
    """

    def __init__(self, log: Callable[[str], None], period: float = 10.0) -> None:
        self._log = log
        self._period = period
        self._last_logged: dict[str, float] = {}
        self._suppressed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.total = 0
        self.last = ''
        self.last_time = -np.inf

    def report(self, text: str) -> None:
        """Count a problem; log it unless its kind was logged within the period."""
        now = time.monotonic()
        kind = _NUMBER.sub('#', text)
        with self._lock:
            self.total += 1
            self.last, self.last_time = text, now
            if now - self._last_logged.get(kind, -np.inf) < self._period:
                self._suppressed[kind] += 1
                return
            self._last_logged.pop(kind, None)
            self._last_logged[kind] = now
            if len(self._last_logged) > _KINDS:
                oldest = next(iter(self._last_logged))
                del self._last_logged[oldest]
                self._suppressed.pop(oldest, None)
            repeated = self._suppressed.pop(kind, 0)
        self._log(f'{text} (repeated {repeated} times)' if repeated else text)


class Diagnostics:
    """Counts what goes in and out of a node and publishes a ``DiagnosticArray`` at 1 Hz.

    Args:
        node: whose status it is.
        work: what making an output is called.
        period: seconds between reports.

    Attributes:
        problems: where failures are reported; each becomes a throttled log line and the text
            of the status until good data pass again.
        hang: called for the status; returns in words what does not return, or nothing.
    """

    def __init__(self, node: Node, work: str = 'inference', period: float = 1.0) -> None:
        self._node = node
        self._work_name = work
        self._input_timeout = 3.0
        self.problems = Problems(lambda text: node.get_logger().error(text))
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        self._ages: deque[float] = deque(maxlen=_WINDOW)
        self._work: deque[float] = deque(maxlen=_WINDOW)
        self._inputs: dict[str, float] = {}
        self._facts: dict[str, str] = {}
        self._last_output = -np.inf
        self._reported = time.monotonic()
        self.state = 'unconfigured'
        self.hang: Callable[[], str] = str
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._timer = node.create_timer(
            period, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def expect(self, *topics: str, timeout: float = 3.0) -> None:
        """Name the inputs whose silence is a problem after ``timeout`` seconds."""
        with self._lock:
            self._input_timeout = timeout
            self._inputs = dict.fromkeys(topics, time.monotonic())

    def received(self, topic: str) -> None:
        """Count an input message."""
        with self._lock:
            self._count('in')
        self.heard(topic)

    def heard(self, topic: str) -> None:
        """Note that an expected topic is not silent, without counting its message as an input."""
        with self._lock:
            if topic in self._inputs:
                self._inputs[topic] = time.monotonic()

    def dropped(self, number: int = 1) -> None:
        """Count inputs that give no output: replaced by newer ones, unmatched, or unusable."""
        with self._lock:
            self._count('dropped', number)

    def lost(self, topic: str, number: int) -> None:
        """Count inputs that the middleware lost, with a hint at the usual cause."""
        with self._lock:
            self._count('lost', number)
        self.problems.report(
            f'{number} messages on {topic} were lost in transport; if they are large, use the '
            'shipped Fast DDS profile (FASTDDS_DEFAULT_PROFILES_FILE)'
        )

    def note(self, **facts: str) -> None:
        """Set further values of the status, by name; underscores become spaces."""
        with self._lock:
            self._facts.update({name.replace('_', ' '): value for name, value in facts.items()})

    def published(self, age: float, work: float) -> None:
        """Count an output: its age at publication and how long it took to make, seconds."""
        with self._lock:
            self._count('out')
            self._ages.append(age)
            self._work.append(work)
            self._last_output = time.monotonic()

    def total(self, name: str) -> int:
        """Return how many ``in``, ``out``, ``dropped`` or ``lost`` there were since the start."""
        with self._lock:
            return self._totals[name]

    def _count(self, name: str, number: int = 1) -> None:
        self._counts[name] += number
        self._totals[name] += number

    def status(self) -> DiagnosticStatus:
        """Return the state now; rates are since the last call."""
        if hang := self.hang():
            self.problems.report(hang)
        now = time.monotonic()
        with self._lock:
            seconds = max(now - self._reported, 1e-3)
            counts, self._counts, self._reported = self._counts, Counter(), now
            silent = [t for t, at in self._inputs.items() if now - at > self._input_timeout]
            values = {
                'state': self.state,
                'rate in [Hz]': f'{counts["in"] / seconds:.2f}',
                'rate out [Hz]': f'{counts["out"] / seconds:.2f}',
                'received': str(self._totals['in']),
                'published': str(self._totals['out']),
                'dropped': str(self._totals['dropped']),
                'lost in transport': str(self._totals['lost']),
                **_percentiles('age', self._ages),
                **_percentiles(self._work_name, self._work),
                **self._facts,
                'problems': str(self.problems.total),
                'last problem': self.problems.last,
            }
            recovered = not hang and self._last_output > self.problems.last_time
        level, message = DiagnosticStatus.OK, self.state
        if self.problems.total and not recovered:
            level, message = DiagnosticStatus.ERROR, hang or self.problems.last
        elif silent:
            level = DiagnosticStatus.WARN
            message = (
                f'no data on {", ".join(silent)}; is the publisher running, are names remapped '
                'and QoS compatible?'
            )
        elif now - self.problems.last_time < self._input_timeout:
            level, message = DiagnosticStatus.WARN, f'recovered from: {self.problems.last}'
        return DiagnosticStatus(
            level=level,
            name=f'{self._node.get_fully_qualified_name()}: perception',
            message=message,
            hardware_id=platform.node() or 'unknown',
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def publish(self) -> None:
        """Publish the status; called by a timer."""
        array = DiagnosticArray(status=[self.status()])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)


def describe_error(error: Exception) -> str:
    """Return an error's text; the type is named where the text alone would not be understood."""
    if isinstance(error, ValueError | FileNotFoundError) and str(error):
        return str(error)
    return f'{type(error).__name__}: {error}'


def _percentiles(name: str, seconds: deque[float]) -> dict[str, str]:
    if not seconds:
        return {}
    median, high = np.percentile(np.fromiter(seconds, float), [50, 95]) * 1e3
    return {f'{name} p50 [ms]': f'{median:.1f}', f'{name} p95 [ms]': f'{high:.1f}'}
