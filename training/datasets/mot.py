"""MOTChallenge folders: ``seqinfo.ini``, ``det/det.txt`` and ``gt/gt.txt`` of each sequence.

Rows of detections are ``frame,-1,left,top,width,height,score,...``, rows of the truth
``frame,id,left,top,width,height,counts,class,visibility``; frames count from 1.
"""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.datasets.sample import DatasetError

Array = npt.NDArray[np.float64]
PEDESTRIAN = 1
"""The class that is evaluated."""
LIKE_PEDESTRIANS = (2, 7, 8, 12)
"""On vehicles, standing still, distractors, reflections: tracks on them cost nothing."""


@dataclass(frozen=True)
class MotSequence:
    """One sequence; frames count from 0 here.

    Attributes:
        name: of the sequence.
        frames: how many.
        rate: frames per second.
        width, height: of the images, pixels.
        found_frame: (N,) frames of the detections, ascending.
        found_box: (N, 4) x1 y1 x2 y2 pixels.
        found_score: (N,) in [0, 1].
        true_frame, true_id: (M,) of the true people, ascending frames; empty without ``gt``.
        true_box: (M, 4).
        counts: (M,) whether they are evaluated.
    """

    name: str
    frames: int
    rate: float
    width: int
    height: int
    found_frame: npt.NDArray[np.int64]
    found_box: Array
    found_score: Array
    true_frame: npt.NDArray[np.int64]
    true_id: npt.NDArray[np.int64]
    true_box: Array
    counts: npt.NDArray[np.bool_]


def read_mot(folder: Path | str) -> list[MotSequence]:
    """Read the sequence in a folder, or all in its subfolders, in order of their names.

    Raises:
        DatasetError: if there is none, or a file is absent or malformed.
    """
    folder = Path(folder)
    here = [folder] if (folder / 'seqinfo.ini').exists() else sorted(folder.glob('*/'))
    found = [path for path in here if (path / 'seqinfo.ini').exists()]
    if not found:
        raise DatasetError(f'{folder} is no MOT folder: no seqinfo.ini in it or right below it')
    return [read_sequence(path) for path in found]


def read_sequence(folder: Path) -> MotSequence:
    """Read one sequence.

    Raises:
        DatasetError: if a file is absent or malformed.
    """
    parser = configparser.ConfigParser()
    try:
        parser.read_string((folder / 'seqinfo.ini').read_text())
        info = parser['Sequence']
        frames, rate = info.getint('seqLength'), info.getfloat('frameRate')
        width, height = info.getint('imWidth'), info.getint('imHeight')
    except (OSError, KeyError, ValueError, configparser.Error) as error:
        raise DatasetError(f'{folder}/seqinfo.ini is no MOT sequence: {error!r}') from error
    if not (frames and rate and width and height):
        raise DatasetError(
            f'{folder}/seqinfo.ini needs seqLength, frameRate, imWidth and imHeight above 0'
        )
    found = _read(folder / 'det' / 'det.txt', 7)
    path = folder / 'gt' / 'gt.txt'
    truth = _read(path, 8) if path.exists() else np.empty((0, 8))
    # zero marks what annotators left out; other classes are other things
    truth = truth[(truth[:, 6] > 0) & np.isin(truth[:, 7], (PEDESTRIAN, *LIKE_PEDESTRIANS))]
    return MotSequence(
        name=info.get('name', folder.name),
        frames=frames,
        rate=rate,
        width=width,
        height=height,
        found_frame=found[:, 0].astype(np.int64) - 1,
        found_box=_corners(found),
        found_score=scores(found[:, 6]),
        true_frame=truth[:, 0].astype(np.int64) - 1,
        true_id=truth[:, 1].astype(np.int64),
        true_box=_corners(truth),
        counts=truth[:, 7] == PEDESTRIAN,
    )


def scores(raw: Array) -> Array:
    """Return a detector's scores in [0, 1].

    Those that are in it stay; if any is not, all are taken for log-odds, but for all -1, which
    stands for no scores: then all are 1.
    """
    if len(raw) and (raw == -1).all():
        return np.ones(len(raw))
    if ((raw >= 0) & (raw <= 1)).all():
        return raw
    return 1 / (1 + np.exp(-np.clip(raw, -50, 50)))


def write_mot(
    path: Path, frame: npt.NDArray[np.int64], identity: npt.NDArray[np.int64], boxes: Array
) -> None:
    """Write a result file of MOTChallenge.

    Args:
        path: the file, named like the sequence.
        frame: (N,) from 0.
        identity: (N,) track ids.
        boxes: (N, 4) x1 y1 x2 y2 pixels.
    """
    with path.open('w') as file:
        for n in range(len(frame)):
            x1, y1, x2, y2 = boxes[n]
            place = f'{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}'
            file.write(f'{frame[n] + 1},{identity[n]},{place},1,-1,-1,-1\n')


def _read(path: Path, columns: int) -> Array:
    """Return the first columns of a file's rows in the order of frames."""
    try:
        rows = [
            line.split(',')[:columns] for line in path.read_text().splitlines() if line.strip()
        ]
        table = np.array(rows, float).reshape(len(rows), columns)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path} is no file of MOT rows: {error}') from error
    return table[np.argsort(table[:, 0], kind='stable')]


def _corners(table: Array) -> Array:
    """Return x1 y1 x2 y2 of rows that have left, top, width and height in columns 2 to 5."""
    return np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], 1)
