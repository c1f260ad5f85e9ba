"""Programs of this Python, and helpers for launches and processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('ROS_LOG_DIR', '/tmp/sim_perception_test_logs')

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 90.0


class Ros2:
    """Runs the `ros2` command and Python scripts; ends what a test leaves running."""

    def __init__(self):
        self._processes = []
        # No terminal: like a service or a CI machine, where nothing else forwards Ctrl-C.
        self._options = {'stdin': subprocess.DEVNULL, 'text': True, 'cwd': ROOT}

    def start(self, *words, **options):
        """Start `ros2 WORDS` in a process group of its own; its output can be read."""
        return self.popen([str(Path(sys.prefix) / 'bin/ros2'), *map(str, words)], **options)

    def python(self, *words):
        """Start a Python script; its output can be read."""
        return self.popen([sys.executable, *map(str, words)])

    def popen(self, command, **options):
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **{**self._options, **options},
        )
        self._processes.append(process)
        return process

    def run(self, *words, deadline=DEADLINE, **options):
        """Run `ros2 WORDS` to its end and return its exit code and output."""
        process = self.start(*words, **options)
        output, _ = process.communicate(timeout=deadline)
        return process.returncode, output

    def lines(self, process, deadline=DEADLINE):
        """Yield the lines a process prints; a silent one is ended at the deadline."""
        watchdog = threading.Timer(deadline, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            for line in process.stdout:  # noqa: UP028 - `yield from` would close it
                yield line
        finally:
            watchdog.cancel()

    def interrupt(self, process, deadline=DEADLINE):
        """Send Ctrl-C to one process; return its exit code and all its output."""
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=deadline)
        return process.returncode, output

    def close(self):
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


@pytest.fixture
def ros2():
    runner = Ros2()
    yield runner
    runner.close()


@pytest.fixture(scope='module')
def module_ros2():
    runner = Ros2()
    yield runner
    runner.close()


def wait_for(condition, what, deadline=DEADLINE):
    """Return the condition's value as soon as it is true."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f'{what} did not come within {deadline} s')
        time.sleep(0.02)
    return value


@pytest.fixture
def until():
    return wait_for


@pytest.fixture(autouse=True)
def ament_prefix(monkeypatch):
    """The Python prefix is the ament prefix, as under the `ros2` command."""
    monkeypatch.setenv('AMENT_PREFIX_PATH', sys.prefix)
