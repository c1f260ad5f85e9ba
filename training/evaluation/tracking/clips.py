"""What a detector sees in a recording, kept so that many trackers can be run on it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import from_euler, invert
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from sim_perception.tracking.config import network_config
from sim_perception.tracking.tracker import TrackedFrame
from sim_perception.types import Box3D, Camera, Detection
from training.datasets.bags.tracking_truth import Recording, TrueFrame, TrueObjects
from training.datasets.sample import DatasetError

Array = npt.NDArray[np.float64]
Detector = Callable[[TrueFrame], list[Detection]]

SEEN = 0.2
"""Visible fraction from which an object counts as seen."""
RANGE_BIAS, RANGE_JITTER = 0.06, 0.02
"""Standard deviations of the oracle's relative error of distance: of an object, of a frame."""
BOX_JITTER = 0.03
"""Of its image boxes' edges, as a share of the box's size."""
YAW_JITTER = 0.15
"""Of its headings, radians."""


@dataclass(frozen=True)
class Clip:
    """A recording as a detector saw it.

    Attributes:
        name: of the recording.
        camera: of all frames.
        frame_id: of the camera.
        stamps: (F,) nanoseconds.
        world_T_camera: (F, 4, 4) poses of the optical frame, or None if they are unknown.
        truth: all true objects by frame, or None if they are unknown.
        detections: by frame, with boxes in the optical frame.
        images: (H, W, 3) RGB by frame, if they were to be kept.
    """

    name: str
    camera: Camera
    frame_id: str
    stamps: npt.NDArray[np.int64]
    world_T_camera: Array | None
    truth: tuple[TrueObjects, ...] | None
    detections: tuple[list[Detection], ...]
    images: tuple[npt.NDArray[np.uint8], ...] = ()

    def rows(self) -> tuple[npt.NDArray[np.int64], TrueObjects]:
        """Return the true objects of all frames as one table, and the rows' frame numbers.

        Raises:
            DatasetError: if the recording has no truth.
        """
        if self.truth is None:
            raise DatasetError(
                f'{self.name} has no /ground_truth/objects to score against; record it with '
                'the simulator, or ask for a video only'
            )
        frames = np.repeat(np.arange(len(self.truth)), [len(t.id) for t in self.truth])
        columns = {
            f.name: np.concatenate([getattr(t, f.name) for t in self.truth])
            for f in fields(TrueObjects)
        }
        return frames, TrueObjects(**columns)


@dataclass(frozen=True)
class ClipFrame:
    """What the tracker says after one frame of a clip.

    Attributes:
        tracked: all of it.
        box2d: (N, 4) image boxes of all its tracks, NaN where they cannot be shown.
    """

    tracked: TrackedFrame
    box2d: Array


def watch(
    recording: Recording,
    detect: Detector,
    *,
    keep_images: bool = False,
    track: Callable[[Iterable[TrueFrame], int], Iterable[TrueFrame]] | None = None,
) -> Clip:
    """Run a detector over a recording.

    Args:
        recording: its frames.
        detect: is shown every frame, in order.
        keep_images: keep them for a video.
        track: wraps the frames, for a progress bar.

    Raises:
        DatasetError: for a recording without frames, or whose camera is unknown.
    """
    frames: Iterable[TrueFrame] = recording
    if track is not None:
        frames = track(recording, len(recording))
    camera, stamps, poses, truth, detections, images = None, [], [], [], [], []
    frame_id = ''
    for now in frames:
        camera, frame_id = now.frame.camera, now.frame.frame_id
        detections.append(detect(now))
        stamps.append(now.frame.stamp)
        poses.append(now.world_T_camera)
        truth.append(now.objects)
        if keep_images:
            images.append(now.frame.image)
    if camera is None:
        raise DatasetError(f'{recording.name} has no image with a calibrated camera')
    known = [objects for objects in truth if objects is not None]
    posed = [pose for pose in poses if pose is not None]
    return Clip(
        recording.name,
        camera,
        frame_id,
        np.array(stamps, np.int64),
        np.stack(posed) if len(posed) == len(poses) else None,
        tuple(known) if len(known) == len(truth) else None,
        tuple(detections),
        tuple(images),
    )


def network(
    checkpoint: Path, device: str = 'auto', second_opinion: Path | None = None
) -> tuple[Detector, Taxonomy]:
    """Return the detector that a permanence checkpoint is, from the tracker's least score on, and
    its classes; see ``PermanenceEngine.load``.

    Raises:
        CheckpointError: for an unusable checkpoint.
    """
    from sim_perception.inference.permanence import PermanenceEngine

    least = network_config().min_score
    engine = PermanenceEngine.load(
        checkpoint, device=device, threshold=least, second_opinion=second_opinion
    )
    return (lambda now: engine.update(now.frame)), engine.taxonomy


def oracle(seed: int = 0) -> tuple[Detector, Taxonomy]:
    """Return a detector that finds all visible objects, with the errors of a single camera.

    Distances are wrong by a share that is the object's own for good, and by a little that changes
    from frame to frame; both are functions of the seed, the object and the stamp. It never sees
    what is hidden. It tells what a tracker can do when the network is not to blame.
    """
    taxonomy = load_taxonomy()

    def detect(now: TrueFrame) -> list[Detection]:
        if now.objects is None or now.world_T_camera is None:
            raise DatasetError('the source oracle needs ground truth; choose the source network')
        found = []
        for n in np.flatnonzero(now.objects.visibility >= SEEN):
            found.append(_degraded(now, int(n), taxonomy, seed))
        return [d for d in found if d is not None]

    return detect, taxonomy


def _degraded(now: TrueFrame, n: int, taxonomy: Taxonomy, seed: int) -> Detection | None:
    """Return one true object as a camera network might see it; None for uncountable classes."""
    objects, pose = now.objects, now.world_T_camera
    assert objects is not None
    assert pose is not None
    if int(objects.class_id[n]) not in taxonomy.thing_ids or np.isnan(objects.box2d[n]).any():
        return None
    own = np.random.default_rng([seed, int(objects.id[n])])
    key = zlib.crc32(f'{now.frame.stamp}/{objects.id[n]}'.encode())
    rng = np.random.default_rng([seed, key])
    x, y, z, yaw, length, width, height = objects.box3d[n]
    world_T_box = from_euler(0, 0, float(yaw) + YAW_JITTER * rng.normal(), np.array([x, y, z]))
    camera_T_box = np.asarray(invert(pose) @ world_T_box, float)
    scale = np.exp(RANGE_BIAS * own.normal() + RANGE_JITTER * rng.normal())
    camera_T_box[:3, 3] *= scale
    x1, y1, x2, y2 = objects.box2d[n]
    jitter = BOX_JITTER * rng.normal(size=4) * np.array([x2 - x1, y2 - y1] * 2)
    box2d = np.array([x1, y1, x2, y2]) + jitter
    return Detection(
        int(objects.class_id[n]),
        0.9,
        box3d=Box3D(camera_T_box, (float(length), float(width), float(height))),
        box2d=(float(box2d[0]), float(box2d[1]), float(box2d[2]), float(box2d[3])),
        visibility=float(objects.visibility[n]),
    )


def visible_only(clip: Clip) -> Clip:
    """Return a clip without the detections of hidden objects."""
    return replace(
        clip,
        detections=tuple(
            [d for d in frame if d.visibility is None or d.visibility >= SEEN]
            for frame in clip.detections
        ),
    )
