"""What ends a spinning rclpy node by default must not end ours: bad values, races, errors."""

import dataclasses
import re

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import Log, ParameterValue
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rclpy.time import Time as RosTime
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage

from sim_perception.ros import qos
from sim_perception.ros.executor import NodeExecutor
from sim_perception.ros.lifecycle import WorkerNode
from sim_perception.ros.parameter_fields import parameter
from sim_perception.ros.stamps import StampGuard, StrayStamps
from sim_perception.ros.sync import Synchronizer, SyncSettings
from sim_perception.ros.tf import TransformLookup

pytestmark = pytest.mark.ros
FAR = 2**31 - 1  # seconds; the end of what a stamp can hold


@dataclasses.dataclass(frozen=True)
class FragileParameters:
    autostart: bool = parameter(True, 'start')
    number: int = parameter(3, 'any')


class FragileNode(WorkerNode[FragileParameters]):
    """Echoes headers; its callbacks raise when they are told to."""

    def __init__(self, **options):
        super().__init__('fragile', FragileParameters, **options)
        self.ticks = 0
        self.create_timer(0.02, self.on_tick)
        self.create_service(Trigger, '~/raise', self.on_request)
        self.create_service(SetBool, '~/good', self.on_good)

    def setup(self):
        self.output = qos.advertise(self, Header, '~/out', qos.output_qos())

    def teardown(self):
        self.destroy_lifecycle_publisher(self.output)

    def start(self):
        self.transforms = TransformLookup(self, timeout=0.0)
        profile = qos.every_frame_qos(20)
        self.input = qos.subscribe(self, Header, 'in', self.on_input, profile)
        self.inbox_size = 100
        super().start()

    def stop(self):
        self.destroy_subscription(self.input)
        self.transforms.close()
        super().stop()

    def on_input(self, message):
        if message.frame_id == 'raise':
            raise KeyError('told to')
        self.submit(message)

    def on_tick(self):
        self.ticks += 1
        if self.ticks % 5 == 0:
            raise RuntimeError('tick')

    def on_request(self, request, response):
        raise LookupError('nothing there')

    def on_good(self, request, response):
        response.success = request.data
        return response

    def process(self, item):
        self.stamps.jumped(item.stamp.sec * 10**9)
        self.output.publish(item)


class Fragile:
    def __init__(self, ros):
        self.ros, self.second = ros, 1000
        self.node = ros.add(FragileNode(namespace='survival'))
        self.log = ros.collect(Log, '/rosout')
        self.out = ros.collect(Header, '/survival/fragile/out')
        self.input = ros.publisher(Header, '/survival/in', qos.every_frame_qos(20))
        self.tf = ros.publisher(TFMessage, '/tf', qos.stream_qos())
        self.static = ros.publisher(TFMessage, '/tf_static', qos.latched_qos())
        for publisher in (self.input, self.tf, self.static):
            ros.matched(publisher)
        self.expect_good()

    def expect_good(self):
        """The next good message is answered."""
        self.second += 1
        wanted = f'good {self.second}'

        def sent():
            self.input.publish(Header(stamp=Time(sec=self.second), frame_id=wanted))
            return any(m.frame_id == wanted for m in self.out.messages)

        self.ros.until(sent, wanted)

    def expect_log(self, pattern):
        return self.log.wait(lambda m: re.search(pattern, m.msg), pattern).msg

    def ask(self, service_type, name, request):
        client = self.ros.call(lambda: self.ros.node.create_client(service_type, name))
        self.ros.until(client.service_is_ready, name)
        future = self.ros.call(lambda: client.call_async(request))
        self.ros.until(future.done, f'an answer of {name}')
        return future.result()

    def move(self, *links):
        """Send one message with transforms (child, second)."""
        self.tf.publish(TFMessage(transforms=[transform(child, at) for child, at in links]))

    def knows(self, child, second):
        time = RosTime(seconds=second)
        return self.node.transforms.buffer.can_transform('odom', child, time)


