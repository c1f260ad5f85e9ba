"""Labels by another way to fit than the default: see ``refiners``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.evidence.image_ground import ground_of_image, ground_points
from sim_perception.autolabel.evidence.initialise import Candidate
from sim_perception.autolabel.evidence.sight import camera_place
from sim_perception.autolabel.fit.refine import ShapeFit
from sim_perception.autolabel.fit.refiners import make_refiner
from sim_perception.autolabel.fit.render_fit import Picture, RenderRefiner
from sim_perception.autolabel.modes.fused import cells_at
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.autolabel.modes.mono import is_box
from sim_perception.autolabel.quality.quality import ConfidenceModel
from sim_perception.geometry.cameras import unproject
from sim_perception.geometry.lidar_frame import FrameError, LidarFrame, PreparedFrame
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.surface_coordinates import SurfaceCoordinatesEngine, SurfaceCrop
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint
from sim_perception.models.shape import ShapePca
from sim_perception.models.shape_sdf import ShapeSdf
from sim_perception.types import Camera, DepthSegmentation, Frame, ShapeLabel

F64 = npt.NDArray[np.float64]

_SEEN = 0.5
"""Probability from which on a pixel shows the object."""
_STEP = 2


class RenderLabeler(ShapeLabeler):
    """Labels objects of one category by a chosen way to fit.

    ``sdflabel`` looks at the points, and at the coordinates network's crops if there is one.
    ``photometric`` looks at no point: predicted depth takes their place where first poses are
    looked for, and predicted classes are the mask.

    Args:
        refine: of ``config.REFINERS``.
        model: the shape space, of either kind.
        class_id: the category's id in the taxonomy.
        config: settings.
        confidence: expected IoU by measures.
        coordinates: engine of the coordinates network, or None.
        depth: engine of depth and classes; ``photometric`` needs it.

    Raises:
        ValueError: for another way, or without the depth engine that it needs.
    """

    def __init__(
        self,
        refine: str,
        model: ShapePca | ShapeSdf,
        class_id: int,
        config: LabelConfig | None = None,
        confidence: ConfidenceModel | None = None,
        *,
        coordinates: SurfaceCoordinatesEngine | None = None,
        depth: DepthSegmentationEngine | None = None,
    ) -> None:
        if refine == 'photometric' and depth is None:
            raise ValueError("the refinement 'photometric' needs a network of depth and classes")
        near = model.tangent() if isinstance(model, ShapeSdf) else model
        super().__init__(near, class_id, config, confidence)
        self.shapes = model
        self._refiner = make_refiner(refine, model, self.config)
        self._coordinates, self._depth = coordinates, depth
        self._by_image = refine == 'photometric'
        self._pictures: dict[tuple[float, ...], Picture] = {}
        self._image: npt.NDArray[np.uint8] | None = None

    def label(
        self,
        frame: LidarFrame,
        boxes: npt.NDArray[np.floating],
        budget: float = np.inf,
        image: npt.NDArray[np.uint8] | None = None,
    ) -> list[ShapeLabel]:
        """Return one label per image box, rejected ones included; see ``ShapeLabeler.label``.

        Raises:
            FrameError: without the image that the way needs.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        self._pictures = {}
        if self._by_image:
            frame = self._look(frame, image, boxes)
        self._image = None if self._by_image else image
        return super().label(frame, boxes, budget)

    def _look(
        self, frame: LidarFrame, image: npt.NDArray[np.uint8] | None, boxes: F64
    ) -> LidarFrame:
        """Keep what the image shows of every box; return the frame with points of its depth."""
        if image is None:
            raise FrameError('photometric labels need the image of the frame')
        assert self._depth is not None
        seen = self._depth.infer(Frame(0, image, frame.camera), mask_sky=True)
        taxonomy = self._depth.taxonomy
        ground = ground_of_image(frame, seen, taxonomy, self.config.camera_height)
        if ground is not None and ground.depth is not None:
            seen = replace(seen, depth=ground.depth)
        mask = (seen.segmentation == self.class_id).astype(np.float32)
        for box in boxes:
            self._pictures[tuple(box)] = Picture(image, mask, seen.depth)
        points = np.concatenate(
            [ground_points(frame, seen, taxonomy), object_points(frame, seen, mask > 0)]
        )
        return replace(frame, points=points, sensor=camera_place(frame.camera_T_level))

    def _fit(
        self,
        prepared: PreparedFrame,
        box: F64,
        candidate: Candidate,
        around: npt.NDArray[np.int64],
    ) -> ShapeFit:
        """Fit one cluster, looking at the picture of its box."""
        if isinstance(self._refiner, RenderRefiner):
            self._refiner.picture = self._picture(box, prepared.frame.camera)
        return super()._fit(prepared, box, candidate, around)

    def _picture(self, box: F64, camera: Camera) -> Picture:
        """Return what the image shows of a box.

        Made when it is needed, and only the last one is kept: each is as large as the image.
        """
        key = tuple(box)
        known = key in self._pictures or not is_box(box, camera)
        if self._coordinates is not None and self._image is not None and not known:
            (crop,) = self._coordinates.infer(self._image, camera, box[None])
            self._pictures = {key: crop_picture(crop, camera)}
        return self._pictures.get(key, Picture())


