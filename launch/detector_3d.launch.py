"""3D boxes of cars from a camera and a LiDAR, or from depth images."""

from launch import LaunchDescription

from sim_perception.ros import launch_arguments, launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'detector_3d',
            (
                launch_arguments.DETECTOR_3D_ARGUMENTS,
                launch_arguments.DEVICE,
                launch_arguments.TRANSPORT,
                launch_arguments.COMMON_ARGUMENTS,
            ),
            {'depth': launch_arguments.TRACKER_TOPICS['depth']},
            launch_arguments.detector_3d_remappings(),
        )
    )
