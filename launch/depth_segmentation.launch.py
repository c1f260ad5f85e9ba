"""Depth and classes from the camera topics of a robot, a bag or a simulator."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import OpaqueFunction

from sim_perception.ros import launching


def start(context: LaunchContext) -> list[Action]:
    """Start the node with the arguments' values."""
    values = launching.parameters_from(
        launching.DEPTH_SEGMENTATION_ARGUMENTS, launching.TRANSPORT, launching.COMMON_ARGUMENTS
    )
    parameters = launching.node_parameters(context, ['depth_segmentation'], values)
    on_exit = launching.stop_when_it_ends('depth_segmentation')
    return [launching.lifecycle_node('depth_segmentation', parameters, on_exit=on_exit)]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            *launching.declare(
                launching.DEPTH_SEGMENTATION_ARGUMENTS,
                launching.TRANSPORT,
                launching.COMMON_ARGUMENTS,
            ),
            launching.argument(*launching.PARAMS_FILE),
            OpaqueFunction(function=start),
        ]
    )
