"""The live simulator node beside the bare renderer: CPU time per frame, equal layers, one run.

The node runs as fast as it can in a process of its own; a subscriber here takes the bytes of its
topics, with /tf and /clock at their rates. ``bare_*`` is ``Simulation.camera_frame`` with the
same layers in this process, ``idle_*`` what a frame costs while only its calibration is subscribed
to. CPU time, so that other programs on the machine matter little.

Examples:
  python -m benchmark simulator_node
  python -m benchmark simulator_node --scenario training_city --frames 60
"""

from __future__ import annotations

import argparse
import os
import time
from importlib import import_module
from typing import Any

from benchmark.live import cpu_seconds, start_node, stop
from sim_perception.bags import topics as t_
from sim_perception.extras import require
from sim_perception.resources import share_path
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation

#: What is subscribed to; all beside the calibration, the pose and the clock.
SETS: dict[str, tuple[t_.Topic, ...]] = {
    'idle': (),
    'rgb': (t_.IMAGE,),
    'all': (t_.IMAGE, t_.DEPTH, t_.SEMANTIC, t_.INSTANCE, t_.NORMALS, t_.FLOW, t_.OBJECTS,
            t_.OBJECTS_2D, t_.OBJECT_STATES),
}  # fmt: skip
_COMMON = (t_.TF, t_.CLOCK)
_START_DEADLINE, _PAUSE_DEADLINE = 1800.0, 60.0
#: Frames that a change of subscriptions takes to reach the figures: the node renders ahead.
_SETTLING = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--scenario', default='clean', help='name or file of the scenario')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--frames', type=int, default=40, help='frames per figure')
    parser.add_argument('--domain', type=int, default=1 + os.getpid() % 100)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; the keys are explained above."""
    require('benchmark simulator_node', 'rclpy')
    simulation = Simulation(
        load_scenario(options.scenario, seed=options.seed), threads=options.threads
    )
    os.environ['ROS_DOMAIN_ID'] = str(options.domain)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] = str(share_path('config', 'fastdds.xml'))
    process = start_node(
        'simulator', scenario=options.scenario, seed=options.seed, threads=options.threads,
        rate=0.0, loop=True,
    )  # fmt: skip
    subscriber = Subscriber()
    figures: dict[str, Any] = {}
    try:
        for name, topics in SETS.items():
            figures[f'node_{name}_cpu_ms'] = subscriber.measure(process, topics, options.frames)
    finally:
        stop([process])
        subscriber.close()
    for name, topics in SETS.items():
        if not topics:
            continue
        layers = frozenset(topic.layer for topic in topics if topic.layer)
        bare = bare_ms(simulation, layers, options.frames)
        figures[f'bare_{name}_cpu_ms'] = bare
        figures[f'ratio_{name}'] = figures[f'node_{name}_cpu_ms'] / bare
    return figures


def bare_ms(simulation: Simulation, layers: frozenset[str], frames: int) -> float:
    """Return milliseconds of CPU time per frame of the renderer alone."""
    period, last = simulation.frame_period, simulation.scenario.duration_s
    times = [k * period for k in range(int(last / period))]
    simulation.camera_frame(times[0], layers)
    used = time.process_time()
    for k in range(1, frames + 1):
        simulation.camera_frame(times[k % len(times)], layers)
    return 1e3 * (time.process_time() - used) / frames


class Subscriber:
    """Takes the bytes of the node's topics and counts its frames."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        rclpy.init()
        self._node, self._frames = Node('simulator_node_benchmark'), 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._subscribe(t_.CAMERA_INFO, self._count)
        for topic in _COMMON:
            self._subscribe(topic)

    def _subscribe(self, topic: t_.Topic, callback: Any = lambda _: None) -> Any:
        from sim_perception.ros import qos

        package, _, name = topic.type.split('/')
        message_type = getattr(import_module(f'{package}.msg'), name)
        return self._node.create_subscription(
            message_type, topic.name, callback, qos.stream_qos(), raw=True
        )

    def _count(self, _: bytes) -> None:
        self._frames += 1

    def _spin(self, frames: int, deadline: float) -> None:
        """Receive until so many more frames have come."""
        goal, end = self._frames + frames, time.monotonic() + deadline
        while self._frames < goal:
            self._executor.spin_once(timeout_sec=0.5)
            if time.monotonic() > end:
                raise RuntimeError('the simulator node sends nothing; see its messages above')

    def measure(self, process: Any, topics: tuple[t_.Topic, ...], frames: int) -> float:
        """Return the node's CPU milliseconds per frame while these topics are subscribed to."""
        subscriptions = [self._subscribe(topic) for topic in topics]
        self._spin(_SETTLING if self._frames else 1, _START_DEADLINE)
        self._spin(_SETTLING, _START_DEADLINE)
        used = cpu_seconds(process)
        self._spin(frames, _PAUSE_DEADLINE * frames)
        used = cpu_seconds(process) - used
        for subscription in subscriptions:
            self._node.destroy_subscription(subscription)
        return 1e3 * used / frames

    def close(self) -> None:
        """Leave."""
        import rclpy

        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()
