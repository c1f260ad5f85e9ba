"""Labels as a YOLO data set: a text file of image boxes per image, and ``data.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from sim_perception.autolabel.export.base import (
    EDGE,
    LabelExport,
    LabelledRecording,
    all_frames,
    cut,
    place_image,
)
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.files import write_atomically
from sim_perception.taxonomy import Taxonomy

SPLIT = 'train'


class YoloExport(LabelExport):
    """``yolo/``: ``images/train``, ``labels/train`` and ``data.yaml``.

    All recordings are one split: frames of one drive are too alike to train on some and validate
    on others, so ``val`` names the same images until the folder of other drives is put there.
    """

    needs_images = True

    def write_all(
        self, recordings: Sequence[LabelledRecording], taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the data set."""
        folder = out / 'yolo'
        for frame in all_frames(recordings):
            place_image(out, frame.name, folder / 'images' / SPLIT / f'{frame.name}.png')
            text = ''.join(f'{line}\n' for line in box_lines(frame))
            write_atomically(folder / 'labels' / SPLIT / f'{frame.name}.txt', text.encode())
        facts = {
            'train': f'images/{SPLIT}',
            'val': f'images/{SPLIT}',
            'nc': len(taxonomy),
            'names': dict(enumerate(taxonomy.names)),
        }
        write_atomically(folder / 'data.yaml', yaml.safe_dump(facts, sort_keys=False).encode())


def box_lines(frame: LabelledFrame) -> list[str]:
    """Return ``class x y width height`` of the accepted labels within the image.

    The class is the taxonomy's id; the box's middle and size are shares of the image. Pixels are
    areas there: the middle of the first one is at (.5, .5).
    """
    width, height = frame.camera.width, frame.camera.height
    lines = []
    for label in frame.accepted:
        box = cut(label.box2d, frame.camera)
        if box is None:
            continue
        x1, y1, x2, y2 = (float(v) for v in box)
        shares = (
            ((x1 + x2) / 2 + EDGE) / width,
            ((y1 + y2) / 2 + EDGE) / height,
            (x2 - x1) / width,
            (y2 - y1) / height,
        )
        lines.append(f'{label.class_id} ' + ' '.join(f'{share:.6f}' for share in shares))
    return lines
