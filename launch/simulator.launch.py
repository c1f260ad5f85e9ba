"""The simulator alone: camera, LiDAR, transforms, clock and ground truth of a scenario."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import OpaqueFunction

from sim_perception.ros import launch_arguments, launching

_TABLES = (launch_arguments.SIMULATOR_ARGUMENTS, launch_arguments.FRAME_ARGUMENTS)


def start(context: LaunchContext) -> list[Action]:
    """Start the node with the arguments' values."""
    values = launch_arguments.parameters_from(*_TABLES)
    parameters = launching.node_parameters(context, ['simulator'], {**values, 'exit_at_end': True})
    on_exit = launching.stop_when_it_ends('the simulation')
    return [launching.lifecycle_node('simulator', parameters, on_exit=on_exit)]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            launch_arguments.argument(*launch_arguments.NAMESPACE),
            *launch_arguments.declare(*_TABLES),
            launch_arguments.argument(*launch_arguments.PARAMS_FILE),
            OpaqueFunction(function=start),
        ]
    )
