"""Networks as functions: an image in, depth and classes, objects or boxes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.api.inputs import as_camera, as_frame
from sim_perception.geometry.rectification import rectify
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.detector3d import Detector3dEngine
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.inference.road_scale import RoadScale
from sim_perception.inference.surface_coordinates import SurfaceCoordinatesEngine, SurfaceCrop
from sim_perception.suggestions import unknown
from sim_perception.types import Camera, DepthSegmentation, Detection, Frame

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction(DepthSegmentation):
    """Depth and classes of one image, and what the class ids mean.

    Attributes:
        names: of the classes; ``segmentation`` has indices into it, and ``ignore_id`` where
            nothing is known.
        ignore_id: no class: beyond what a rectified fisheye shows.
    """

    names: tuple[str, ...] = ()
    ignore_id: int = 255

    def mask(self, name: str) -> npt.NDArray[np.bool_]:
        """Return the (H, W) pixels of a class.

        Raises:
            ValueError: for a name that is none of ``names``.
        """
        if name not in self.names:
            raise ValueError(unknown('class', name, self.names))
        return np.asarray(self.segmentation == self.names.index(name))


class DepthSegmentationModel:
    """Metric depth and classes of single images: ``out = net(image, camera)``.

    Not thread-safe: one per thread.

    Attributes:
        names: of the classes.
        engine: what does the work: batches, ego-motion between images, warm-up.

    Args:
        checkpoint: its folder.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        backend: ``torch``, or ``onnxruntime`` of a checkpoint with ``model.onnx``.
        threads: CPU threads; of PyTorch one number for the whole process. None keeps it.
        camera_height: of the camera above the road in metres, which puts the scale of depth
            right over the first images of a drive; None leaves it to the network.
    """

    def __init__(
        self,
        checkpoint: Path | str,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        backend: str = 'torch',
        threads: int | None = None,
        camera_height: float | None = None,
    ) -> None:
        self.engine = DepthSegmentationEngine.load(
            checkpoint, device=device, precision=precision, backend=backend, threads=threads
        )
        self.engine.road_scale = RoadScale(self.engine.taxonomy, camera_height)
        self.names = self.engine.taxonomy.names

    def __call__(
        self,
        image: Image,
        camera: Camera | str | Path | npt.ArrayLike | None = None,
        *,
        confidence: bool = False,
    ) -> Prediction:
        """Return depth and classes of an image, pixel for pixel.

        Args:
            image: (H, W, 3) uint8 RGB (of OpenCV's BGR: ``image[..., ::-1]``).
            camera: its calibration: a ``Camera``, a file (camera_info YAML, or of kalibr
                ``camchain.yaml#cam0``) or the (3, 3) matrix of a pinhole. Without one
                depth is only as metric as a usual focal length is right.
            confidence: also say how sure it is, which takes longer.

        Returns:
            ``depth``: (H, W) float32 metres along the optical axis, NaN in the sky.
            ``segmentation``: (H, W) uint8 indices into ``names``.
            ``confidence``: (H, W) float32 probability of the class.
            ``depth_confidence``: (H, W) float32 probability that depth is right within a factor
            of 1.25. Both are None if not asked for, the latter also of a network that cannot tell.

        Raises:
            ValueError: for a malformed image, or a calibration of another image size.
        """
        known = None if camera is None else as_camera(camera, image)
        frame = Frame(0, image, known)
        found = self.engine.infer(frame, confidence=confidence, mask_sky=True)
        return Prediction(
            **vars(found), names=self.names, ignore_id=self.engine.taxonomy.ignore_id
        )


class PermanenceModel:
    """Objects in a video, hidden ones too: ``found = net(image, camera, stamp)``.

    It remembers the images before. Not thread-safe: one per thread.

    Attributes:
        names: of the classes; ``Detection.class_id`` is an index into it.
        engine: what does the work.

    Args:
        checkpoint: its folder.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        threads: CPU threads; of PyTorch one number for the whole process. None keeps it.
        threshold: smallest score of a detection, 0 to 1.
        second_opinion: folder of a depth and segmentation checkpoint; people are doubted where
            its classes see none. It takes two thirds longer, and finds people in real streets
            better.
    """

    def __init__(
        self,
        checkpoint: Path | str,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        threads: int | None = None,
        threshold: float = 0.3,
        second_opinion: Path | str | None = None,
    ) -> None:
        self.engine = PermanenceEngine.load(
            checkpoint,
            device=device,
            precision=precision,
            threads=threads,
            threshold=threshold,
            second_opinion=second_opinion,
        )
        self.names = self.engine.taxonomy.names

    def __call__(
        self,
        image: Image,
        camera: Camera | str | Path | npt.ArrayLike | None,
        stamp: int,
        name: str = 'camera',
    ) -> list[Detection]:
        """Return the objects of the next image of a camera, the surest first.

        ``load('tracker', input='network')`` takes them as they are.

        Args:
            image: (H, W, 3) uint8 RGB.
            camera: its calibration; see ``DepthSegmentationModel``.
            stamp: nanoseconds; a gap of more than a second starts anew.
            name: of the camera, where one network looks through several.

        Returns:
            Detections with ``box3d`` in the optical frame, ``box2d`` in pixels, possibly beyond
            the image, and ``visibility`` in [0, 1].

        Raises:
            ValueError: for a malformed image, or a calibration of another image size.
        """
        known = None if camera is None else as_camera(camera, image)
        return self.engine.update(Frame(stamp, image, known, name))

    def reset(self) -> None:
        """Forget what was seen."""
        self.engine.reset()


class Detector3dModel:
    """Cars as 3D boxes from points and an image: ``found = net(points, image, camera)``.

    Not thread-safe: one per thread.

    Attributes:
        names: of the classes; ``Detection.class_id`` is an index into it.
        engine: what does the work.

    Args:
        checkpoint: its folder.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads; of PyTorch one number for the whole process. None keeps it.
        threshold: smallest score of a detection, 0 to 1.
    """

    def __init__(
        self,
        checkpoint: Path | str,
        *,
        device: str = 'auto',
        threads: int | None = None,
        threshold: float = 0.3,
    ) -> None:
        self.engine = Detector3dEngine.load(
            checkpoint, device=device, threads=threads, threshold=threshold
        )
        self.names = self.engine.taxonomy.names

    def __call__(
        self,
        points: npt.ArrayLike,
        image: Image | None,
        camera: Camera | str | Path | npt.ArrayLike,
        *,
        camera_T_points: npt.ArrayLike | None = None,
        level_T_camera: npt.ArrayLike | None = None,
    ) -> list[Detection]:
        """Return the cars of one moment, the surest first.

        Args:
            points: (N, 3) metres, see ``camera_T_points``.
            image: (H, W, 3) uint8 RGB; None to go by the points' shape alone.
            camera: its calibration; see ``DepthSegmentationModel``.
            camera_T_points: (4, 4), maps the points to the optical frame (x right, y down, z
                forward), such as KITTI's ``Tr_velo_to_cam``; None if they are in it.
            level_T_camera: (4, 4) pose of the optical frame in a frame with z up, in which boxes
                are; None is a camera that looks at the horizon: x forward, y left, z up from it.

        Returns:
            Detections with ``box3d`` in the level frame.

        Raises:
            ValueError: for malformed points, image, calibration or transforms.
        """
        known = as_camera(camera, image)
        frame = as_frame(points, known, camera_T_points, level_T_camera)
        return self.engine.detect(frame, None if image is None else rectify(known, image))


class SurfaceCoordinatesModel:
    """What the pixels of cars show: ``crops = net(image, camera, boxes)``.

    Not thread-safe: one per thread.

    Attributes:
        engine: what does the work.

    Args:
        checkpoint: its folder.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        threads: CPU threads; of PyTorch one number for the whole process. None keeps it.
    """

    def __init__(
        self,
        checkpoint: Path | str,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        threads: int | None = None,
    ) -> None:
        self.engine = SurfaceCoordinatesEngine.load(
            checkpoint, device=device, precision=precision, threads=threads
        )

    def __call__(
        self, image: Image, camera: Camera | str | Path | npt.ArrayLike, boxes: npt.ArrayLike
    ) -> list[SurfaceCrop]:
        """Return mask, surface coordinates, heading, size and distance of the car in each box.

        Args:
            image: (H, W, 3) uint8 RGB, rectified.
            camera: its calibration, without distortion.
            boxes: (M, 4) x1 y1 x2 y2, pixels.

        Raises:
            ValueError: for a malformed image, a camera with distortion, or a box without area.
        """
        known = as_camera(camera, image)
        if not known.is_ideal:
            raise ValueError(
                'crops are of rectified images: give '
                'sim_perception.geometry.rectification.rectify(camera, image) and camera.ideal'
            )
        return self.engine.infer(image, known, np.asarray(boxes, float).reshape(-1, 4))


MODELS: dict[str, type[Any]] = {
    'depth_segmentation': DepthSegmentationModel,
    'detector3d': Detector3dModel,
    'permanence': PermanenceModel,
    'surface_coordinates': SurfaceCoordinatesModel,
}
"""What runs the networks that checkpoints hold, by the names that they have there."""
