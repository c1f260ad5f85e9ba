"""Identities for objects: any detector's boxes, or a camera's images, in; tracks out."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import OpaqueFunction

from sim_perception.ros import launching

_TABLES = (
    launching.TRACKER_ARGUMENTS,
    launching.DEVICE,
    launching.TRANSPORT,
    launching.COMMON_ARGUMENTS,
)


def start(context: LaunchContext) -> list[Action]:
    """Start the node with the arguments' values."""
    values = launching.parameters_from(*_TABLES)
    return [
        launching.lifecycle_node(
            'tracker',
            launching.node_parameters(context, ['tracker'], values),
            remappings=launching.tracker_remappings(),
            on_exit=launching.stop_when_it_ends('tracker'),
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            *launching.declare(launching.TRACKER_TOPICS, *_TABLES),
            launching.argument(*launching.PARAMS_FILE),
            OpaqueFunction(function=start),
        ]
    )
