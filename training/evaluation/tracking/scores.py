"""Scores of tracks by TrackEval, in percent, and the identities kept through gaps."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from sim_perception.extras import require
from sim_perception.geometry.boxes import iou_2d
from training.datasets.kitti.tracking import KittiLabels, KittiSequence, from_vehicle
from training.datasets.sample import DatasetError

Array = npt.NDArray[np.float64]
MATCH_IOU = 0.5
KEYS = ('HOTA', 'DetA', 'AssA', 'LocA', 'IDF1', 'MOTA', 'IDSW', 'Frag')


@dataclass(frozen=True)
class TrackRows:
    """Tracks of one sequence, one row per object and frame, ordered by frame.

    Attributes:
        frame: (N,) frame numbers.
        id: (N,) track ids.
        kind: (N,) class names as in KITTI.
        box2d: (N, 4) x1 y1 x2 y2 pixels.
        box3d: (N, 7) in the vehicle frame; NaN where there is none.
        score: (N,).
    """

    frame: npt.NDArray[np.int64]
    id: npt.NDArray[np.int64]
    kind: npt.NDArray[np.str_]
    box2d: Array
    box3d: Array
    score: Array


def write_kitti(path: Path, rows: TrackRows) -> None:
    """Write a result file of the KITTI tracking benchmark."""
    boxes = np.nan_to_num(from_vehicle(rows.box3d), nan=-1000.0)
    bearing = np.arctan2(boxes[:, 3], boxes[:, 5])
    alpha = (boxes[:, 6] - bearing + np.pi) % (2 * np.pi) - np.pi
    with path.open('w') as file:
        for n in range(len(rows.frame)):
            values = [alpha[n], *rows.box2d[n], *boxes[n], rows.score[n]]
            text = ' '.join(f'{v:.4f}' for v in values)
            file.write(f'{rows.frame[n]} {rows.id[n]} {rows.kind[n]} 0 0 {text}\n')


def score_kitti(
    sequences: Sequence[KittiSequence], results: Mapping[str, TrackRows], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return KITTI's tracking scores by class, over all sequences.

    Args:
        sequences: with the truth.
        results: tracks by sequence name.
        classes: of ``Car`` and ``Pedestrian``, which is all that KITTI evaluates.

    Raises:
        DatasetError: if TrackEval is absent or refuses the data.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / 'label_02').mkdir()
        (folder / 'tracker' / 'data').mkdir(parents=True)
        for sequence in sequences:
            name = f'{sequence.name}.txt'
            sequence.labels.write(folder / 'label_02' / name)
            write_kitti(folder / 'tracker' / 'data' / name, results[sequence.name])
        seqmap = [f'{s.name} empty 000000 {s.frames:06d}\n' for s in sequences]
        (folder / 'evaluate_tracking.seqmap.training').write_text(''.join(seqmap))
        return _trackeval(folder, [s.name for s in sequences], classes)


def import_trackeval() -> Any:
    """Return the module, which prints what it could not import.

    Raises:
        ImportError: if it is not installed.
    """
    require('scoring tracks', 'trackeval')
    with contextlib.redirect_stdout(io.StringIO()):
        import trackeval
    return trackeval


def _trackeval(folder: Path, names: list[str], classes: Sequence[str]) -> dict[str, Any]:
    trackeval = import_trackeval()
    quiet = {'PRINT_CONFIG': False}
    try:
        data = trackeval.datasets.Kitti2DBox(
            {
                'GT_FOLDER': str(folder),
                'TRACKERS_FOLDER': str(folder),
                'TRACKERS_TO_EVAL': ['tracker'],
                'CLASSES_TO_EVAL': [c.lower() for c in classes],
                **quiet,
            }
        )
        metrics = trackeval.metrics
        chosen = (metrics.HOTA(), metrics.CLEAR(quiet), metrics.Identity(quiet))
        parts: dict[str, dict[str, list[Any]]] = {c: {} for c in classes}
        for name in names:
            raw = data.get_raw_seq_data('tracker', name)
            for c in classes:
                ready = data.get_preprocessed_seq_data(raw, c.lower())
                parts[c][name] = [metric.eval_sequence(ready) for metric in chosen]
    except trackeval.utils.TrackEvalException as error:
        raise DatasetError(f'TrackEval refuses the data: {error}') from error
    scores = {}
    for c in classes:
        hota, clear, identity = (
            metric.combine_sequences({name: part[n] for name, part in parts[c].items()})
            for n, metric in enumerate(chosen)
        )
        scores[c] = combined(hota, clear, identity)
    return scores


def combined(hota: Any, clear: Any, identity: Any) -> dict[str, float]:
    """Return the figures of TrackEval's three metrics that are reported, shares in percent."""
    return {
        **{key: 100 * float(np.mean(hota[key])) for key in ('HOTA', 'DetA', 'AssA', 'LocA')},
        'IDF1': 100 * float(identity['IDF1']),
        'MOTA': 100 * float(clear['MOTA']),
        'IDSW': int(clear['IDSW']),
        'Frag': int(clear['Frag']),
        'FP': int(clear['CLR_FP']),
        'FN': int(clear['CLR_FN']),
    }


def image_corners(boxes: Array) -> Array:
    """Return (N, 4) image boxes x1 y1 x2 y2 of the tracker's (N, 7) boxes of the image plane."""
    return np.concatenate([boxes[:, :2] - boxes[:, 4:6] / 2, boxes[:, :2] + boxes[:, 4:6] / 2], 1)


def match_rows(
    frame_a: npt.NDArray[np.int64],
    boxes_a: Array,
    frame_b: npt.NDArray[np.int64],
    boxes_b: Array,
) -> npt.NDArray[np.int64]:
    """Match image boxes frame by frame: greatest total overlap of pairs from ``MATCH_IOU`` on.

    Returns:
        (N,) row of b for each row of a, or -1.
    """
    out = np.full(len(frame_a), -1, np.int64)
    for frame in np.intersect1d(frame_a, frame_b):
        a, b = np.flatnonzero(frame_a == frame), np.flatnonzero(frame_b == frame)
        iou = iou_2d(boxes_a[a], boxes_b[b])
        iou = np.where(iou >= MATCH_IOU, iou, 0.0)
        rows, columns = linear_sum_assignment(-iou)
        good = iou[rows, columns] > 0
        out[a[rows[good]]] = b[columns[good]]
    return out


def true_rows(labels: KittiLabels, kind: str) -> npt.NDArray[np.intp]:
    """Return the label rows of a class's objects."""
    return np.flatnonzero((labels.kind == kind) & (labels.id >= 0))
