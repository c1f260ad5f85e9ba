"""From an image box and a cloud to where an object may be: points, and first poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from sim_perception.autolabel.config import LabelConfig
from sim_perception.geometry.boxes import iou_2d
from sim_perception.geometry.lidar_frame import PreparedFrame

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_ANGLES = np.deg2rad(np.arange(0, 90, 3.0))
_MOST_CLUSTERED = 600
_SLACK = 0.03


@dataclass(frozen=True)
class Candidate:
    """A cluster of points that may be the object.

    Attributes:
        rows: of the prepared frame's points, above the ground.
        overlap: of the cluster's own image box with the object's, intersection over union.
    """

    rows: I64
    overlap: float


@dataclass(frozen=True)
class Found:
    """What initialisation says about one image box.

    Attributes:
        candidates: best first; empty if there are none.
        reason: why there are none, else ''.
        around: rows of all points in and about the box.
    """

    candidates: tuple[Candidate, ...]
    reason: str
    around: I64


def find_candidates(prepared: PreparedFrame, box: F64, config: LabelConfig) -> Found:
    """Return the clusters of points in an image box that may be its object.

    Args:
        prepared: the frame.
        box: (4,) x1 y1 x2 y2, amodal or visible, pixels.
        config: settings.

    Reasons are ``no_points`` (nothing measured there), ``ground_only`` (only the ground),
    ``few_points``.
    """
    around, inside = prepared.inside(box, config.around), prepared.inside(box, _SLACK)
    if not len(inside):
        return Found((), 'no_points', around)
    stands = (prepared.height > config.ground_margin) & (prepared.height < config.max_height)
    if stands[inside].sum() < config.least_points:
        only_ground = len(inside) >= 2 * config.least_points
        return Found((), 'ground_only' if only_ground else 'few_points', around)
    body = around[stands[around]]
    within = np.isin(body, inside)
    labels = cluster(prepared.points[body], np.asarray(prepared.frame.sensor), config)
    found = []
    for label in range(labels.max() + 1):
        member = labels == label
        rows = body[member & within]
        if len(rows) < config.least_points:
            continue
        low, high = np.percentile(prepared.pixels[body[member]], [2, 98], axis=0)
        own = np.array([[*low, *high]])
        overlap = float(iou_2d(own, box[None])[0, 0])
        found.append((overlap * len(rows) ** 0.25, Candidate(rows, overlap)))
    if not found:
        return Found((), 'few_points', around)
    found.sort(key=lambda item: -item[0])
    best = found[0][0]
    chosen = [c for score, c in found[: config.clusters] if score > 0.35 * best]
    return Found(tuple(chosen), '', around)


def cluster(points: F64, sensor: F64, config: LabelConfig) -> npt.NDArray[np.int32]:
    """Return a cluster number for each of (N, 3) points: connected pieces in plan view."""
    plan = points[:, :2]
    # Single linkage is quadratic where points are dense: link a thinned set, then assign.
    rng = np.random.default_rng(0)
    core = rng.permutation(len(plan))[:_MOST_CLUSTERED]
    distance = float(np.median(np.hypot(*(plan - sensor[:2]).T)))
    tree = cKDTree(plan[core])
    pairs = tree.query_pairs(config.gap + config.gap_per_metre * distance, output_type='ndarray')
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(core), len(core)))
    _, label = connected_components(graph, directed=False)
    if len(core) == len(plan):
        result = np.empty(len(plan), np.int32)
        result[core] = label
        return result
    return label[tree.query(plan)[1]]


def rectangle(plan: F64) -> tuple[float, F64, F64]:
    """Fit a rectangle to the corner or face that (N, 2) points in plan view show.

    The criterion is closeness (Zhang et al., "Efficient L-shape fitting for vehicle detection
    using laser scanners", IV 2017): points are near one side or the other.

    Returns:
        The angle of its first axis in [0, pi / 2), and (2,) least and greatest coordinates along
        both axes (first across, robust to a few stray points).
    """
    c, s = np.cos(_ANGLES)[:, None], np.sin(_ANGLES)[:, None]
    first = c * plan[:, 0] + s * plan[:, 1]
    second = c * plan[:, 1] - s * plan[:, 0]
    score = np.zeros(len(_ANGLES))
    sides = []
    for along in (first, second):
        low, high = np.percentile(along, [1, 99], axis=1)
        sides.append(np.minimum(np.abs(along - low[:, None]), np.abs(high[:, None] - along)))
    near = np.maximum(np.minimum(*sides), 0.04)
    score = (1.0 / near).sum(1)
    best = int(score.argmax())
    axes = np.stack([first[best], second[best]], 1)
    low, high = np.percentile(axes, [1, 99], axis=0)
    return float(_ANGLES[best]), low, high


def hypotheses(points: F64, sensor: F64, ground: F64, seeds: F64, top: float | None) -> F64:
    """Return (H, 7 + K) first states of an object.

    Every seed of size and shape is turned to the four directions of the points' rectangle and
    put so that the faces towards the sensor lie on the points.

    Args:
        points: (N, 3) of the object, level frame.
        sensor: (3,).
        ground: (3,) plane, see ``PreparedFrame.ground``.
        seeds: (S, 3 + K) log sizes and latents.
        top: height above the ground of the highest points, to start with; None if they may be
            cut off.
    """
    angle, low, high = rectangle(points[:, :2])
    c, s = np.cos(angle), np.sin(angle)
    viewer = np.array([c * sensor[0] + s * sensor[1], c * sensor[1] - s * sensor[0]])
    states = []
    for seed in seeds:
        size = np.exp(seed[:3])
        for quarter in range(4):
            extent = size[:2] if quarter % 2 == 0 else size[1::-1]
            # Seen from before, the near face is known; from within the span, only the middle.
            middle = 0.5 * (low + high)
            short = extent > high - low
            middle = np.where(short & (viewer < low), low + extent / 2, middle)
            middle = np.where(short & (viewer > high), high - extent / 2, middle)
            x, y = c * middle[0] - s * middle[1], s * middle[0] + c * middle[1]
            bottom = ground[0] * x + ground[1] * y + ground[2]
            state = np.array([x, y, bottom + size[2] / 2, angle + quarter * np.pi / 2, *seed])
            if top is not None:
                state[6] = np.clip(np.log(max(top, 0.5)), seed[2] - 0.15, seed[2] + 0.15)
                state[2] = bottom + np.exp(state[6]) / 2
            states.append(state)
    return np.array(states)
