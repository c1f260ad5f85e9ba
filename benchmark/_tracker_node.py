"""What the tracker node costs beside its network, and whether its state stays bounded.

The node runs in this process on images that ``_tracker_feed`` publishes at 10 Hz from another.
CPU time is compared, which a busy machine disturbs little: all that this process uses (receiving,
transforms, conversions, tracking, publishing) against what the network uses within it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.live import HEIGHT, WIDTH, stop
from sim_perception.resources import share_path
from sim_perception.tracking.config import network_config
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.tracker import Tracker

_START_DEADLINE = 180.0
_WARM_UP = 10
"""Frames before the measurement."""
_PERIOD = 100_000_000
_MIB = 2**20


def node_overhead(checkpoint: Path, *, frames: int = 100, domain: int) -> dict[str, Any]:
    """Run the node with its network on one thread and return what it costs.

    Args:
        checkpoint: of the permanence network.
        frames: to measure.
        domain: ROS_DOMAIN_ID.

    Returns:
        ``tracker_node_ms`` and ``tracker_network_ms`` of CPU per image,
        ``tracker_node_overhead_ratio``, and ``tracker_node_frames``.

    Raises:
        RuntimeError: if no images arrive.
    """
    os.environ['ROS_DOMAIN_ID'] = str(domain)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] = str(share_path('config', 'fastdds.xml'))
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter

    from sim_perception.nodes.tracker import TrackerNode

    values = {
        'input': 'network', 'network': str(checkpoint), 'device': 'cpu', 'threads': 1,
        'second_opinion': False, 'tf_timeout': 1.0,
    }  # fmt: skip
    command = [sys.executable, '-m', 'benchmark._tracker_feed', str(WIDTH), str(HEIGHT)]
    feed = subprocess.Popen(command, start_new_session=True)
    rclpy.init()
    node = TrackerNode(parameter_overrides=[Parameter(k, value=v) for k, v in values.items()])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spent = _count_network(node, executor)
    deadline = time.monotonic() + _START_DEADLINE
    try:
        begin = (0.0, 0.0, 0.0)
        while spent[0] < _WARM_UP + frames:
            executor.spin_once(timeout_sec=0.2)
            if begin[0] < _WARM_UP <= spent[0]:
                begin = (spent[0], spent[1], time.process_time())
            if feed.poll() is not None or time.monotonic() > deadline + frames:
                told = node.diagnostics.problems.last or 'see the messages above'
                raise RuntimeError(f'too few images arrived: {told}')
        count, network = spent[0] - begin[0], spent[1] - begin[1]
        total = time.process_time() - begin[2]
    finally:
        stop([feed])
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return {
        'tracker_node_ms': 1e3 * total / count,
        'tracker_network_ms': 1e3 * network / count,
        'tracker_node_overhead_ratio': (total - network) / network,
        'tracker_node_frames': int(count),
    }


def _count_network(node: Any, executor: Any) -> list[float]:
    """Return images and CPU seconds of the network so far, which count up as it works."""
    while node._input is None:  # not configured yet
        executor.spin_once(timeout_sec=0.2)
        if node.diagnostics.problems.last:
            raise RuntimeError(node.diagnostics.problems.last)
    engine = node._input._engine
    update, spent = engine.update, [0, 0.0]

    def counted(frame: Any) -> Any:
        start = time.thread_time()
        found = update(frame)
        spent[1] += time.thread_time() - start
        spent[0] += 1
        return found

    engine.update = counted
    return spent


def clutter(seed: int = 0, *, seconds: int = 3600) -> dict[str, Any]:
    """Track clutter at 10 frames/s for a while and return whether the state grows.

    Returns:
        ``clutter_tracks_max``, and ``clutter_growth_mib``: by how much the process grows after the
        first tenth of the time.
    """
    rng = np.random.default_rng(seed)
    tracker = Tracker(network_config())
    classes = np.array(tracker.class_ids)
    most, early = 0, 0
    frames = 10 * seconds
    for n in range(frames):
        count = int(rng.integers(0, 20))
        boxes = np.empty((count, 7))
        boxes[:, :2] = rng.uniform(-60, 60, (count, 2))
        boxes[:, 2:4] = rng.uniform(-1, 1, (count, 2))
        boxes[:, 4:] = rng.uniform(0.5, 4.0, (count, 3))
        found = DetectionArrays(
            rng.choice(classes, count), rng.uniform(0.2, 1.0, count), boxes, rng.random(count)
        )
        most = max(most, len(tracker.step(n * _PERIOD, found).tracks))
        if n == frames // 10:
            early = _resident()
    return {'clutter_tracks_max': most, 'clutter_growth_mib': (_resident() - early) / _MIB}


def _resident() -> int:
    """Return the bytes of memory that this process occupies."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')
