"""Visual odometry as ``nav_msgs/Odometry``: of the robot where TF knows the camera's place."""

from __future__ import annotations

from geometry_msgs.msg import (
    Point,
    Pose,
    PoseWithCovariance,
    Quaternion,
    Twist,
    TwistWithCovariance,
    Vector3,
)
from nav_msgs.msg import Odometry
from rclpy.node import Node
from std_msgs.msg import Header

from sim_perception.geometry.frames import frame_name
from sim_perception.geometry.transforms import to_quaternion
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.odometry.integration import Mounting, OdometryEstimate, VisualOdometry
from sim_perception.odometry.motion import GeometricMotion
from sim_perception.odometry.views import motion_view
from sim_perception.ros.conversions import stamp_to_ns
from sim_perception.ros.tf import TransformError, TransformLookup
from sim_perception.types import DepthSegmentation, Frame


def to_odometry(estimate: OdometryEstimate, header: Header, child_frame: str) -> Odometry:
    """Return an estimate of ``child_frame`` as a message with the header."""
    x, y, z, w = to_quaternion(estimate.start_T_body).tolist()
    place = estimate.start_T_body[:3, 3].tolist()
    linear, angular = estimate.twist[:3].tolist(), estimate.twist[3:].tolist()
    return Odometry(
        header=header,
        child_frame_id=child_frame,
        pose=PoseWithCovariance(
            pose=Pose(
                position=Point(**dict(zip('xyz', place, strict=True))),
                orientation=Quaternion(x=x, y=y, z=z, w=w),
            ),
            covariance=estimate.pose_covariance.ravel(),
        ),
        twist=TwistWithCovariance(
            twist=Twist(
                linear=Vector3(**dict(zip('xyz', linear, strict=True))),
                angular=Vector3(**dict(zip('xyz', angular, strict=True))),
            ),
            covariance=estimate.twist_covariance.ravel(),
        ),
    )


class OdometryOutput:
    """Turns consecutive images into odometry messages; for a node's worker thread."""

    def __init__(
        self, node: Node, engine: DepthSegmentationEngine, odometry_frame: str, base_frame: str
    ) -> None:
        """Listen to transforms.

        Args:
            node: receives the transforms.
            engine: that sees the images.
            odometry_frame: of the messages.
            base_frame: the robot's, where transforms tell the camera's place in it.
        """
        self._frame, self._base, self._engine = odometry_frame, base_frame, engine
        # Without a wait: a robot that has no such transform must not slow every image down.
        self._transforms = TransformLookup(node, timeout=0.0)
        self._geometry = GeometricMotion()
        self._odometry = VisualOdometry(self._geometry.between)

    def mounting(self, header: Header) -> Mounting:
        """Return the camera's place on the robot at an image; the camera's own without one."""
        stamp, camera = stamp_to_ns(header.stamp), frame_name(header.frame_id)
        try:
            lookup = self._transforms.lookup(self._base, camera, stamp)
        except TransformError:
            return Mounting.of_camera(camera)
        return Mounting(self._base, lookup)

    def message(
        self, header: Header, mounting: Mounting, frame: Frame, seen: DepthSegmentation
    ) -> Odometry | None:
        """Return the odometry at an image; None for the first after a start, jump or gap.

        Args:
            header: of the image.
            mounting: of its camera.
            frame: the image.
            seen: what the engine says of it.
        """
        assert frame.camera is not None
        scale = self._engine.road_scale
        self._geometry.camera_height = scale.camera_height if scale.believed else None
        taxonomy = self._engine.taxonomy
        view = motion_view(frame.stamp, frame.image, frame.camera, seen, taxonomy)
        place = frame.camera, frame_name(header.frame_id)
        estimate = self._odometry.update(frame.stamp, view, place, mounting)
        if estimate is None:
            return None
        head = Header(stamp=header.stamp, frame_id=self._frame)
        return to_odometry(estimate, head, mounting.frame_id)

    def reset(self) -> None:
        """Start afresh: after a clock jump."""
        self._odometry.reset()
        self._geometry.reset()
        self._transforms.reset()

    def close(self) -> None:
        """Stop listening."""
        self._transforms.close()
