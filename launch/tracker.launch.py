"""Identities for the objects of any detector: detections in, tracks out."""

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration

from sim_perception.ros import launching


def start(context: LaunchContext) -> list[Action]:
    """Start the node with the arguments' values."""
    values = launching.parameters_from(launching.TRACKER_ARGUMENTS, launching.COMMON_ARGUMENTS)
    topic = LaunchConfiguration('detections')
    return [
        launching.lifecycle_node(
            'tracker',
            launching.node_parameters(context, ['tracker'], values),
            remappings=[
                ('detections', topic),
                ('detections_2d', topic),
                ('depth/image', LaunchConfiguration('depth')),
            ],
            on_exit=launching.stop_when_it_ends('tracker'),
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    return LaunchDescription(
        [
            *launching.transport_settings(),
            launching.argument(
                'detections', 'detections', 'topic of the detector: a Detection3DArray or 2DArray'
            ),
            launching.argument(
                'depth', 'depth_segmentation/depth/image', 'topic of depth images for occlusion'
            ),
            *launching.declare(launching.TRACKER_ARGUMENTS, launching.COMMON_ARGUMENTS),
            launching.argument(*launching.PARAMS_FILE),
            OpaqueFunction(function=start),
        ]
    )
