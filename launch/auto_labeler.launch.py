"""3D labels with shape from any detector's image boxes and a LiDAR."""

from launch import LaunchDescription

from sim_perception.ros import launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'auto_labeler',
            (
                launching.AUTO_LABELER_ARGUMENTS,
                launching.TRANSPORT,
                launching.COMMON_ARGUMENTS,
            ),
            launching.AUTO_LABELER_TOPICS,
            launching.auto_labeler_remappings(),
        )
    )
