"""Average precision of 3D detections, as KITTI's object benchmark scores them.

Geiger et al., "Are we ready for autonomous driving?" (CVPR 2012), with the 40 recall positions of
Simonelli et al., "Disentangling monocular 3D object detection" (ICCV 2019), section 5. What is too
small, hidden or cut off for a difficulty is neither to be found nor wrong to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.boxes import iou_2d, iou_upright, project_box
from sim_perception.types import Camera, Detection
from training.datasets.objects.label_scenes import LabelScene, TrueObject, cut_box

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]

RECALLS = 40
#: Focal length of the benchmark's camera, to which heights in pixels refer.
KITTI_FOCAL = 721.5
#: What is like a class without being one of it: neither to be found nor wrong to find.
LIKE = {'car': ('van',), 'van': ('car',)}
#: A detection with more than this share of its image box in a region of no labels is ignored.
_COVERED = 0.5


@dataclass(frozen=True)
class Difficulty:
    """Which true objects count.

    Attributes:
        min_height: of the image box, pixels of a camera of focal length ``KITTI_FOCAL``, so that
            it means the same distance at any resolution.
        max_occlusion: hidden share.
        max_truncation: share beyond the image's border.
    """

    min_height: float
    max_occlusion: float
    max_truncation: float

    def counts(self, item: TrueObject, camera: Camera) -> bool:
        """Say whether a true object must be found."""
        tall = height_of(item.box2d, camera) >= self.min_height
        return (
            tall and item.occluded <= self.max_occlusion and item.truncated <= self.max_truncation
        )


#: KITTI's levels of occlusion (0, 1, 2) are the hidden shares 0, 0.4 and 0.7 here.
DIFFICULTIES = {
    'easy': Difficulty(40.0, 0.15, 0.15),
    'moderate': Difficulty(25.0, 0.5, 0.3),
    'hard': Difficulty(25.0, 0.8, 0.5),
}


@dataclass(frozen=True)
class Compared:
    """The D detections of a frame beside its G true objects.

    Attributes:
        score: (D,).
        iou: (D, G) intersection over union.
        ignored_truth: (G,) objects that need not be found.
        ignored_found: (D,) detections that are not wrong if they match nothing.
    """

    score: F64
    iou: F64
    ignored_truth: Bools
    ignored_found: Bools


def height_of(box: Box, camera: Camera) -> float:
    """Return an image box's height in pixels of a camera of focal length ``KITTI_FOCAL``."""
    return (box[3] - box[1]) * KITTI_FOCAL / camera.fy


def overlaps(found: Sequence[Detection], truth: Sequence[TrueObject]) -> tuple[F64, F64]:
    """Return the (D, G) intersections over union in plan view and in space."""
    plan, space = np.zeros((2, len(found), len(truth)))
    for i, detection in enumerate(found):
        for j, item in enumerate(truth):
            assert detection.box3d is not None
            a, b = detection.box3d, item.box3d
            apart = np.hypot(*(a.parent_T_box[:2, 3] - b.parent_T_box[:2, 3]))
            if apart < (np.hypot(*a.size[:2]) + np.hypot(*b.size[:2])) / 2:
                plan[i, j], space[i, j] = iou_upright(a, b)
    return plan, space


def compare(
    scene: LabelScene, found: Sequence[Detection], kind: str, difficulty: Difficulty
) -> tuple[Compared, Compared]:
    """Return detections of one class beside the truth, by overlap in plan view and in space.

    Args:
        scene: the frame and its truth.
        found: detections of that class with boxes in the scene's level frame.
        kind: name of the class.
        difficulty: which true objects count.
    """
    truth = like(scene, kind)
    seen = [_image_box(scene, detection) for detection in found]
    plan, space = overlaps(found, truth)
    return (
        _compared(scene, found, seen, truth, plan, kind, difficulty),
        _compared(scene, found, seen, truth, space, kind, difficulty),
    )


