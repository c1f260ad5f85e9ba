"""Simulator and depth_segmentation as separate processes over Fast DDS, at 640x192.

The simulator runs in real time with wall-clock stamps and publishes every frame when its
stamp is due, so the age of a result is the time from its stamp to its receipt here, in a
third process. ``bare_inference_ms`` is the same engine with the same threads on the same
size of image, before the nodes start: measure on a quiet machine. ``publication_delay_p50_ms``
is the part of the age that passes before the calibration of the frame is received here, most
of it the simulator's lateness. A frame counts as lost if its
calibration arrived here, its depth did not, and the node did not drop it as outdated.

Examples:
  python -m benchmark live --seconds 30
  python -m benchmark live --checkpoint runs/mine/best --inference-threads 2
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.extras import require
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.resources import share_path
from sim_perception.types import Camera, Frame

WIDTH, HEIGHT = 640, 192
_START_DEADLINE = 180.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--checkpoint', type=Path, help='default: the shipped one')
    parser.add_argument('--scenario', default='target')
    parser.add_argument('--seconds', type=float, default=20.0, help='length of the measurement')
    parser.add_argument('--warm-up', type=float, default=4.0, help='seconds before it')
    parser.add_argument('--inference-threads', type=int, default=1)
    parser.add_argument('--simulator-threads', type=int, default=1)
    parser.add_argument('--domain', type=int, default=1 + os.getpid() % 100)


def bare_inference(checkpoint: Path, threads: int, repeats: int = 25) -> float:
    """Return the median seconds of one inference, without ROS."""
    engine = DepthSegmentationEngine.load(checkpoint, threads=threads)
    camera = Camera(WIDTH, HEIGHT, 370.0, 370.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    times = []
    for i in range(repeats + 5):
        begin = time.perf_counter()
        engine.infer(Frame(i + 1, image, camera))
        times.append(time.perf_counter() - begin)
    return float(np.median(times[5:]))


class Recorder:
    """Receives results and calibrations and notes when."""

    def __init__(self) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from sensor_msgs.msg import CameraInfo, Image

        from sim_perception.ros import qos

        rclpy.init()
        self.node = Node('live_benchmark')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.sent: dict[int, float] = {}
        self.received: dict[int, float] = {}
        self.status: list[tuple[float, dict[str, str]]] = []
        create = self.node.create_subscription
        stream = qos.stream_qos()
        create(CameraInfo, 'camera/camera_info', self._on_info, stream)
        # Raw bytes: unpacking the picture is not part of its way. The header comes first.
        topic = 'depth_segmentation/depth/image'
        create(Image, topic, self._on_depth, qos.stream_qos(), raw=True)
        create(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def _on_info(self, message: Any) -> None:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        self.sent[stamp] = time.time()

    def _on_depth(self, data: bytes) -> None:
        seconds, nanoseconds = np.frombuffer(data, '<u4', 2, offset=4)
        self.received[int(seconds) * 10**9 + int(nanoseconds)] = time.time()

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            if 'depth_segmentation' in status.name:
                values = {entry.key: entry.value for entry in status.values}
                self.status.append((time.time(), values))

    def spin(self, seconds: float) -> None:
        """Receive for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def close(self) -> None:
        """Leave."""
        import rclpy

        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()


def start_node(name: str, **parameters: Any) -> subprocess.Popen[bytes]:
    """Start one of this package's nodes as a process."""
    command = [sys.executable, '-m', f'sim_perception.nodes.{name}', '--ros-args']
    for key, value in parameters.items():
        command += ['-p', f'{key}:={value}']
    return subprocess.Popen(command, start_new_session=True)


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time that a process has used so far."""
    fields = Path(f'/proc/{process.pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Interrupt the processes and wait for their end."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def evaluate(recorder: Recorder, begin: float, end: float, bare: float) -> dict[str, Any]:
    """Return the figures of the results received between two times."""
    ages = np.array([at - s * 1e-9 for s, at in recorder.received.items() if begin < at < end])
    if not len(ages):
        raise RuntimeError('no depth arrived; see the messages of the nodes above')
    inside = [(at, values) for at, values in recorder.status if begin < at < end]
    first, last = inside[0], inside[-1]
    sent = [s for s, at in recorder.sent.items() if first[0] < at < last[0] - 1.0]
    missing = sum(s not in recorder.received for s in sent)
    dropped = int(last[1]['dropped']) - int(first[1]['dropped'])
    delays = [recorder.sent[s] - s * 1e-9 for s in sent]
    p50, p95 = np.percentile(ages, [50, 95])
    return {
        'hz': len(ages) / (end - begin),
        'simulator_hz': len(sent) / (last[0] - 1.0 - first[0]),
        'age_p50_ms': p50 * 1e3,
        'age_p95_ms': p95 * 1e3,
        'publication_delay_p50_ms': float(np.median(delays)) * 1e3,
        'bare_inference_ms': bare * 1e3,
        'inference_in_node_p50_ms': float(last[1]['inference p50 [ms]']),
        'overhead_ratio': (p50 - bare) / bare,
        'frames': len(ages),
        'dropped_as_outdated': dropped,
        'lost': max(0, missing - dropped),
        'lost_reported_by_dds': int(last[1]['lost in transport']),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; the keys are explained above."""
    require('benchmark live', 'rclpy')
    checkpoint = options.checkpoint or share_path('models', 'depth_segmentation')
    bare = bare_inference(checkpoint, options.inference_threads)
    os.environ['ROS_DOMAIN_ID'] = str(options.domain)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    # As the launch files do.
    os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] = str(share_path('config', 'fastdds.xml'))
    os.environ['MALLOC_MMAP_THRESHOLD_'] = str(32 * 2**20)
    os.environ['MALLOC_TRIM_THRESHOLD_'] = str(64 * 2**20)
    processes = [
        start_node(
            'depth_segmentation',
            checkpoint=checkpoint,
            threads=options.inference_threads,
            device='cpu',
        ),
        start_node(
            'simulator',
            scenario=options.scenario,
            width=WIDTH,
            height=HEIGHT,
            duration=min(600.0, options.seconds + options.warm_up + 60.0),
            threads=options.simulator_threads,
        ),
    ]
    recorder = Recorder()
    try:
        deadline = time.monotonic() + _START_DEADLINE
        while not recorder.received:
            recorder.spin(0.5)
            if time.monotonic() > deadline or any(p.poll() is not None for p in processes):
                raise RuntimeError('no depth arrived; see the messages of the nodes above')
        recorder.spin(options.warm_up)
        begin = time.time()
        used = [cpu_seconds(process) for process in processes]
        recorder.spin(options.seconds)
        used = [cpu_seconds(process) - u for process, u in zip(processes, used, strict=True)]
        figures = evaluate(recorder, begin, time.time(), bare)
        for name, seconds in zip(('node', 'simulator'), used, strict=True):
            figures[f'{name}_cpu_ms_per_frame'] = seconds / figures['frames'] * 1e3
    finally:
        stop(processes)
        recorder.close()
    figures['threads'] = f'{options.inference_threads} + {options.simulator_threads}'
    return figures
