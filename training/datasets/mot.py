"""MOTChallenge folders: ``seqinfo.ini``, ``det/det.txt`` and ``gt/gt.txt`` of each sequence.

Rows of detections are ``frame,-1,left,top,width,height,score,...``, rows of the truth
``frame,id,left,top,width,height,counts,class,visibility``; frames count from 1. In the truth of
2015 there are no classes (-1): all are pedestrians.
"""

from __future__ import annotations

import configparser
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.files import FileError, natural_key, read_text, safe_name
from training.datasets.sample import DatasetError

Array = npt.NDArray[np.float64]
PEDESTRIAN = 1
"""The class that is evaluated."""
LIKE_PEDESTRIANS = (2, 7, 8, 12)
"""On vehicles, standing still, distractors, reflections: tracks on them cost nothing."""
_CLASSES = range(1, 14)
_NO_CLASS = -1
_MOST_FRAMES = 10_000_000
_MOST_ID = 2**53


@dataclass(frozen=True)
class MotSequence:
    """One sequence; frames count from 0 here.

    Attributes:
        name: of the sequence, safe as a file's name.
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
    below = sorted(folder.glob('*/'), key=lambda path: natural_key(path.name))
    here = [folder] if (folder / 'seqinfo.ini').exists() else below
    found = [path for path in here if (path / 'seqinfo.ini').exists()]
    if not found:
        raise DatasetError(f'{folder} is no MOT folder: no seqinfo.ini in it or right below it')
    sequences = [read_sequence(path) for path in found]
    names = [sequence.name for sequence in sequences]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DatasetError(f'{folder} has several sequences named {", ".join(sorted(twice))}')
    return sequences


def read_sequence(folder: Path) -> MotSequence:
    """Read one sequence.

    Raises:
        DatasetError: if a file is absent or malformed.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(folder / 'seqinfo.ini'))
        info = parser['Sequence']
        frames, rate = info.getint('seqLength'), info.getfloat('frameRate')
        width, height = info.getint('imWidth'), info.getint('imHeight')
    except KeyError as error:
        raise DatasetError(
            f'{folder}/seqinfo.ini is no MOT sequence: no section [Sequence]'
        ) from error
    except (OSError, ValueError, configparser.Error) as error:
        reason = ' '.join(str(error).split())
        raise DatasetError(f'{folder}/seqinfo.ini is no MOT sequence: {reason}') from error
    if (
        frames is None
        or rate is None
        or width is None
        or height is None
        or not (0 < frames <= _MOST_FRAMES and 0 < rate < math.inf and width > 0 and height > 0)
    ):
        raise DatasetError(
            f'{folder}/seqinfo.ini needs seqLength, frameRate, imWidth and imHeight above 0, and '
            f'at most {_MOST_FRAMES} frames'
        )
    found = _read(folder / 'det' / 'det.txt', 7, frames)
    path = folder / 'gt' / 'gt.txt'
    truth = _truth(path, frames) if path.exists() else np.empty((0, 8))
    return MotSequence(
        name=safe_name(info.get('name', folder.name)),
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


def _truth(path: Path, frames: int) -> Array:
    """Return the rows of people and of what is like people, in the order of frames."""
    table = _read(path, 8, frames)
    if not len(table):
        return table
    if (table[:, 7] == _NO_CLASS).all():
        table[:, 7] = PEDESTRIAN
    unknown = ~np.isin(table[:, 7], _CLASSES)
    if unknown.any():
        raise DatasetError(
            f'{path}: class {table[unknown, 7][0]:g} is none of MOTChallenge (1 to 13, or -1 in '
            'every row)'
        )
    pairs, times = np.unique(table[:, :2], axis=0, return_counts=True)
    if (times > 1).any():
        frame, identity = pairs[times > 1][0]
        raise DatasetError(f'{path}: frame {frame:g} has id {identity:g} more than once')
    # zero marks what annotators left out; other classes are other things
    kept = table[(table[:, 6] > 0) & np.isin(table[:, 7], (PEDESTRIAN, *LIKE_PEDESTRIANS))]
    if not (kept[:, 7] == PEDESTRIAN).any():
        raise DatasetError(f'{path}: none of its {len(table)} rows is a pedestrian (class 1)')
    return kept


def _read(path: Path, columns: int, frames: int) -> Array:
    """Return the first columns of a file's rows in the order of frames.

    Raises:
        DatasetError: naming the first row that cannot be right.
    """
    rows = []
    try:
        lines = read_text(path).splitlines()
    except (OSError, FileError) as error:
        raise DatasetError(f'{path} is no file of MOT rows: {error}') from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = [float(text) for text in line.split(',')[:columns]]
        except ValueError:
            row = []
        problem = _row_problem(row, columns, frames)
        if problem:
            raise DatasetError(f'{path}, line {number}: {problem}: {line[:60]!r}')
        rows.append(row)
    table = np.array(rows, float).reshape(len(rows), columns)
    return table[np.argsort(table[:, 0], kind='stable')]


def _row_problem(row: list[float], columns: int, frames: int) -> str:
    if len(row) < columns or not all(map(math.isfinite, row)):
        return f'not {columns} numbers, separated by commas'
    frame, identity, _, _, width, height = row[:6]
    if not frame.is_integer() or not identity.is_integer():
        return 'frame and id must be whole numbers'
    if abs(identity) > _MOST_ID:
        return f'id {identity:g} is beyond 2**53'
    if frame < 1:
        return f'frame {frame:g}, but MOTChallenge counts frames from 1'
    if frame > frames:
        return f'frame {frame:g}, but seqinfo.ini says that there are {frames}'
    return '' if width > 0 and height > 0 else 'width and height must be above 0'


def _corners(table: Array) -> Array:
    """Return x1 y1 x2 y2 of rows that have left, top, width and height in columns 2 to 5."""
    return np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], 1)
