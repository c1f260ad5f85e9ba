"""Labels from the image alone, and from image and LiDAR together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.evidence.image_ground import ImageGround, ground_of_image
from sim_perception.autolabel.evidence.sight import (
    Sight,
    SightConfig,
    angle_odds,
    camera_place,
    first_states,
    look,
    turned_round,
    with_size,
)
from sim_perception.autolabel.fit.kernels import Evidence, Weights
from sim_perception.autolabel.fit.posed_shape import View
from sim_perception.autolabel.fit.refine import ShapeFit, best_fit, distinct, make_view
from sim_perception.autolabel.fit.seen_kernels import minimise_seen
from sim_perception.autolabel.modes.budget import Budget
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.autolabel.quality.quality import ConfidenceModel, measure, verdict
from sim_perception.geometry.lidar_frame import FrameError, LidarFrame
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.surface_coordinates import SurfaceCoordinatesEngine, SurfaceCrop
from sim_perception.models.shape import ShapePca
from sim_perception.types import Camera, Frame, ShapeLabel

F64 = npt.NDArray[np.float64]

_INLIER = 2.5
"""Deviations within which a pixel agrees with a fit."""
_GOOD_INLIERS = 0.95
_LIVE_BATCH = 4
"""Crops that the network sees at once where time is short: more may cost more than there is."""
_NO_POINTS = np.zeros((0, 3))


@dataclass(frozen=True)
class MonoConfig:
    """How labels are made from an image. Lengths are metres.

    Attributes:
        sight: how much is believed of what the image says.
        ground_sigma: deviation of the wheels from the ground, plus ``LabelConfig.road_slope`` per
            metre. Distances rest on it more than on anything else.
        edge_share: deviations of the image box's edges, of those that ``LabelConfig`` says;
            without points they have more to tell.
        accept_confidence: labels below are rejected.
    """

    sight: SightConfig = field(default_factory=SightConfig)
    ground_sigma: float = 0.03
    edge_share: float = 0.6
    accept_confidence: float = 0.4

    def __post_init__(self) -> None:
        if not self.ground_sigma > 0:
            raise ValueError(f'ground_sigma must be positive, got {self.ground_sigma}')
        if not self.edge_share > 0:
            raise ValueError(f'edge_share must be positive, got {self.edge_share}')
        if not 0 <= self.accept_confidence <= 1:
            raise ValueError(f'accept_confidence must be in [0, 1], got {self.accept_confidence}')


class MonoLabeler(ShapeLabeler):
    """Labels objects of one category from an image; points of the frame are not looked at.

    Args:
        model: the shape space.
        class_id: the category's id in the taxonomy.
        coordinates: engine of the coordinates network.
        depth: engine of predicted depth, or None to do without.
        config: settings of labelling.
        mono: settings of what the image adds.
        confidence: expected IoU by measures.

    Raises:
        ValueError: if the network's latents are of another shape space.
    """

    def __init__(
        self,
        model: ShapePca,
        class_id: int,
        coordinates: SurfaceCoordinatesEngine,
        depth: DepthSegmentationEngine | None = None,
        config: LabelConfig | None = None,
        mono: MonoConfig | None = None,
        confidence: ConfidenceModel | None = None,
    ) -> None:
        self.mono = mono or MonoConfig()
        config = config or LabelConfig()
        super().__init__(model, class_id, config, confidence)
        known, own = coordinates.config, model.config
        if known.category != own.category or known.components != own.components:
            raise ValueError(
                f'the coordinates network knows {known.category!r} in {known.components} numbers, '
                f'the shape space {own.category!r} in {own.components}; use those made together'
            )
        self.coordinates, self.depth = coordinates, depth

    def label(
        self,
        frame: LidarFrame,
        boxes: npt.NDArray[np.floating],
        budget: float = np.inf,
        image: npt.NDArray[np.uint8] | None = None,
    ) -> list[ShapeLabel]:
        """Return one label per image box, rejected ones included.

        Args:
            frame: camera and level frame.
            boxes: (M, 4) x1 y1 x2 y2 of detected objects, pixels.
            budget: seconds, kept within one object; boxes that are not begun are rejected.
            image: (H, W, 3) uint8 RGB, undistorted.

        Raises:
            FrameError: without an image.
        """
        if image is None:
            raise FrameError('labels from images need the image of the frame')
        start, cpu = time.perf_counter(), time.process_time()
        left = Budget(budget)
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        good = [is_box(box, frame.camera) for box in boxes]
        crops = self._crops(image, frame.camera, boxes[good], budget)
        ground = self._ground(frame, image) if any(good) else None
        labels = []
        for box, usable in zip(boxes, good, strict=True):
            if not usable or ground is None:
                labels.append(self._rejected(box, 'bad_box' if not usable else 'no_ground'))
                continue
            if not left.allows_next():
                labels.append(self._rejected(box, 'no_time'))
                continue
            sight = look(
                next(crops), box, frame.camera, np.asarray(frame.camera_T_level, np.float64),
                ground.depth, self.mono.sight, self.config.traffic,
            )  # fmt: skip
            labels.append(self._label_sight(frame, box, sight, ground))
        self.timing.whole += time.perf_counter() - start
        self.timing.cpu += time.process_time() - cpu
        return labels

    def _crops(
        self, image: npt.NDArray[np.uint8], camera: Camera, boxes: F64, budget: float
    ) -> Iterator[SurfaceCrop]:
        """Return what boxes show as it is asked for; a few at a time where time is short."""
        batch = None if np.isinf(budget) else _LIVE_BATCH
        # the network may have learnt from other cars than the shape space
        own, known = self.model.config.mean_size, self.coordinates.config.mean_size
        population = np.array(self.config.population) + np.log(own) - np.log(known)
        larger, farther = np.exp(population), float(np.exp(population[:2].mean()))
        for crop in self.coordinates.stream(image, camera, boxes, batch):
            # What looks as large as a larger car is nearer; heights differ little, so that the
            # network goes by length and width.
            yield replace(crop, size=crop.size * larger, distance=crop.distance * farther)

    def _ground(self, frame: LidarFrame, image: npt.NDArray[np.uint8]) -> ImageGround | None:
        found = None
        if self.depth is not None:
            found = self.depth.infer(Frame(0, image, frame.camera), mask_sky=True)
        taxonomy = None if self.depth is None else self.depth.taxonomy
        return ground_of_image(frame, found, taxonomy, self.config.camera_height)

    def _label_sight(
        self, frame: LidarFrame, box: F64, sight: Sight, ground: ImageGround
    ) -> ShapeLabel:
        if sight.cells < self.mono.sight.least_pixels:
            return self._rejected(box, 'not_seen')
        start = time.perf_counter()
        view = make_view(frame.camera, frame.camera_T_level)
        sigma = self.mono.ground_sigma + self.config.road_slope * sight.crop.distance
        evidence = Evidence(
            _NO_POINTS, _NO_POINTS, _NO_POINTS, np.zeros(0), camera_place(frame.camera_T_level),
            box, self.mono.edge_share * edge_sigmas(box, frame.camera, self.config),
            np.array([*ground.plane, sigma]),
        )  # fmt: skip
        weights = with_size(self._refiner.weights, sight.crop, self.mono.sight)
        first = first_states(sight, ground.plane, sigma, view.camera_T_level, self.mono.sight)
        fit = self._minimise(first, evidence, weights, sight, view)
        if not np.isnan(sight.flow):
            # Front and back look alike: what the network says of places may be the wrong way round
            # as a whole. Then heading and traffic decide.
            around = turned_round(sight)
            opposite = fit.state.copy()
            opposite[3] += np.pi
            other = self._minimise(opposite[None], evidence, weights, around, view)
            if other.cost < fit.cost:
                fit, sight = replace(other, runner_up=fit.cost), around
        self.timing.refine += time.perf_counter() - start
        self.timing.objects += 1
        prior = self._refiner.weights
        measures = measure(
            fit, self._refiner.space, view, frame.camera, prior.prior, prior.precision
        )
        measures.update(sight_measures(fit.state, sight, view, self.mono.sight))
        confidence = self.confidence(measures)
        own = replace(self.config, accept_confidence=self.mono.accept_confidence)
        reason = verdict(measures, confidence, own)
        return self._labelled(box, fit, measures, confidence, reason)

    def _minimise(
        self, first: F64, evidence: Evidence, weights: Weights, sight: Sight, view: View
    ) -> ShapeFit:
        """Fit all first states roughly, the distinct best to the end; headings have their odds."""
        config, space = self.config, self._refiner.space
        states, size = np.array(first), first.shape[1]
        scales = (config.first_scale, config.middle_scale, config.last_scale)
        work = np.zeros((size, size))
        costs = np.array(
            [
                minimise_seen(
                    space, view, evidence, weights, sight.seen, scales[0], scales[1],
                    config.coarse_iterations, state, work,
                )
                for state in states
            ]
        )  # fmt: skip
        ends = []
        for k in distinct(states, costs)[: config.kept]:
            state, normal = states[k], np.zeros((size, size))
            cost = minimise_seen(
                space, view, evidence, weights, sight.seen, scales[1], scales[2],
                config.iterations, state, normal,
            )  # fmt: skip
            spread = self.mono.sight.angle_error
            cost -= float(np.log(angle_odds(sight, state[3:4], spread))[0])
            ends.append((cost, state, normal))
        return best_fit(ends, evidence)


def is_box(box: F64, camera: Camera) -> bool:
    """Return whether an image box is finite, has an area and meets the image."""
    shown = box[2] > 0 and box[3] > 0 and box[0] < camera.width and box[1] < camera.height
    return bool(np.isfinite(box).all() and shown and (box[2:] - box[:2] > 2).all())


def edge_sigmas(box: F64, camera: Camera, config: LabelConfig) -> F64:
    """Return the (4,) deviations of an image box's edges, 0 for those at the image's border."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    sigma = np.full(4, config.edge_sigma + config.edge_sigma_share * side)
    limit = np.array([camera.width, camera.height]) - 1.0
    sigma[np.concatenate([box[:2], limit - box[2:]]) < config.border] = 0.0
    return sigma


