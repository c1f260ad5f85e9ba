"""The launch's own ROS node, made when an action first needs it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from launch.event_handlers import OnShutdown
from launch.launch_context import LaunchContext

if TYPE_CHECKING:
    from rclpy.node import Node


class ROSAdapter:
    """A node that spins in a thread until shutdown."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        self.__context = rclpy.Context()
        rclpy.init(args=[], context=self.__context, signal_handler_options=SignalHandlerOptions.NO)
        self.ros_node: Node = rclpy.create_node(
            f'launch_ros_{os.getpid()}', context=self.__context
        )
        self.__executor = SingleThreadedExecutor(context=self.__context)
        self.__executor.add_node(self.ros_node)
        self.__running = True
        self.__thread = threading.Thread(target=self.__spin, name='launch_ros')
        self.__thread.start()

    def __spin(self) -> None:
        while self.__running:
            self.__executor.spin_once(timeout_sec=0.2)

    def shutdown(self) -> None:
        """Stop spinning and remove the node."""
        import rclpy

        if self.__running:
            self.__running = False
            self.__thread.join()
            self.__executor.shutdown()
            self.ros_node.destroy_node()
            rclpy.shutdown(context=self.__context)


def get_ros_adapter(context: LaunchContext) -> ROSAdapter:
    """Return the launch's adapter; it ends with the launch."""
    known = context.get_locals_as_dict().get('ros_adapter')
    if known is not None:
        return known
    adapter = ROSAdapter()
    context.extend_globals({'ros_adapter': adapter})
    context.register_event_handler(
        OnShutdown(on_shutdown=lambda event, context: adapter.shutdown())
    )
    return adapter


def get_ros_node(context: LaunchContext) -> Node:
    """Return the launch's node."""
    return get_ros_adapter(context).ros_node
