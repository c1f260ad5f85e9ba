"""Every node with more data than it can take, for a while: does it stay fresh, flat and honest?

Images come at ten times the rate that the node manages, detections a thousand a frame, clouds
with 130,000 points, each node in its own process for an equal part of the time. What must hold:

- age: the 95th percentile of the outputs' ages is at most a period of the input and the time
  that the work takes (their 95th percentiles), and a tenth of a second for the transport.
- memory: the process grows by less than 2 % after the first quarter of the time.
- drops: what came in went out, was counted as dropped, or is still at work.
- tracker: at least 9.5 frames/s of the 10 that are sent. ``cpu_ms`` an output says whether it
  could, where a busy machine keeps it from it.

Examples:
  python -m benchmark soak --minutes 5
  python -m benchmark soak --nodes tracker --rate 30
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmark.live import bare_inference, cpu_seconds, start_node, stop
from sim_perception.extras import require
from sim_perception.resources import share_path

NODES = ('tracker', 'auto_labeler', 'depth_segmentation', 'detector_3d')
_START_DEADLINE = 300.0
_TRANSPORT = 0.1
_GROWTH = 0.02
_WAITING = 12
"""Inputs that may be at work or wait when the counts are read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--minutes', type=float, default=10.0, help='of the whole measurement')
    parser.add_argument('--nodes', nargs='+', choices=NODES, default=list(NODES))
    parser.add_argument('--rate', type=float, default=10.0, help='Hz of detections and clouds')
    parser.add_argument('--domain', type=int, default=1 + os.getpid() % 100)


class Watcher:
    """Keeps what a node says on ``/diagnostics``."""

    def __init__(self, name: str) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        rclpy.init()
        self._name = f'/{name}: '
        self.node = Node('soak_watcher')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.values: dict[str, str] = {}
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on, 10)

    def _on(self, message: Any) -> None:
        for status in message.status:
            if status.name.startswith(self._name):
                self.values = {entry.key: entry.value for entry in status.values}

    def spin(self, seconds: float) -> None:
        """Receive for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def number(self, ending: str) -> float:
        """Return the first of the values whose name ends so; NaN without."""
        found = [value for key, value in self.values.items() if key.endswith(ending)]
        return float(found[0]) if found else float('nan')

    def close(self) -> None:
        """Leave."""
        import rclpy

        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()


def resident(process: subprocess.Popen[bytes]) -> float:
    """Return the MiB of memory that a process occupies."""
    pages = int(Path(f'/proc/{process.pid}/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def soak(name: str, seconds: float, rate: float) -> dict[str, Any]:
    """Run one node under load and return its figures.

    Raises:
        RuntimeError: if it gives no output, or ends.
    """
    feed_command = [sys.executable, '-m', 'benchmark._soak_feed', name, str(rate)]
    watcher = Watcher(name)
    processes = [start_node(name)]
    try:
        deadline = time.monotonic() + _START_DEADLINE
        while watcher.values.get('state') != 'active':
            watcher.spin(0.5)
            if time.monotonic() > deadline or processes[0].poll() is not None:
                raise RuntimeError(f'{name} did not start; see the messages above')
        processes.append(subprocess.Popen(feed_command, start_new_session=True))
        while not watcher.number('age p95 [ms]') > 0:
            watcher.spin(0.5)
            if time.monotonic() > deadline or processes[0].poll() is not None:
                told = watcher.values.get('last problem') or 'see the messages above'
                raise RuntimeError(f'{name} gives no output: {told}')
        begin, rates, memory = time.monotonic(), [], []
        used, given = cpu_seconds(processes[0]), watcher.number('published')
        while time.monotonic() - begin < seconds:
            watcher.spin(1.0)
            if processes[0].poll() is not None:
                raise RuntimeError(f'{name} ended with {processes[0].returncode}')
            memory.append(resident(processes[0]))
            rates.append((watcher.number('rate in [Hz]'), watcher.number('rate out [Hz]')))
        used, given = cpu_seconds(processes[0]) - used, watcher.number('published') - given
        found = _figures(watcher, np.array(rates), np.array(memory))
        return {'cpu_ms': 1e3 * used / max(given, 1), **found}
    finally:
        stop(processes[::-1])
        watcher.close()


def _figures(watcher: Watcher, rates: Any, memory: Any) -> dict[str, Any]:
    received, given = np.mean(rates, 0)
    age, work = watcher.number('age p95 [ms]'), _work(watcher.values)
    early = float(np.median(memory[len(memory) // 4 : len(memory) // 4 + 5]))
    late = float(np.median(memory[-5:]))
    counts = {name: int(watcher.number(name)) for name in ('received', 'published', 'dropped')}
    missing = counts['received'] - counts['published'] - counts['dropped']
    return {
        'hz_in': float(received),
        'hz_out': float(given),
        'age_p95_ms': age,
        'work_p95_ms': work,
        'memory_mib': late,
        'memory_growth_mib': late - early,
        'dropped': counts['dropped'],
        'lost_in_transport': int(watcher.number('lost in transport')),
        'unaccounted': missing,
        'fresh': age <= 1e3 / received + work + 1e3 * _TRANSPORT,
        'flat': late - early < _GROWTH * early,
        'counted': 0 <= missing <= _WAITING,
    }


def _work(values: dict[str, str]) -> float:
    """Return what making an output takes, by whatever name the node calls it."""
    keys = [key for key in values if key.endswith(' p95 [ms]') and not key.startswith('age')]
    return float(values[keys[0]])


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; the keys are explained above."""
    require('benchmark soak', 'rclpy')
    os.environ['ROS_DOMAIN_ID'] = str(options.domain)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] = str(share_path('config', 'fastdds.xml'))
    os.environ['MALLOC_MMAP_THRESHOLD_'] = str(32 * 2**20)
    os.environ['MALLOC_TRIM_THRESHOLD_'] = str(64 * 2**20)
    figures: dict[str, Any] = {}
    table: Table | None = None
    for name in options.nodes:
        rate = options.rate
        if name == 'depth_segmentation':
            rate = 10 / bare_inference(share_path('models', name), 1)
        found = soak(name, 60 * options.minutes / len(options.nodes), rate)
        if name == 'tracker':
            found['fast_enough'] = found['hz_out'] >= min(9.5, 0.95 * rate)
        figures.update({f'{name}_{key}': value for key, value in found.items()})
        table = table or Table('node', *(key for key in found if key != 'fast_enough'))
        cells = [f'{v:.1f}' if isinstance(v, float) else str(v) for v in found.values()]
        table.add_row(name, *cells[: len(table.columns) - 1])
    if table is not None:
        Console(width=180).print(table)
    checks = ('fresh', 'flat', 'counted', 'fast_enough')
    figures['passed'] = all(v for k, v in figures.items() if k.endswith(checks))
    return figures