def sight_measures(state: F64, sight: Sight, view: View, config: SightConfig) -> dict[str, float]:
    """Return what the quality of a fit to an image shows in, by name.

    ``inliers``: share of the pixels whose place on the object projects to them within 2.5
    deviations; ``distance``: mean distance by which places are off, metres; ``log_points``:
    logarithm of the number of pixels; ``inlier_gap``: how far ``inliers`` is below a good value;
    ``heading_odds``: likelihood of the heading by the network; ``depth_gap``: logarithm of the
    distance over that by apparent size, absolute.
    """
    seen, size = sight.seen, np.exp(state[4:7])
    c, s = np.cos(state[3]), np.sin(state[3])
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    places = (seen.shares * size) @ turn.T + state[:3]
    pose = view.camera_T_level
    optical = places @ pose[:3, :3].T + pose[:3, 3]
    depth = np.maximum(optical[:, 2:], 0.3)
    off = optical[:, :2] / depth - seen.slopes
    near = (off**2).sum(1) * seen.weight < _INLIER**2
    inliers = float(near.mean())
    centre = pose[2, :3] @ state[:3] + pose[2, 3]
    return {
        'inliers': inliers,
        'inlier_gap': max(0.0, _GOOD_INLIERS - inliers),
        'distance': float((np.hypot(*off.T) * depth[:, 0]).mean()),
        'log_points': float(np.log(max(sight.cells, 1))),
        'heading_odds': float(angle_odds(sight, state[3:4], config.angle_error)[0]),
        'depth_gap': float(abs(np.log(max(centre, 0.3) / sight.crop.distance))),
    }
