"""Pictures and videos of tracks: boxes with ids, hidden objects as dashed ghosts, trails."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert, transform_points
from sim_perception.taxonomy import Taxonomy
from sim_perception.tracking.tables import track_boxes
from sim_perception.visualization import caption, write_picture
from training.datasets.sample import DatasetError
from training.evaluation.tracking.clips import Clip, ClipFrame

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]
Color = tuple[int, int, int]
TRAIL_SECONDS = 2.0
"""How much of a track's past is drawn."""
LEAST_WIDTH = 960
"""Smaller images are enlarged, so that ids can be read."""
DASH = 6
"""Length of dashes and of their gaps, pixels."""
TINT = 0.15
"""How much of its colour a hidden object's box has inside."""


def id_color(identity: int) -> Color:
    """Return a bright colour that differs from those of the neighbouring ids."""
    hue = (identity * 2654435769 >> 8) % 180  # Weyl steps with the golden ratio
    pixel = np.array([[[hue, 190, 250]]], np.uint8)
    r, g, b = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return r, g, b


def draw_box(image: Image, box: Array, color: Color, *, dashed: bool = False) -> None:
    """Draw an image box x1 y1 x2 y2 into an RGB image, in place; a dashed one is tinted inside."""
    x1, y1, x2, y2 = (float(v) for v in np.clip(box, -1e4, 1e4))
    if dashed:
        left, top = (max(round(v), 0) for v in (x1, y1))
        inside = image[top : max(round(y2), 0) + 1, left : max(round(x2), 0) + 1]
        inside[:] = ((1 - TINT) * inside + TINT * np.array(color)).astype(np.uint8)
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        for start, stop in _dashes(a, b) if dashed else [(a, b)]:
            ends = [(round(x), round(y)) for x, y in (start, stop)]
            cv2.line(image, ends[0], ends[1], color, 2, cv2.LINE_AA)


