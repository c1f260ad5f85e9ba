"""Identities for objects: any detector's boxes, or a camera's images, in; tracks out."""

from launch import LaunchDescription

from sim_perception.ros import launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'tracker',
            (
                launching.TRACKER_ARGUMENTS,
                launching.DEVICE,
                launching.TRANSPORT,
                launching.COMMON_ARGUMENTS,
            ),
            launching.TRACKER_TOPICS,
            launching.tracker_remappings(),
        )
    )
