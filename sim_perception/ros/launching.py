"""What the launch files do: transport settings, node actions, start order, exit codes.

Written for the real ``launch`` and ``launch_ros``; only launch files import this module.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescriptionEntity
from launch.action import Action
from launch.actions import (
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import Parameter, ParameterValue
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

from sim_perception.resources import share_path
from sim_perception.ros.launch_arguments import (
    NAMESPACE,
    PARAMS_FILE,
    VIEWER,
    Table,
    argument,
    declare,
    parameters_from,
)
from sim_perception.viewer.sdk import INSTALL, is_installed

PACKAGE = 'sim_perception'
DRAIN_SECONDS = 2.0
"""How long consumers may still work on the last data when their source has ended."""

# Both halve latency and CPU together: messages of a megabyte are otherwise mapped and unmapped
# one by one.
_MALLOC = {'MALLOC_MMAP_THRESHOLD_': 32 * 2**20, 'MALLOC_TRIM_THRESHOLD_': 64 * 2**20}
# Fast DDS 2, of the older distros, reads another variable than Fast DDS 3, which warns of it.
_FAST_DDS_2_DISTROS = ('humble', 'iron', 'jazzy')
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')

# Topics that cost much to make or to store and that can be made again from the others.
HEAVY_TOPICS = (
    r'/ground_truth/(normals|flow|instance|object_states)$|/compressed$|/color$|/(markers|meshes)$'
    r'|/depth_segmentation/points$|/parameter_events$'
)


def transport_settings() -> list[Action]:
    """Return the actions that let images and clouds through; settings of the user stay.

    Fast DDS gets a shared-memory segment that holds large messages, malloc keeps their memory.
    """
    settings: dict[str, str] = {}
    if not any(name in os.environ for name in _PROFILE_VARIABLES):
        old = os.environ.get('ROS_DISTRO') in _FAST_DDS_2_DISTROS
        settings[_PROFILE_VARIABLES[old]] = str(share_path('config', 'fastdds.xml'))
    for name, value in _MALLOC.items():
        settings[name] = os.environ.get(name, str(value))
    return [SetEnvironmentVariable(name, value) for name, value in settings.items()]


def node_parameters(
    context: LaunchContext, nodes: Sequence[str], *values: Mapping[str, Any]
) -> list[Any]:
    """Return parameter files in rising order of rank: shipped ones, values, the user's.

    Args:
        context: with the launch configuration 'params_file', which may be empty.
        nodes: names of the nodes whose shipped files to take.
        values: parameters by name, later ones over earlier ones.

    Raises:
        FileNotFoundError: the user's file does not exist.
    """
    files = [str(share_path('config', f'{node}.param.yaml')) for node in nodes]
    chosen = LaunchConfiguration('params_file', default='').perform(context)
    if chosen and not Path(chosen).is_file():
        raise FileNotFoundError(f'params_file {chosen} does not exist')
    plain = {
        name: value.evaluate(context) if isinstance(value, ParameterValue) else value
        for table in values
        for name, value in table.items()
    }
    return [*files, _values_file(nodes, plain), *([chosen] if chosen else [])]


def _values_file(nodes: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return the path of a file with values for nodes; it goes when the launch ends.

    launch_ros would leave its own behind. It would also name the nodes in another way than the
    shipped files do, and rcl takes files by the order in which they first name a node: the
    user's file would lose.
    """
    content = {f'/**/{node}': {'ros__parameters': dict(values)} for node in nodes}
    number, path = tempfile.mkstemp('.param.yaml', f'{nodes[0]}_', _folder().name, text=True)
    with os.fdopen(number, 'w') as file:
        yaml.safe_dump(content, file)
    return path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=f'{PACKAGE}_launch_')


def lifecycle_node(name: str, parameters: list[Any], **kwargs: Any) -> LifecycleNode:
    """Return the action that starts one of this package's nodes."""
    return LifecycleNode(
        package=PACKAGE,
        executable=name,
        name=name,
        namespace=LaunchConfiguration(NAMESPACE[0]),
        parameters=parameters,
        output='screen',
        **kwargs,
    )


def single_node(
    name: str,
    parameters: Sequence[Table],
    topics: Table | None = None,
    remappings: Sequence[tuple[str, LaunchConfiguration]] = (),
) -> list[Action]:
    """Return the actions of a launch file that starts one node, which ends the launch with it.

    Args:
        name: of the node.
        parameters: tables of its arguments that are parameters.
        topics: table of its arguments that are topics.
        remappings: of its topics to their values.
    """

    def start(context: LaunchContext) -> list[Action]:
        values = parameters_from(*parameters)
        files_and_values = node_parameters(context, [name], values)
        ends = stop_when_it_ends(name)
        return [lifecycle_node(name, files_and_values, remappings=remappings, on_exit=ends)]

    return [
        *transport_settings(),
        argument(*NAMESPACE),
        *declare(topics or {}, *parameters),
        argument(*PARAMS_FILE),
        OpaqueFunction(function=start),
    ]


def rviz(condition: Any, use_sim_time: Any) -> Node:
    """Return the action that starts rviz2 with this package's display settings."""
    config = PathJoinSubstitution([FindPackageShare(PACKAGE), 'config', 'rviz', 'pipeline.rviz'])
    return Node(
        package='rviz2',
        executable='rviz2',
        namespace=LaunchConfiguration(NAMESPACE[0]),
        arguments=['-d', config, '-f', [LaunchConfiguration('frame_prefix'), 'base_link']],
        parameters=[Parameter('use_sim_time', use_sim_time, value_type=bool)],
        condition=condition,
    )


