"""The permanence engine: camera frames in, objects with 2D and 3D boxes out, hidden ones too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sim_perception.geometry.cameras import distort_boxes
from sim_perception.geometry.rectification import is_bent
from sim_perception.inference.backend import choose_device, choose_precision, set_threads
from sim_perception.inference.calibration import ScoreCalibration
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.loading import load_network
from sim_perception.inference.object_peaks import (
    Peaks,
    apart,
    boxes_3d,
    find_peaks,
    with_apparent_size,
)
from sim_perception.inference.preprocess import PreprocessConfig, frame_camera, preprocess
from sim_perception.models.checkpoint import CheckpointError
from sim_perception.models.permanence import PermanenceNet, PermanenceOutput
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, Detection, Frame

#: The memory of a camera is dropped when its images stay away longer, seconds.
MAX_GAP_S = 1.0
#: An object with less than this share visible counts as hidden (PermaTrack, section 4).
HIDDEN_VISIBILITY = 0.2
#: What a second opinion is asked about. Real people look less like simulated ones than cars do.
DOUBTED = ('pedestrian', 'cyclist')
#: Least probability that it gives, so that nothing is ruled out, and the exponent with which
#: probabilities count: at 1 more people are lost in simulated streets, for little in real ones.
LEAST_OPINION, OPINION_WEIGHT = 0.02, 0.5


@dataclass
class _Memory:
    """What is kept of one camera.

    Attributes:
        stamp: of its last image, nanoseconds.
        size: of its images, width and height.
        state: the network's.
    """

    stamp: int
    size: tuple[int, int]
    state: Tensor


class PermanenceEngine:
    """Runs one network on any number of cameras. Not thread-safe: one engine per worker.

    Attributes:
        taxonomy: the network's class list; ids in the output refer to it.
        preprocess: how images become network inputs.
        metrics: the checkpoint's results.
        threshold: smallest score of a detection.
        things: names of the classes it detects.
    """

    def __init__(
        self,
        net: PermanenceNet,
        taxonomy: Taxonomy,
        preprocess: PreprocessConfig,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        threads: int | None = None,
        threshold: float = 0.3,
        calibration: ScoreCalibration | None = None,
        second_opinion: DepthSegmentationEngine | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        """Make an engine of a network in memory, which is copied; ``load`` is the usual way.

        Args:
            net: the network.
            taxonomy: its class list.
            preprocess: how images become network inputs.
            device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``float16`` (GPU).
            threads: CPU threads of PyTorch, one number for the whole process; None keeps it.
            threshold: smallest score of a detection, 0 to 1.
            calibration: of the scores; None for a network that was never calibrated.
            second_opinion: doubts people where its classes see none.
            metrics: results that came with it.

        Raises:
            ValueError: for an option that this machine or program does not have, a network
                with a class that the taxonomy lacks, or a second opinion without people.
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f'threshold must lie within 0 and 1, got {threshold}')
        set_threads(threads)
        unknown = [name for name in net.config.things if name not in taxonomy.names]
        if unknown:
            raise ValueError(f'the network detects {unknown}, which the taxonomy does not have')
        self.taxonomy, self.preprocess, self.metrics = taxonomy, preprocess, metrics or {}
        self.threshold, self.things = threshold, net.config.things
        calibration = calibration or ScoreCalibration()
        self._second = second_opinion if set(DOUBTED) & set(self.things) else None
        if self._second is not None:
            calibration = calibration.seconded or calibration
            names = self._second.taxonomy.names
            if lacking := [name for name in DOUBTED if name not in names]:
                raise ValueError(f'the second opinion has no class {" and no ".join(lacking)}')
        scale, bias = calibration.of(self.things)
        self._class_ids = [taxonomy.id_of(name) for name in net.config.things]
        self._limits = net.config.min_depth, net.config.max_depth
        self._device = choose_device(device)
        self._dtype = choose_precision(precision, self._device)
        self._net = net.for_inference(self._dtype).to(self._device)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._scale, self._bias = (
            torch.tensor(numbers, device=self._device).view(1, -1, 1, 1)
            for numbers in (scale, bias)
        )
        doubted = [float(name in DOUBTED) for name in self.things]
        self._doubted = torch.tensor(doubted, device=self._device).view(1, -1, 1, 1)
        self._memories: dict[str, _Memory] = {}

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        taxonomy: Taxonomy | None = None,
        second_opinion: Path | str | None = None,
        **options: Any,
    ) -> PermanenceEngine:
        """Read a checkpoint folder; ``options`` are those of ``__init__``.

        Args:
            folder: the checkpoint.
            taxonomy: the class list the caller needs, or None for any.
            second_opinion: folder of a depth and segmentation checkpoint.
            **options: others of ``__init__``.

        Raises:
            CheckpointError: if a checkpoint is damaged or of another kind.
            ValueError: for an option that this machine or program does not have.
        """
        loaded, settings = load_network(folder, 'permanence', taxonomy)
        net = cast(PermanenceNet, loaded.net)
        try:
            options.setdefault('calibration', ScoreCalibration.from_dict(loaded.calibration))
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointError(f'{folder}: bad calibration: {error}') from error
        if second_opinion is not None:
            how = {k: v for k, v in options.items() if k in ('device', 'precision', 'threads')}
            options['second_opinion'] = DepthSegmentationEngine.load(second_opinion, **how)
        return cls(net, loaded.taxonomy, settings, metrics=loaded.metrics, **options)

    def reset(self, frame_id: str | None = None) -> None:
        """Forget what one camera saw, or all of them."""
        if frame_id is None:
            self._memories.clear()
        else:
            self._memories.pop(frame_id, None)

    def warm_up(self, camera: Camera) -> None:
        """Run once at a camera's size, so that the first real frame is not the slow one."""
        image = np.zeros((camera.height, camera.width, 3), np.uint8)
        key = '\0warm up'
        self.update(Frame(0, image, camera, key))
        self.reset(key)

    def update(self, frame: Frame) -> list[Detection]:
        """Return the objects of the next frame of a camera, the surest first.

        The camera is known by ``frame_id``. Its memory starts anew when the stamp does not
        grow, after a gap of more than ``MAX_GAP_S``, or when the image size changes.

        Args:
            frame: the image; with an unknown camera, metres are only as right as the default
                focal length is (``PreprocessConfig.default_focal_ratio``).

        Returns:
            Detections with ``box3d`` in the camera's optical frame, amodal ``box2d`` in pixels of
            the frame's own image, also where the network saw it rectified, and ``visibility``;
            hidden objects (``HIDDEN_VISIBILITY``) are among them.

        Raises:
            ValueError: for a malformed image or a camera of another image size.
        """
        inputs = preprocess([frame], self.preprocess)
        size = (inputs.cameras[0].width, inputs.cameras[0].height)
        memory = self._memories.get(frame.frame_id)
        gap = math.inf if memory is None else (frame.stamp - memory.stamp) / 1e9
        if memory is None or not 0 < gap <= MAX_GAP_S or memory.size != size:
            memory, gap = None, 0.0
        with torch.inference_mode():
            output, state = self._net(
                inputs.image.to(self._device, self._dtype),
                inputs.focal.to(self._device),
                torch.tensor([gap], dtype=torch.float32, device=self._device),
                None if memory is None else memory.state,
            )
        self._memories[frame.frame_id] = _Memory(frame.stamp, size, state)
        heat = output.heat.float()
        if self._second is not None:
            heat = heat + self._doubt(self._second, frame, output)
        output = output._replace(heat=heat * self._scale + self._bias)
        peaks = with_apparent_size(find_peaks(output, self.threshold), inputs.cameras[0])
        peaks = peaks._replace(depth=peaks.depth.clip(*self._limits))
        return self._detections(peaks, inputs.cameras[0], frame_camera(frame, self.preprocess))

    def _doubt(
        self, second: DepthSegmentationEngine, frame: Frame, output: PermanenceOutput
    ) -> Tensor:
        """Return what a second opinion adds to the logits of all cells.

        That is the weighted logarithm of how probable anybody is there, on foot or on a bicycle,
        as far as the object is visible: what is in front of a hidden one says nothing about it.
        """
        classes = second.class_probabilities(frame)
        people = classes[[second.taxonomy.id_of(name) for name in DOUBTED]].sum(0)
        size = output.heat.shape[-2:]
        seen = torch.from_numpy(people).to(self._device)[None, None]
        seen = functional.interpolate(seen, size, mode='bilinear', align_corners=False)
        visible = output.visibility.float().sigmoid()
        doubt = OPINION_WEIGHT * (seen + LEAST_OPINION).clamp(max=1).log() * visible
        return doubt * self._doubted

    def _detections(self, peaks: Peaks, seen: Camera, camera: Camera) -> list[Detection]:
        """Return peaks in pixels of ``seen`` as detections in pixels of ``camera``."""
        scale = np.array([camera.width / seen.width, camera.height / seen.height] * 2)
        image_boxes = (peaks.box + 0.5) * scale - 0.5
        if is_bent(camera):
            image_boxes = distort_boxes(camera, image_boxes)
        boxes = boxes_3d(peaks, seen)
        found = []
        for k in apart(boxes):
            x1, y1, x2, y2 = (float(value) for value in image_boxes[k])
            found.append(
                Detection(
                    class_id=self._class_ids[peaks.thing[k]],
                    score=float(peaks.score[k]),
                    box3d=boxes[k],
                    box2d=(x1, y1, x2, y2),
                    visibility=float(peaks.visibility[k]),
                )
            )
        return found
