"""Node parameters: one dataclass per node is the only place for defaults, ranges and docs.

The dataclass declares the ROS parameters with descriptors, validates them, writes
``config/<node>.param.yaml`` and fills the tables of ``docs/reference.md``:

    python -m sim_perception.ros.parameters              print the tables
    python -m sim_perception.ros.parameters --write DIR  write the YAML files

``parameter_fields`` has what declares and checks, ``parameter_text`` what writes,
``shared_parameters`` the fields that several nodes have.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from sim_perception.autolabel.config import MODES, REFINERS
from sim_perception.ros import shared_parameters as shared
from sim_perception.ros.parameter_fields import parameter
from sim_perception.ros.parameter_text import parameter_table, parameter_yaml
from sim_perception.ros.viewer_parameters import ViewerParameters


@dataclasses.dataclass(frozen=True)
class SimulatorParameters:
    """Parameters of the ``simulator`` node."""

    autostart: bool = shared.autostart()
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
    loop: bool = parameter(False, 'start again at the end', read_at='always')
    exit_at_end: bool = parameter(False, 'end the process at the end', read_at='always')
    stamps: str = parameter(
        'wall',
        "'wall': stamps start at the computer's time; 'fixed': at the same time in every run, "
        'for repeatable data (consumers then need use_sim_time)',
        choices=('wall', 'fixed'),
    )
    clock_rate: float = parameter(
        50.0, 'rate of /clock and of the pose on /tf in simulated Hz', low=1.0, high=1000.0
    )
    jpeg_quality: int = parameter(
        95, 'of camera/image_raw/compressed', low=1, high=100, read_at='always'
    )
    threads: int = parameter(0, 'CPU threads for rendering; 0 is one per core', low=0, high=256)
    frame_prefix: str = parameter(
        '', "goes before the names of all frames that are published, such as 'robot1/'"
    )


@dataclasses.dataclass(frozen=True)
class DepthSegmentationParameters:
    """Parameters of the ``depth_segmentation`` node."""

    autostart: bool = shared.autostart()
    checkpoint: str = parameter('', 'checkpoint folder; empty is the one that is shipped')
    device: str = shared.device()
    backend: str = parameter(
        'torch',
        "what runs the network; 'onnxruntime' needs a checkpoint with model.onnx",
        choices=('torch', 'onnxruntime'),
    )
    precision: str = shared.precision()
    threads: int = shared.threads()
    image_transport: str = shared.image_transport()
    rectified: bool = shared.rectified()
    points_stride: int = parameter(
        2,
        'every n-th pixel and row becomes a point of ~/points',
        low=1,
        high=64,
        read_at='always',
    )
    points_max_depth: float = parameter(
        60.0,
        'points farther than this are left out, metres',
        low=1.0,
        high=1000.0,
        read_at='always',
    )
    odometry: bool = parameter(
        False,
        'publish ~/odometry even while nobody subscribes',
    )
    camera_height: float = parameter(
        0.0,
        'height of the camera above the road, metres, which fixes the scale of depth and '
        'odometry; 0 takes its height above base_frame from TF, -1 leaves the scale to the '
        'network',
        low=-1.0,
        high=5.0,
        read_at='always',
    )
    odometry_frame: str = parameter(
        'odom_visual', 'frame of ~/odometry, where the robot was at its start', frame=True
    )
    base_frame: str = parameter(
        'base_link',
        "the robot's frame, whose motion ~/odometry is; without its transform it is the camera's",
        frame=True,
    )
    frame_prefix: str = shared.frame_prefix()
    jump_threshold: float = shared.jump_threshold()
    input_timeout: float = shared.input_timeout()


@dataclasses.dataclass(frozen=True)
class TrackerParameters:
    """Parameters of the ``tracker`` node."""

    autostart: bool = shared.autostart()
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
    second_opinion: bool = parameter(
        True,
        "of input 'network': doubt people where the shipped models/depth_segmentation sees none, "
        'for two thirds more computation',
    )
    device: str = shared.device(
        "device of the network: 'auto' (CUDA where there is one), 'cpu', 'cuda', 'cuda:1'"
    )
    precision: str = shared.precision()
    threads: int = shared.threads()
    image_transport: str = shared.image_transport("images of input 'network': ")
    rectified: bool = shared.rectified()
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
        'odom',
        "frame that does not move with the sensor; with ego_motion 'tf' tracks are in it",
        frame=True,
    )
    estimated_frame: str = parameter(
        'tracker_odom',
        "with ego_motion 'estimate', the frame that the tracker makes and sends on /tf; tracks "
        'are in it',
        frame=True,
    )
    sensor_frame: str = parameter(
        '',
        'frame of the sensor that saw the detections, if they come in another frame such as odom; '
        'empty is their own',
        frame=True,
    )
    frame_prefix: str = shared.frame_prefix()
    sensor_axes: str = parameter(
        'auto',
        "without transforms of the motion, which way the detections' frame looks: 'optical' along "
        "z, 'body' along x; 'auto' asks the transform from base_frame, else takes frames of "
        "images and those with 'optical' in their name for optical",
        choices=('auto', 'optical', 'body'),
    )
    base_frame: str = parameter(
        'base_link', "the robot's frame, z up, for sensor_axes 'auto'", frame=True
    )
    class_map: str = shared.class_map(
        'person=pedestrian, bicycle=cyclist, motorcycle=cyclist, bus=truck, van=car'
    )
    min_score: float = shared.min_score(0.1, 'not used', 'configure')
    min_visibility: float = shared.min_visibility(
        0.2, "not used: the simulator's truth has hidden objects, too", 'configure'
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
    hidden_score: float = parameter(
        -1.0,
        "hidden tracks are published from this mean score on; -1 keeps the input's own",
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
        'frames of detections that may wait; of more, all but the newest are dropped and counted',
        low=1,
        high=1000,
    )
    tf_timeout: float = shared.tf_timeout()
    jump_threshold: float = shared.jump_threshold()
    input_timeout: float = shared.input_timeout()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'cameras', tuple(self.cameras))


@dataclasses.dataclass(frozen=True)
class AutoLabelerParameters:
    """Parameters of the ``auto_labeler`` node."""

    autostart: bool = shared.autostart()
    shape_checkpoint: str = parameter(
        '',
        'checkpoint folder of the shape space, whose class is labelled; empty is the shipped '
        'models/shape_car',
    )
    mode: str = parameter(
        'lidar',
        'what labels rest on: lidar, boxes and points; mono, boxes and the image alone; fused, '
        'all of them',
        choices=MODES,
    )
    refine: str = parameter(
        'fit',
        'how shapes are fitted: fit, of second order; sdflabel (lidar, fused) and photometric '
        '(mono) render and take seconds per object',
        choices=REFINERS,
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
    device: str = shared.device()
    image_transport: str = parameter(
        'raw', 'which image topic mono and fused take', choices=shared.TRANSPORTS
    )
    rectified: bool = shared.rectified()
    class_map: str = shared.class_map('van=car')
    min_score: float = shared.min_score(0.3, 'not labelled')
    min_visibility: float = shared.min_visibility(0.3, 'not labelled')
    time_budget: float = parameter(
        0.2,
        'seconds per frame after which no further object is begun, the largest come first',
        low=0.001,
        high=60.0,
        read_at='always',
    )
    mirrors: bool = parameter(False, 'boxes as wide as the car with its mirrors')
    level_frame: str = shared.level_frame('labels')
    fixed_frame: str = shared.fixed_frame(' and for exports')
    frame_prefix: str = shared.frame_prefix()
    sync_slop: float = shared.sync_slop('detections and points')
    export_folder: str = parameter(
        'auto_labels',
        'where the service ~/export writes; a folder per call is made in it',
        read_at='always',
    )
    keep_frames: int = parameter(
        600, 'the newest labelled frames that are kept for ~/export', low=1, high=100000
    )
    tf_timeout: float = shared.tf_timeout()
    jump_threshold: float = shared.jump_threshold()
    input_timeout: float = shared.input_timeout()


@dataclasses.dataclass(frozen=True)
class Detector3dParameters:
    """Parameters of the ``detector_3d`` node."""

    autostart: bool = shared.autostart()
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
    device: str = shared.device()
    threads: int = shared.threads()
    image_transport: str = shared.image_transport(
        none='does without images: only camera/camera_info is needed'
    )
    rectified: bool = shared.rectified()
    min_score: float = shared.min_score(0.3, 'left out')
    level_frame: str = shared.level_frame('detections')
    fixed_frame: str = shared.fixed_frame()
    frame_prefix: str = shared.frame_prefix()
    sync_slop: float = shared.sync_slop('images and points')
    tf_timeout: float = shared.tf_timeout()
    jump_threshold: float = shared.jump_threshold()
    input_timeout: float = shared.input_timeout()


#: The parameters of every node, by the node's default name.
NODES: dict[str, type] = {
    'simulator': SimulatorParameters,
    'depth_segmentation': DepthSegmentationParameters,
    'tracker': TrackerParameters,
    'auto_labeler': AutoLabelerParameters,
    'detector_3d': Detector3dParameters,
    'viewer': ViewerParameters,
}


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
