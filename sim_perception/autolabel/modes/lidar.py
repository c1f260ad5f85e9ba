"""The engine: image boxes and a cloud in, labels out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.config import LabelConfig, for_category
from sim_perception.autolabel.evidence.contour import with_contour
from sim_perception.autolabel.evidence.evidence import gather
from sim_perception.autolabel.evidence.initialise import Candidate, find_candidates, hypotheses
from sim_perception.autolabel.fit.kernels import Evidence
from sim_perception.autolabel.fit.posed_shape import POSE, Space
from sim_perception.autolabel.fit.refine import (
    Refiner,
    ShapeFit,
    box_size,
    covariance,
    make_view,
)
from sim_perception.autolabel.modes.budget import Budget
from sim_perception.autolabel.quality.quality import ConfidenceModel, measure, verdict
from sim_perception.autolabel.tracks.join import join_track
from sim_perception.autolabel.tracks.tracks import Sighting, TrackFit, fit_track, mean_shape
from sim_perception.geometry.lidar_frame import LidarFrame, PreparedFrame
from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    make_transform,
    transform_points,
)
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint
from sim_perception.models.shape import ShapeModel, ShapePca
from sim_perception.types import Box3D, Camera, ShapeLabel

F64 = npt.NDArray[np.float64]

_AFTER_ALL = ('', 'low_confidence', 'cut_off')
"""Verdicts on sightings with a track's shape that make them part of the track: however much of
them the image cuts off, their points are where they should be."""


@dataclass
class Timing:
    """Seconds spent so far.

    Attributes:
        whole: everything, per frame parts included.
        refine: the fits alone.
        cpu: everything, seconds of processor time: other programs do not count.
        objects: how many objects were fitted.
    """

    whole: float = 0.0
    refine: float = 0.0
    cpu: float = 0.0
    objects: int = 0


class ShapeLabeler:
    """Labels objects of one category.

    Args:
        model: the shape space.
        class_id: the category's id in the taxonomy.
        config: settings.
        confidence: expected IoU by measures.

    Attributes:
        shapes: what the surfaces of labels are decoded with; the loops may read a simpler one.
        timing: of all calls.
    """

    def __init__(
        self,
        model: ShapePca,
        class_id: int,
        config: LabelConfig | None = None,
        confidence: ConfidenceModel | None = None,
    ) -> None:
        self.model, self.class_id = model, class_id
        self.shapes: ShapeModel = model
        self.config = config or LabelConfig()
        self.confidence = confidence or ConfidenceModel()
        self.timing = Timing()
        self._refiner = Refiner(model, self.config)
        self._masks: Sequence[npt.NDArray[np.bool_]] | None = None
        self._mask: npt.NDArray[np.bool_] | None = None

    @classmethod
    def load(cls, checkpoint: Path | str, config: LabelConfig | None = None) -> ShapeLabeler:
        """Read a shape space from its checkpoint.

        Raises:
            CheckpointError: if it is unusable or of another kind.
        """
        loaded = load_checkpoint(checkpoint, network='shape_pca')
        assert isinstance(loaded.net, ShapePca)
        category = loaded.net.config.category
        if category not in loaded.taxonomy.names:
            raise CheckpointError(f'{checkpoint} is of {category!r}, no class of its list')
        calibration = loaded.calibration
        confidence = ConfidenceModel.from_dict(calibration) if calibration else None
        own = for_category(config or LabelConfig(), category)
        return cls(loaded.net, loaded.taxonomy.id_of(category), own, confidence)

    def warm_up(self) -> None:
        """Compile the loops, so that the first frame takes no longer than others."""
        camera = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)
        level_T_camera = make_transform(BODY_T_OPTICAL[:3, :3], np.array([0.0, 0.0, 1.6]))
        side = np.stack(np.meshgrid(np.linspace(-2, 2, 20), np.linspace(0.3, 1.4, 12)), -1)
        wall = np.insert(side.reshape(-1, 2), 0, 10.0, axis=1)
        flat = np.stack(np.meshgrid(np.linspace(4, 20, 20), np.linspace(-8, 8, 20)), -1)
        floor = np.insert(flat.reshape(-1, 2), 2, 0.0, axis=1)
        points = np.concatenate([wall, floor])
        frame = LidarFrame(camera, invert(level_T_camera), points, np.array([0.0, 0.0, 1.8]))
        image = np.full((48, 64, 3), 127, np.uint8)
        self.label(frame, np.array([[18.0, 22.0, 46.0, 34.0]]), image=image)
        self.timing = Timing()

    def label(
        self,
        frame: LidarFrame,
        boxes: npt.NDArray[np.floating],
        budget: float = np.inf,
        image: npt.NDArray[np.uint8] | None = None,
    ) -> list[ShapeLabel]:
        """Return one label per image box, rejected ones included.

        Args:
            frame: camera and cloud.
            boxes: (M, 4) x1 y1 x2 y2 of detected objects, pixels.
            budget: seconds, kept within one object; boxes that are not begun are rejected.
            image: of the frame; other modes look at it, this one does not.

        Raises:
            FrameError: for a frame that cannot be labelled at all.
        """
        start, cpu = time.perf_counter(), time.process_time()
        left = Budget(budget)
        prepared = PreparedFrame(frame, self.config.max_range)
        labels = []
        for k, box in enumerate(np.asarray(boxes, np.float64)):
            if not left.allows_next():
                labels.append(self._rejected(box, 'no_time'))
                continue
            self._mask = None if self._masks is None else self._masks[k]
            labels.append(self._label(prepared, box))
        self.timing.whole += time.perf_counter() - start
        self.timing.cpu += time.process_time() - cpu
        return labels

    def label_masked(
        self,
        frame: LidarFrame,
        boxes: npt.NDArray[np.floating],
        masks: Sequence[npt.NDArray[np.bool_]],
        budget: float = np.inf,
    ) -> list[ShapeLabel]:
        """Return one label per image box as ``label`` does, fitted to contours of masks as well.

        Args:
            frame: camera and cloud.
            boxes: (M, 4), see ``label``.
            masks: (H, W) pixels of each object.
            budget: see ``label``.

        Raises:
            ValueError: for masks of another size than the image, or too few.
        """
        if len(masks) != len(boxes):
            raise ValueError(f'{len(boxes)} boxes but {len(masks)} masks')
        self._masks = masks
        try:
            return self.label(frame, boxes, budget)
        finally:
            self._masks = self._mask = None

    def evidence(self, frame: LidarFrame, labels: Sequence[ShapeLabel]) -> list[Evidence | None]:
        """Return what was measured of each label's object, None for labels without a fit.

        Args:
            frame: that was labelled.
            labels: of it.
        """
        prepared = PreparedFrame(frame, self.config.max_range)
        return [self._evidence(prepared, label) for label in labels]

    def _evidence(self, prepared: PreparedFrame, label: ShapeLabel) -> Evidence | None:
        if label.box3d is None or prepared.ground is None:
            return None
        box = np.asarray(label.box2d, np.float64)
        found = find_candidates(prepared, box, self.config)
        if not found.candidates:
            return None
        body_T_level = invert(label.box3d.parent_T_box)
        half = 0.5 * np.array(label.box3d.size) + 0.2

        def shared(candidate: Candidate) -> int:
            places = transform_points(body_T_level, prepared.points[candidate.rows])
            return int((np.abs(places) < half).all(1).sum())

        best = max(found.candidates, key=shared)
        ground = prepared.ground_near(np.median(prepared.points[best.rows], 0))
        return gather(prepared, box, best, found.around, ground, self.config)

    def label_track(self, sightings: Sequence[Sighting]) -> list[ShapeLabel]:
        """Return the labels of an object's sightings with one shape and smooth motion.

        Labels that are rejected alone get the shape of the others. Where nothing was measured of
        the object they stay rejected, where the others say that it is. Labels of which no two
        agree are returned as they are.

        Args:
            sightings: of one object, in order of time, whose labels have fits.
        """
        config, weights = self.config, self._refiner.weights
        labels, trusted = [one.label for one in sightings], None
        space = self._refiner.space_about(np.append(np.zeros(POSE), mean_shape(labels)))
        scales = (config.middle_scale, config.last_scale)
        # Twice: what the first shape fits after all helps to find a better one.
        for _ in range(2):
            now = [replace(one, label=own) for one, own in zip(sightings, labels, strict=True)]
            fit = fit_track(now, space, weights, scales=scales, trusted=trusted)
            if fit is None:
                return labels
            for k, number in enumerate(fit.used):
                labels[number] = self._of_track(fit, k, sightings[number], space)
            others = join_track(now, fit, space, weights, scales=scales)
            if others is None:
                return labels
            joined = []
            for k, number in enumerate(others.used):
                labels[number] = self._of_track(others, k, sightings[number], space)
                if labels[number].reason in _AFTER_ALL:
                    joined.append(int(number))
            if not joined:
                return labels
            trusted = sorted([*fit.used.tolist(), *joined])
        return labels

    def _of_track(self, fit: TrackFit, k: int, sighting: Sighting, space: Space) -> ShapeLabel:
        """Return the label of the k-th sighting in a track's fit."""
        single = ShapeFit(
            fit.states[k],
            float(fit.costs[k]),
            np.asarray(np.linalg.inv(fit.covariances[k]), np.float64),
            np.inf,
            sighting.evidence,
        )
        view, weights = make_view(sighting.camera, sighting.camera_T_level), self._refiner.weights
        measures = measure(single, space, view, sighting.camera, weights.prior, weights.precision)
        confidence = self.confidence(measures)
        reason = verdict(measures, confidence, self.config)
        if sighting.label.reason == 'other_class':
            reason = 'other_class'  # a few good fits do not make a car of a truck
        elif not np.isfinite(single.cost):
            reason, confidence = reason or 'poor_fit', 0.0
        box = np.asarray(sighting.label.box2d, np.float64)
        made = self._labelled(box, single, measures, confidence, reason)
        return replace(made, id=sighting.label.id)

    def _label(self, prepared: PreparedFrame, box: F64) -> ShapeLabel:
        camera = prepared.frame.camera
        shown = (box[2] > 0) & (box[3] > 0) & (box[0] < camera.width) & (box[1] < camera.height)
        if not (np.isfinite(box).all() and shown and (box[2:] - box[:2] > 2).all()):
            return self._rejected(box, 'bad_box')
        if prepared.ground is None:
            return self._rejected(box, 'no_ground')
        found = find_candidates(prepared, box, self.config)
        if not found.candidates:
            return self._rejected(box, found.reason)
        start = time.perf_counter()
        view = make_view(camera, prepared.frame.camera_T_level)
        fits = [self._fit(prepared, box, c, found.around) for c in found.candidates]
        self.timing.refine += time.perf_counter() - start
        self.timing.objects += 1
        results = []
        for fit in fits:
            weights = self._refiner.weights
            space = self._refiner.space_about(fit.state)
            measures = measure(fit, space, view, camera, weights.prior, weights.precision)
            results.append((self.confidence(measures), fit, measures))
        confidence, fit, measures = max(results, key=lambda result: result[0])
        reason = verdict(measures, confidence, self.config)
        return self._labelled(box, fit, measures, confidence, reason)

    def _fit(
        self,
        prepared: PreparedFrame,
        box: F64,
        candidate: Candidate,
        around: npt.NDArray[np.int64],
    ) -> ShapeFit:
        """Fit one cluster."""
        frame, config = prepared.frame, self.config
        points = prepared.points[candidate.rows]
        sensor = np.asarray(frame.sensor, np.float64)
        ground = prepared.ground_near(np.median(points, 0))
        evidence = gather(prepared, box, candidate, around, ground, config)
        if self._mask is not None:
            evidence = with_contour(evidence, prepared, self._mask, config)
        whole = evidence.sigma[1] > 0
        height = points[:, 2] - points[:, :2] @ ground[:2] - ground[2]
        top = float(np.percentile(height, 99)) if whole else None
        seeds = self._refiner.seeds
        if top is not None:
            # The two kinds of car whose height is nearest.
            off = np.abs(np.exp(seeds[:, 2]) - top)
            seeds = seeds[np.argsort(off)[:2]]
        first = hypotheses(points, sensor, ground, seeds, top)
        return self._refiner.refine(first, evidence, make_view(frame.camera, frame.camera_T_level))

    def _rejected(self, box: F64, reason: str) -> ShapeLabel:
        return ShapeLabel(self.class_id, tuple(box.tolist()), False, reason, 0.0)

    def _labelled(
        self, box: F64, fit: ShapeFit, measures: dict[str, float], confidence: float, reason: str
    ) -> ShapeLabel:
        state = fit.state
        pose = from_euler(0.0, 0.0, float(state[3]), state[:3])
        return ShapeLabel(
            class_id=self.class_id,
            box2d=tuple(box.tolist()),
            accepted=not reason,
            reason=reason,
            confidence=confidence,
            box3d=Box3D(pose, box_size(state, self.model, mirrors=self.config.mirrors)),
            latent=state[7:].copy(),
            body_size=box_size(state, self.model, mirrors=False),
            covariance=covariance(fit),
            measures=measures,
        )
