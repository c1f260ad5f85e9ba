"""Labels as MOTChallenge sequences: image boxes with identities, hidden objects included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sim_perception.autolabel.export.base import (
    HIDDEN,
    LabelExport,
    LabelledRecording,
    cut,
    place_image,
    visibility_of,
)
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.files import safe_name, write_atomically
from sim_perception.taxonomy import Taxonomy

CLASSES = {'pedestrian': 1, 'cyclist': 2, 'car': 3, 'truck': 3}
"""MOTChallenge's number of the taxonomy's classes (a cyclist is a person on a vehicle, lorries are
cars); others are left out."""
_NOT_KNOWN = -1.0


class MotExport(LabelExport):
    """``mot/SCENE/``: ``seqinfo.ini``, ``gt/gt.txt`` and ``img1``."""

    needs_images = True

    def write_all(
        self, recordings: Sequence[LabelledRecording], taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the sequences."""
        for recording in recordings:
            frames, folder = recording.frames, out / 'mot' / safe_name(recording.name)
            for number, frame in enumerate(frames, 1):
                place_image(out, frame.name, folder / 'img1' / f'{number:06d}.png')
            text = ''.join(f'{row}\n' for row in truth_rows(frames, taxonomy))
            write_atomically(folder / 'gt' / 'gt.txt', text.encode())
            info = sequence_info(frames, recording.name)
            write_atomically(folder / 'seqinfo.ini', info.encode())


def truth_rows(frames: Sequence[LabelledFrame], taxonomy: Taxonomy) -> list[str]:
    """Return ``frame,id,left,top,width,height,1,class,visibility`` of what may be used.

    Frames and ids count from 1, pixels too: the middle of the first one is at (1, 1). Boxes are
    of whole objects and may go beyond the image; those wholly beyond it are left out. Of true
    labels hidden ones are there as well, with their visibility; where it is not known it is -1.
    Labels without identity have an id of their own.
    """
    numbers: dict[str, int] = {}
    rows = []
    for number, frame in enumerate(frames, 1):
        for k, label in enumerate(frame.labels):
            kind = CLASSES.get(taxonomy.names[label.class_id])
            usable = label.accepted or label.reason == HIDDEN
            if kind is None or not usable or cut(label.box2d, frame.camera) is None:
                continue
            identity = numbers.setdefault(label.id or f'{frame.name}/{k}', len(numbers) + 1)
            x1, y1, x2, y2 = label.box2d
            visible = visibility_of(label)
            rows.append(
                f'{number},{identity},{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},1,'
                f'{kind},{_NOT_KNOWN if visible is None else visible:.4f}'
            )
    return rows


def sequence_info(frames: Sequence[LabelledFrame], scene: str) -> str:
    """Return the text of ``seqinfo.ini``; the frame rate is the usual one, a whole number."""
    steps = np.diff([frame.stamp for frame in frames])
    rate = round(1e9 / float(np.median(steps))) if len(steps) and (steps > 0).all() else 1
    camera = frames[0].camera if frames else None
    facts = {
        'name': safe_name(scene),
        'imDir': 'img1',
        'frameRate': max(rate, 1),
        'seqLength': len(frames),
        'imWidth': camera.width if camera else 0,
        'imHeight': camera.height if camera else 0,
        'imExt': '.png',
    }
    return '[Sequence]\n' + ''.join(f'{key}={value}\n' for key, value in facts.items())
