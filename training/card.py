"""The card of a trained checkpoint: what it is, how it was made, how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

DEPTH_KEYS = ('abs_rel', 'prior_abs_rel', 'rmse', 'delta1', 'abs_rel_median_scaled', 'miou')
CARD_SETTINGS = (
    'task', 'seed', 'steps', 'batch_size', 'accumulate', 'ema_decay', 'optimizer', 'schedule',
    'model', 'loss', 'data',
)  # fmt: skip


def write_card(metrics: Mapping[str, Any]) -> str:
    """Return the Markdown card of a checkpoint from its ``metrics.json``.

    Args:
        metrics: ``training`` (``parameters``, ``step``, ``command``, ``config``; ``earlier`` is
            the same of the run it started from) and perhaps ``evaluations``, results of
            ``evaluate`` by data SPEC.
    """
    training = metrics['training']
    lines = [
        f'# {training["config"]["task"]}',
        '',
        f'Depth and semantic classes of one image; {training["parameters"] / 1e6:.2f} M '
        f'parameters. {_origin(training["config"])} The encoder started from ImageNet weights. '
        'The weights are the exponential moving average over the run.',
        '',
    ]
    lines += _table(metrics.get('evaluations', {}))
    lines += ['## Training', '']
    runs: list[Mapping[str, Any]] = []
    run: Mapping[str, Any] | None = training
    while run:
        runs.insert(0, run)
        run = run.get('earlier')
    for number, run in enumerate(runs, start=1):
        config = run['config']
        samples = run['step'] * config['batch_size'] * config['accumulate']
        lines += [
            f'Run {number} of {len(runs)}: {run["step"]} steps, {samples} random views of '
            f'{run["samples"]} images. {config.get("notes", "")}'.rstrip(),
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
    return '\n'.join(lines)


def _origin(config: Mapping[str, Any]) -> str:
    """Return what the network was trained on, in a sentence."""
    data = config['data']
    real = [
        source['spec'] for key in ('real_clips', 'real_images') for source in data.get(key, [])
    ]
    if not real:
        return (
            'Trained on simulated images and their exact truth alone: no label of any real image '
            'was used.'
        )
    simulated = 'simulated images with their exact truth and ' if data.get('bags') else ''
    return (
        f'Trained on {simulated}unlabelled real images ({", ".join(dict.fromkeys(real))}): no '
        'label of any real image was used.'
    )


def _table(evaluations: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a Markdown table of results; priors look at the truth, never at an image."""
    if not evaluations:
        return []
    rows = [
        '## Results',
        '',
        '| data | frames | ' + ' | '.join(DEPTH_KEYS) + ' |',
        '|' + '---|' * (len(DEPTH_KEYS) + 2),
    ]
    for spec, scores in evaluations.items():
        cells = [f'{scores[key]:.3f}' if key in scores else '' for key in DEPTH_KEYS]
        rows.append(f'| `{spec}` | {scores["frames"]} | ' + ' | '.join(cells) + ' |')
    return [
        *rows,
        '',
        '`prior_abs_rel` is the better of the best constant depth and a static grid of medians, '
        'both fitted to the same truth. All results and their commands: `metrics.json`.',
        '',
    ]
