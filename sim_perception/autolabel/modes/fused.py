"""Labels from image and LiDAR together: points for the place, the image for mask and heading."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.evidence.initialise import Candidate, hypotheses
from sim_perception.autolabel.evidence.sight import Sight, SightConfig, angle_odds, look, with_size
from sim_perception.autolabel.fit.refine import ShapeFit, make_view
from sim_perception.autolabel.fit.upright_pose import basins, centres_on_points, yaws
from sim_perception.autolabel.modes.budget import Budget
from sim_perception.autolabel.modes.lidar import ShapeLabeler, gather
from sim_perception.autolabel.modes.mono import MonoLabeler, is_box
from sim_perception.geometry.lidar_frame import FrameError, LidarFrame, PreparedFrame
from sim_perception.inference.surface_coordinates import SurfaceCrop
from sim_perception.types import ShapeLabel

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_LIKELY = 0.3
"""Probability of the mask from which on a point may be the object's."""
_NO_DEPTHS = np.zeros(4)
BESIDE_POINTS = SightConfig(pixel_count=1.0, size_error=0.2, latent_error=1.5)
"""How much is believed of the image beside points, which know place and size better."""


class FusedLabeler(MonoLabeler):
    """Labels objects of one category from points that the image helps to choose and to read.

    The network's mask takes points of neighbours away, its size joins the prior, and headings
    come from its coordinates at the points as well as from the points' rectangle. The confidence
    is that of labels from LiDAR. Distances are the LiDAR's affair: the image's are not used.
    """

    def label(
        self,
        frame: LidarFrame,
        boxes: npt.NDArray[np.floating],
        budget: float = np.inf,
        image: npt.NDArray[np.uint8] | None = None,
    ) -> list[ShapeLabel]:
        """Return one label per image box, rejected ones included; see ``MonoLabeler.label``.

        Raises:
            FrameError: without an image, or for a frame that cannot be labelled at all.
        """
        if image is None:
            raise FrameError('labels from image and LiDAR need the image of the frame')
        start, cpu = time.perf_counter(), time.process_time()
        left = Budget(budget)
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        good = [is_box(box, frame.camera) for box in boxes]
        crops = self._crops(image, frame.camera, boxes[good], budget)
        prepared = PreparedFrame(frame, self.config.max_range)
        pose = np.asarray(frame.camera_T_level, np.float64)
        labels = []
        for box, usable in zip(boxes, good, strict=True):
            if not usable or not left.allows_next():
                labels.append(self._rejected(box, 'no_time' if usable else 'bad_box'))
                continue
            sight = look(
                next(crops), box, frame.camera, pose, None, self.mono.sight, self.config.traffic
            )
            self._sight = replace(sight, seen=sight.seen._replace(depth=_NO_DEPTHS))
            labels.append(self._label(prepared, box))
        self.timing.whole += time.perf_counter() - start
        self.timing.cpu += time.process_time() - cpu
        return labels

    def _fit(
        self, prepared: PreparedFrame, box: F64, candidate: Candidate, around: I64
    ) -> ShapeFit:
        """Fit one cluster, without the points that the mask says are others'."""
        sight, frame = self._sight, prepared.frame
        if sight.cells < self.mono.sight.least_pixels:
            # The network does not know the object: the points alone decide.
            return ShapeLabeler._fit(self, prepared, box, candidate, around)
        rows = masked(prepared.pixels, candidate.rows, sight.crop)
        if len(rows) >= self.config.least_points:
            candidate = replace(candidate, rows=rows)
        points = prepared.points[candidate.rows]
        ground = prepared.ground_near(np.median(points, 0))
        evidence = gather(prepared, box, candidate, around, ground, self.config)
        seed = np.concatenate([np.log(sight.crop.size), sight.crop.latent])
        sensor = np.asarray(frame.sensor, np.float64)
        by_points = hypotheses(points, sensor, ground, seed[None], None)
        by_image = image_states(sight, points, prepared.pixels[candidate.rows], self.mono.sight)
        first = np.concatenate([by_image, by_points])
        weights = with_size(self._refiner.weights, sight.crop, self.mono.sight)
        view = make_view(frame.camera, frame.camera_T_level)
        return self._minimise(first, evidence, weights, sight, view)


def cells_at(pixels: F64, crop: SurfaceCrop) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Return the flat cells of a crop's maps that (N, 2) pixels lie in, and whether they do."""
    rows, columns = crop.visible.shape
    window = crop.window
    with np.errstate(invalid='ignore'):
        x = np.floor((pixels[:, 0] - window[0]) / (window[2] - window[0]) * columns)
        y = np.floor((pixels[:, 1] - window[1]) / (window[3] - window[1]) * rows)
        inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    return (y * columns + x).astype(np.int64), inside


def masked(pixels: F64, rows: I64, crop: SurfaceCrop) -> I64:
    """Return those of some rows of (N, 2) pixels that the network's mask may own."""
    cells, inside = cells_at(pixels[rows], crop)
    return rows[inside & (crop.visible.reshape(-1)[cells] > _LIKELY)]


def image_states(sight: Sight, points: F64, pixels: F64, config: SightConfig) -> F64:
    """Return (H, 7 + K) first states: where coordinates at (N, 3) points put the object."""
    crop = sight.crop
    cells, inside = cells_at(pixels, crop)
    shares = crop.coordinates.reshape(-1, 3)[cells[inside]].astype(np.float64)
    spread = np.maximum(crop.error.reshape(-1)[cells[inside]], config.share_error)
    rest = np.concatenate([np.log(crop.size), crop.latent])
    if len(shares) < config.least_pixels:
        return np.zeros((0, 4 + len(rest)))
    weight = sight.seen.share / (spread * np.linalg.norm(crop.size) / np.sqrt(3)) ** 2
    yaw = yaws(config.scanned)
    centre, cost = centres_on_points(shares, points[inside], weight, crop.size, yaw)
    cost = cost - np.log(angle_odds(sight, yaw, config.angle_error))
    chosen = basins(yaw, cost, config.hypotheses)
    return np.array([[*centre[k], yaw[k], *rest] for k in chosen])
