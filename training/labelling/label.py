"""The verb ``label``: a recording becomes a data set of 3D labels, by many processes, resumable.

Every frame's files are written whole, its labels last. A killed run leaves what it has finished,
and the same command goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from sim_perception.autolabel.export import EXPORTS, LabelledRecording, finish_export
from sim_perception.autolabel.records import LabelledFrame, read_frame
from sim_perception.files import write_json
from sim_perception.locks import locked
from sim_perception.taxonomy import load_taxonomy
from training.datasets.bags.label_source import NETWORK, LabelBag
from training.engine.jobs import claim, in_cluster, in_processes, job_bar
from training.labelling.frames import LabelJob, label_part, open_job
from training.labelling.tracks import changed_frames, clean, finish_part, has_tracks, label_tracks

Work = Callable[[LabelJob, Sequence[int]], int]

_PART = 4
"""Frames that one task of a worker takes."""
_SETTINGS = 'dataset.json'


def label(
    job: LabelJob, *, workers: int = 1, ray: str | None = None, console: Console | None = None
) -> dict[str, Any]:
    """Label a recording and write it in every wanted format.

    Args:
        job: what to do.
        workers: processes on this machine.
        ray: address of a Ray cluster whose machines share the bag and the output folder; or
            ``local`` for one on this machine. Replaces ``workers``.
        console: for the progress bar.

    Returns:
        Counts: ``frames``, ``labels``, ``accepted`` and ``reasons``, by reason.

    Raises:
        FileExistsError: if the folder has labels that were made with other settings.
        BagError, DatasetError, CheckpointError: for unusable inputs.
        ImportError: if Ray is asked for and not installed.
        BusyError: if another process labels into the folder.
    """
    bag, _ = open_job(job)
    console = console or Console(stderr=True)
    console.print(f'image boxes: {job.detector if bag.detections == NETWORK else bag.detections}')
    with locked(Path(job.out)):
        return _label(job, bag, workers, ray, console)


def _label(
    job: LabelJob, bag: LabelBag, workers: int, ray: str | None, console: Console
) -> dict[str, Any]:
    claim(Path(job.out) / _SETTINGS, job, 'labels')
    names = [bag.name(number) for number in range(len(bag))]
    todo = [k for k, name in enumerate(names) if not job.record(name).exists()]
    parts = [tuple(todo[k : k + _PART]) for k in range(0, len(todo), _PART)]
    with job_bar(console) as bar:
        done, accepted = len(names) - len(todo), 0
        task = bar.add_task('frames', total=len(names), completed=done, note='')
        for count, found in run_parts(job, parts, workers, ray):
            done, accepted = done + count, accepted + found
            bar.update(task, completed=done, note=f'{accepted} accepted')
        if job.shares_shapes:
            share_shapes(job, names, workers, ray, bar)
    frames = [read_frame(job.record(name)) for name in names]
    formats = [name for name in job.formats if name in EXPORTS]
    recording = LabelledRecording(Path(job.bag).name, frames)
    finish_export(formats, [recording], load_taxonomy(), Path(job.out))
    summary = summarise(frames)
    write_json(Path(job.out) / 'summary.json', summary)
    return summary


def share_shapes(
    job: LabelJob, names: Sequence[str], workers: int, ray: str | None, bar: Progress
) -> None:
    """Give objects that were seen in several frames one shape, and write those frames again."""
    if not has_tracks(job):
        label_tracks(job, names)
    todo = changed_frames(job, names)
    parts = [tuple(todo[k : k + _PART]) for k in range(0, len(todo), _PART)]
    task = bar.add_task('tracks', total=len(todo), note='')
    done, accepted = 0, 0
    for count, found in run_parts(job, parts, workers, ray, finish_part):
        done, accepted = done + count, accepted + found
        bar.update(task, completed=done, note=f'{accepted} accepted')
    clean(job)


def run_parts(
    job: LabelJob,
    parts: Sequence[tuple[int, ...]],
    workers: int,
    ray: str | None,
    work: Work = label_part,
) -> Iterator[tuple[int, int]]:
    """Do parts in any order; yield how many frames each had and how many labels it accepted."""
    if ray is not None:
        for part, accepted in in_cluster(partial(work, job), parts, ray):
            yield len(part), accepted
    elif workers <= 1 or len(parts) <= 1:
        # Frame by frame, for the progress bar.
        for number in (number for part in parts for number in part):
            yield 1, work(job, (number,))
    else:
        for part, accepted in in_processes(partial(work, job), parts, workers):
            yield len(part), accepted


def summarise(frames: Sequence[LabelledFrame]) -> dict[str, Any]:
    """Return the counts of a data set; see ``label``."""
    labels = [label for frame in frames for label in frame.labels]
    reasons = Counter(label.reason for label in labels if not label.accepted)
    return {
        'frames': len(frames),
        'labels': len(labels),
        'accepted': sum(label.accepted for label in labels),
        'reasons': dict(reasons.most_common()),
    }


def print_summary(summary: dict[str, Any], out: str, console: Console) -> None:
    """Print the counts of a data set as a table."""
    table = Table('label', 'count', title=f'{summary["frames"]} frames in {out}')
    table.add_row('accepted', str(summary['accepted']))
    for reason, count in summary['reasons'].items():
        table.add_row(f'rejected: {reason}', str(count))
    console.print(table)
