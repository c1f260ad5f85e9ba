"""Identities for objects: any detector's boxes, or a camera's images, in; tracks out."""

from launch import LaunchDescription

from sim_perception.ros import launch_arguments, launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'tracker',
            (
                launch_arguments.TRACKER_ARGUMENTS,
                launch_arguments.DEVICE,
                launch_arguments.TRANSPORT,
                launch_arguments.COMMON_ARGUMENTS,
            ),
            launch_arguments.TRACKER_TOPICS,
            launch_arguments.tracker_remappings(),
        )
    )
