"""A clip as arrays: the same random view of every frame, with cameras and motion to match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from sim_perception.types import Camera
from training.datasets.clips import Clip
from training.datasets.sample import Sample
from training.datasets.views.views import GeometryConfig, View, draw_view

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class ClipView:
    """One view of a clip of F frames; H and W are the view's size.

    Attributes:
        images: (F, H, W, 3) uint8 RGB in time order.
        target: which frame is predicted from the others.
        intrinsics: (F, 3, 3) camera matrices of the views, NaN where unknown.
        frame_T_target: (F, 4, 4) maps points of the target's optical frame to each frame's, NaN
            where unknown.
        distance: (F,) metres between target and frame, NaN where unknown.
        depth: (F, H, W) float32 metres, NaN where unknown; None without truth for every frame.
        semantic: (F, H, W) uint8 class ids; None without truth for every frame.
        right: (H, W, 3) uint8, the right image of the target's stereo pair, or None. In a mirror
            it is the left one, and ``right_T_target`` says so.
        right_T_target: (4, 4), or None.
        right_intrinsics: (3, 3), or None.
        view: what was cut from where.
    """

    images: npt.NDArray[np.uint8]
    target: int
    intrinsics: Array
    frame_T_target: Array
    distance: Array
    depth: npt.NDArray[np.float32] | None
    semantic: npt.NDArray[np.uint8] | None
    right: npt.NDArray[np.uint8] | None
    right_T_target: Array | None
    right_intrinsics: Array | None
    view: View

    @property
    def sources(self) -> tuple[int, ...]:
        """The frames that are not the target, in time order."""
        return tuple(i for i in range(len(self.images)) if i != self.target)


def clip_view(clip: Clip, config: GeometryConfig, rng: np.random.Generator) -> ClipView:
    """Return a random view of a clip, the same for all of its images.

    Where the camera is unknown its focal length counts as the image's width when the scale is
    drawn, and the intrinsics are NaN.
    """
    target = clip.frames[clip.target]
    height, width = target.image.shape[:2]
    focal = float(width) if target.camera is None else target.camera.fx
    return apply_view(clip, draw_view((width, height), focal, config, rng))


def apply_view(clip: Clip, view: View) -> ClipView:
    """Return the given view of every image of a clip.

    Raises:
        ValueError: if the view is of another image size.
    """
    unknown = np.full((4, 4), np.nan)
    poses = [unknown if pose is None else view.transform(pose) for pose in clip.target_T]
    right, right_T_target = clip.right, clip.right_T_target
    return ClipView(
        images=np.stack([view.smooth(frame.image) for frame in clip.frames]),
        target=clip.target,
        intrinsics=np.stack([_matrix(view, frame.camera) for frame in clip.frames]),
        frame_T_target=np.stack(poses),
        distance=np.array(clip.distance, np.float64),
        depth=_layer(view, clip.frames, 'depth'),
        semantic=_layer(view, clip.frames, 'semantic'),
        right=None if right is None else view.smooth(right.image),
        right_T_target=None if right_T_target is None else view.transform(right_T_target),
        right_intrinsics=None if right is None else _matrix(view, right.camera),
        view=view,
    )


def turned(clip: ClipView, most: float, rng: np.random.Generator) -> ClipView:
    """Return a clip whose camera turns steadily besides: what a turn does to an image is exact.

    Frames before the target turn one way and those after it the other, about all axes and most
    about the vertical one. The target, its truth and its stereo partner stay as they are; what
    turns into view at the border of a frame is what was last seen there.

    Args:
        clip: with known intrinsics.
        most: greatest angle between neighbours, radians.
        rng: draws the turn.
    """
    rotation = rng.uniform(-most, most, 3) * (0.25, 1.0, 0.25)
    images, poses = clip.images.copy(), clip.frame_T_target.copy()
    height, width = images.shape[1:3]
    for number in clip.sources:
        turn = Rotation.from_rotvec((number - clip.target) * rotation).as_matrix()
        matrix = clip.intrinsics[number]
        new_T_old = matrix @ turn @ np.linalg.inv(matrix)
        images[number] = cv2.warpPerspective(
            images[number], new_T_old, (width, height), borderMode=cv2.BORDER_REPLICATE
        )
        poses[number, :3] = turn @ poses[number, :3]
    return replace(clip, images=images, frame_T_target=poses)


def _matrix(view: View, camera: Camera | None) -> Array:
    return np.full((3, 3), np.nan) if camera is None else view.camera(camera).matrix


def _layer(view: View, frames: Sequence[Sample], name: str) -> Any:
    """Return (F, H, W) of one kind of truth, or None if a frame lacks it."""
    layers = [getattr(frame, name) for frame in frames]
    if any(layer is None for layer in layers):
        return None
    return np.stack([view.nearest(layer) for layer in layers])
