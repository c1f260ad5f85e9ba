"""The card of a permanence checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from training.card import CARD_SETTINGS


def permatrack_card(metrics: Mapping[str, Any]) -> str:
    """Return the Markdown card of a checkpoint from its ``metrics.json``.

    Args:
        metrics: ``training`` as for ``training.card.write_card``, and perhaps ``evaluations``:
            scores by what they were measured on, each with its ``command``.
    """
    training = metrics['training']
    lines = [
        '# permanence',
        '',
        'Objects with 2D and 3D boxes from a stream of images, hidden ones included; '
        f'{training["parameters"] / 1e6:.2f} M parameters. Trained on simulated clips and their '
        'exact truth alone. The weights are the exponential moving average over the run.',
        '',
    ]
    for data, scores in metrics.get('evaluations', {}).items():
        numbers = {k: v for k, v in scores.items() if isinstance(v, int | float)}
        lines += [f'## `{data}`', '', '| score | value |', '|---|---|']
        lines += [f'| {key} | {value:.4g} |' for key, value in numbers.items()]
        lines += ['', *(['```', scores['command'], '```', ''] if 'command' in scores else [])]
    lines += ['## Training', '']
    run: Mapping[str, Any] | None = training
    while run:
        config = run['config']
        lines += [
            f'{run["step"]} steps of {config["batch_size"]} random clips out of '
            f'{run["samples"]}. {config.get("notes", "")}'.rstrip(),
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
        run = run.get('earlier')
        if run:
            lines += ['It went on from:', '']
    return '\n'.join(lines)
