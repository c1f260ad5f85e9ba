"""Depth and classes from the camera topics of a robot, a bag or a simulator."""

from launch import LaunchDescription

from sim_perception.ros import launch_arguments, launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'depth_segmentation',
            (
                launch_arguments.DEPTH_SEGMENTATION_ARGUMENTS,
                launch_arguments.TRANSPORT,
                launch_arguments.COMMON_ARGUMENTS,
            ),
        )
    )
