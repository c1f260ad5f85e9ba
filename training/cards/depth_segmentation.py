"""The card of a trained checkpoint: what it is, how it was made, how well it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

DEPTH_KEYS = (
    'abs_rel', 'prior_abs_rel', 'static_abs_rel', 'rmse', 'delta1', 'abs_rel_median_scaled',
    'miou', 'ece_depth', 'ece_segmentation', 'ause_abs_rel',
)  # fmt: skip
MOTION_KEYS = (
    'translation_error_percent', 'rotation_error_deg', 'scale_ratio', 'speed_error_percent',
    'prior_translation_error_percent',
)  # fmt: skip
CARD_SETTINGS = (
    'task', 'seed', 'steps', 'batch_size', 'accumulate', 'ema_decay', 'optimizer', 'schedule',
    'model', 'loss', 'data',
)  # fmt: skip


def write_card(metrics: Mapping[str, Any]) -> str:
    """Return the Markdown card of a checkpoint from its ``metrics.json``.

    Args:
        metrics: ``training`` (``parameters``, ``step``, ``command``, ``config``; ``earlier`` is
            the same of the run it started from) and perhaps ``evaluations``, results of
            ``evaluate`` by data SPEC, and ``beside``, the same of other checkpoints by name.
    """
    training = metrics['training']
    lines = [
        '# depth_segmentation',
        '',
        f'Depth and semantic classes of one image; {training["parameters"] / 1e6:.2f} M '
        f'parameters. {_origin(_runs(training))} The encoder started from ImageNet weights. '
        'The weights are the exponential moving average over the run.',
        '',
    ]
    lines += _table(metrics)
    lines += training_lines(training, 'views of {samples} images')
    return '\n'.join(lines)


def score_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return the sections of a card that show every evaluation's numbers and its command.

    Args:
        metrics: as in ``write_card``.
    """
    lines = []
    for data, scores in metrics.get('evaluations', {}).items():
        numbers = {k: v for k, v in scores.items() if isinstance(v, int | float)}
        lines += [f'## `{data}`', '', '| score | value |', '|---|---|']
        lines += [f'| {key} | {value:.4g} |' for key, value in numbers.items()]
        lines += ['', *(['```', scores['command'], '```', ''] if 'command' in scores else [])]
    return lines


def training_lines(training: Mapping[str, Any], seen: str) -> list[str]:
    """Return the section of a card that tells how a checkpoint was trained, run by run.

    Args:
        training: as in ``write_card``.
        seen: what a run saw so many random ones of; may name ``{samples}``, the size of its data.
    """
    runs = _runs(training)
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


def _runs(training: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a run and those it started from, the first one first."""
    runs: list[Mapping[str, Any]] = []
    run: Mapping[str, Any] | None = training
    while run:
        runs.insert(0, run)
        run = run.get('earlier')
    return runs


def _origin(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return what the network was trained on in all of its runs, in a sentence."""
    data = [run['config']['data'] for run in runs]
    real = [
        source['spec']
        for section in data
        for key in ('real_clips', 'real_images')
        for source in section.get(key, [])
    ]
    if not real:
        return (
            'Trained on simulated images and their exact truth alone: no label of any real image '
            'was used.'
        )
    simulated = any(section.get('bags') or section.get('clips') for section in data)
    return (
        f'Trained on {"simulated images with their exact truth and " if simulated else ""}'
        f'unlabelled real images ({", ".join(dict.fromkeys(real))}): no label of any real image '
        'was used.'
    )


def _table(metrics: Mapping[str, Any]) -> list[str]:
    """Return Markdown tables of results; priors look at the truth, never at an image."""
    evaluations: Mapping[str, Mapping[str, Any]] = metrics.get('evaluations', {})
    beside: Mapping[str, Mapping[str, Mapping[str, Any]]] = metrics.get('beside', {})
    depth: list[tuple[str, Mapping[str, Any]]] = []
    motion: list[tuple[str, Mapping[str, Any]]] = []
    for spec, scores in evaluations.items():
        rows = motion if scores.get('task') == 'visual_odometry' else depth
        rows.append((f'`{spec}`', scores))
        rows += [(f'the same, {n}', found[spec]) for n, found in beside.items() if spec in found]
    lines = []
    if depth:
        lines += [
            '## Results',
            '',
            *_rows(depth, DEPTH_KEYS, 'frames'),
            '',
            '`prior_abs_rel` is the better of the best constant depth and a static grid of '
            'medians, both fitted to the same truth; `static_abs_rel` is such a grid of other '
            'frames of that camera. All results and their commands: `metrics.json`.',
            '',
        ]
    if motion:
        lines += ['## Visual odometry', '', *_rows(motion, MOTION_KEYS, 'pairs'), '']
    return lines


def _rows(
    results: Sequence[tuple[str, Mapping[str, Any]]], keys: Sequence[str], count: str
) -> list[str]:
    lines = [f'| data | {count} | ' + ' | '.join(keys) + ' |', '|' + '---|' * (len(keys) + 2)]
    for name, scores in results:
        cells = [f'{scores[key]:.3f}' if key in scores else '' for key in keys]
        lines.append(f'| {name} | {scores["frames"]} | ' + ' | '.join(cells) + ' |')
    return lines
