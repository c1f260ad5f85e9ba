"""Labels without people as a function: points, an image and image boxes in, 9D boxes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.api.inputs import as_camera, as_frame
from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.labeler import load_labeler, needs_points
from sim_perception.autolabel.surfaces import surface_of
from sim_perception.geometry.cameras import straight_boxes
from sim_perception.geometry.rectification import rectify
from sim_perception.models.shape import Surface
from sim_perception.resources import share_path
from sim_perception.types import Camera, ShapeLabel


class AutoLabeler:
    """Objects of a class as 9D boxes: ``labels = labeler(points, image, camera, boxes)``.

    Not thread-safe: one per thread. The first call takes seconds, the very first half a minute:
    loops are compiled.

    Attributes:
        mode: what labels rest on.
        engine: what does the work: tracks with one shape, contours, budgets of time.

    Args:
        shape: checkpoint folder of the shape space, whose class is labelled; None is the shipped
            ``shape_car``. Other classes have mode ``lidar`` only.
        mode: ``lidar``, boxes and points; ``mono``, boxes and the image alone; ``fused``, all.
        refine: how shapes are fitted: ``fit``; ``sdflabel`` (``lidar``, ``fused``) and
            ``photometric`` (``mono``) render and take seconds per car.
        coordinates: checkpoint folder of the coordinates network of ``mono`` and ``fused``.
        depth: checkpoint folder of depth and classes of ``mono``.
        config: more settings, such as ``LabelConfig(mirrors=True)`` or ``autolabel.config.KITTI``.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads of PyTorch, one number for the whole process; None keeps it.

    Raises:
        ValueError: for an unknown mode or way to fit, or one that the mode does not have.
        CheckpointError: if a checkpoint is unusable or they do not belong together.
    """

    def __init__(
        self,
        shape: Path | str | None = None,
        *,
        mode: str = 'lidar',
        refine: str = 'fit',
        coordinates: Path | str | None = None,
        depth: Path | str | None = None,
        config: LabelConfig | None = None,
        device: str = 'auto',
        threads: int | None = None,
    ) -> None:
        self.mode = mode
        self.engine = load_labeler(
            mode,
            _folder(shape, 'shape_car'),
            coordinates=_folder(coordinates, 'surface_coordinates'),
            depth=_folder(depth, 'depth_segmentation'),
            config=config,
            device=device,
            threads=threads,
            refine=refine,
        )

    def __call__(
        self,
        points: npt.ArrayLike | None,
        image: npt.NDArray[np.uint8] | None,
        camera: Camera | str | Path | npt.ArrayLike,
        boxes: npt.ArrayLike,
        *,
        camera_T_points: npt.ArrayLike | None = None,
        level_T_camera: npt.ArrayLike | None = None,
    ) -> list[ShapeLabel]:
        """Return one label per image box, in their order, rejected ones included.

        Args:
            points: (N, 3) metres, see ``camera_T_points``, with the sensor's motion removed; None
                in mode ``mono``.
            image: (H, W, 3) uint8 RGB; may be None in mode ``lidar``.
            camera: its calibration: a ``Camera``, a file (camera_info YAML, or of kalibr
                ``camchain.yaml#cam0``) or the (3, 3) matrix of a pinhole.
            boxes: (M, 4) x1 y1 x2 y2 of the objects, pixels of the image.
            camera_T_points: (4, 4), maps the points to the optical frame (x right, y down, z
                forward), such as KITTI's ``Tr_velo_to_cam``; None if they are in it.
            level_T_camera: (4, 4) pose of the optical frame in a frame with z up, in which labels
                are; None is a camera that looks at the horizon: x forward, y left, z up from it.

        Returns:
            ``accepted`` or the ``reason`` why not, ``confidence`` (the expected IoU with the true
            box), ``box3d`` in the level frame, ``covariance``, and what ``mesh`` needs.

        Raises:
            ValueError: for malformed points, image, boxes, calibration or transforms, or without
                what the mode looks at.
        """
        if points is None and needs_points(self.mode):
            raise ValueError(
                f"labels of mode {self.mode!r} need points; load the labeler with mode='mono' to "
                'do without'
            )
        known = as_camera(camera, image)
        own = np.asarray(boxes, float)
        own = own.reshape(-1, 4) if own.size == 0 else own
        if own.ndim != 2 or own.shape[1] != 4:
            raise ValueError(f'boxes must be (M, 4) x1 y1 x2 y2 in pixels, got {own.shape}')
        frame = as_frame(points, known, camera_T_points, level_T_camera)
        seen = None if image is None else rectify(known, image)
        labels = self.engine.label(frame, straight_boxes(known, own), image=seen)
        return [
            replace(label, box2d=tuple(box))
            for label, box in zip(labels, own.tolist(), strict=True)
        ]

    def mesh(self, label: ShapeLabel, spacing: float | None = None) -> Surface:
        """Return ``vertices`` (V, 3), metres in the frame of the box, and ``faces`` (F, 3).

        Args:
            label: one with a ``box3d``.
            spacing: of the grid that the mesh is made on, metres; None for the space's own.

        Raises:
            ValueError: for a label without a fit.
            ImportError: without scikit-image (the extra ``autolabel``).
        """
        return surface_of(label, self.engine.shapes, spacing)


def _folder(chosen: Path | str | None, shipped: str) -> Path:
    return share_path('models', shipped) if chosen is None else Path(chosen)
