"""Labels as a COCO file: image boxes and masks, with the 3D box beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.autolabel.export.base import (
    EDGE,
    IMAGES,
    ExportFrame,
    LabelExport,
    LabelledRecording,
    all_frames,
    visibility_of,
)
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.autolabel.surfaces import Mask
from sim_perception.files import read_json, write_atomically
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import ShapeLabel


class CocoExport(LabelExport):
    """``coco.json``; the masks of a frame wait in ``masks/`` until all frames are there."""

    needs_masks = True
    needs_images = True

    def write_frame(self, item: ExportFrame, out: Path) -> None:
        """Write the masks of a frame."""
        assert item.masks is not None
        codes = json.dumps([encode_mask(mask) for mask in item.masks])
        write_atomically(out / 'masks' / f'{item.frame.name}.json', codes.encode())

    def write_all(
        self, recordings: Sequence[LabelledRecording], taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the file."""
        coco = CocoFile(taxonomy)
        for frame in all_frames(recordings):
            masks = read_json(out / 'masks' / f'{frame.name}.json')
            name = f'{IMAGES}/{frame.name}.png'
            coco.add(frame, name, zip(frame.accepted, masks, strict=True))
        coco.write(out / 'coco.json')


def encode_mask(mask: Mask) -> dict[str, Any]:
    """Return COCO's uncompressed run-length code of a (H, W) mask.

    Lengths of runs in column order, that of zeros first.
    """
    flat = mask.T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return {'size': list(mask.shape), 'counts': [0, *runs] if flat[:1].any() else runs}


def decode_mask(code: dict[str, Any]) -> Mask:
    """Return the (H, W) mask of a code; the inverse of ``encode_mask``."""
    height, width = code['size']
    counts = code['counts']
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


class CocoFile:
    """Collects frames for one COCO file.

    Args:
        taxonomy: its classes are the categories, numbered from 1 in its order.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._taxonomy = taxonomy
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(
        self,
        frame: LabelledFrame,
        file_name: str,
        masks: Iterable[tuple[ShapeLabel, dict[str, Any]]],
    ) -> None:
        """Append a frame.

        Args:
            frame: the frame.
            file_name: of its image, relative to the images' folder.
            masks: labels with what is seen of them, as ``encode_mask`` gives it. The box of true
                ones is that of the mask, and ``amodal_bbox`` that of the whole object.
        """
        image = len(self._images) + 1
        self._images.append(
            {
                'id': image,
                'file_name': file_name,
                'width': frame.camera.width,
                'height': frame.camera.height,
                'stamp': frame.stamp,
            }
        )
        for label, mask in masks:
            visible = visibility_of(label)
            # a true label of which no pixel's middle is seen has no instance in COCO
            if visible is None or any(mask['counts'][1::2]):
                self._annotations.append(self._annotation(label, mask, image, visible))

    def _annotation(
        self, label: ShapeLabel, mask: dict[str, Any], image: int, visible: float | None
    ) -> dict[str, Any]:
        x1, y1, x2, y2 = label.box2d if visible is None else _bounds(decode_mask(mask))
        annotation: dict[str, Any] = {
            'id': len(self._annotations) + 1,
            'image_id': image,
            'category_id': label.class_id + 1,
            'bbox': [x1, y1, x2 - x1, y2 - y1],
            'area': float(sum(mask['counts'][1::2])),
            'segmentation': mask,
            'iscrowd': 0,
            'score': label.confidence,
            'track_id': label.id,
        }
        if visible is not None:
            left, top, right, bottom = (v + EDGE for v in label.box2d)
            annotation['amodal_bbox'] = [left, top, right - left, bottom - top]
            annotation['visibility'] = visible
        if label.box3d is not None:
            annotation['size_lwh'] = list(label.box3d.size)
            annotation['level_T_box'] = np.asarray(label.box3d.parent_T_box).tolist()
        return annotation

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        categories = [
            {'id': number + 1, 'name': name, 'supercategory': ''}
            for number, name in enumerate(self._taxonomy.names)
        ]
        values = {
            'info': {'description': 'automatic labels', 'version': '1'},
            'licenses': [],
            'images': self._images,
            'annotations': self._annotations,
            'categories': categories,
        }
        write_atomically(path, json.dumps(values).encode())


def _bounds(mask: Mask) -> tuple[float, float, float, float]:
    """Return the edges of the pixels of a mask, as COCO counts: the first pixel is 0 to 1."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return (
        float(columns[0]),
        float(rows[0]),
        float(columns[-1] + 1),
        float(rows[-1] + 1),
    )
