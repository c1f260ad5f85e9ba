"""Labels in the formats of others: every format is a file here and a line in ``EXPORTS``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.export.bag import BagExport
from sim_perception.autolabel.export.base import (
    HIDDEN,
    IMAGES,
    SCANS,
    VISIBILITY,
    ExportFrame,
    LabelExport,
    LabelledRecording,
    place_file,
    scan_bytes,
    scan_file,
    scan_points,
)
from sim_perception.autolabel.export.coco import CocoExport
from sim_perception.autolabel.export.datumaro import DatumaroExport
from sim_perception.autolabel.export.kitti import KittiExport
from sim_perception.autolabel.export.mcap import McapExport
from sim_perception.autolabel.export.meshes import MeshExport
from sim_perception.autolabel.export.mot import MotExport
from sim_perception.autolabel.export.nuscenes import NuscenesExport
from sim_perception.autolabel.export.yolo import YoloExport
from sim_perception.autolabel.records import LabelledFrame, write_frame
from sim_perception.autolabel.surfaces import frame_masks, surface_of
from sim_perception.files import write_atomically
from sim_perception.models.shape import ShapeModel
from sim_perception.taxonomy import Taxonomy

__all__ = [
    'EXPORTS',
    'HIDDEN',
    'IMAGES',
    'SCANS',
    'VISIBILITY',
    'ExportFrame',
    'LabelledRecording',
    'export_frame',
    'export_frames',
    'finish_export',
    'needs_shapes',
    'place_file',
    'scan_file',
    'scan_points',
    'write_item',
]

EXPORTS: dict[str, LabelExport] = {
    'kitti': KittiExport(),
    'coco': CocoExport(),
    'nuscenes': NuscenesExport(),
    'meshes': MeshExport(),
    'bag': BagExport(),
    'yolo': YoloExport(),
    'mot': MotExport(),
    'datumaro': DatumaroExport(),
    'mcap': McapExport(),
}


def export_frame(
    formats: Collection[str],
    frame: LabelledFrame,
    taxonomy: Taxonomy,
    out: Path,
    *,
    shapes: Mapping[int, ShapeModel] | None,
    points: npt.NDArray[np.floating] | None = None,
) -> None:
    """Write a labelled frame's own files in some formats.

    Args:
        formats: of ``EXPORTS``.
        frame: the frame.
        taxonomy: names the classes.
        out: the data set's folder.
        shapes: the shape spaces of the labels by class id; None where ``needs_shapes`` says that
            it will do.
        points: (N, 3) of the scan in the level frame, if there is one.

    Raises:
        OSError: for a full disk and the like; files that are there are whole.
        ImportError: for meshes, if trimesh or scikit-image is not installed.
    """
    item = ExportFrame(frame, taxonomy, points)
    if shapes is not None and needs_shapes(formats):
        surfaces = [surface_of(label, shapes[label.class_id]) for label in frame.accepted]
        masks, hidden = frame_masks(frame, frame.accepted, surfaces)
        item = ExportFrame(frame, taxonomy, points, surfaces, masks, hidden)
    write_item(formats, item, out)


def needs_shapes(formats: Collection[str]) -> bool:
    """Return whether some of the formats show meshes of labels, or masks made from them."""
    return any(EXPORTS[name].needs_surfaces or EXPORTS[name].needs_masks for name in formats)


def write_item(formats: Collection[str], item: ExportFrame, out: Path) -> None:
    """Write a frame's own files in some formats, its scan first if one of them names it."""
    exports = [EXPORTS[name] for name in formats]
    if item.points is not None and any(export.needs_scans for export in exports):
        write_atomically(out / SCANS / f'{item.frame.name}.bin', scan_bytes(item.points))
    for export in exports:
        export.write_frame(item, out)


def finish_export(
    formats: Collection[str],
    recordings: Sequence[LabelledRecording],
    taxonomy: Taxonomy,
    out: Path,
) -> None:
    """Write the files that span frames, once ``export_frame`` has written all of them."""
    for name in formats:
        EXPORTS[name].write_all(recordings, taxonomy, out)


def export_frames(
    frames: Sequence[LabelledFrame],
    folder: Path,
    taxonomy: Taxonomy,
    shapes: Mapping[int, ShapeModel],
) -> None:
    """Write ``frames/*.json`` and every format that needs no images.

    Args:
        frames: in the order of time.
        folder: a new one; its name is that of the recording.
        taxonomy: names the classes.
        shapes: the shape spaces of the labels by class id.

    Raises:
        FileExistsError: if the folder exists.
        OSError: for a full disk and the like; files that are there are whole.
        ImportError: for meshes, if trimesh or scikit-image is not installed.
    """
    folder.mkdir(parents=True)
    formats = [name for name, export in EXPORTS.items() if not export.needs_images]
    for frame in frames:
        write_frame(frame, folder / 'frames' / f'{frame.name}.json')
        export_frame(formats, frame, taxonomy, folder, shapes=shapes)
    finish_export(formats, [LabelledRecording(folder.name, frames)], taxonomy, folder)
