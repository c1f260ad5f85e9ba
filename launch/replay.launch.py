"""Plays a bag and runs the perception nodes on it; playing begins when they are ready."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from sim_perception.ros import launch_arguments, launching, recordings

_TABLES = (
    launch_arguments.DEPTH_SEGMENTATION_ARGUMENTS,
    launch_arguments.VIEWER_ARGUMENTS,
    launch_arguments.FRAME_ARGUMENTS,
)


def start(context: LaunchContext) -> list[Action]:
    """Start the nodes, and the bag when they are active."""

    def text(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    bag, transport = recordings.playable(text('bag')), text('image_transport')
    if transport == 'auto':
        transport = recordings.image_transport_of(bag, text('namespace'))
    values = launch_arguments.parameters_from(*_TABLES)
    fixed = {'image_transport': transport, 'use_sim_time': True, 'autostart': False}
    parameters = launching.node_parameters(context, ['depth_segmentation'], {**values, **fixed})
    node = launching.lifecycle_node(
        'depth_segmentation',
        parameters,
        on_exit=launching.stop_when_it_ends('depth_segmentation'),
    )
    options = {name: text(name) for name in ('rate', 'start_offset', 'delay')}
    loop = IfCondition(LaunchConfiguration('loop')).evaluate(context)
    record = text('record')
    return [
        *launching.viewer(context, {**values, 'image_transport': transport, 'use_sim_time': True}),
        *([launching.recorder(record)] if record else []),
        *launching.bring_up([node], then=[launching.player(bag, options, loop=loop)]),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start everything."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            DeclareLaunchArgument('bag', description='folder of the bag'),
            launch_arguments.argument('rate', '1.0', 'speed relative to the recording'),
            launch_arguments.argument('loop', 'false', 'play again and again'),
            launch_arguments.argument('start_offset', '0.0', 'seconds of the bag to skip'),
            # Fast DDS often needs up to 3 s until a new publisher and its readers know each other.
            launch_arguments.argument(
                'delay', '3.0', 'seconds to wait before every playing of the bag'
            ),
            launch_arguments.argument(
                'image_transport',
                'auto',
                'which camera topic to take; auto takes what the bag has, raw first',
                choices=['auto', 'raw', 'compressed'],
            ),
            launch_arguments.argument(*launch_arguments.NAMESPACE),
            *launch_arguments.declare(*_TABLES),
            launch_arguments.argument(*launch_arguments.PARAMS_FILE),
            launch_arguments.argument('record', '', 'folder of a new bag to record into'),
            launch_arguments.argument(*launch_arguments.VIEWER),
            launch_arguments.argument('rviz', 'false', 'show everything in rviz2'),
            OpaqueFunction(function=start),
            launching.rviz(IfCondition(LaunchConfiguration('rviz')), True),
        ]
    )
