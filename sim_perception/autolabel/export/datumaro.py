"""Labels as a Datumaro data set: image boxes with identity, and the 3D box as attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.autolabel.export.base import (
    EDGE,
    LabelExport,
    LabelledRecording,
    cut,
    place_image,
    visibility_of,
)
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.files import write_json
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import ShapeLabel

SUBSET = 'default'
_VERSION = '1.0'
_IMAGES = 2  # Datumaro's MediaType of images


class DatumaroExport(LabelExport):
    """``datumaro/``: ``annotations/default.json`` and ``images/default``."""

    needs_images = True

    def write_all(
        self, recordings: Sequence[LabelledRecording], taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the data set."""
        folder = out / 'datumaro'
        items, numbers = [], dict[str, int]()
        for recording in recordings:
            for number, frame in enumerate(recording.frames):
                place_image(out, frame.name, folder / 'images' / SUBSET / f'{frame.name}.png')
                items.append(_item(frame, number, recording.name, numbers))
        values = {
            'dm_format_version': _VERSION,
            'media_type': _IMAGES,
            'infos': {},
            'categories': {
                'label': {
                    'labels': [
                        {'name': name, 'parent': '', 'attributes': []} for name in taxonomy.names
                    ],
                    'attributes': [],
                }
            },
            'items': items,
        }
        write_json(folder / 'annotations' / f'{SUBSET}.json', values)


def _item(
    frame: LabelledFrame, number: int, recording: str, numbers: dict[str, int]
) -> dict[str, Any]:
    camera = frame.camera
    boxes = [(label, cut(label.box2d, camera)) for label in frame.accepted]
    return {
        'id': frame.name,
        'annotations': [
            _annotation(label, box, k, numbers)
            for k, (label, box) in enumerate(boxes)
            if box is not None
        ],
        'attr': {'recording': recording, 'frame': number, 'stamp': frame.stamp},
        'image': {'path': f'{frame.name}.png', 'size': [camera.height, camera.width]},
    }


def _annotation(
    label: ShapeLabel, box: Any, number: int, numbers: dict[str, int]
) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(v) + EDGE for v in box)
    visible = visibility_of(label)
    attributes: dict[str, Any] = {'score': label.confidence}
    if label.id:
        attributes['track_id'] = numbers.setdefault(label.id, len(numbers) + 1)
    if visible is not None:
        attributes['visibility'] = visible
    if label.box3d is not None:
        attributes['size_lwh'] = list(label.box3d.size)
        attributes['level_T_box'] = np.asarray(label.box3d.parent_T_box).reshape(-1).tolist()
    return {
        'id': number,
        'type': 'bbox',
        'label_id': label.class_id,
        'attributes': attributes,
        'group': 0,
        'z_order': 0,
        'bbox': [x1, y1, x2 - x1, y2 - y1],
    }
