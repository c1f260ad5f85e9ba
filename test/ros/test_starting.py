"""Nodes while they start, and while they are started and stopped without rest."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import ListParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from sim_perception.ros import qos
from sim_perception.ros.lifecycle import WorkerNode
from sim_perception.ros.parameter_fields import parameter
from sim_perception.ros.tf import TransformLookup

pytestmark = pytest.mark.ros
ROUNDS = 200
ENTITIES = ('create_publisher', 'create_subscription', 'create_service', 'create_timer')
ENDS = tuple(name.replace('create', 'destroy') for name in ENTITIES)


@dataclasses.dataclass(frozen=True)
class BusyParameters:
    autostart: bool = parameter(True, 'start')
    number: int = parameter(1, 'any')


class BusyNode(WorkerNode[BusyParameters]):
    """Has one of every kind of entity; prepares until it is told that it may go on."""

    preparation = 'thinking (as long as it takes)'

    def __init__(self, may_start=None, **options):
        self.may_start = may_start
        self.preparer = None
        super().__init__('busy', BusyParameters, **options)

    def prepare(self, parameters):
        self.preparer = threading.get_ident()
        if self.may_start is not None and not self.may_start.wait(60):
            raise TimeoutError('nobody said that it may go on')
        if parameters.number == 13:
            raise ValueError('thirteen is not prepared')
        return parameters.number

    def setup(self):
        self.output = qos.advertise(self, Header, '~/out', qos.output_qos())
        self.service = self.create_service(Trigger, '~/ask', lambda _, response: response)

    def teardown(self):
        if self.prepared is not None:
            self.destroy_lifecycle_publisher(self.output)
            self.destroy_service(self.service)

    def start(self):
        self.transforms = TransformLookup(self, timeout=0.0)
        self.input = qos.subscribe(
            self, Header, 'in', self.submit, qos.sensor_qos(), self.diagnostics.lost
        )
        super().start()

    def stop(self):
        self.destroy_subscription(self.input)
        self.transforms.close()
        super().stop()

    def process(self, item):
        self.output.publish(item)


def ask(ros, service_type, name, request):
    client = ros.call(lambda: ros.node.create_client(service_type, name))
    ros.until(client.service_is_ready, name)
    future = ros.call(lambda: client.call_async(request))
    ros.until(future.done, f'an answer of {name}')
    return future.result()


def change(transition):
    return ChangeState.Request(transition=Transition(id=transition))


def test_a_node_that_prepares_answers_and_says_what_it_does(ros):
    may_start = threading.Event()
    log = ros.collect(Log, '/rosout')
    status = ros.collect(DiagnosticArray, '/diagnostics')
    node = ros.add(BusyNode(may_start, namespace='slow'))
    try:
        log.wait(lambda m: m.msg == 'thinking (as long as it takes) ...', 'the log')
        state = ask(ros, GetState, '/slow/busy/get_state', GetState.Request()).current_state
        assert state.id == State.TRANSITION_STATE_CONFIGURING
        request = ListParameters.Request()
        names = ask(ros, ListParameters, '/slow/busy/list_parameters', request).result.names
        assert 'number' in names
        status.wait(
            lambda m: m.status[0].message == 'configuring: thinking (as long as it takes)',
            'the diagnostics',
        )
        for transition in (
            Transition.TRANSITION_CONFIGURE,
            Transition.TRANSITION_ON_CONFIGURE_SUCCESS,
        ):
            assert not ask(ros, ChangeState, '/slow/busy/change_state', change(transition)).success
        assert node.diagnostics.state.startswith('configuring')
        may_start.set()
        ros.until(lambda: node.diagnostics.state == 'active', 'activation')
        assert node.prepared == 1
        assert node.preparer != ros.call(threading.get_ident), 'the executor was blocked'
        log.wait(lambda m: m.msg.startswith('prepared in '), 'how long it took')
    finally:
        may_start.set()
        ros.remove(node)


def test_what_preparing_raises_is_the_reason_of_the_failure(ros):
    from rclpy.parameter import Parameter

    log = ros.collect(Log, '/rosout')
    overrides = [Parameter('number', value=13), Parameter('autostart', value=False)]
    node = ros.add(BusyNode(namespace='unlucky', parameter_overrides=overrides))
    try:
        request = change(Transition.TRANSITION_CONFIGURE)
        assert not ask(ros, ChangeState, '/unlucky/busy/change_state', request).success
        log.wait(lambda m: 'cannot configure: thirteen is not prepared' in m.msg, 'the reason')
        state = ask(ros, GetState, '/unlucky/busy/get_state', GetState.Request()).current_state
        assert state.label == 'unconfigured'
        assert node.diagnostics.state == 'unconfigured'
        assert node.set_parameters([Parameter('number', value=5)])[0].successful
        assert ask(ros, ChangeState, '/unlucky/busy/change_state', request).success
        assert node.prepared == 5
    finally:
        ros.remove(node)


def test_nodes_that_prepare_at_the_same_time_all_start(ros):
    events = [threading.Event() for _ in range(3)]
    nodes = [ros.add(BusyNode(e, namespace=f'many{n}')) for n, e in enumerate(events)]
    try:
        ros.until(lambda: all(node.preparer for node in nodes), 'all of them at it')
        for event in events:
            event.set()
        ros.until(lambda: all(n.diagnostics.state == 'active' for n in nodes), 'activation')
    finally:
        for event in events:
            event.set()
        for node in nodes:
            ros.remove(node)


def test_the_executor_outlives_200_rounds_of_starting_and_stopping(ros, monkeypatch):
    """Entities come and go on the executor's thread alone, while data arrive on all topics."""
    threads = set()
    for name in (*ENTITIES, *ENDS):
        original = getattr(Node, name)

        def noted(node, *words, _original=original, **options):
            if node.get_name() == 'busy':
                threads.add(threading.get_ident())
            return _original(node, *words, **options)

        monkeypatch.setattr(Node, name, noted)
    node = ros.call(lambda: BusyNode(namespace='restless'))
    ros.add(node)
    sending, quiet = True, threading.Event()
    publishers = [ros.publisher(Header, f'/restless/{name}', 10) for name in ('in', 'other')]

    def send():
        while sending:
            for publisher in publishers:
                publisher.publish(Header(frame_id='data'))
            quiet.wait(0.0005)

    senders = [threading.Thread(target=send) for _ in range(2)]
    try:
        ros.until(lambda: node.diagnostics.state == 'active', 'activation')
        for sender in senders:
            sender.start()

        def round_trip():
            for step in ('deactivate', 'cleanup', 'configure', 'activate'):
                result = getattr(node, f'trigger_{step}')()
                assert result == TransitionCallbackReturn.SUCCESS, step

        for _ in range(ROUNDS):
            ros.call(round_trip)
        out = ros.collect(Header, '/restless/busy/out')
        out.wait(what='data after all of it')
        assert threads == {ros.call(threading.get_ident)}
    finally:
        sending = False
        for sender in senders:
            sender.join(10)
        ros.remove(node)