def crop_picture(crop: SurfaceCrop, camera: Camera) -> Picture:
    """Return what the coordinates network says about an object, as maps of the whole image."""
    rows, columns = np.mgrid[: camera.height, : camera.width]
    pixels = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64)
    cells, inside = cells_at(pixels, crop)
    visible = np.where(inside, crop.visible.reshape(-1)[cells], 0.0)
    coordinates = crop.coordinates.reshape(-1, 3)[cells].astype(np.float32)
    coordinates[visible < _SEEN] = np.nan
    shape = (camera.height, camera.width)
    return Picture(mask=visible.reshape(shape), coordinates=coordinates.reshape(*shape, 3))


def object_points(frame: LidarFrame, seen: DepthSegmentation, mask: npt.NDArray[np.bool_]) -> F64:
    """Return (N, 3) points of the level frame where a mask says so, every second pixel."""
    shown = mask & np.isfinite(seen.depth) & (seen.depth > 0)
    points = unproject(frame.camera, np.where(shown, seen.depth, 1.0).astype(np.float64))
    points = points[::_STEP, ::_STEP][shown[::_STEP, ::_STEP]]
    level_T_camera = invert(np.asarray(frame.camera_T_level, np.float64))
    return np.asarray(transform_points(level_T_camera, points), np.float64)


def load_render_labeler(
    refine: str,
    shape: Path | str,
    *,
    coordinates: Path | str | None = None,
    depth: Path | str | None = None,
    config: LabelConfig | None = None,
    device: str = 'auto',
    threads: int | None = None,
) -> RenderLabeler:
    """Read what a way to fit needs.

    Args:
        refine: of ``config.REFINERS``.
        shape: checkpoint of a shape space of either kind.
        coordinates: of the coordinates network, which ``sdflabel`` may look at.
        depth: of depth and classes, which ``photometric`` needs.
        config: settings.
        device: see ``load_labeler``.
        threads: of PyTorch; None keeps it.

    Raises:
        ValueError: for an unknown way, or without what it needs.
        CheckpointError: if a checkpoint is unusable.
    """
    loaded = load_checkpoint(shape)
    if not isinstance(loaded.net, (ShapePca, ShapeSdf)):
        raise CheckpointError(f'{shape} holds no shape space; give models/shape_car or the like')
    calibration = loaded.calibration
    network = None
    if coordinates is not None and refine == 'sdflabel':
        network = SurfaceCoordinatesEngine.load(coordinates, device=device, threads=threads)
    engine = None
    if depth is not None and refine == 'photometric':
        engine = DepthSegmentationEngine.load(depth, device=device, threads=threads)
    return RenderLabeler(
        refine, loaded.net, loaded.taxonomy.id_of(loaded.net.config.category), config,
        ConfidenceModel.from_dict(calibration) if calibration else None,
        coordinates=network, depth=engine,
    )  # fmt: skip
