"""Labels as mesh files: a PLY per object, a GLB per frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.autolabel.export.base import ExportFrame, LabelExport
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.files import write_atomically
from sim_perception.models.shape import Surface
from sim_perception.types import ShapeLabel


class MeshExport(LabelExport):
    """``meshes/``: what ``write_meshes`` writes of every frame."""

    needs_surfaces = True

    def write_frame(self, item: ExportFrame, out: Path) -> None:
        """Write a frame's meshes."""
        assert item.surfaces is not None
        write_meshes(item.frame, item.frame.accepted, item.surfaces, out / 'meshes')


def write_meshes(
    frame: LabelledFrame, labels: Sequence[ShapeLabel], surfaces: Sequence[Surface], folder: Path
) -> None:
    """Write ``NAME.glb``, all objects placed in the level frame, and a PLY per object.

    PLY meshes, ``NAME_00.ply`` and so on, are in metres of the object's box frame. glTF's y axis
    is up and its z axis forward, so there the level frame's x y z become z x y.

    Raises:
        ImportError: if trimesh is not installed.
    """
    trimesh = _trimesh()
    for old in (*folder.glob(f'{frame.name}_*.ply'), folder / f'{frame.name}.glb'):
        old.unlink(missing_ok=True)  # of an earlier pass, which may have accepted more
    scene = trimesh.Scene()
    gltf_T_level = np.eye(4)[[1, 2, 0, 3]]
    for k, (label, surface) in enumerate(zip(labels, surfaces, strict=True)):
        assert label.box3d is not None
        mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
        write_atomically(folder / f'{frame.name}_{k:02d}.ply', mesh.export(file_type='ply'))
        pose = gltf_T_level @ label.box3d.parent_T_box
        scene.add_geometry(mesh, node_name=f'{k:02d}', geom_name=f'{k:02d}', transform=pose)
    if labels:
        write_atomically(folder / f'{frame.name}.glb', scene.export(file_type='glb'))


def _trimesh() -> Any:
    try:
        import trimesh
    except ImportError as error:
        raise ImportError(
            'mesh files need trimesh; install it with: pip install trimesh'
        ) from error
    return trimesh
