"""Work that never returns: the diagnostics say so, the node changes state, signals end it."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import Header

from sim_perception.ros import qos
from sim_perception.ros.lifecycle import WorkerNode, run
from sim_perception.ros.parameter_fields import parameter

pytestmark = pytest.mark.ros


@dataclasses.dataclass(frozen=True)
class HangingParameters:
    autostart: bool = parameter(True, 'start')


class HangingNode(WorkerNode[HangingParameters]):
    """Echoes headers; one of frame 'hang' keeps it until it is released."""

    patience = 0.2

    def __init__(self, **options):
        super().__init__('hanging', HangingParameters, **options)
        self.release = threading.Event()

    def setup(self):
        self.output = qos.advertise(self, Header, '~/out', qos.output_qos())

    def teardown(self):
        self.destroy_lifecycle_publisher(self.output)

    def start(self):
        self.inbox_size = 10
        self.input = qos.subscribe(self, Header, 'in', self.submit, qos.every_frame_qos(10))
        super().start()

    def stop(self):
        self.destroy_subscription(self.input)
        super().stop()

    def process(self, item):
        if item.frame_id == 'hang':
            print('hanging', flush=True)
            self.release.wait()
        elif item.frame_id == 'spin':
            print('hanging', flush=True)
            while not self.release.is_set():
                pass
        self.output.publish(item)
        self.diagnostics.published(0.0, 0.0)


@pytest.fixture
def hanging(ros):
    node = ros.add(HangingNode(namespace='hanging'))
    yield node
    node.release.set()
    ros.remove(node)


def test_the_diagnostics_say_in_what_the_worker_hangs_and_it_can_be_left(ros, hanging):
    out = ros.collect(Header, '/hanging/hanging/out')
    log = ros.collect(Log, '/rosout')
    sender = ros.publisher(Header, '/hanging/in', qos.every_frame_qos(10))
    ros.matched(sender)
    ros.until(lambda: hanging._worker is not None, 'activation')
    assert hanging.diagnostics.status().level == DiagnosticStatus.OK
    for name in ('hang', 'waits', 'waits too'):
        sender.publish(Header(frame_id=name))
    told = re.compile(
        r'inference does not return: at one input since \d\d:\d\d:\d\d \(\d+ s\) in '
        r'wait \(threading\.py:\d+\), called by .* \(sim_perception/ros/lifecycle\.py:\d+\)'
    )
    ros.until(lambda: told.search(hanging.diagnostics.status().message), 'the diagnosis')
    assert hanging.diagnostics.status().level == DiagnosticStatus.ERROR
    log.wait(lambda m: 'does not return' in m.msg, 'the log')
    ros.until(lambda: hanging.diagnostics.total('dropped') == 0, 'nothing dropped yet')

    # The node can be switched off and on, and works again although the old thread hangs on.
    assert ros.call(hanging.trigger_deactivate) == TransitionCallbackReturn.SUCCESS
    assert hanging.is_stuck
    assert hanging.diagnostics.total('dropped') == 2
    log.wait(lambda m: 'left alone: inference does not return' in m.msg, 'the log')
    assert ros.call(hanging.trigger_activate) == TransitionCallbackReturn.SUCCESS
    ros.matched(sender)
    sender.publish(Header(frame_id='good'))
    out.wait(lambda m: m.frame_id == 'good', 'the next good message')
    hanging.release.set()
    ros.until(lambda: not hanging.is_stuck, 'the end of the old thread')
    assert hanging.diagnostics.status().level != DiagnosticStatus.ERROR


@pytest.mark.parametrize('frame', ['hang', 'spin'])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_process_whose_worker_hangs(frame, number):
    script = f"""
        from rclpy.node import Node
        from std_msgs.msg import Header
        from test_hanging_work import HangingNode, run

        class Sender(Node):
            def __init__(self):
                super().__init__('sender')
                self.out = self.create_publisher(Header, 'in', 10)
                self.create_timer(0.1, lambda: self.out.publish(Header(frame_id={frame!r})))

        raise SystemExit(run(HangingNode, Sender))
    """
    folders = [os.path.dirname(__file__), os.environ.get('PYTHONPATH', '')]
    process = subprocess.Popen(
        [sys.executable, '-c', textwrap.dedent(script)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, folders))},
    )  # fmt: skip
    try:
        assert process.stdout.readline() == 'hanging\n'
        begin = time.monotonic()
        for _ in range(2):  # as Ctrl-C does to children of ros2 launch
            process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert time.monotonic() - begin < 10
    assert 'ended without waiting' in errors
    assert 'terminate called' not in errors
    assert 'Traceback' not in errors


assert run  # for the script above
