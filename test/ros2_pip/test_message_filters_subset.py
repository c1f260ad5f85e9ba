"""Synchronisers and cache, fed by hand."""

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import message_filters
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import String


def image(seconds, name=''):
    message = Image()
    message.header.stamp = Time(nanoseconds=round(seconds * 1e9)).to_msg()
    message.header.frame_id = name
    return message


def names(messages):
    return [m.header.frame_id for m in messages]


def test_exact_synchroniser_matches_equal_stamps_in_any_order():
    left, right = message_filters.SimpleFilter(), message_filters.SimpleFilter()
    sync = message_filters.TimeSynchronizer([left, right], 3)
    sets = []
    sync.registerCallback(lambda *messages: sets.append(names(messages)))
    left.signalMessage(image(1, 'l1'))
    left.signalMessage(image(2, 'l2'))
    right.signalMessage(image(2, 'r2'))
    right.signalMessage(image(1.5, 'r1.5'))
    right.signalMessage(image(1, 'r1'))
    assert sets == [['l2', 'r2'], ['l1', 'r1']]


def test_exact_synchroniser_drops_the_oldest_beyond_its_queue():
    left, right = message_filters.SimpleFilter(), message_filters.SimpleFilter()
    sync = message_filters.TimeSynchronizer([left, right], 2)
    sets = []
    sync.registerCallback(lambda *messages: sets.append(names(messages)))
    for second in (1, 2, 3):
        left.signalMessage(image(second, f'l{second}'))
    right.signalMessage(image(1, 'r1'))
    right.signalMessage(image(3, 'r3'))
    assert sets == [['l3', 'r3']]


def test_approximate_synchroniser_takes_the_nearest_within_the_slop():
    left, right = message_filters.SimpleFilter(), message_filters.SimpleFilter()
    sync = message_filters.ApproximateTimeSynchronizer([left, right], 5, 0.1)
    sets = []
    sync.registerCallback(lambda *messages: sets.append(names(messages)))
    left.signalMessage(image(1.0, 'a'))
    left.signalMessage(image(1.06, 'b'))
    right.signalMessage(image(1.07, 'c'))
    right.signalMessage(image(2.0, 'd'))
    right.signalMessage(image(1.05, 'e'))
    assert sets == [['b', 'c'], ['a', 'e']]


def test_cache_answers_by_time_and_refuses_headerless_messages():
    source = message_filters.SimpleFilter()
    cache = message_filters.Cache(source, cache_size=3)
    for second in (1, 2, 3, 4):
        source.signalMessage(image(second, str(second)))
    source.signalMessage(String(data='no header'))
    clock = cache.getOldestTime().clock_type

    def second(seconds):
        return Time(nanoseconds=round(seconds * 1e9), clock_type=clock)

    assert cache.getOldestTime().nanoseconds == 2_000_000_000
    assert names(cache.getInterval(second(2.5), second(4))) == ['3', '4']
    assert cache.getElemAfterTime(second(2.5)).header.frame_id == '3'
    assert cache.getElemBeforeTime(second(2.5)).header.frame_id == '2'
    assert cache.getElemAfterTime(second(9)) is None
    assert cache.getLast().header.frame_id == '4'
