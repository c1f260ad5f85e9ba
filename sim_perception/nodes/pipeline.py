"""The ``pipeline`` executable: all nodes in one process and one executor.

The nodes keep their names, topics and parameters. Images do not leave the process, and the
networks share one device and one set of libraries in memory.

Examples:
  ros2 launch sim_perception pipeline.launch.py rviz:=true
  ros2 launch sim_perception pipeline.launch.py source:=live
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from sim_perception.nodes.depth_segmentation import DepthSegmentationNode
from sim_perception.ros.lifecycle import run
from sim_perception.suggestions import Parser


def main(arguments: list[str] | None = None) -> int:
    """Run the nodes."""
    arguments = sys.argv if arguments is None else arguments
    parser = Parser(
        prog='pipeline', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--source',
        choices=('simulator', 'none'),
        default='none',
        help="'simulator' runs the simulator in this process too; "
        "'none' (default) takes the topics of a robot or a bag",
    )
    parser.add_argument('--tracker', action='store_true', help="track a detector's objects, too")
    parser.add_argument(
        '--auto-labeler', action='store_true', help="label a detector's cars in 3D, too"
    )
    parser.add_argument(
        '--detector-3d', action='store_true', help='detect cars in 3D with the LiDAR, too'
    )
    options = parser.parse_args(remove_ros_args(arguments)[1:])
    nodes: list[Callable[[], Node]] = [DepthSegmentationNode]
    if options.tracker:
        from sim_perception.nodes.tracker import TrackerNode

        nodes.append(TrackerNode)
    if options.auto_labeler:
        from sim_perception.nodes.auto_labeler import AutoLabelerNode

        nodes.append(AutoLabelerNode)
    if options.detector_3d:
        from sim_perception.nodes.detector_3d import Detector3dNode

        nodes.append(Detector3dNode)
    if options.source == 'simulator':
        # Imported only here: a robot needs no renderer.
        from sim_perception.nodes.simulator import SimulatorNode

        return run(SimulatorNode, *nodes, arguments=arguments)
    return run(*nodes, arguments=arguments)


if __name__ == '__main__':
    sys.exit(main())
