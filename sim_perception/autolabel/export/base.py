"""What a format of labels gets and does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.records import LabelledFrame
from sim_perception.autolabel.surfaces import Mask
from sim_perception.files import safe_name
from sim_perception.models.shape import Surface
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, ShapeLabel

Array = npt.NDArray[np.floating]

EDGE = 0.5
"""Where a pixel's middle is in formats that count from its edge; here it is at 0."""
IMAGES = 'kitti/image_2'
"""Where a data set's images are: ``NAME.png``. Formats with a folder of their own link to them."""
SCANS = 'kitti/velodyne'
"""Where its scans are: ``NAME.bin``, (N, 4) float32 of x, y, z in the level frame and 0."""
VISIBILITY = 'visibility'
"""Measure of labels of which it is known: the visible share, in [0, 1]. Only of true ones; their
``box2d`` is of the whole object, hidden parts too, and may go beyond the image."""
HIDDEN = 'hidden'
"""Reason why a true label may not be used: too little of it is seen."""


@dataclass(frozen=True)
class ExportFrame:
    """A labelled frame with what formats may show beside its labels.

    Attributes:
        frame: the frame.
        taxonomy: names the classes.
        points: (N, 3) of the scan in the level frame, or None.
        surfaces: meshes of the accepted labels, box frames; None if no format needs them.
        masks: (H, W) what is seen of each; None if not known.
        hidden: share of each that something hides; None if not known.
    """

    frame: LabelledFrame
    taxonomy: Taxonomy
    points: npt.NDArray[np.floating] | None = None
    surfaces: Sequence[Surface] | None = None
    masks: Sequence[Mask] | None = None
    hidden: Sequence[float] | None = None


@dataclass(frozen=True)
class LabelledRecording:
    """A recording with what is known of its frames.

    Attributes:
        name: of the recording, unique in its data set.
        frames: in the order of time, of names that are unique in the data set.
    """

    name: str
    frames: Sequence[LabelledFrame]


class LabelExport:
    """A format: what it writes of each frame, and of all of them in the end.

    Attributes:
        needs_surfaces: whether it shows the labels' meshes.
        needs_masks: whether it shows what is seen of them.
        needs_images: whether its files name the frames' images.
        needs_scans: whether its files name the frames' scans, where there are any.
    """

    needs_surfaces = False
    needs_masks = False
    needs_images = False
    needs_scans = False

    def write_frame(self, item: ExportFrame, out: Path) -> None:
        """Write a frame's own files below a data set's folder, each atomically."""

    def write_all(
        self, recordings: Sequence[LabelledRecording], taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the files that span frames; earlier ones are replaced.

        Args:
            recordings: one or several; the files of their frames are written.
            taxonomy: names the classes.
            out: the data set's folder.
        """


def all_frames(recordings: Sequence[LabelledRecording]) -> list[LabelledFrame]:
    """Return the frames of some recordings, one recording after the other."""
    return [frame for recording in recordings for frame in recording.frames]


def folders_of(
    recordings: Sequence[LabelledRecording], folder: Path
) -> list[tuple[LabelledRecording, Path]]:
    """Return where recordings are written of which a format's file holds one.

    That is the folder itself, of several one in it for each.
    """
    if len(recordings) == 1:
        return [(recordings[0], folder)]
    return [(recording, folder / safe_name(recording.name)) for recording in recordings]


def visibility_of(label: ShapeLabel) -> float | None:
    """Return the visible share of a true label, None where it is not known."""
    return label.measures.get(VISIBILITY)


def cut(box: tuple[float, float, float, float], camera: Camera) -> Array | None:
    """Return (x1, y1, x2, y2) of an image box within the image, None if nothing is left."""
    limit = np.array([camera.width, camera.height] * 2) - 1.0
    inside = np.clip(np.asarray(box, float), 0, limit)
    return inside if (inside[2:] > inside[:2]).all() else None


def place_image(out: Path, name: str, target: Path) -> None:
    """Put a frame's image at another place of the data set; see ``place_file``.

    A data set without images (labels of a live node) gets none.
    """
    source = out / IMAGES / f'{name}.png'
    if source.exists():
        place_file(source, target)


def place_file(source: Path, target: Path) -> None:
    """Put a file at another place as well: a hard link, or a copy where there are none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def scan_file(out: Path, name: str) -> Path | None:
    """Return the file of a frame's scan, None if there is none."""
    path = out / SCANS / f'{name}.bin'
    return path if path.exists() else None


def scan_bytes(points: Array) -> bytes:
    """Return (N, 3) points as a file of ``SCANS``; the reflectance is 0."""
    rows = np.zeros((len(points), 4), '<f4')
    rows[:, :3] = points
    return rows.tobytes()


def scan_points(path: Path) -> Array:
    """Return the (N, 3) points of a file of ``SCANS``."""
    return np.fromfile(path, '<f4').reshape(-1, 4)[:, :3]
