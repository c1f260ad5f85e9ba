"""3D boxes of cars from a camera and a LiDAR, or from depth images."""

from launch import LaunchDescription

from sim_perception.ros import launching


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        launching.single_node(
            'detector_3d',
            (
                launching.DETECTOR_3D_ARGUMENTS,
                launching.DEVICE,
                launching.TRANSPORT,
                launching.COMMON_ARGUMENTS,
            ),
            {'depth': launching.TRACKER_TOPICS['depth']},
            launching.detector_3d_remappings(),
        )
    )
