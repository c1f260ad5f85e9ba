"""Frozen values that cross the borders between rooms: plain numpy, no ROS.

Conventions: metres, seconds, nanoseconds for stamps, x-forward y-left z-up for bodies
(REP-103) and x-right y-down z-forward for optical frames. ``a_T_b`` is the 4x4 transform
that maps points given in frame ``b`` to frame ``a``. Pixel centres lie on integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Camera:
    """A camera: a pinhole, one with lens distortion, or a fisheye.

    Attributes:
        width: image width in pixels.
        height: image height in pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels; the centre of the first pixel is (0, 0).
        distortion: empty for an ideal pinhole; of a pinhole with a lens k1 k2 p1 p2 k3
            (``plumb_bob``) and, as OpenCV orders them, k4 k5 k6 (``rational_polynomial``), s1 to
            s4 and the tilt; of a fisheye k1 k2 k3 k4.
        fisheye: whether it is one (``equidistant``): the angle to the axis, not its tangent,
            tells how far from the middle a point is seen.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    fisheye: bool = False

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f'camera size must be positive, got {self.width}x{self.height}')
        if not (self.fx > 0 and self.fy > 0):
            raise ValueError(
                f'camera focal lengths must be positive, got fx={self.fx} fy={self.fy}; '
                'is the camera calibrated?'
            )
        for name in ('fx', 'fy', 'cx', 'cy', 'distortion'):
            values = getattr(self, name)
            if not all(map(math.isfinite, values if name == 'distortion' else [values])):
                raise ValueError(f'camera {name} must be finite, got {values}; calibrate it anew')
        most = 4 if self.fisheye else 14
        if len(self.distortion) > most:
            raise ValueError(
                f'camera has {len(self.distortion)} distortion coefficients, at most {most} are '
                'known'
            )

    @property
    def matrix(self) -> FloatArray:
        """The 3x3 intrinsic matrix, float64."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def is_ideal(self) -> bool:
        """Whether it is a pinhole without distortion."""
        return not self.fisheye and not any(self.distortion)

    @property
    def ideal(self) -> Camera:
        """The pinhole without distortion of the same matrix: what rectified images are of."""
        return replace(self, distortion=(), fisheye=False)


@dataclass(frozen=True)
class Box3D:
    """An oriented box.

    Attributes:
        parent_T_box: 4x4 transform from the box's frame (origin at its centre) to its parent.
        size: extent along the box's x (length), y (width), z (height), metres.
    """

    parent_T_box: FloatArray
    size: tuple[float, float, float]


@dataclass(frozen=True)
class Detection:
    """One object in one frame, detected or true.

    Attributes:
        class_id: id in the taxonomy.
        score: confidence in [0, 1].
        id: stable identity, or '' when unknown.
        box3d: the oriented box, or None.
        box2d: x1, y1, x2, y2 in pixels, amodal and possibly beyond the image, or None.
        visibility: visible fraction in [0, 1], or None when unknown.
    """

    class_id: int
    score: float
    id: str = ''
    box3d: Box3D | None = None
    box2d: tuple[float, float, float, float] | None = None
    visibility: float | None = None


@dataclass(frozen=True)
class Frame:
    """One camera image.

    Attributes:
        stamp: nanoseconds.
        image: (H, W, 3) uint8 RGB.
        camera: its calibration, or None when unknown.
        frame_id: the optical frame.
    """

    stamp: int
    image: npt.NDArray[np.uint8]
    camera: Camera | None = None
    frame_id: str = ''


@dataclass(frozen=True)
class DepthSegmentation:
    """What the depth + segmentation network says about one image.

    Attributes:
        depth: (H, W) float32 metres along the optical axis, NaN where invalid.
        segmentation: (H, W) uint8 class ids.
        confidence: (H, W) float32 probability of the winning class, or None if not asked for.
        depth_confidence: (H, W) float32 probability that depth is right within a factor of 1.25,
            0 where depth is NaN; None if not asked for or if the network cannot tell.
    """

    depth: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.float32] | None = field(default=None)
    depth_confidence: npt.NDArray[np.float32] | None = field(default=None)


@dataclass(frozen=True)
class Track:
    """One object followed over time, as it is believed to be at a stamp.

    Attributes:
        id: unique for the tracker's life, from 1.
        stamp: nanoseconds.
        class_probabilities: probability by class id; classes that are not tracked have none.
        score: confidence in [0, 1] that the object exists and is no false detection.
        visibility: visible fraction in [0, 1] at the stamp.
        detected: whether a detection of this frame was matched.
        occluded: whether it is known to be hidden or out of view.
        age: seconds since its first detection.
        lost_for: seconds since its last detection.
        box3d: the oriented box in the tracking frame, or None.
        box2d: x1, y1, x2, y2 in pixels, amodal and possibly beyond the image, or None.
        velocity: (3,) m/s in the tracking frame; for image boxes pixels/s and 0.
        covariance: (6, 6) of x, y, z and the velocity.
    """

    id: int
    stamp: int
    class_probabilities: dict[int, float]
    score: float
    visibility: float
    detected: bool
    occluded: bool
    age: float
    lost_for: float
    box3d: Box3D | None
    box2d: tuple[float, float, float, float] | None
    velocity: FloatArray
    covariance: FloatArray

    @property
    def class_id(self) -> int:
        """The most probable class."""
        return max(self.class_probabilities, key=lambda key: self.class_probabilities[key])


@dataclass(frozen=True)
class ShapeLabel:
    """What labelling says about one detected object.

    Attributes:
        class_id: id in the taxonomy.
        box2d: x1, y1, x2, y2 in pixels, as detected.
        accepted: whether the label may be used.
        reason: why it may not, one word; '' if accepted.
        confidence: expected intersection over union in space with the true box, in [0, 1].
        box3d: the oriented box in the level frame, or None if there is no fit.
        latent: (K,) of the category's shape space; None without a fit.
        body_size: length, width, height of the shape, without what ``box3d`` has more (mirrors);
            None without a fit.
        covariance: (7, 7) of x, y, z (m), yaw (rad) and log length, width, height; None without
            a fit.
        measures: what confidence and acceptance rest on, by name.
        id: identity over time, or '' when unknown.
    """

    class_id: int
    box2d: tuple[float, float, float, float]
    accepted: bool
    reason: str
    confidence: float
    box3d: Box3D | None = None
    latent: FloatArray | None = None
    body_size: tuple[float, float, float] | None = None
    covariance: FloatArray | None = None
    measures: dict[str, float] = field(default_factory=dict)
    id: str = ''
