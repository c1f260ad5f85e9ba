"""Scores what a network says about its own errors, and draws it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.inference.calibration import RIGHT_RATIO
from sim_perception.types import DepthSegmentation
from sim_perception.visualization import caption
from training.metrics import Reliability, Sparsification
from training.metrics.depth import valid_truth
from training.metrics.sparsification import FRACTIONS

Image = npt.NDArray[np.uint8]

_SIDE, _MARGIN = 320, 36
_BLUE, _GREEN, _GREY = (30, 90, 200), (20, 150, 60), (150, 150, 150)


class ConfidenceScores:
    """Running scores of depth and class confidence.

    Attributes:
        depth: reliability of ``depth_confidence``: the event is an error below a factor of 1.25.
        classes: reliability of the winning class's probability.
        sparsification: of the relative depth error by ``depth_confidence``.
    """

    def __init__(self, max_depth: float) -> None:
        """Start; depth truth beyond ``max_depth`` metres does not count."""
        self.max_depth = max_depth
        self.depth, self.classes = Reliability(), Reliability()
        self.sparsification = Sparsification()

    def update_depth(self, result: DepthSegmentation, truth: npt.NDArray[np.floating]) -> None:
        """Add an image with (H, W) depth truth; NaN predictions do not count."""
        if result.depth_confidence is None:
            return
        valid = valid_truth(truth, self.max_depth) & np.isfinite(result.depth)
        prediction = np.minimum(result.depth[valid], self.max_depth).astype(np.float64)
        true, confidence = truth[valid].astype(np.float64), result.depth_confidence[valid]
        ratio = np.maximum(prediction / true, true / prediction)
        self.depth.update(confidence, ratio < RIGHT_RATIO)
        self.sparsification.update(np.abs(prediction - true) / true, confidence)

    def update_classes(
        self,
        result: DepthSegmentation,
        truth: npt.NDArray[np.integer],
        table: npt.NDArray[np.integer],
        classes: int,
    ) -> None:
        """Add an image with (H, W) class truth.

        Args:
            result: of the network.
            truth: ids in the data's label space; those outside [0, classes) do not count.
            table: (256,) from the network's class ids to the data's.
            classes: number of the data's classes.
        """
        if result.confidence is None:
            return
        known = (truth >= 0) & (truth < classes)
        right = table[result.segmentation[known]] == truth[known]
        self.classes.update(result.confidence[known], right)

    def compute(self) -> dict[str, float]:
        """Return ``ece_segmentation``, ``ece_depth``, ``ause_abs_rel`` as far as there is truth.

        ``ause_abs_rel_chance`` is what an order by chance would get.
        """
        scores = {}
        if len(self.classes):
            scores['ece_segmentation'] = self.classes.expected_calibration_error()
        if len(self.depth):
            scores['ece_depth'] = self.depth.expected_calibration_error()
            scores['ause_abs_rel'] = self.sparsification.area()
            scores['ause_abs_rel_chance'] = self.sparsification.area_of_chance()
        return scores

    def draw(self) -> Image | None:
        """Return a picture of the reliability and sparsification curves, or None without any."""
        panels = []
        scores = self.compute()
        for name, reliability in (('segmentation', self.classes), ('depth', self.depth)):
            if len(reliability):
                panel = _panel('confidence', 'share right')
                _line(panel, np.array([0, 1]), np.array([0, 1]), _GREY)
                _line(panel, *reliability.curve(), _BLUE, dots=True)
                panels.append(caption(panel, f'{name}: ECE {scores[f"ece_{name}"]:.3f}'))
        if len(self.sparsification):
            trusted, oracle = self.sparsification.curves()
            top = max(float(trusted.max()), float(oracle.max()), 1e-6)
            panel = _panel('share taken away', f'abs rel, 0 to {top:.2f}')
            _line(panel, FRACTIONS, np.full(len(FRACTIONS), oracle[0]) / top, _GREY)
            _line(panel, FRACTIONS, oracle / top, _GREEN)
            _line(panel, FRACTIONS, trusted / top, _BLUE)
            panels.append(caption(panel, f'depth: AUSE {scores["ause_abs_rel"]:.3f}'))
        return np.concatenate(panels, 1) if panels else None


def _panel(below: str, beside: str) -> Image:
    """Return an empty chart of ``_SIDE`` pixels with named axes."""
    panel = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    corners = (_MARGIN, _MARGIN), (_SIDE - _MARGIN, _SIDE - _MARGIN)
    cv2.rectangle(panel, *corners, (0, 0, 0), 1)
    font, black = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)
    cv2.putText(panel, below, (_SIDE // 3, _SIDE - 12), font, 0.45, black, 1, cv2.LINE_AA)
    upright = np.full((_MARGIN - 4, _SIDE, 3), 255, np.uint8)
    cv2.putText(upright, beside, (_SIDE // 3, 20), font, 0.45, black, 1, cv2.LINE_AA)
    panel[:, : _MARGIN - 4] = cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return panel


def _line(
    panel: Image,
    x: npt.NDArray[np.floating],
    y: npt.NDArray[np.floating],
    color: tuple[int, int, int],
    *,
    dots: bool = False,
) -> None:
    """Draw a curve of values in 0..1 into a chart."""
    inside = _SIDE - 2 * _MARGIN
    points = np.stack([_MARGIN + inside * x, _SIDE - _MARGIN - inside * y], 1)
    pixels = np.round(points).astype(np.int32)
    cv2.polylines(panel, [pixels.reshape(-1, 1, 2)], False, color, 2, cv2.LINE_AA)
    if dots:
        for column, row in pixels:
            cv2.circle(panel, (int(column), int(row)), 4, color, -1, cv2.LINE_AA)
