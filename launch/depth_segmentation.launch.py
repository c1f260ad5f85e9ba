"""Depth and classes from the camera topics of a robot, a bag or a simulator."""

from launch import LaunchDescription

from sim_perception.ros import launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'depth_segmentation',
            (
                launching.DEPTH_SEGMENTATION_ARGUMENTS,
                launching.TRANSPORT,
                launching.COMMON_ARGUMENTS,
            ),
        )
    )
