"""Depth and classes: results beside priors and other checkpoints, and what was learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.cards.page import Page, runs_of

DEPTH_KEYS = (
    'abs_rel', 'static_abs_rel', 'oracle_abs_rel', 'rmse', 'delta1', 'abs_rel_median_scaled',
    'ratio_20_40', 'ratio_40_80', 'miou', 'ece_depth', 'ece_segmentation', 'ause_abs_rel',
)  # fmt: skip
MOTION_KEYS = (
    'translation_error_percent', 'rotation_error_deg', 'scale_ratio', 'speed_error_percent',
    'prior_translation_error_percent',
)  # fmt: skip


FLICKER_KEYS = ('flicker', 'flicker_median', 'followed')


def page(metrics: Mapping[str, Any]) -> Page:
    """Return what the card says of depth, classes and ego-motion."""
    origin = _origin(runs_of(metrics['training']))
    return Page(
        'Depth and semantic classes of one image',
        f'{origin} The encoder started from ImageNet weights.',
        'views of {samples} images',
        _table(metrics),
    )


def _origin(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return what the network was trained on in all of its runs, in a sentence."""
    data = [run['config']['data'] for run in runs]
    real = [
        source['spec']
        for section in data
        for key in ('real_clips', 'real_stereo', 'scans', 'taught', 'real_images')
        for source in section.get(key, [])
    ]
    if not real:
        return (
            'Trained on simulated images and their exact truth alone: no label of any real image '
            'was used.'
        )
    simulated = any(section.get('bags') or section.get('clips') for section in data)
    what = 'real images and scans' if any(s.get('scans') for s in data) else 'real images'
    return (
        f'Trained on {"simulated images with their exact truth and " if simulated else ""}'
        f'unlabelled {what} ({", ".join(dict.fromkeys(real))}): no label of any real image '
        'was used.'
    )


def _table(metrics: Mapping[str, Any]) -> list[str]:
    """Return Markdown tables of results beside answers that look at no image."""
    evaluations: Mapping[str, Mapping[str, Any]] = metrics.get('evaluations', {})
    beside: Mapping[str, Mapping[str, Mapping[str, Any]]] = metrics.get('beside', {})
    depth: list[tuple[str, Mapping[str, Any]]] = []
    motion: list[tuple[str, Mapping[str, Any]]] = []
    video: list[tuple[str, Mapping[str, Any]]] = []
    tables = {'visual_odometry': motion, 'flicker': video}
    for spec, scores in evaluations.items():
        rows = tables.get(scores.get('task', ''), depth)
        rows.append((f'`{spec}`', scores))
        rows += [(f'the same, {n}', found[spec]) for n, found in beside.items() if spec in found]
    lines = []
    if depth:
        lines += [
            '## Results',
            '',
            *_rows(depth, DEPTH_KEYS, 'frames'),
            '',
            'What to beat is `static_abs_rel`, a static grid of medians of other frames of that '
            'camera; `oracle_abs_rel` is the better of the best constant and such a grid, fitted '
            'to the very truth that is scored. `ratio_20_40` is predicted by true depth at 20 to '
            '40 m. All results and their commands: `metrics.json`.',
            '',
        ]
    if motion:
        lines += ['## Visual odometry', '', *_rows(motion, MOTION_KEYS, 'pairs'), '']
    if video:
        lines += ['## Steadiness in video', '', *_rows(video, FLICKER_KEYS, 'frames'), '']
    return lines


def _rows(
    results: Sequence[tuple[str, Mapping[str, Any]]], keys: Sequence[str], count: str
) -> list[str]:
    lines = [f'| data | {count} | ' + ' | '.join(keys) + ' |', '|' + '---|' * (len(keys) + 2)]
    for name, scores in results:
        cells = [f'{scores[key]:.3f}' if key in scores else '' for key in keys]
        lines.append(f'| {name} | {scores["frames"]} | ' + ' | '.join(cells) + ' |')
    return lines
