"""Boxes that another detector found in images, as proposals for training without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sim_perception.geometry.boxes import iou_2d
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Detection
from training.datasets.bags.box_files import DrawnBox, read_box_file

#: What detectors trained on COCO call the taxonomy's things.
_COCO = {'person': 'pedestrian', 'bus': 'truck'}
_CYCLES = ('bicycle', 'motorcycle')
#: A person and a cycle overlap so when one rides the other: less is beside it, more is one thing
#: under two names.
_RIDES = (0.15, 0.75)


def read_seen_boxes(path: Path | str, taxonomy: Taxonomy) -> dict[str, tuple[Detection, ...]]:
    """Return a detector's boxes by the names of the images, without suffix; best score first.

    Classes are the taxonomy's, or COCO's; a person on a cycle becomes one ``cyclist``, whose box
    holds both. Classes of neither are left out.

    Raises:
        DatasetError: if the file is unusable.
    """
    images = read_box_file(Path(path))
    return {Path(image.name).stem: _detections(image.boxes, taxonomy) for image in images}


def _detections(boxes: Sequence[DrawnBox], taxonomy: Taxonomy) -> tuple[Detection, ...]:
    cycles = [box for box in boxes if box.label in _CYCLES]
    found = []
    for box in boxes:
        name = _COCO.get(box.label, box.label)
        if name not in taxonomy.names:
            continue
        corners = box.box
        if name == 'pedestrian' and cycles:
            overlap = iou_2d(np.array([corners]), np.array([each.box for each in cycles]))[0]
            best = int(overlap.argmax())
            if _RIDES[0] < overlap[best] < _RIDES[1]:
                both = np.array([corners, cycles[best].box])
                x1, y1 = both[:, :2].min(0)
                x2, y2 = both[:, 2:].max(0)
                name, corners = 'cyclist', (float(x1), float(y1), float(x2), float(y2))
        found.append(Detection(taxonomy.id_of(name), box.score, box2d=corners))
    return tuple(sorted(found, key=lambda each: -each.score))