def transform(child, second, parent='odom'):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, Time(sec=second)
    message.transform.rotation.w = 1.0
    return message


@pytest.fixture(scope='module')
def fragile(ros):
    fragile = Fragile(ros)
    yield fragile
    ros.remove(fragile.node)


def test_a_raising_callback_is_named_and_the_next_message_is_answered(fragile):
    fragile.input.publish(Header(frame_id='raise'))
    fragile.expect_log(r"a message on /survival/in could not be used: KeyError: 'told to'")
    fragile.expect_good()


def test_a_raising_timer_goes_on(fragile):
    ticks = fragile.node.ticks
    fragile.ros.until(lambda: fragile.node.ticks > ticks + 11, 'ticks')
    fragile.expect_log('a timer could not be used: RuntimeError: tick')


def test_a_raising_service_answers_with_the_reason(fragile):
    answer = fragile.ask(Trigger, '/survival/fragile/raise', Trigger.Request())
    assert not answer.success
    assert answer.message == 'LookupError: nothing there'
    assert fragile.ask(SetBool, '/survival/fragile/good', SetBool.Request(data=True)).success


@pytest.mark.parametrize('kind', [SetParameters, SetParametersAtomically])
def test_a_parameter_of_no_known_type_is_refused(fragile, kind):
    strange = ParameterMessage(name='number', value=ParameterValue(type=77))
    service = re.sub('(?<=[a-z])(?=[A-Z])', '_', kind.__name__).lower()
    answer = fragile.ask(kind, f'/survival/fragile/{service}', kind.Request(parameters=[strange]))
    results = answer.results if kind is SetParameters else [answer.result]
    assert [result.successful for result in results] == [False]
    assert '77' in results[0].reason
    fragile.expect_good()


@pytest.mark.parametrize('keep', [0, 3, 4, 9, 15, 17, -2])
def test_data_that_cannot_be_read_leave_the_subscription_alive(fragile, keep):
    whole = serialize_message(Header(stamp=Time(sec=5), frame_id='cut short'))
    fragile.input.publish(whole[:keep])
    fragile.expect_good()


def test_a_failure_to_read_does_not_silence_the_node(fragile, monkeypatch):
    """rclpy marks an entity and its group as busy before it reads, and only it frees them."""
    executor, failed = fragile.ros.executor, []
    read = executor._take_subscription

    def fail_once(subscription):
        if subscription.topic_name == '/survival/in' and not failed:
            failed.append(True)
            raise ValueError('no such character')
        return read(subscription)

    monkeypatch.setattr(executor, '_take_subscription', fail_once)
    fragile.expect_good()
    assert failed
    fragile.expect_log('a message on /survival/in could not be used: no such character')


def test_one_bad_transform_costs_no_other(fragile):
    bad = transform('wheel', -5)
    nan = transform('door', 50)
    nan.transform.translation.x = float('nan')
    unnamed = transform('', 50)
    good = [transform('arm', 50), transform('arm', 52)]
    fragile.tf.publish(TFMessage(transforms=[bad, nan, unnamed, *good]))
    fragile.ros.until(lambda: fragile.knows('arm', 51), 'the good transforms')
    fragile.expect_log(r"from 'odom' to 'wheel' not used: data with a stamp of -5 seconds")
    assert not fragile.knows('wheel', 0)
    fragile.static.publish(TFMessage(transforms=[transform('', 0), transform('mast', -7)]))
    fragile.ros.until(lambda: fragile.knows('mast', 51), 'the static transform')
    fragile.expect_good()


def test_one_transform_far_ahead_does_not_block_its_frame(fragile):
    fragile.move(('base', 100), ('base', 101))
    fragile.move(('base', FAR))
    fragile.move(('base', 102))
    fragile.move(('base', 103))
    fragile.ros.until(lambda: fragile.knows('base', 102), 'transforms after the stray one')
    fragile.expect_log('is far ahead of the last, 101.000 s')


