"""What becomes of scores: a record, a table, a JSON file, a checkpoint's card.

An evaluation returns its record and writes nothing but pictures; its verb gives it to ``report``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from sim_perception.files import write_json
from sim_perception.models.checkpoint import load_checkpoint, update_checkpoint
from training.cards.writer import write_card
from training.engine.command import command_line

T = TypeVar('T')

_BY_DATA_ALONE = ('depth_segmentation', 'surface_coordinates')
"""Tasks whose scores are kept under the name of their data; others put their own name first."""
_NOT_KEPT = ('checkpoint', 'data')


#: What shows progress over things, of which there are so many, while it yields them.
Track = Callable[[Iterable[T], int], Iterable[T]]


def record_of(task: str, data: str, scores: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """Return the record of an evaluation: scores, what they are of, and the command.

    Args:
        task: what was scored.
        data: SPEC.
        scores: by name.
        facts: what else was asked for.
    """
    return {'task': task, 'data': data, **facts, 'command': command_line(), **scores}


def report(
    record: dict[str, Any],
    *,
    json_file: Path | None = None,
    keep_in: Path | None = None,
    beside: Path | None = None,
) -> dict[str, Any]:
    """Print a record's numbers, write it as JSON, keep it in a checkpoint; return it.

    Args:
        record: see ``record_of``.
        json_file: where to write it, or None.
        keep_in: checkpoint whose metrics and card shall have it, or None.
        beside: a checkpoint whose kept scores on the same data that card shall show, too.

    Raises:
        CheckpointError: for an unusable checkpoint.
    """
    print_numbers(record)
    if json_file is not None:
        write_json(json_file, record)
    if keep_in is not None:
        keep(record, keep_in, beside)
    return record


def keep(record: Mapping[str, Any], checkpoint: Path, beside: Path | None = None) -> None:
    """Add a record to a checkpoint's metrics and rewrite its card; see ``report``."""
    loaded = load_checkpoint(checkpoint)
    metrics, task, name = loaded.metrics, record['task'], record['data']
    name = name if task in _BY_DATA_ALONE else f'{task} {name}'
    kept = {key: value for key, value in record.items() if key not in _NOT_KEPT}
    metrics.setdefault('evaluations', {})[name] = kept
    if beside is not None:
        found = load_checkpoint(beside).metrics.get('evaluations', {})
        if name in found:
            metrics.setdefault('beside', {}).setdefault(beside.name, {})[name] = found[name]
    card = write_card(loaded.name, metrics) if 'training' in metrics else None
    update_checkpoint(checkpoint, metrics=metrics, card=card)


def print_numbers(record: Mapping[str, Any]) -> None:
    """Print the numbers of a record by name; what could not be scored has no value."""
    table = Table(title=record['data'])
    table.add_column('score')
    table.add_column('value', justify='right')
    for name, value in record.items():
        if isinstance(value, float):
            table.add_row(name, f'{value:.4f}')
        elif value is None or isinstance(value, int):
            table.add_row(name, '' if value is None else str(value))
    Console().print(table)


def frames_of(data: str) -> Callable[[Iterable[T], int], Iterator[T]]:
    """Return what wraps frames with a progress bar."""

    def progress(frames: Iterable[T], total: int) -> Iterator[T]:
        yield from track(frames, description=data, total=total, console=Console(stderr=True))

    return progress
