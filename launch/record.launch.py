"""Records topics into a new bag until it is interrupted."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from sim_perception.ros import launch_arguments, launching


def start(context: LaunchContext) -> list[Action]:
    """Start to record what the arguments name."""

    def text(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    return [
        launching.recorder(text('bag'), topics=text('topics').split(), exclude=text('exclude'))
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start to record."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            DeclareLaunchArgument('bag', description='folder of the new bag'),
            launch_arguments.argument(
                'topics', '', 'topics to record, separated by spaces; all if empty'
            ),
            launch_arguments.argument(
                'exclude', launching.HEAVY_TOPICS, 'regular expression of topics to leave out'
            ),
            OpaqueFunction(function=start),
        ]
    )
