"""A lifecycle node with parameters that publishes counters, a latched text and other things."""

import contextlib

import rclpy
from geometry_msgs.msg import PointStamped
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String, UInt8MultiArray
from std_msgs.msg import UInt32 as Counter
from vision_msgs.msg import Detection3D

RATE = 20.0


def main():
    rclpy.init()
    node = LifecycleNode('talker', namespace='demo')
    loudness = FloatingPointRange(from_value=0.0, to_value=11.0)
    about = ParameterDescriptor(description='how loud', floating_point_range=[loudness])
    node.declare_parameter('gain', 1.5, about)
    node.declare_parameter('names', ['a', 'b'])
    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    counter = node.create_publisher(Counter, '/count', 100)
    array = node.create_publisher(UInt8MultiArray, '/array', best_effort)
    detection = node.create_publisher(Detection3D, '/detection', 10)
    stamped = node.create_publisher(PointStamped, '/stamped', 10)
    latch = node.create_publisher(String, '/latched', latched)
    latch.publish(String(data='for late listeners'))
    message = Counter()

    def tick():
        counter.publish(message)
        message.data += 1
        array.publish(UInt8MultiArray(data=bytes(range(200))))
        detection.publish(Detection3D(id='7'))
        old = PointStamped()
        old.header.stamp = (node.get_clock().now() - Duration(seconds=2.0)).to_msg()
        stamped.publish(old)

    node.create_timer(1 / RATE, tick)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    rclpy.try_shutdown()


main()
