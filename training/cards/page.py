"""What cards differ in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Page:
    """The sentences that only one network's card has.

    Attributes:
        shows: what the network does, a clause.
        trained: sentences about what it was trained on.
        samples: what a run saw so many random ones of; may name ``{samples}``, its data's size.
        results: the section of scores; None lists every evaluation with its command.
    """

    shows: str = ''
    trained: str = ''
    samples: str = 'samples out of {samples}'
    results: list[str] | None = None


def runs_of(training: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a run and those it started from, the first one first."""
    runs: list[Mapping[str, Any]] = []
    run: Mapping[str, Any] | None = training
    while run:
        runs.insert(0, run)
        run = run.get('earlier')
    return runs
