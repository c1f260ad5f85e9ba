"""The ``simulator`` node: a scenario as live camera, LiDAR, transforms, clock and truth.

One thread renders ahead, the other publishes each moment when it is due. Topics cost nothing
while nobody subscribes to them.

Examples:
  ros2 launch sim_perception simulator.launch.py scenario:=training_city
  ros2 run sim_perception simulator --ros-args -p scenario:=demo -p seed:=3 -p loop:=true
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from importlib import import_module
from typing import Any

from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.serialization import deserialize_message
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from sim_perception.bags import topics as t_
from sim_perception.bags.messages import START_STAMP
from sim_perception.bags.rig_topics import rig_topics, sensor_topics
from sim_perception.bags.simulated import simulation_messages, static_messages
from sim_perception.ros import qos
from sim_perception.ros.diagnostics import describe_error
from sim_perception.ros.lifecycle import ManagedNode, node_main
from sim_perception.ros.markers import box_markers
from sim_perception.ros.parameters import SimulatorParameters
from sim_perception.ros.schedule import schedule
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy

NAME = 'simulator'
MARKERS = 'ground_truth/markers'
_PROFILES = {
    t_.QosHint.SENSOR: qos.output_qos,
    t_.QosHint.RELIABLE: qos.stream_qos,
    t_.QosHint.LATCHED: qos.latched_qos,
}
_GLOBAL = (t_.TF, t_.TF_STATIC, t_.CLOCK)  # these keep their names in any namespace
_LIGHT = {t_.TF.name, t_.CLOCK.name}  # sent even when a frame is skipped
_RENDERED_AHEAD = 2  # frames
_TOLERATED_DELAY = 0.5  # frames
_SKIPS_TO_WARN = 10  # the first frames may take longer
_QUEUE_SIZE = 16  # moments


class SimulatorNode(ManagedNode[SimulatorParameters]):
    """Publishes a simulation in real time, faster, slower, or as fast as it can."""

    work_name = 'rendering'
    preparation = 'compiling the renderer (half a minute the first time, then a few seconds)'

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, SimulatorParameters, **options)
        self._simulation: Simulation | None = None
        self._outputs: dict[str, Any] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._usual = 0.0  # seconds that rendering a frame takes

    def prepare(self, parameters: SimulatorParameters) -> Simulation:
        """Build the scene and render once, so that everything is compiled."""
        p = parameters
        overrides: dict[str, Any] = {
            'duration_s': p.duration,
            'camera.width': p.width,
            'camera.height': p.height,
        }
        scenario = load_scenario(
            p.scenario,
            seed=None if p.seed < 0 else p.seed,
            **{key: value for key, value in overrides.items() if value},
        )
        simulation = Simulation(scenario, threads=p.threads or None)
        simulation.warm_up()
        return simulation

    def setup(self) -> None:
        """Advertise."""
        self._simulation = self.prepared
        self._taxonomy = load_taxonomy()
        assert self._simulation is not None
        scenario = self._simulation.scenario
        sensors = sensor_topics(scenario)
        self._infos = {s.own[t_.CAMERA_INFO].name for s in sensors if t_.CAMERA_INFO in s.own}
        self._periods: dict[float, set[str]] = {}
        for sensor in sensors:
            self._periods.setdefault(sensor.stream.period, set()).update(sensor.names)
        for topic in rig_topics(scenario).values():
            package, _, name = topic.type.split('/')
            message_type = getattr(import_module(f'{package}.msg'), name)
            published = topic.name if topic in _GLOBAL else topic.name.lstrip('/')
            self._outputs[topic.name] = qos.advertise(
                self, message_type, published, _PROFILES[topic.qos]()
            )
        self._outputs[MARKERS] = qos.advertise(self, MarkerArray, MARKERS, qos.output_qos())

    def teardown(self) -> None:
        """Free the scene and the publishers."""
        self._simulation = None
        for publisher in self._outputs.values():
            self.destroy_lifecycle_publisher(publisher)
        self._outputs.clear()

    def start(self) -> None:
        """Start to render and to publish."""
        assert self._simulation is not None
        self._stopping.clear()
        # In real time `_render` waits by the clock; without it the queue's size holds it back.
        frames: queue.Queue[Any] = queue.Queue(0 if self.parameters.rate else _QUEUE_SIZE)
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, frames), daemon=True)
            for work in (self._render, self._publish)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads."""
        self._stopping.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                self.wait_for(thread)
        self._threads.clear()

    def _guarded(self, work: Any, frames: queue.Queue[Any]) -> None:
        try:
            work(frames)
        # The border of the process: report what failed; the node can be activated again.
        except Exception as error:
            self.report(f'simulation stopped: {describe_error(error)}')
            self._stopping.set()

    def _wanted(self, topics: frozenset[str]) -> set[str]:
        """Return those of the topics that someone subscribes to."""
        wanted = {name for name in topics if qos.is_wanted(self._outputs[name])}
        if t_.OBJECTS.name in topics and qos.is_wanted(self._outputs[MARKERS]):
            wanted.add(t_.OBJECTS.name)
        return wanted

    def _render(self, frames: queue.Queue[Any]) -> None:
        """Make the messages of every run of the scenario."""
        assert self._simulation is not None
        p = self.parameters
        while not self._stopping.is_set():
            ahead = self._ahead(self._simulation.frame_period / p.rate) if p.rate else 0.0
            begin = time.monotonic() + ahead
            start = time.time_ns() + round(ahead * 1e9) if p.stamps == 'wall' else START_STAMP
            for message in static_messages(
                self._simulation, set(self._outputs), start, p.frame_prefix
            ):
                self._outputs[message.topic].publish(bytes(message.data))
            if not self._render_run(self._simulation, frames, begin, start):
                return
            if not self.parameters.loop:
                self._hand_over(frames, None)
                return

    def _render_run(
        self, simulation: Simulation, frames: queue.Queue[Any], begin: float, start: int
    ) -> bool:
        """Make the messages of one run; False if the node was stopped meanwhile.

        In real time, a frame that would not be ready when it is due is skipped, as a camera
        gives fewer frames rather than late ones.
        """
        p = self.parameters
        period = simulation.frame_period / (p.rate or 1.0)  # in real seconds
        quick = _LIGHT | self._infos  # need no rendering
        for moment in schedule(simulation.scenario.duration_s, self._periods, p.clock_rate):
            due = begin + moment.time * 1e-9 / p.rate if p.rate else 0.0
            wanted = self._wanted(moment.topics)
            if p.rate:
                begin_at = due - self._ahead(period)
                if self._stopping.wait(max(0.0, begin_at - time.monotonic())):
                    return False
                late = time.monotonic() + self._usual - due
                if wanted - quick and late > _TOLERATED_DELAY * period:
                    self._skip()
                    wanted &= _LIGHT
            clock = time.perf_counter()
            messages = list(
                simulation_messages(
                    *(simulation, moment.time * 1e-9, wanted, start),
                    *(self.parameters.jpeg_quality, p.frame_prefix),
                )
            )
            made = time.perf_counter() - clock
            if wanted - quick:
                # Quick to forget: the first frame may have compiled something.
                self._usual += 0.5 * (made - self._usual)
            if not self._hand_over(frames, (due, messages, made if wanted - quick else None)):
                return False
        return True

    def _ahead(self, period: float) -> float:
        """Return how many real seconds before a frame is due to begin with it."""
        return max(_RENDERED_AHEAD * period, 2 * self._usual)

    def _skip(self) -> None:
        self.diagnostics.dropped()
        if self.diagnostics.total('dropped') >= _SKIPS_TO_WARN:
            self.get_logger().warning(
                f'frames are skipped: rendering takes {self._usual * 1e3:.0f} ms; choose a '
                'smaller image, more threads, a lower rate, or rate 0',
                throttle_duration_sec=30.0,
            )

    def _hand_over(self, frames: queue.Queue[Any], item: Any) -> bool:
        """Wait for room in the queue; False if the node is stopped meanwhile."""
        while not self._stopping.is_set():
            try:
                frames.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _publish(self, frames: queue.Queue[Any]) -> None:
        """Publish every moment when it is due."""
        while not self._stopping.is_set():
            try:
                item = frames.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is None:
                self._finish()
                return
            due, messages, made = item
            if due and self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            for message in messages:
                data = bytes(message.data)
                self._outputs[message.topic].publish(data)
                if message.topic == t_.OBJECTS.name and qos.is_wanted(self._outputs[MARKERS]):
                    objects = deserialize_message(data, Detection3DArray)
                    self._outputs[MARKERS].publish(box_markers(objects, self._taxonomy))
            if made is not None:
                late = max(0.0, time.monotonic() - due) if due else 0.0
                self.diagnostics.published(late, made)

    def _finish(self) -> None:
        self.finish()
        self.get_logger().info('the scenario is over')
        if self.parameters.exit_at_end:
            for publisher in self._outputs.values():
                publisher.wait_for_all_acked(Duration(seconds=1))
            if self.executor is not None:
                self.executor.create_task(_end_process)


def _end_process() -> None:
    # Raised on the executor's thread: shutting ROS down from another one would race with it.
    raise ExternalShutdownException


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return node_main(SimulatorNode, __doc__, SimulatorParameters, arguments)


if __name__ == '__main__':
    sys.exit(main())
