"""3D boxes of cars from a camera and a LiDAR, or from depth images."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import OpaqueFunction

from sim_perception.ros import launching

_TABLES = (
    launching.DETECTOR_3D_ARGUMENTS,
    launching.DEVICE,
    launching.TRANSPORT,
    launching.COMMON_ARGUMENTS,
)


def start(context: LaunchContext) -> list[Action]:
    """Start the node with the arguments' values."""
    values = launching.parameters_from(*_TABLES)
    return [
        launching.lifecycle_node(
            'detector_3d',
            launching.node_parameters(context, ['detector_3d'], values),
            remappings=launching.detector_3d_remappings(),
            on_exit=launching.stop_when_it_ends('detector_3d'),
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            launching.argument('depth', *launching.TRACKER_TOPICS['depth'][1:]),
            *launching.declare(*_TABLES),
            launching.argument(*launching.PARAMS_FILE),
            OpaqueFunction(function=start),
        ]
    )
