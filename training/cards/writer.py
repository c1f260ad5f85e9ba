"""The card of a trained checkpoint: what it is, how it was made, how well it does.

All networks' cards are alike but for a few sentences: those of a network stand in the module of
this room that has its name, as ``page(metrics)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import yaml

from training.cards.page import Page, runs_of

CARD_SETTINGS = (
    'task', 'seed', 'steps', 'batch_size', 'accumulate', 'ema_decay', 'optimizer', 'schedule',
    'model', 'loss', 'data',
)  # fmt: skip


def write_card(network: str, metrics: Mapping[str, Any]) -> str:
    """Return the Markdown card of a checkpoint from its ``metrics.json``.

    Args:
        network: registered name; one without a module here gets a card without its sentences.
        metrics: ``training`` (``parameters``, ``step``, ``command``, ``config``; ``earlier`` is
            the same of the run it started from) and perhaps ``evaluations``, results of
            ``evaluate`` by data SPEC, and ``beside``, the same of other checkpoints by name.
    """
    training, module = metrics['training'], f'training.cards.{network}'
    page: Page = import_module(module).page(metrics) if find_spec(module) else Page()
    parameters = f'{training["parameters"] / 1e6:.2f} M parameters.'
    weights = 'The weights are the exponential moving average over the run.'
    about = [f'{page.shows}; {parameters}' if page.shows else parameters, page.trained, weights]
    lines = [f'# {network}', '', ' '.join(part for part in about if part), '']
    lines += _score_lines(metrics) if page.results is None else page.results
    lines += _training_lines(training, page.samples)
    return '\n'.join(lines)


def _score_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return the sections of a card that show every evaluation's numbers and its command.

    Args:
        metrics: see ``write_card``.
    """
    lines = []
    for data, scores in metrics.get('evaluations', {}).items():
        numbers = {k: v for k, v in scores.items() if isinstance(v, int | float)}
        lines += [f'## `{data}`', '', '| score | value |', '|---|---|']
        lines += [f'| {key} | {value:.4g} |' for key, value in numbers.items()]
        lines += ['', *(['```', scores['command'], '```', ''] if 'command' in scores else [])]
    return lines


def _training_lines(training: Mapping[str, Any], seen: str) -> list[str]:
    """Return the section of a card that tells how a checkpoint was trained, run by run.

    Args:
        training: see ``write_card``.
        seen: what a run saw so many random ones of; may name ``{samples}``, the size of its data.
    """
    runs = runs_of(training)
    lines = ['## Training', '']
    for number, run in enumerate(runs, start=1):
        config = run['config']
        drawn = run['step'] * config['batch_size'] * config['accumulate']
        lines += [
            f'Run {number} of {len(runs)}: {run["step"]} steps, {drawn} random '
            f'{seen.format(samples=run["samples"])}. {config.get("notes", "")}'.rstrip(),
            '',
            '```',
            run['command'],
            '```',
            '',
            '```yaml',
            yaml.safe_dump({k: config[k] for k in CARD_SETTINGS}, sort_keys=False).rstrip(),
            '```',
            '',
        ]
    return lines
