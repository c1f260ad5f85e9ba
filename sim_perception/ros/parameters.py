"""Node parameters: one dataclass per node is the only place for defaults, ranges and docs.

The dataclass declares the ROS parameters with descriptors, validates them, writes
``config/<node>.param.yaml`` and fills the README's table:

    python -m sim_perception.ros.parameters              print the tables
    python -m sim_perception.ros.parameters --write DIR  write the YAML files
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

if TYPE_CHECKING:
    from rclpy.node import Node

T = TypeVar('T')
_TYPE_NAMES = {
    bool: 'bool', int: 'integer', float: 'double', str: 'string', tuple: 'string array',
}  # fmt: skip


class ParameterError(ValueError):
    """A parameter with a value that cannot be used; names the parameter and what is allowed."""


def parameter(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Return a dataclass field for one parameter.

    Args:
        default: a bool, int, float, str or tuple of str; its type is the parameter's.
        description: one sentence, with the unit.
        low, high: allowed range of a number, ends included; give both or none.
        choices: allowed values of a string.
    """
    metadata = {'description': description, 'low': low, 'high': high, 'choices': tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class SimulatorParameters:
    """Parameters of the ``simulator`` node."""

    autostart: bool = parameter(True, 'configure and activate without a lifecycle manager')
    scenario: str = parameter(
        'target', 'name of a scenario in config/scenarios, or the path of a YAML file'
    )
    seed: int = parameter(
        -1, "seed of the scene; -1 keeps the scenario's own", low=-1, high=2**32 - 1
    )
    duration: float = parameter(
        0.0, "simulated seconds; 0 keeps the scenario's own", low=0.0, high=600.0
    )
    width: int = parameter(0, "image width; 0 keeps the scenario's own", low=0, high=8192)
    height: int = parameter(0, "image height; 0 keeps the scenario's own", low=0, high=8192)
    rate: float = parameter(
        1.0,
        'simulated seconds per second; frames that would be late are skipped; '
        '0 is as fast as possible and skips none',
        low=0.0,
        high=100.0,
    )
    loop: bool = parameter(False, 'start again at the end')
    exit_at_end: bool = parameter(False, 'end the process at the end')
    stamps: str = parameter(
        'wall',
        "'wall': stamps start at the computer's time; 'fixed': at the same time in every run, "
        'for repeatable data (consumers then need use_sim_time)',
        choices=('wall', 'fixed'),
    )
    clock_rate: float = parameter(
        50.0, 'rate of /clock and of the pose on /tf in simulated Hz', low=1.0, high=1000.0
    )
    jpeg_quality: int = parameter(95, 'of camera/image_raw/compressed', low=1, high=100)
    threads: int = parameter(0, 'CPU threads for rendering; 0 is one per core', low=0, high=256)


@dataclasses.dataclass(frozen=True)
class DepthSegmentationParameters:
    """Parameters of the ``depth_segmentation`` node."""

    autostart: bool = parameter(True, 'configure and activate without a lifecycle manager')
    checkpoint: str = parameter('', 'checkpoint folder; empty is the one that is shipped')
    device: str = parameter('auto', "'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1'")
    backend: str = parameter(
        'torch',
        "what runs the network; 'onnxruntime' needs a checkpoint with model.onnx",
        choices=('torch', 'onnxruntime'),
    )
    precision: str = parameter(
        'auto', 'number type of the network', choices=('auto', 'float32', 'bfloat16', 'float16')
    )
    threads: int = parameter(
        0, "CPU threads of the network; 0 keeps PyTorch's choice", low=0, high=256
    )
    image_transport: str = parameter(
        'raw',
        "'raw' takes camera/image_raw, 'compressed' takes camera/image_raw/compressed",
        choices=('raw', 'compressed'),
    )
    points_stride: int = parameter(
        2, 'every n-th pixel and row becomes a point of ~/points', low=1, high=64
    )
    points_max_depth: float = parameter(
        60.0, 'points farther than this are left out, metres', low=1.0, high=1000.0
    )
    odometry: bool = parameter(
        False,
        'publish ~/odometry even while nobody subscribes; needs a checkpoint with an ego-motion '
        "head and the backend 'torch'",
    )
    jump_threshold: float = parameter(
        1.0,
        'stamps that go back by more than this start afresh, by less are dropped, seconds',
        low=0.0,
        high=3600.0,
    )
    input_timeout: float = parameter(
        3.0, 'seconds without data after which diagnostics warn', low=0.1, high=3600.0
    )


@dataclasses.dataclass(frozen=True)
class TrackerParameters:
    """Parameters of the ``tracker`` node."""

    autostart: bool = parameter(True, 'configure and activate without a lifecycle manager')
    input: str = parameter(
        'detections_3d',
        "'detections_3d' takes vision_msgs/Detection3DArray on detections, 'detections_2d' takes "
        "vision_msgs/Detection2DArray on detections_2d, 'network' takes camera images and finds "
        'the objects itself, hidden ones too',
        choices=('detections_3d', 'detections_2d', 'network'),
    )
    network: str = parameter(
        '', "checkpoint folder for input 'network'; empty is the shipped models/permanence"
    )
    device: str = parameter(
        'auto', "device of the network: 'auto' (CUDA where there is one), 'cpu', 'cuda', 'cuda:1'"
    )
    precision: str = parameter(
        'auto', 'number type of the network', choices=('auto', 'float32', 'bfloat16', 'float16')
    )
    threads: int = parameter(
        0, "CPU threads of the network; 0 keeps PyTorch's choice", low=0, high=256
    )
    image_transport: str = parameter(
        'raw',
        "images of input 'network': 'raw' takes camera/image_raw, 'compressed' takes "
        'camera/image_raw/compressed',
        choices=('raw', 'compressed'),
    )
    cameras: tuple[str, ...] = parameter(
        ('camera',),
        'names of the cameras: their topics are NAME/image_raw and NAME/camera_info and, of '
        'several, NAME/detections and NAME/depth/image; all see one world of tracks',
    )
    ego_motion: str = parameter(
        'tf',
        "where the sensor's motion comes from: 'tf' looks it up at the stamp of the data, "
        "'estimate' finds it from the detections, 'none' is a sensor that stands still",
        choices=('tf', 'estimate', 'none'),
    )
    occlusion: str = parameter(
        'none',
        "what tells hidden from vanished objects: 'boxes' of other objects in the image of "
        "camera/camera_info (always for input 'network'), 'depth' of depth/image in the same "
        "camera, 'lidar' of lidar/points",
        choices=('none', 'boxes', 'depth', 'lidar'),
    )
    occlusion_slop: float = parameter(
        0.15,
        'depth or points whose stamps differ by more from those of the detections are not used, '
        'seconds',
        low=0.0,
        high=10.0,
    )
    tracking_frame: str = parameter(
        'odom', "frame that does not move with the sensor; with ego_motion 'tf' tracks are in it"
    )
    sensor_frame: str = parameter(
        '',
        'frame of the sensor that saw the detections, if they come in another frame such as odom; '
        'empty is their own',
    )
    class_map: str = parameter(
        'person=pedestrian, bicycle=cyclist, motorcycle=cyclist, bus=truck, van=car',
        "classes of the detector by the taxonomy's names, 'theirs=ours, ...'; names that are "
        'equal need no entry',
    )
    min_score: float = parameter(0.1, 'weaker detections are not used', low=0.0, high=1.0)
    min_visibility: float = parameter(
        0.2,
        "detections with a hypothesis 'visibility' below it are not used: the simulator's truth "
        'has hidden objects, too',
        low=0.0,
        high=1.0,
    )
    spawn_score: float = parameter(
        -1.0,
        "detections from this score on start a track; -1 keeps the input's own",
        low=-1.0,
        high=1.0,
    )
    report_score: float = parameter(
        -1.0,
        "confirmed tracks are published from this mean score on; -1 keeps the input's own",
        low=-1.0,
        high=1.0,
    )
    confirm_hits: int = parameter(
        -1,
        'detections that confirm a track; one of very high score is shown at once; -1 keeps the '
        "input's own",
        low=-1,
        high=100,
    )
    max_gap: float = parameter(
        10.0, 'a longer silence drops all tracks, seconds', low=0.1, high=3600.0
    )
    queue_size: int = parameter(
        10,
        'frames of detections that may wait; of more, the oldest are dropped and counted',
        low=1,
        high=1000,
    )
    tf_timeout: float = parameter(
        0.1, 'longest wait for the transform of a frame, seconds', low=0.0, high=10.0
    )
    jump_threshold: float = parameter(
        1.0,
        'stamps that go back by more than this start afresh, by less are dropped, seconds',
        low=0.0,
        high=3600.0,
    )
    input_timeout: float = parameter(
        3.0, 'seconds without data after which diagnostics warn', low=0.1, high=3600.0
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, 'cameras', tuple(self.cameras))


@dataclasses.dataclass(frozen=True)
class AutoLabelerParameters:
    """Parameters of the ``auto_labeler`` node."""

    autostart: bool = parameter(True, 'configure and activate without a lifecycle manager')
    shape_checkpoint: str = parameter(
        '', 'checkpoint folder of the shape space; empty is the shipped models/shape_car'
    )
    mode: str = parameter(
        'lidar',
        'what labels rest on: lidar, boxes and points; mono, boxes and the image alone; fused, '
        'all of them',
        choices=('lidar', 'mono', 'fused'),
    )
    coordinates_checkpoint: str = parameter(
        '',
        'checkpoint folder of the coordinates network for mono and fused; empty is the shipped '
        'models/surface_coordinates',
    )
    depth_checkpoint: str = parameter(
        '',
        'checkpoint folder of depth and classes for mono; empty is the shipped '
        'models/depth_segmentation',
    )
    image_transport: str = parameter(
        'raw', 'which image topic mono and fused take', choices=('raw', 'compressed')
    )
    class_map: str = parameter(
        'van=car',
        "classes of the detector by the taxonomy's names, 'theirs=ours, ...'; names that are "
        'equal need no entry',
    )
    min_score: float = parameter(0.3, 'weaker detections are not labelled', low=0.0, high=1.0)
    min_visibility: float = parameter(
        0.3,
        "detections with a hypothesis 'visibility' below it are not labelled",
        low=0.0,
        high=1.0,
    )
    time_budget: float = parameter(
        0.2,
        'seconds per frame after which no further object is begun, the largest come first',
        low=0.001,
        high=60.0,
    )
    mirrors: bool = parameter(False, 'boxes as wide as the car with its mirrors')
    level_frame: str = parameter(
        'base_link', 'frame with z up that moves with the robot; labels are in it'
    )
    fixed_frame: str = parameter(
        'odom',
        "frame that stands still, for removing the robot's motion from scans with a column "
        "'time' and for exports; empty removes none",
    )
    sync_slop: float = parameter(
        0.06,
        'detections and points whose stamps differ by more do not belong together, seconds',
        low=0.0,
        high=1.0,
    )
    export_folder: str = parameter(
        'auto_labels', 'where the service ~/export writes; a folder per call is made in it'
    )
    keep_frames: int = parameter(
        600, 'the newest labelled frames that are kept for ~/export', low=1, high=100000
    )
    tf_timeout: float = parameter(
        0.1, 'longest wait for the transform of a frame, seconds', low=0.0, high=10.0
    )
    jump_threshold: float = parameter(
        1.0,
        'stamps that go back by more than this start afresh, by less are dropped, seconds',
        low=0.0,
        high=3600.0,
    )
    input_timeout: float = parameter(
        3.0, 'seconds without data after which diagnostics warn', low=0.1, high=3600.0
    )


@dataclasses.dataclass(frozen=True)
class Detector3dParameters:
    """Parameters of the ``detector_3d`` node."""

    autostart: bool = parameter(True, 'configure and activate without a lifecycle manager')
    points: str = parameter(
        'lidar',
        "what shows where things are: 'lidar' takes lidar/points, 'depth' takes depth/image of "
        'the same camera, measured or predicted',
        choices=('lidar', 'depth'),
    )
    detector_checkpoint: str = parameter(
        '',
        'checkpoint folder; empty is the shipped models/detector3d, or models/detector3d_camera '
        "for points 'depth'",
    )
    device: str = parameter('auto', "'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1'")
    threads: int = parameter(
        0, "CPU threads of the network; 0 keeps PyTorch's choice", low=0, high=256
    )
    image_transport: str = parameter(
        'raw',
        "'raw' takes camera/image_raw, 'compressed' takes camera/image_raw/compressed, 'none' "
        'does without images: only camera/camera_info is needed',
        choices=('raw', 'compressed', 'none'),
    )
    min_score: float = parameter(0.3, 'weaker detections are left out', low=0.0, high=1.0)
    level_frame: str = parameter(
        'base_link', 'frame with z up that moves with the robot; detections are in it'
    )
    fixed_frame: str = parameter(
        'odom',
        "frame that stands still, for removing the robot's motion from scans with a column "
        "'time'; empty removes none",
    )
    sync_slop: float = parameter(
        0.06,
        'images and points whose stamps differ by more do not belong together, seconds',
        low=0.0,
        high=1.0,
    )
    tf_timeout: float = parameter(
        0.1, 'longest wait for the transform of a frame, seconds', low=0.0, high=10.0
    )
    jump_threshold: float = parameter(
        1.0,
        'stamps that go back by more than this start afresh, by less are dropped, seconds',
        low=0.0,
        high=3600.0,
    )
    input_timeout: float = parameter(
        3.0, 'seconds without data after which diagnostics warn', low=0.1, high=3600.0
    )


#: The parameters of every node, by the node's default name.
NODES: dict[str, type] = {
    'simulator': SimulatorParameters,
    'depth_segmentation': DepthSegmentationParameters,
    'tracker': TrackerParameters,
    'auto_labeler': AutoLabelerParameters,
    'detector_3d': Detector3dParameters,
}


def check(name: str, value: Any, field: dataclasses.Field[Any]) -> Any:
    """Return a value as its field's type; an integer is a valid double.

    Raises:
        ParameterError: for a wrong type, a value out of range or not among the choices.
    """
    wanted = type(field.default)
    if wanted is float and type(value) is int:
        value = float(value)
    fits = type(value) is wanted
    if wanted is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        fits = all(isinstance(entry, str) for entry in value)
        value = tuple(value)
    if not fits:
        raise ParameterError(
            f'parameter {name} must be of type {_TYPE_NAMES[wanted]}, got {value!r} '
            f'({_TYPE_NAMES.get(type(value), type(value).__name__)})'
        )
    low, high, choices = (field.metadata[key] for key in ('low', 'high', 'choices'))
    if low is not None and not low <= value <= high:
        raise ParameterError(f'parameter {name} must lie within {low} and {high}, got {value}')
    if choices and value not in choices:
        raise ParameterError(
            f'parameter {name} must be one of {", ".join(choices)}; got {value!r}'
        )
    return value


def _descriptor(field: dataclasses.Field[Any]) -> Any:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    low, high, choices = (field.metadata[key] for key in ('low', 'high', 'choices'))
    descriptor = ParameterDescriptor(
        description=field.metadata['description'],
        additional_constraints=f'one of: {", ".join(choices)}' if choices else '',
        # `rate:=1` on a command line is an integer; it is meant as a double.
        dynamic_typing=isinstance(field.default, float),
    )
    if low is not None and isinstance(field.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif low is not None:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor


def declare_parameters(node: Node, cls: type) -> None:
    """Declare the parameters of a dataclass on a node and refuse invalid changes later on.

    Raises:
        ParameterError: for an override of wrong type, out of range or not among the choices.
    """
    from rcl_interfaces.msg import SetParametersResult
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name, field in fields.items():
        try:
            default: Any = field.default
            if isinstance(default, tuple):
                default = list(default)
            declared = node.declare_parameter(name, default, _descriptor(field))
        except InvalidParameterTypeException as error:
            raise ParameterError(
                f'parameter {name} must be of type {_TYPE_NAMES[type(field.default)]}: {error}'
            ) from error
        except InvalidParameterValueException as error:
            raise ParameterError(
                f'parameter {name} must lie within {_allowed(field)}: {error}'
            ) from error
        check(name, declared.value, field)

    def validate(changes: list[Any]) -> Any:
        for change in changes:
            if change.name in fields:
                try:
                    check(change.name, change.value, fields[change.name])
                except ParameterError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(validate)


def read_parameters(node: Node, cls: type[T]) -> T:
    """Return the node's parameters as an instance of their dataclass.

    Raises:
        ParameterError: for a value of wrong type, out of range or not among the choices.
    """
    values = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        values[field.name] = check(field.name, node.get_parameter(field.name).value, field)
    return cls(**values)


def _range_text(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ''
    return ' to '.join(f'{x:.0f}' if float(x).is_integer() else f'{x:g}' for x in (low, high))


def _allowed(field: dataclasses.Field[Any]) -> str:
    choices = field.metadata['choices']
    if choices:
        return ', '.join(f'`{choice}`' for choice in choices)
    return _range_text(field.metadata['low'], field.metadata['high'])


def _yaml_value(field: dataclasses.Field[Any]) -> str:
    text: str = yaml.safe_dump(field.default, width=1000, default_flow_style=True)
    return text.splitlines()[0]


def parameter_table(cls: type) -> str:
    """Return the Markdown table of a node's parameters."""
    lines = ['| parameter | type | default | allowed | meaning |', '|---|---|---|---|---|']
    for field in dataclasses.fields(cls):
        default = _yaml_value(field)
        lines.append(
            f'| `{field.name}` | {_TYPE_NAMES[type(field.default)]} | `{default}` '
            f'| {_allowed(field)} | {field.metadata["description"]} |'
        )
    return '\n'.join(lines) + '\n'


def parameter_help(cls: type) -> str:
    """Return the parameters as plain text for ``--help``."""
    lines = ['ROS parameters (--ros-args -p NAME:=VALUE):']
    for field in dataclasses.fields(cls):
        allowed = _allowed(field).replace('`', '')
        lines.append(
            f'  {field.name}: {_TYPE_NAMES[type(field.default)]} = {field.default!r}'
            + (f' [{allowed}]' if allowed else '')
        )
        lines.append(f'      {field.metadata["description"]}')
    return '\n'.join(lines)


def parameter_yaml(node_name: str, cls: type) -> str:
    """Return the text of a node's ``.param.yaml``: every default with its description."""
    lines = [
        f'# Parameters of the {node_name} node, in any namespace.',
        '# Written by: python -m sim_perception.ros.parameters --write config',
        f'/**/{node_name}:',
        '  ros__parameters:',
    ]
    for field in dataclasses.fields(cls):
        allowed = _allowed(field).replace('`', '')
        comment = field.metadata['description'] + (f' [{allowed}]' if allowed else '')
        lines.append(f'    # {comment}')
        value = _yaml_value(field)
        lines.append(f'    {field.name}: {value}')
    return '\n'.join(lines) + '\n'


def main(arguments: list[str] | None = None) -> int:
    """Print the tables of all nodes, or write their YAML files."""
    parser = argparse.ArgumentParser(description='Parameters of all nodes as Markdown tables.')
    parser.add_argument('--write', type=Path, metavar='DIR', help='write <node>.param.yaml here')
    options = parser.parse_args(arguments)
    for name, cls in NODES.items():
        if options.write:
            path = options.write / f'{name}.param.yaml'
            path.write_text(parameter_yaml(name, cls))
            print(path)
        else:
            print(f'### {name}\n\n{parameter_table(cls)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
