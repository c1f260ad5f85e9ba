"""Whether a fit may be believed: measures, reasons to reject, and a calibrated confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.fit.posed_shape import POSE, SHAPE, Space, View, silhouette
from sim_perception.autolabel.fit.refine import ShapeFit, covariance
from sim_perception.autolabel.quality.kernels import point_shares
from sim_perception.files import typed
from sim_perception.geometry.boxes import iou_2d
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]

_GOOD_BOX, _GOOD_INLIERS = 0.9, 0.95
# Right fits of simulated cars have box IoUs above .85, inliers above .88, no ray across them;
# the limits leave room for detectors' boxes and for rays through windows.
_LEAST_BOX_IOU, _LEAST_INLIERS = 0.65, 0.7
_MOST_CROSSED, _MOST_BEFORE = 0.12, 0.2
_MOST_SIZE_EXCESS = 3.5
_MOST_CUT = 0.6
_DRAWS = np.random.default_rng(0).normal(size=(128, SHAPE))

REASONS = {
    'no_points': 'no LiDAR point lies in the image box',
    'no_ground': 'no ground was found below the sensor',
    'ground_only': 'the points in the image box lie on the ground',
    'few_points': 'too few points stand above the ground',
    'bad_box': 'the image box is empty, not finite or outside the image',
    'cut_off': 'most of the object lies beyond the border of the image',
    'other_class': 'its size or form is not that of the category',
    'poor_fit': 'too many of its points lie off the best shape',
    'not_free': 'the LiDAR looked through where the best shape is',
    'box_mismatch': 'the outline of the best shape does not fit the image box',
    'low_confidence': 'the expected overlap with the truth is low',
    'not_seen': 'the coordinates network sees no such object in the image box',
    'no_time': 'the time for the frame was used up by other objects',
}
"""Every reason for rejection, in words."""

FEATURES = (
    'expected', 'box_gap', 'inlier_gap', 'distance', 'prior', 'past_violation', 'violation',
    'log_points', 'box_iou',
)  # fmt: skip
"""The measures that the confidence rests on where a model does not name others."""
ALL_FEATURES = (
    'expected', 'log_yaw', 'log_size', 'box_gap', 'inlier_gap', 'distance', 'past_violation',
    'box_iou',
)  # fmt: skip
"""The measures that a confidence of cars is fitted to."""
POINT_FEATURES = ('expected', 'log_yaw', 'log_size', 'inlier_gap', 'distance', 'past_violation')
"""Those of other classes: small boxes' overlap with the image box tells the image's resolution."""


@dataclass(frozen=True)
class ConfidenceModel:
    """A logistic regression of the expected 3D IoU.

    Attributes:
        mean, scale: of the measures where it was fitted.
        weights: per standardised measure.
        bias: of the logit.
        names: of the measures.
    """

    mean: tuple[float, ...] = (0.0,) * len(FEATURES)
    scale: tuple[float, ...] = (1.0,) * len(FEATURES)
    weights: tuple[float, ...] = (0.0,) * len(FEATURES)
    bias: float = 1.5
    names: tuple[str, ...] = FEATURES

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> ConfidenceModel:
        """Return the model of plain values, as ``dataclasses.asdict`` makes them.

        Raises:
            ValueError: for values that do not fit each other.
        """
        model = typed(cls, values, 'confidence of labels')
        if {len(model.mean), len(model.scale), len(model.weights)} != {len(model.names)}:
            raise ValueError(f'the confidence needs {len(model.names)} weights: {model.names}')
        return model

    def __call__(self, measures: dict[str, float]) -> float:
        """Return the expected IoU of a fit with these measures."""
        values = np.array([measures[name] for name in self.names])
        standard = np.clip((values - self.mean) / np.array(self.scale), -4, 4)
        logit = float(standard @ np.array(self.weights)) + self.bias
        return float(1 / (1 + np.exp(-logit)))


def measure(
    fit: ShapeFit, space: Space, view: View, camera: Camera, prior: F64, precision: F64
) -> dict[str, float]:  # fmt: skip
    """Return what the quality of a fit shows in, by name.

    ``log_points``: logarithm of the number of points; ``spread_plan``: root of the trace of the
    plan covariance, m; ``spread_size``: of log length and width; ``spread_yaw``: rad;
    ``inliers``: share of the points within .15 m of a surface that faces the sensor;
    ``distance``: their mean distance, m; ``violation``: share of inliers with shape before them;
    ``past_violation``: share of the rays past the object that cross it; ``box_iou``: of the
    outline and the image box, within the image; ``ambiguity``: exp of minus the cost gap to the
    next best pose; ``prior``: Mahalanobis distance of size and shape from the category's mean;
    ``range``: m; ``expected``: logit of the IoU with the truth if the covariance is right;
    ``size_excess``: deviations by which length, width or height is off the category's at most;
    ``cut``: share of the outline beyond the image's border;
    ``log_yaw`` and ``log_size``: logarithms of ``spread_yaw`` and ``spread_size``;
    ``box_gap`` and ``inlier_gap``: how far ``box_iou`` and ``inliers`` are below good values.
    """
    state, evidence = fit.state, fit.evidence
    spread = covariance(fit)
    inliers, distance, violation, crossed = point_shares(space, evidence, state, 0.15)
    touch, pixel = np.empty((4, 3)), np.empty(4)
    outline_iou, cut = 0.0, 0.0
    if silhouette(space, state, view, touch, pixel):
        limit = np.array([camera.width, camera.height] * 2) - 0.5
        outline = np.clip(pixel, -0.5, limit)[None]
        sides, whole = outline[0, 2:] - outline[0, :2], pixel[2:] - pixel[:2]
        cut = 1.0 - float(sides.prod() / max(whole.prod(), 1e-9))
        outline_iou = float(iou_2d(outline, np.clip(evidence.box, -0.5, limit)[None])[0, 0])
    expected = min(max(expected_iou(state, spread), 1e-3), 1 - 1e-3)
    offset = state[4:] - prior
    size_spread = np.sqrt(np.diag(np.linalg.inv(precision))[:3])
    squared = max(float(offset @ precision @ offset), 0.0)
    gap = fit.runner_up - fit.cost
    plan, size = np.sqrt([spread[0, 0] + spread[1, 1], spread[4, 4] + spread[5, 5]])
    yaw = np.sqrt(spread[3, 3])
    return {
        'log_points': float(np.log(max(len(evidence.points), 1))),
        'spread_plan': float(plan),
        'spread_size': float(size),
        'spread_yaw': float(yaw),
        'log_yaw': float(np.log(yaw)),
        'log_size': float(np.log(size)),
        'inliers': inliers,
        'distance': distance,
        'violation': violation,
        'past_violation': crossed,
        'box_iou': outline_iou,
        'cut': cut,
        'ambiguity': float(np.exp(-min(max(gap, 0.0), 50.0) / 10.0)),
        'prior': float(np.sqrt(squared / len(offset))),
        'range': float(np.linalg.norm(state[:3] - evidence.origin)),
        'expected': float(np.log(expected / (1 - expected))),
        'size_excess': float((np.abs(offset[:3]) / size_spread).max()),
        'box_gap': max(0.0, _GOOD_BOX - outline_iou),
        'inlier_gap': max(0.0, _GOOD_INLIERS - inliers),
    }


def expected_iou(state: F64, spread: F64) -> float:
    """Return the mean IoU in space of a box and boxes drawn from its covariance.

    Turns are left out: they are small, and the covariance of the centre matters more.

    Args:
        state: x y z yaw, log length, width, height, and more.
        spread: (7, 7) covariance.
    """
    draws = _DRAWS @ np.linalg.cholesky(spread + 1e-10 * np.eye(SHAPE)).T
    c, s = np.cos(state[3]), np.sin(state[3])
    shift = np.stack(
        [c * draws[:, 0] + s * draws[:, 1], c * draws[:, 1] - s * draws[:, 0], draws[:, 2]], 1
    )
    size = np.exp(state[POSE:SHAPE])
    other = size * np.exp(draws[:, POSE:SHAPE])
    high = np.minimum(size / 2, shift + other / 2)
    low = np.maximum(-size / 2, shift - other / 2)
    shared = np.clip(high - low, 0, None).prod(1)
    return float((shared / (size.prod() + other.prod(1) - shared)).mean())


def verdict(measures: dict[str, float], confidence: float, config: LabelConfig) -> str:
    """Return the reason to reject a fit, or ''."""
    if measures['cut'] > _MOST_CUT:
        return 'cut_off'
    if measures['box_iou'] < _LEAST_BOX_IOU:
        return 'box_mismatch'
    if measures['prior'] > 2.6 or measures['size_excess'] > _MOST_SIZE_EXCESS:
        return 'other_class'
    if measures['inliers'] < _LEAST_INLIERS:
        return 'poor_fit'
    if measures['past_violation'] > _MOST_CROSSED or measures['violation'] > _MOST_BEFORE:
        return 'not_free'
    if confidence < config.accept_confidence:
        return 'low_confidence'
    return ''
