"""What launch files can be asked: their arguments, and the parameters and topics these set.

An argument that is a node's parameter has that parameter's type and default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.parameter_descriptions import ParameterValue

from sim_perception.ros.parameters import NODES

Table = Mapping[str, tuple[type, str, str]]
"""Type, default and description by name."""

NAMESPACE = ('namespace', '', 'of all nodes and of the topics whose names have no leading slash')
PARAMS_FILE = ('params_file', '', 'YAML with node parameters; they win over the other arguments')


def argument(name: str, default: str, description: str, **kwargs: Any) -> DeclareLaunchArgument:
    """Return the declaration of a launch argument."""
    return DeclareLaunchArgument(name, default_value=default, description=description, **kwargs)


def of_node(node: str, **descriptions: str) -> Table:
    """Return the table of arguments that are parameters of a node.

    Args:
        node: whose parameters they are.
        descriptions: by name, in the words of a launch file that may start several nodes.
    """
    fields = {field.name: field for field in dataclasses.fields(NODES[node])}
    return {
        name: (type(fields[name].default), _text(fields[name].default), description)
        for name, description in descriptions.items()
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


SIMULATOR_ARGUMENTS = of_node(
    'simulator',
    scenario='name of a shipped scenario, or path of a YAML file',
    seed="seed of the scene; -1 keeps the scenario's own",
    duration="simulated seconds; 0 keeps the scenario's own",
    rate='simulated seconds per second; 0 is as fast as possible',
    loop='start again at the end',
)
DEVICE = of_node('depth_segmentation', device="of networks: 'auto', 'cpu', 'cuda', 'cuda:1'")
DEPTH_SEGMENTATION_ARGUMENTS: Table = {
    **of_node('depth_segmentation', checkpoint='checkpoint folder; empty is the shipped one'),
    **DEVICE,
}
TRACKER_ARGUMENTS = of_node(
    'tracker',
    input="of the tracker: 'detections_3d', 'detections_2d', or 'network', which takes the camera",
    network="the tracker's checkpoint folder; empty is the shipped one",
    ego_motion="where the sensor's motion comes from: 'tf', 'estimate', 'none'",
    occlusion="what hides objects: 'none', 'boxes', 'depth', 'lidar'",
    sensor_frame='frame of the sensor if detections come in another, such as odom',
)
TRACKER_TOPICS: Table = {
    'detections': (
        str, 'detections', "topic of a detector's Detection3DArray or Detection2DArray"
    ),
    'depth': (
        str, 'depth_segmentation/depth/image', "topic of depth images for occlusion 'depth'"
    ),
}  # fmt: skip
AUTO_LABELER_ARGUMENTS = of_node(
    'auto_labeler',
    mode="what labels rest on: 'lidar', 'mono' (the image) or 'fused'",
    time_budget='of the auto_labeler: seconds per frame for new objects',
    mirrors='labels as wide as the car with its mirrors',
    export_folder='where the service ~/export writes',
)
AUTO_LABELER_TOPICS: Table = {
    'image_boxes': (str, 'detections_2d', "topic of a detector's Detection2DArray to label from"),
}
DETECTOR_3D_ARGUMENTS = of_node(
    'detector_3d',
    points="what the detector_3d sees: 'lidar', or 'depth' of the camera",
    detector_checkpoint="the detector_3d's checkpoint folder; empty is the shipped",
)
VIEWER_ARGUMENTS = of_node(
    'viewer',
    show="where the viewer is: 'window', 'web' (a page on this machine) or 'auto'",
    save='write what the viewer would show to a .rrd file of this name instead',
    web_port="of the viewer's page",
)
VIEWER = ('viewer', 'false', 'show everything in the viewer (rerun), too')
TRANSPORT = of_node(
    'depth_segmentation', image_transport="'raw' or 'compressed': which camera topic to take"
)
FRAME_ARGUMENTS = of_node(
    'depth_segmentation',
    frame_prefix="goes before the names of this robot's frames: 'robot1/'",
)
COMMON_ARGUMENTS: Table = {
    **FRAME_ARGUMENTS,
    'use_sim_time': (bool, 'false', 'take the time from /clock'),
}


def declare(*tables: Table) -> list[DeclareLaunchArgument]:
    """Return the declarations of tables of name -> (type, default, description)."""
    return [
        argument(name, default, description)
        for table in tables
        for name, (_, default, description) in table.items()
    ]


def parameters_from(*tables: Table) -> dict[str, ParameterValue]:
    """Return the node parameters that have the values of launch arguments."""
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for table in tables
        for name, (value_type, _, _) in table.items()
    }


def tracker_remappings() -> list[tuple[str, LaunchConfiguration]]:
    """Return the remappings of the tracker's inputs to the values of ``TRACKER_TOPICS``."""
    detections = LaunchConfiguration('detections')
    return [
        ('detections', detections),
        ('detections_2d', detections),
        ('depth/image', LaunchConfiguration('depth')),
    ]


def auto_labeler_remappings() -> list[tuple[str, LaunchConfiguration]]:
    """Return the remappings of the auto_labeler's inputs, for it alone in a process."""
    return [('auto_labeler:detections_2d', LaunchConfiguration('image_boxes'))]


def detector_3d_remappings() -> list[tuple[str, LaunchConfiguration]]:
    """Return the remappings of the detector_3d's inputs, for it alone in a process."""
    return [('detector_3d:depth/image', LaunchConfiguration('depth'))]