@pytest.mark.parametrize('ahead', [60, FAR - 300])
def test_a_transform_ahead_that_was_believed_does_not_block_its_frame(fragile, ahead):
    child = f'lift_{ahead}'
    fragile.move((child, 300 + ahead))
    for second in range(200, 206):
        fragile.move((child, second))
    fragile.ros.until(lambda: fragile.knows(child, 204), 'transforms after the wrong one')


def test_transforms_follow_a_lasting_jump_ahead(fragile):
    fragile.move(('cart', 300), ('cart', 301))
    fragile.move(('cart', 9000))
    fragile.move(('cart', 9001))
    fragile.move(('cart', 9002))
    fragile.ros.until(lambda: fragile.knows('cart', 9001.5), 'transforms after the jump')


def test_a_negative_clock_is_survived(ros):
    simulated = Parameter('use_sim_time', value=True)
    node = ros.add(FragileNode(namespace='clockwork', parameter_overrides=[simulated]))
    clock = ros.publisher(Clock, '/clock')
    log = ros.collect(Log, '/rosout')
    try:
        ros.matched(clock)
        clock.publish(Clock(clock=Time(sec=-3)))
        log.wait(lambda m: 'a message on /clock could not be used' in m.msg, 'the report')
        clock.publish(Clock(clock=Time(sec=40)))
        ros.until(lambda: node.get_clock().now().nanoseconds == 40 * 10**9, 'the clock')
    finally:
        ros.remove(node)


def test_a_stamp_that_no_clock_has_does_not_reach_the_synchroniser():
    sets = []
    sync = Synchronizer(2, sets.append, SyncSettings())
    with pytest.raises(ValueError, match='a stamp of -1 seconds and 0 nanoseconds; set header'):
        sync.put(0, TransformStamped(header=Header(stamp=Time(sec=-1))))
    for index in (0, 1):
        sync.put(index, TransformStamped(header=Header(stamp=Time(sec=7))))
    assert len(sets) == 1


def test_one_stamp_far_ahead_counts_for_nothing_and_a_second_is_a_jump():
    guard, hour = StampGuard(jump_threshold=1.0), 3600 * 10**9
    assert not guard.jumped(hour)
    with pytest.raises(ValueError, match='from the future'):
        guard.jumped(FAR * 10**9)
    assert not guard.jumped(hour + 1)
    for stamp in (10 * hour, 9 * hour):
        with pytest.raises(ValueError, match='from the future'):
            guard.jumped(stamp)
    assert not guard.jumped(10 * hour)
    assert guard.jumped(2 * hour), 'the way back is a jump, as ever'


def test_a_pause_of_the_source_is_no_stray_stamp():
    now = [0.0]
    strays = StrayStamps(10.0, clock=lambda: now[0])
    assert not strays.is_stray(10**9)
    now[0] = 500.0
    assert not strays.is_stray(505 * 10**9)
    assert strays.is_stray(530 * 10**9)
    assert not strays.is_stray(506 * 10**9)


def test_an_executor_survives_what_is_destroyed_while_it_waits(ros):
    from rclpy.impl.implementation_singleton import rclpy_implementation

    executor = NodeExecutor()
    failures = [rclpy_implementation.InvalidHandle('destruction was requested'), OSError('odd')]

    class Torn:
        def __init__(self, error):
            self.error = error

        def __next__(self):
            raise self.error

    try:
        done = []
        executor.create_task(lambda: done.append(True))
        for failure in failures:
            executor._cb_iter = Torn(failure)
            executor._last_args, executor._last_kwargs = (0.0, None), {}
            executor.spin_once(0.0)
        executor.spin_once(0.0)
        executor.spin_once(0.0)
        assert done == [True]
    finally:
        executor.shutdown()
