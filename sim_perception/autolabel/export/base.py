"""What a format of labels gets and does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.records import LabelledFrame
from sim_perception.autolabel.surfaces import Mask
from sim_perception.models.shape import Surface
from sim_perception.taxonomy import Taxonomy

IMAGES = 'kitti/image_2'
"""Where a data set's images are: ``NAME.png``."""


@dataclass(frozen=True)
class ExportFrame:
    """A labelled frame with what formats may show beside its labels.

    Attributes:
        frame: the frame.
        taxonomy: names the classes.
        points: (N, 3) of the scan in the level frame, or None.
        surfaces: meshes of the accepted labels, box frames; None if no format needs them.
        masks: (H, W) what is seen of each; None without surfaces.
        hidden: share of each that other labels hide; None without surfaces.
    """

    frame: LabelledFrame
    taxonomy: Taxonomy
    points: npt.NDArray[np.floating] | None = None
    surfaces: Sequence[Surface] | None = None
    masks: Sequence[Mask] | None = None
    hidden: Sequence[float] | None = None


class LabelExport:
    """A format: what it writes of each frame, and of all of them in the end.

    Attributes:
        needs_surfaces: whether it shows the labels' meshes or masks.
        needs_images: whether its files name the frames' images.
    """

    needs_surfaces = False
    needs_images = False

    def write_frame(self, item: ExportFrame, out: Path) -> None:
        """Write a frame's own files below a data set's folder, each atomically."""

    def write_all(
        self, frames: Sequence[LabelledFrame], scene: str, taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the files that span frames; earlier ones are replaced.

        Args:
            frames: in the order of time; their own files are written.
            scene: name of the recording.
            taxonomy: names the classes.
            out: the data set's folder.
        """