def _dashes(
    a: tuple[float, float], b: tuple[float, float]
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the drawn pieces of a dashed line."""
    length = float(np.hypot(b[0] - a[0], b[1] - a[1]))
    count = max(1, round(length / (2 * DASH)))
    parts = np.linspace(0, 1, 2 * count + 1)
    points = [(a[0] + s * (b[0] - a[0]), a[1] + s * (b[1] - a[1])) for s in parts.tolist()]
    return list(zip(points[:-1:2], points[1::2], strict=True))


def _label(image: Image, text: str, x: float, y: float, color: Color) -> None:
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0]
    place = (
        round(float(np.clip(x, 0, max(image.shape[1] - width, 0)))),
        round(float(np.clip(y - 4, 30, image.shape[0] - 4))),  # below the caption
    )
    for shade, width in (((0, 0, 0), 3), (color, 1)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, shade, width, cv2.LINE_AA)


def draw_frames(clip: Clip, frames: Sequence[ClipFrame], taxonomy: Taxonomy) -> Iterator[Image]:
    """Yield a picture of every frame: reported tracks solid, hidden ones dashed, with trails.

    Args:
        clip: with its images.
        frames: the tracker's answers.
        taxonomy: names the classes.

    Raises:
        DatasetError: if the clip's images were not kept.
    """
    if len(clip.images) != len(frames):
        raise DatasetError(f'the images of {clip.name} were not kept; nothing can be drawn')
    scale = max(1, -(-LEAST_WIDTH // clip.camera.width))
    longest = max(1, round(TRAIL_SECONDS / _period(clip)))
    trails: dict[int, deque[Array]] = defaultdict(lambda: deque(maxlen=longest))
    for n, (image, frame) in enumerate(zip(clip.images, frames, strict=True)):
        size = (image.shape[1] * scale, image.shape[0] * scale)
        picture = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        tracked = frame.tracked
        boxes = (frame.box2d + 0.5) * scale - 0.5
        drawn = np.asarray(np.isfinite(boxes).all(1))
        shown = np.flatnonzero(tracked.reported | tracked.occluded)
        feet = track_boxes(tracked.tracks)[:, [0, 1, 2, 6]]
        feet[:, 2] -= feet[:, 3] / 2
        camera_T_tracking = _camera_T_tracking(clip, frame, n)
        # ghosts over what is seen, ids over all
        for row in shown[np.argsort(tracked.occluded[shown], kind='stable')].tolist():
            identity = int(tracked.tracks['id'][row])
            trails[identity].append(feet[row, :3])
            _trail(picture, clip, camera_T_tracking, trails[identity], scale, id_color(identity))
            if drawn[row]:
                dashed = bool(tracked.occluded[row])
                draw_box(picture, boxes[row], id_color(identity), dashed=dashed)
        for row in shown[drawn[shown]].tolist():
            identity = int(tracked.tracks['id'][row])
            text, place = str(identity), boxes[row, :2]
            if tracked.occluded[row]:  # below its box, with the seconds that it is hidden
                lost = 1e-9 * (tracked.stamp - int(tracked.tracks['seen'][row]))
                text, place = f'{identity} {lost:.1f} s', boxes[row, [0, 3]] + [0, 18]
            _label(picture, text, float(place[0]), float(place[1]), id_color(identity))
        hidden = int((tracked.occluded & drawn).sum())
        text = f'{clip.name}  {1e-9 * (clip.stamps[n] - clip.stamps[0]):.1f} s  hidden {hidden}'
        if beyond := int((tracked.occluded & ~drawn).sum()):
            text += f'  out of view {beyond}'
        yield caption(picture, text)


def _period(clip: Clip) -> float:
    """Return the usual time between frames, seconds."""
    return float(np.median(np.diff(clip.stamps)) * 1e-9) if len(clip.stamps) > 1 else 0.1


def _camera_T_tracking(clip: Clip, frame: ClipFrame, number: int) -> Array:
    """Return the (4, 4) map from where tracks live to the camera of a frame."""
    if clip.world_T_camera is not None:
        return np.asarray(invert(clip.world_T_camera[number]), float)
    return np.asarray(invert(frame.tracked.tracking_T_sensor @ BODY_T_OPTICAL), float)


def _trail(
    picture: Image,
    clip: Clip,
    camera_T_tracking: Array,
    points: Sequence[Array],
    scale: int,
    color: Color,
) -> None:
    """Draw where a track's foot was, as the camera sees those places now."""
    if len(points) < 2:
        return
    pixels, depth = project(clip.camera, transform_points(camera_T_tracking, np.array(points)))
    line = ((pixels + 0.5) * scale - 0.5).clip(-1e4, 1e4).round()
    ahead = depth > 0.5
    for n in np.flatnonzero(ahead[1:] & ahead[:-1]):  # a piece from behind the camera is none
        a, b = line[n : n + 2].astype(int).tolist()
        cv2.line(picture, a, b, color, 1, cv2.LINE_AA)


def write_pictures(
    folder: Path,
    clips: Sequence[Clip],
    answers: Sequence[Sequence[ClipFrame]],
    taxonomy: Taxonomy,
) -> None:
    """Write one PNG per frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip, frames in zip(clips, answers, strict=True):
        for n, picture in enumerate(draw_frames(clip, frames, taxonomy)):
            write_picture(folder / f'{clip.name}_{n:04d}.png', picture)


def write_video(
    path: Path,
    clips: Sequence[Clip],
    answers: Sequence[Sequence[ClipFrame]],
    taxonomy: Taxonomy,
) -> None:
    """Write one MP4 of all clips, one after the other, at the first one's rate and size.

    Raises:
        DatasetError: without clips, or if the video cannot be written.
    """
    if not clips:
        raise DatasetError('there is nothing to draw')
    path.parent.mkdir(parents=True, exist_ok=True)
    writer: cv2.VideoWriter | None = None
    size = (0, 0)
    for clip, frames in zip(clips, answers, strict=True):
        for picture in draw_frames(clip, frames, taxonomy):
            if writer is None:
                size = (picture.shape[1], picture.shape[0])
                code = cv2.VideoWriter.fourcc(*'mp4v')
                writer = cv2.VideoWriter(str(path), code, 1 / _period(clip), size)
                if not writer.isOpened():
                    raise DatasetError(f'cannot write the video {path}; its name must end in .mp4')
            fitted = picture if picture.shape[1::-1] == size else cv2.resize(picture, size)
            writer.write(np.ascontiguousarray(fitted[..., ::-1]))
    if writer is not None:
        writer.release()
