"""3D labels with shape from any detector's image boxes and a LiDAR."""

from launch import LaunchDescription

from sim_perception.ros import launch_arguments, launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'auto_labeler',
            (
                launch_arguments.AUTO_LABELER_ARGUMENTS,
                launch_arguments.DEVICE,
                launch_arguments.TRANSPORT,
                launch_arguments.COMMON_ARGUMENTS,
            ),
            launch_arguments.AUTO_LABELER_TOPICS,
            launch_arguments.auto_labeler_remappings(),
        )
    )
