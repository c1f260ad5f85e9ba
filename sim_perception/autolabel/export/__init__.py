"""Labels in the formats of others: every format is a file here and a line in ``EXPORTS``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.export.bag import BagExport
from sim_perception.autolabel.export.base import IMAGES, ExportFrame, LabelExport
from sim_perception.autolabel.export.coco import CocoExport
from sim_perception.autolabel.export.kitti import KittiExport
from sim_perception.autolabel.export.meshes import MeshExport
from sim_perception.autolabel.export.nuscenes import NuscenesExport
from sim_perception.autolabel.records import LabelledFrame, write_frame
from sim_perception.autolabel.surfaces import frame_masks, surface_of
from sim_perception.models.shape import ShapeModel
from sim_perception.taxonomy import Taxonomy

__all__ = ['EXPORTS', 'IMAGES', 'export_frame', 'export_frames', 'finish_export']

EXPORTS: dict[str, LabelExport] = {
    'kitti': KittiExport(),
    'coco': CocoExport(),
    'nuscenes': NuscenesExport(),
    'meshes': MeshExport(),
    'bag': BagExport(),
}


def export_frame(
    formats: Collection[str],
    frame: LabelledFrame,
    taxonomy: Taxonomy,
    out: Path,
    *,
    model: ShapeModel,
    points: npt.NDArray[np.floating] | None = None,
) -> None:
    """Write a frame's own files in some formats.

    Args:
        formats: of ``EXPORTS``.
        frame: the frame.
        taxonomy: names the classes.
        out: the data set's folder.
        model: the shape space of the labels.
        points: (N, 3) of the scan in the level frame, if there is one.

    Raises:
        OSError: for a full disk and the like; files that are there are whole.
        ImportError: for meshes, if trimesh or scikit-image is not installed.
    """
    exports = [EXPORTS[name] for name in formats]
    item = ExportFrame(frame, taxonomy, points)
    if any(export.needs_surfaces for export in exports):
        surfaces = [surface_of(label, model) for label in frame.accepted]
        masks, hidden = frame_masks(frame, frame.accepted, surfaces)
        item = ExportFrame(frame, taxonomy, points, surfaces, masks, hidden)
    for export in exports:
        export.write_frame(item, out)


def finish_export(
    formats: Collection[str],
    frames: Sequence[LabelledFrame],
    scene: str,
    taxonomy: Taxonomy,
    out: Path,
) -> None:
    """Write the files that span frames, once ``export_frame`` has written all of them."""
    for name in formats:
        EXPORTS[name].write_all(frames, scene, taxonomy, out)


def export_frames(
    frames: Sequence[LabelledFrame], folder: Path, taxonomy: Taxonomy, model: ShapeModel
) -> None:
    """Write ``frames/*.json`` and every format that needs no images.

    Args:
        frames: in the order of time.
        folder: a new one; its name is that of the recording.
        taxonomy: names the classes.
        model: the shape space of the labels.

    Raises:
        FileExistsError: if the folder exists.
        OSError: for a full disk and the like; files that are there are whole.
        ImportError: for meshes, if trimesh or scikit-image is not installed.
    """
    folder.mkdir(parents=True)
    formats = [name for name, export in EXPORTS.items() if not export.needs_images]
    for frame in frames:
        write_frame(frame, folder / 'frames' / f'{frame.name}.json')
        export_frame(formats, frame, taxonomy, folder, model=model)
    finish_export(formats, frames, folder.name, taxonomy, folder)