def compare_in_image(
    scene: LabelScene, found: Sequence[Detection], kind: str, difficulty: Difficulty
) -> Compared:
    """Return detections of one class beside the truth, by overlap of their image boxes.

    Args:
        scene: the frame and its truth.
        found: detections of that class with ``box2d``, which is cut at the image's border.
        kind: name of the class.
        difficulty: which true objects count.
    """
    camera, truth = scene.frame.camera, like(scene, kind)
    seen = [
        _four(cut_box(np.array(detection.box2d), camera.width, camera.height)[0])
        for detection in found
    ]
    true_boxes = np.array([item.box2d for item in truth]).reshape(-1, 4)
    iou = np.asarray(iou_2d(np.array(seen).reshape(-1, 4), true_boxes), np.float64)
    return _compared(scene, found, seen, truth, iou, kind, difficulty)


def like(scene: LabelScene, kind: str) -> list[TrueObject]:
    """Return the true objects of a class and of those like it."""
    return [item for item in scene.objects if item.kind in (kind, *LIKE.get(kind, ()))]


def _compared(
    scene: LabelScene,
    found: Sequence[Detection],
    seen: Sequence[Box],
    truth: Sequence[TrueObject],
    iou: F64,
    kind: str,
    difficulty: Difficulty,
) -> Compared:
    camera = scene.frame.camera
    ignored = [item.kind != kind or not difficulty.counts(item, camera) for item in truth]
    aside = [
        height_of(box, camera) < difficulty.min_height or _covered(box, scene.regions)
        for box in seen
    ]
    score = np.array([detection.score for detection in found], np.float64)
    return Compared(score, iou, np.array(ignored, bool), np.array(aside, bool))


def _image_box(scene: LabelScene, found: Detection) -> Box:
    """Return where a detection appears, within the image; nothing if it does not."""
    frame = scene.frame
    assert found.box3d is not None
    box = project_box(frame.camera, np.asarray(frame.camera_T_level), found.box3d)
    if box is None:
        return 0.0, 0.0, 0.0, 0.0
    inside, _ = cut_box(np.array(box), frame.camera.width, frame.camera.height)
    return _four(inside)


def _four(values: F64) -> Box:
    x1, y1, x2, y2 = (float(value) for value in values)
    return x1, y1, x2, y2


def _covered(box: Box, regions: Sequence[Box]) -> bool:
    """Say whether most of an image box lies in one of the regions."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    for region in regions:
        width = min(box[2], region[2]) - max(box[0], region[0])
        height = min(box[3], region[3]) - max(box[1], region[1])
        if width > 0 and height > 0 and width * height > _COVERED * area:
            return True
    return False


def match(frame: Compared, threshold: float) -> npt.NDArray[np.int8]:
    """Return for each detection whether it is right (1), wrong (-1) or ignored (0).

    The surest detection chooses first, the counting object that it overlaps most; an object that
    need not be found only where no other is left.
    """
    verdict = np.zeros(len(frame.score), np.int8)
    free = np.ones(len(frame.ignored_truth), bool)
    for row in np.argsort(-frame.score, kind='stable'):
        fits = free & (frame.iou[row] >= threshold)
        for wanted in (fits & ~frame.ignored_truth, fits & frame.ignored_truth):
            if wanted.any():
                best = int(np.where(wanted, frame.iou[row], -1.0).argmax())
                free[best] = False
                verdict[row] = 0 if frame.ignored_truth[best] else 1
                break
        else:
            verdict[row] = 0 if frame.ignored_found[row] else -1
    return verdict


def average_precision(frames: Sequence[Compared], threshold: float) -> float:
    """Return the mean of the best precision at 40 recalls, 1/40 to 1, over all frames.

    Args:
        frames: what was found beside what is there.
        threshold: least intersection over union of a match.

    Returns:
        0 to 1; NaN if no true object counts.
    """
    count = sum(int((~frame.ignored_truth).sum()) for frame in frames)
    if not count:
        return float('nan')
    verdict = np.concatenate([match(frame, threshold) for frame in frames])
    score = np.concatenate([frame.score for frame in frames])
    judged = verdict[np.argsort(-score, kind='stable')]
    judged = judged[judged != 0]
    right = np.cumsum(judged == 1)
    precision = right / np.arange(1, len(judged) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    # the first place at which so many are found; in whole numbers, so that 1/40 is no rounding
    needed = np.ceil(np.arange(1, RECALLS + 1) * count / RECALLS - 1e-9)
    place = np.searchsorted(right, needed)
    reached = place < len(best)
    return float(best[place[reached]].sum() / RECALLS)