def viewer(context: LaunchContext, values: Mapping[str, Any]) -> list[Action]:
    """Return the action that starts the viewer if its argument asks for it.

    It has a process of its own, whatever the others have, so that drawing holds nobody up, and
    the others go on when it ends.

    Args:
        context: with the launch configuration 'viewer'.
        values: parameters by name.

    Raises:
        RuntimeError: if it is not installed.
    """
    if not IfCondition(LaunchConfiguration(VIEWER[0])).evaluate(context):
        return []
    if not is_installed():
        raise RuntimeError(
            f'viewer:=true needs rerun, which is not installed; install it with: {INSTALL}'
        )
    return [lifecycle_node('viewer', node_parameters(context, ['viewer'], values))]


def recorder(bag: str, *, topics: Sequence[str] = (), exclude: str = HEAVY_TOPICS) -> Action:
    """Return the action that records topics, by default all but those excluded, into a bag."""
    chosen = ['--topics', *topics] if topics else ['--all-topics', '--exclude-regex', exclude]
    return ExecuteProcess(
        cmd=['ros2', 'bag', 'record', '--storage', 'mcap', '--output', bag, *chosen],
        output='screen',
        on_exit=stop_when_it_ends('recording'),
    )


def player(bag: str, options: Mapping[str, str], *, loop: bool) -> Action:
    """Return the action that plays a bag with its clock; the launch ends with it."""
    return ExecuteProcess(
        cmd=['ros2', 'bag', 'play', bag, *play_options(options, loop=loop)],
        output='screen',
        on_exit=stop_when_it_ends('playing the bag'),
    )


def play_options(options: Mapping[str, str], *, loop: bool) -> list[str]:
    """Return the words after ``ros2 bag play BAG``; a `delay` of 0 is left out.

    rosbag2 refuses the option with that value.
    """
    words = ['--clock', '--qos-profile-overrides-path', str(share_path('config', 'bag_qos.yaml'))]
    for name, value in options.items():
        if name != 'delay' or value.strip('0.'):
            words += [f'--{name.replace("_", "-")}', value]
    return [*words, *(['--loop'] if loop else [])]


def stop_when_it_ends(
    what: str,
) -> Callable[[ProcessExited, LaunchContext], list[LaunchDescriptionEntity] | None]:
    """Return an `on_exit` that ends the launch: cleanly, or with exit code 1 after a failure."""

    def on_exit(
        event: ProcessExited, context: LaunchContext
    ) -> list[LaunchDescriptionEntity] | None:
        if context.is_shutdown:
            return None
        if event.returncode != 0:
            # An exception is what makes `ros2 launch` return a failure.
            raise RuntimeError(f'{what} failed with exit code {event.returncode}; see its output')
        return [TimerAction(period=DRAIN_SECONDS, actions=[Shutdown(reason=f'{what} has ended')])]

    return on_exit


def change_state(node: LifecycleNode, transition: int) -> EmitEvent:
    """Return the action that asks a node for a transition."""
    matcher = matches_action(node)
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matcher, transition_id=transition))


def on_transition(
    node: LifecycleNode, start: str, goal: str, actions: list[Action]
) -> RegisterEventHandler:
    """Return the action that runs others when a node has gone from one state to another."""
    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state=start,
            goal_state=goal,
            entities=actions,
            handle_once=True,
        )
    )


def bring_up(
    consumers: Sequence[LifecycleNode],
    *,
    source: LifecycleNode | None = None,
    then: Sequence[Action] = (),
) -> list[Action]:
    """Return the actions that start nodes together and activate them in order.

    All nodes, started without `autostart`, are configured at the same time. Consumers are
    activated as soon as they are configured; the source when all of them are active, so that
    they miss nothing; `then` runs at the very end. A node that cannot be configured ends the
    launch as failed.
    """
    nodes = [*consumers, *([source] if source is not None else [])]
    missing = {id(node) for node in nodes}
    activate = Transition.TRANSITION_ACTIVATE
    last = [change_state(source, activate)] if source is not None else list(then)

    def ready(_context: LaunchContext, node: LifecycleNode) -> list[Action] | None:
        missing.discard(id(node))
        return None if missing else last

    def fail(_context: LaunchContext, node: LifecycleNode) -> None:
        raise RuntimeError(f'{node.node_name} could not be configured; see its message above')

    actions: list[Action] = []
    for node in consumers:
        is_ready = OpaqueFunction(function=ready, args=[node])
        actions.append(
            on_transition(node, 'configuring', 'inactive', [change_state(node, activate)])
        )
        actions.append(on_transition(node, 'activating', 'active', [is_ready]))
    if source is not None:
        is_ready = OpaqueFunction(function=ready, args=[source])
        actions.append(on_transition(source, 'configuring', 'inactive', [is_ready]))
        actions.append(on_transition(source, 'activating', 'active', list(then)))
    for node in nodes:
        failed = OpaqueFunction(function=fail, args=[node])
        actions.append(on_transition(node, 'configuring', 'unconfigured', [failed]))
    configure = Transition.TRANSITION_CONFIGURE
    return [*actions, *nodes, *(change_state(node, configure) for node in nodes)]
