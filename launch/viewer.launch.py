"""The viewer alone: what sensors see and nodes say, beside a pipeline or a bag that runs."""

from launch import LaunchDescription

from sim_perception.ros import launch_arguments, launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'viewer',
            (
                launch_arguments.VIEWER_ARGUMENTS,
                launch_arguments.TRANSPORT,
                launch_arguments.COMMON_ARGUMENTS,
            ),
        )
    )
