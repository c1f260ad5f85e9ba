"""Labels of the verb ``label`` in the viewer's scene: boxes and meshes of every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sim_perception.autolabel.classes import load_shapes
from sim_perception.autolabel.records import LabelledFrame, read_frames
from sim_perception.autolabel.surfaces import surface_of
from sim_perception.files import mapping, read_json
from sim_perception.models.shape import Surface
from sim_perception.types import Box3D, Detection, ShapeLabel
from sim_perception.viewer.scene import Scene, Style
from training.viewing.recorded import Span

_SPACING = 0.12
"""Of meshes, metres: fine enough to look at."""


class LabelScene:
    """A folder of labels that can be shown.

    Args:
        folder: what ``label`` has written.

    Raises:
        ValueError: if it is no folder of labels.
        CheckpointError: if the shape space that they were made with is not there.
    """

    def __init__(self, folder: Path) -> None:
        settings = folder / 'dataset.json'
        self._frames = folder / 'frames'
        if not settings.is_file() or not self._frames.is_dir():
            raise ValueError(
                f'{folder} holds no labels; make some with: python -m training label BAG --out '
                f'{folder}'
            )
        shape = mapping(read_json(settings), settings).get('shape', '')
        self._shapes = load_shapes(shape)
        self._surfaces: dict[bytes, Surface] = {}

    def show(self, scene: Scene, span: Span) -> Iterator[int]:
        """Show the frames of a part of a recording; yields how many labels each has."""
        for frame in read_frames(self._frames):
            if span.start <= frame.stamp < span.stop:
                self._show(scene, frame)
                yield len(frame.accepted)

    def _show(self, scene: Scene, frame: LabelledFrame) -> None:
        scene.at(frame.stamp)
        fitted = [label for label in frame.labels if label.box3d is not None]
        still = frame.world_T_level is not None
        where = frame.world_frame if still else frame.level_frame
        pose = frame.world_T_level if frame.world_T_level is not None else np.eye(4)
        for style, kept in ((Style.LABELS, True), (Style.REJECTED, False)):
            chosen = [label for label in fitted if label.accepted is kept]
            boxes = [_detection(label, pose) for label in chosen]
            notes = [_said(label) for label in chosen]
            scene.boxes(f'labels/{style.value}', boxes, where, style, notes)
        placed = [
            (_placed(label, pose), self._surface(label))
            for label in fitted
            if label.accepted and label.latent is not None
        ]
        scene.meshes('labels/meshes', placed, where)

    def _surface(self, label: ShapeLabel) -> Surface:
        """Return a label's mesh; frames of one track share a shape, so it is made once."""
        key = np.asarray(label.latent).tobytes() + repr((label.class_id, label.body_size)).encode()
        if key not in self._surfaces:
            self._surfaces[key] = surface_of(label, self._shapes[label.class_id], _SPACING)
        return self._surfaces[key]


def _placed(label: ShapeLabel, pose: np.ndarray) -> Box3D:
    assert label.box3d is not None
    return replace(label.box3d, parent_T_box=pose @ label.box3d.parent_T_box)


def _detection(label: ShapeLabel, pose: np.ndarray) -> Detection:
    return Detection(label.class_id, label.confidence, label.id, _placed(label, pose))


def _said(label: ShapeLabel) -> str:
    return f'{label.confidence:.2f}' if label.accepted else label.reason
