"""Everything: a source of sensor data, the perception nodes, and on request viewers and a bag."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from sim_perception.ros import launch_arguments, launching

_TABLES = (
    launch_arguments.SIMULATOR_ARGUMENTS,
    launch_arguments.DEPTH_SEGMENTATION_ARGUMENTS,
    launch_arguments.TRANSPORT,
    launch_arguments.TRACKER_ARGUMENTS,
    launch_arguments.AUTO_LABELER_ARGUMENTS,
    launch_arguments.DETECTOR_3D_ARGUMENTS,
    launch_arguments.VIEWER_ARGUMENTS,
    launch_arguments.COMMON_ARGUMENTS,
)
_OPTIONAL = {'tracker': 'tracker', 'auto_labeler': 'auto_labeler', 'detector': 'detector_3d'}
"""Nodes by the argument that asks for them."""


def separate_processes(context: LaunchContext, simulated: bool, chosen: list[str]) -> list[Action]:
    """Start every node in its own process; the simulator begins when all others are ready."""
    managed = {'autostart': False}
    remappings = {
        'tracker': launch_arguments.tracker_remappings(),
        'auto_labeler': launch_arguments.auto_labeler_remappings(),
        'detector_3d': launch_arguments.detector_3d_remappings(),
    }
    values = launch_arguments.parameters_from(*_TABLES[1:])
    consumers = [
        launching.lifecycle_node(
            name,
            launching.node_parameters(context, [name], {**values, **managed}),
            remappings=remappings.get(name, []),
            on_exit=launching.stop_when_it_ends(name),
        )
        for name in ('depth_segmentation', *chosen)
    ]
    if not simulated:
        return launching.bring_up(consumers)
    values = launch_arguments.parameters_from(
        launch_arguments.SIMULATOR_ARGUMENTS, launch_arguments.FRAME_ARGUMENTS
    )
    source = launching.lifecycle_node(
        'simulator',
        launching.node_parameters(
            context, ['simulator'], {**values, **managed, 'exit_at_end': True}
        ),
        on_exit=launching.stop_when_it_ends('the simulation'),
    )
    return launching.bring_up(consumers, source=source)


def one_process(context: LaunchContext, simulated: bool, chosen: list[str]) -> list[Action]:
    """Start all nodes in one process."""
    nodes = ['depth_segmentation', *chosen, *(['simulator'] if simulated else [])]
    values = launch_arguments.parameters_from(*_TABLES)
    parameters = launching.node_parameters(context, nodes, {**values, 'exit_at_end': True})
    return [
        Node(
            package=launching.PACKAGE,
            executable='pipeline',
            namespace=LaunchConfiguration('namespace'),
            arguments=[
                *('--source', 'simulator' if simulated else 'none'),
                *(f'--{name.replace("_", "-")}' for name in chosen),
            ],
            parameters=parameters,
            remappings=[
                *launch_arguments.auto_labeler_remappings(),
                *launch_arguments.detector_3d_remappings(),
                *launch_arguments.tracker_remappings(),
            ],
            output='screen',
            on_exit=launching.stop_when_it_ends('the pipeline'),
        )
    ]


def start(context: LaunchContext) -> list[Action]:
    """Start what the arguments ask for."""
    simulated = LaunchConfiguration('source').perform(context) == 'simulator'
    container = IfCondition(LaunchConfiguration('container')).evaluate(context)
    bag = LaunchConfiguration('record').perform(context)
    chosen = [
        node
        for name, node in _OPTIONAL.items()
        if IfCondition(LaunchConfiguration(name)).evaluate(context)
    ]
    nodes = one_process if container else separate_processes
    values = launch_arguments.parameters_from(
        launch_arguments.VIEWER_ARGUMENTS,
        launch_arguments.TRANSPORT,
        launch_arguments.COMMON_ARGUMENTS,
    )
    return [
        *launching.viewer(context, values),
        *([launching.recorder(bag)] if bag else []),
        *nodes(context, simulated, chosen),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start everything."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            launch_arguments.argument(
                'source',
                'simulator',
                'where sensor data come from: this launch, or topics of others',
                choices=['simulator', 'live'],
            ),
            launch_arguments.argument(*launch_arguments.NAMESPACE),
            launch_arguments.argument(
                'tracker',
                'false',
                "track objects, too: a detector's, or with input:=network those in the images",
            ),
            launch_arguments.argument(
                'auto_labeler', 'false', "label a detector's cars in 3D with the LiDAR, too"
            ),
            launch_arguments.argument(
                'detector', 'false', 'detect cars in 3D with camera and LiDAR, too'
            ),
            *launch_arguments.declare(
                launch_arguments.TRACKER_TOPICS, launch_arguments.AUTO_LABELER_TOPICS, *_TABLES
            ),
            launch_arguments.argument(*launch_arguments.PARAMS_FILE),
            launch_arguments.argument('container', 'false', 'all nodes in one process'),
            launch_arguments.argument('record', '', 'folder of a new bag to record into'),
            launch_arguments.argument(*launch_arguments.VIEWER),
            launch_arguments.argument('rviz', 'false', 'show everything in rviz2'),
            OpaqueFunction(function=start),
            launching.rviz(
                IfCondition(LaunchConfiguration('rviz')), LaunchConfiguration('use_sim_time')
            ),
        ]
    )
