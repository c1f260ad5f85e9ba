"""3D labels with shape from any detector's image boxes and a LiDAR."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import OpaqueFunction

from sim_perception.ros import launching


def start(context: LaunchContext) -> list[Action]:
    """Start the node with the arguments' values."""
    values = launching.parameters_from(
        launching.AUTO_LABELER_ARGUMENTS, launching.COMMON_ARGUMENTS
    )
    return [
        launching.lifecycle_node(
            'auto_labeler',
            launching.node_parameters(context, ['auto_labeler'], values),
            remappings=launching.auto_labeler_remappings(),
            on_exit=launching.stop_when_it_ends('auto_labeler'),
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            *launching.declare(
                launching.AUTO_LABELER_TOPICS,
                launching.AUTO_LABELER_ARGUMENTS,
                launching.COMMON_ARGUMENTS,
            ),
            launching.argument(*launching.PARAMS_FILE),
            OpaqueFunction(function=start),
        ]
    )
