"""Events of running processes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..event import Event

if TYPE_CHECKING:
    from ..actions.execute_process import ExecuteProcess

__all__ = [
    'ProcessExited',
    'ProcessIO',
    'ProcessStarted',
    'ProcessStderr',
    'ProcessStdout',
    'RunningProcessEvent',
    'ShutdownProcess',
    'SignalProcess',
    'matches_executable',
    'matches_name',
    'matches_pid',
]


class RunningProcessEvent(Event):
    """Something a process did."""

    name = 'launch.events.process.RunningProcessEvent'

    def __init__(
        self,
        *,
        action: ExecuteProcess,
        name: str,
        cmd: list[str],
        cwd: str | None,
        env: dict[str, str] | None,
        pid: int,
    ) -> None:
        self.action = action
        self.process_name = name
        self.cmd = cmd
        self.cwd = cwd
        self.env = env
        self.pid = pid


class ProcessStarted(RunningProcessEvent):
    """A process has started."""

    name = 'launch.events.process.ProcessStarted'


class ProcessExited(RunningProcessEvent):
    """A process has ended."""

    name = 'launch.events.process.ProcessExited'

    def __init__(self, *, returncode: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.returncode = returncode


class ProcessIO(RunningProcessEvent):
    """A process has written something."""

    name = 'launch.events.process.ProcessIO'

    def __init__(self, *, text: bytes, fd: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.fd = fd

    @property
    def from_stdout(self) -> bool:
        """Return whether it came from the standard output."""
        return self.fd == 1

    @property
    def from_stderr(self) -> bool:
        """Return whether it came from the standard error."""
        return self.fd == 2


class ProcessStdout(ProcessIO):
    """A process has written to its standard output."""

    name = 'launch.events.process.ProcessStdout'

    def __init__(self, *, text: bytes, **kwargs) -> None:
        super().__init__(text=text, fd=1, **kwargs)


class ProcessStderr(ProcessIO):
    """A process has written to its standard error."""

    name = 'launch.events.process.ProcessStderr'

    def __init__(self, *, text: bytes, **kwargs) -> None:
        super().__init__(text=text, fd=2, **kwargs)


class _ProcessTargetedEvent(Event):
    """A request to the processes that a matcher takes."""

    def __init__(self, *, process_matcher: Callable[[ExecuteProcess], bool]) -> None:
        self.process_matcher = process_matcher


class ShutdownProcess(_ProcessTargetedEvent):
    """A process shall end."""

    name = 'launch.events.process.ShutdownProcess'


class SignalProcess(_ProcessTargetedEvent):
    """A process shall get a signal."""

    name = 'launch.events.process.SignalProcess'

    def __init__(
        self,
        *,
        signal_number: str | int | signal.Signals,
        process_matcher: Callable[[ExecuteProcess], bool],
    ) -> None:
        super().__init__(process_matcher=process_matcher)
        is_name = isinstance(signal_number, str)
        self.signal = signal.Signals[signal_number] if is_name else signal.Signals(signal_number)

    @property
    def signal_name(self) -> str:
        """Return the signal's name, such as SIGINT."""
        return self.signal.name


def _matches_detail(
    matches: Callable[[dict], bool],
) -> Callable[[ExecuteProcess], bool]:
    def matcher(action: ExecuteProcess) -> bool:
        details = action.process_details
        return details is not None and matches(details)

    return matcher


def matches_pid(pid: int) -> Callable[[ExecuteProcess], bool]:
    """Return a matcher for a process id."""
    return _matches_detail(lambda details: details.get('pid') == pid)


def matches_name(name: str) -> Callable[[ExecuteProcess], bool]:
    """Return a matcher for a process's unique name."""
    return _matches_detail(lambda details: details['name'] == name)


def matches_executable(executable: str) -> Callable[[ExecuteProcess], bool]:
    """Return a matcher for the end of the executable's path."""
    return _matches_detail(lambda details: details['cmd'][0].endswith(executable))
