"""The card of a trained checkpoint: what it is, how it was made, how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from torch import nn

from training.config import TrainConfig

DEPTH_KEYS = ('abs_rel', 'prior_abs_rel', 'rmse', 'delta1', 'abs_rel_median_scaled', 'miou')


def write_card(
    net: nn.Module,
    config: TrainConfig,
    record: Mapping[str, Any],
    evaluations: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return the Markdown card.

    Args:
        net: the trained network.
        config: of the run.
        record: ``command``, ``step``, ``steps``, ``samples`` of the run.
        evaluations: results of ``evaluate`` by data SPEC, or None before there are any.
    """
    count = sum(parameter.numel() for parameter in net.parameters())
    settings = {
        key: config.model_dump(mode='json')[key]
        for key in (
            'task',
            'seed',
            'batch_size',
            'accumulate',
            'optimizer',
            'model',
            'loss',
            'data',
        )
    }
    lines = [
        f'# {config.task}',
        '',
        f'{count / 1e6:.2f} M parameters, trained for {record["step"]} steps of '
        f'{config.batch_size * config.accumulate} random views of simulated '
        'images with exact truth. No label of any real image was used. The encoder starts from '
        'ImageNet weights; the weights here are the exponential moving average.',
        '',
        '```',
        str(record['command']),
        '```',
        '',
    ]
    if evaluations:
        lines += _table(evaluations)
    lines += ['## Settings', '', '```yaml', yaml.safe_dump(settings, sort_keys=False), '```', '']
    return '\n'.join(lines)


def _table(evaluations: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a Markdown table of results; priors look at the truth, never at an image."""
    rows = [
        '## Results',
        '',
        '| data | frames | ' + ' | '.join(DEPTH_KEYS) + ' |',
        '|' + '---|' * (len(DEPTH_KEYS) + 2),
    ]
    for spec, scores in evaluations.items():
        cells = [f'{scores[key]:.3f}' if key in scores else '' for key in DEPTH_KEYS]
        rows.append(f'| `{spec}` | {scores["frames"]} | ' + ' | '.join(cells) + ' |')
    rows += [
        '',
        '`prior_abs_rel` is the better of the best constant depth and a static grid of medians, '
        'both fitted to the same truth. Full results and commands: `metrics.json`.',
        '',
    ]
    return rows
