"""Labelled frames as a folder in the formats that need no images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim_perception.autolabel.export.bag import write_bag
from sim_perception.autolabel.export.kitti import write_kitti
from sim_perception.autolabel.export.nuscenes import write_nuscenes
from sim_perception.autolabel.records import LabelledFrame, write_frame
from sim_perception.autolabel.surfaces import surface_of, write_meshes
from sim_perception.models.shape import ShapeModel
from sim_perception.taxonomy import Taxonomy


def export_frames(
    frames: Sequence[LabelledFrame],
    folder: Path,
    taxonomy: Taxonomy,
    model: ShapeModel | None = None,
) -> None:
    """Write ``frames/*.json``, ``kitti/``, ``nuscenes/``, ``bag/`` and, with a model, ``meshes/``.

    Args:
        frames: in the order of time.
        folder: a new one; its name is that of the recording.
        taxonomy: names the classes.
        model: the shape space of the labels, or None to leave the meshes out.

    Raises:
        FileExistsError: if the folder exists.
        OSError: for a full disk and the like; files that are there are whole.
        ImportError: for meshes, if trimesh or scikit-image is not installed.
    """
    folder.mkdir(parents=True)
    for frame in frames:
        write_frame(frame, folder / 'frames' / f'{frame.name}.json')
        write_kitti(frame, taxonomy, folder / 'kitti')
    write_nuscenes(frames, folder.name, taxonomy, folder / 'nuscenes')
    write_bag(frames, taxonomy, folder / 'bag')
    if model is not None:
        for frame in frames:
            surfaces = [surface_of(label, model) for label in frame.accepted]
            write_meshes(frame, frame.accepted, surfaces, folder / 'meshes')
