"""Messages as bytes: what rosbags reads and writes is what rclpy does."""

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import (
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

from sim_perception.ros.wire import Packed, from_wire, to_wire


def message(count=3):
    header = Header(stamp=Time(sec=7, nanosec=8), frame_id='камера')
    results = [ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id='car', score=0.5))]
    results[0].pose.covariance[7] = 3.0
    found = [Detection3D(header=header, id=f'id {n}', results=results) for n in range(count)]
    return Detection3DArray(header=header, detections=found)


@pytest.mark.parametrize('count', [0, 1, 50])
def test_both_ways_agree_with_rclpy(count):
    data = serialize_message(message(count))
    read = from_wire(data, Detection3DArray)
    assert [one.id for one in read.detections] == [f'id {n}' for n in range(count)]
    back = deserialize_message(to_wire(read), Detection3DArray)
    assert back == message(count)


def test_a_header_is_read_alone():
    packed = Packed(serialize_message(message()), Detection3DArray)
    assert packed.header == message().header
    assert len(packed.unpack().detections) == 3


@pytest.mark.parametrize('length', [0, 3, 8, 15, 40, 100, 400])
def test_bytes_that_are_cut_short_are_told(length):
    data = serialize_message(message())[:length]
    with pytest.raises(ValueError, match=f'{length} bytes are no .*Detection3DArray'):
        Packed(data, Detection3DArray).unpack()


def test_bytes_of_another_message_are_told():
    with pytest.raises(ValueError, match='of another version'):
        from_wire(serialize_message(message(50)), Detection2DArray)