BUSY = """
import dataclasses, sys
import torch
from sim_perception.ros.lifecycle import WorkerNode, run
from sim_perception.ros.parameter_fields import parameter

torch.set_num_threads(1)

@dataclasses.dataclass(frozen=True)
class Parameters:
    autostart: bool = parameter(True, 'start')

def work(native):
    print('at work', flush=True)
    values = torch.ones(400, 400)
    while True:
        if native:
            values = values @ values / 400
        else:
            sum(range(1000))

class Busy(WorkerNode[Parameters]):
    def prepare(self, parameters):
        if sys.argv[1] != 'inference':
            work(native=sys.argv[1] == 'native')

    def start(self):
        super().start()
        self.submit(None)

    def process(self, item):
        work(native=True)

sys.exit(run(lambda: Busy('busy', Parameters)))
"""


def processor_seconds(pid):
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


@pytest.mark.parametrize(
    ('what', 'number'),
    [
        ('python', signal.SIGINT),
        ('native', signal.SIGINT),
        ('inference', signal.SIGINT),
        ('inference', signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_busy_node_within_two_seconds_of_processor_time(what, number):
    """While it prepares, in Python or without the lock, and while it works."""
    process = subprocess.Popen(
        [sys.executable, '-c', BUSY, what],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == 'at work\n', process.stderr.read()
        before = processor_seconds(process.pid)
        process.send_signal(number)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        used = processor_seconds(process.pid) - before
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert 'Traceback' not in errors
    assert 'terminate called' not in errors
    assert '[ERROR]' not in errors, 'nothing is wrong'
    assert used <= 2.0


INTERRUPTED = """
import dataclasses, os, signal, sys
from sim_perception.ros.lifecycle import WorkerNode, run
from sim_perception.ros.parameter_fields import parameter

@dataclasses.dataclass(frozen=True)
class Parameters:
    autostart: bool = parameter(True, 'start')

class Signalled(WorkerNode[Parameters]):
    def start(self):
        super().start()
        self.timer = self.create_timer(0.01, self.tick)

    def tick(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        sum(range(1000))
        print('came to its end', flush=True)

sys.exit(run(lambda: Signalled('signalled', Parameters)))
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_callback_that_runs_come_to_its_end(number):
    """Torn in the middle, it may leave rclpy's objects half made, and their end tells so."""
    words = [sys.executable, '-c', INTERRUPTED, str(int(number))]
    process = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    assert process.stdout == 'came to its end\n'
    assert 'Traceback' not in process.stderr
