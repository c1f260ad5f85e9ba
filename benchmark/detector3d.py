"""The 3D detector trained on automatic labels beside the same one trained on true boxes.

Both have the same recordings, network, settings and number of steps (``training/configs/
detector3d.yaml`` and ``detector3d_auto.yaml``) and are scored on streets that neither has seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.evaluate_detector import evaluate_detector

AUTO, TRUE = Path('models/detector3d'), Path('models/detector3d_true')
KEYS = ('ap_bev_50', 'ap_bev_70', 'ap_3d_50', 'ap_3d_70')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument(
        '--data', default='sim:target:320000-320011', help='see evaluate detector3d'
    )
    parser.add_argument('--limit', type=int, default=None, help='at most so many frames')
    parser.add_argument('--auto', default=str(AUTO), help='checkpoint trained on labels')
    parser.add_argument('--true', default=str(TRUE), help='checkpoint trained on truth')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Score both checkpoints, print the table, return the figures."""
    found = {
        name: evaluate_detector(Path(folder), options.data, limit=options.limit)
        for name, folder in (('auto', options.auto), ('true', options.true))
    }
    table = Table('trained on', *KEYS, 's/frame', title=f'cars of {options.data}, moderate')
    for name, scores in found.items():
        cells = [f'{scores[key]:.3f}' for key in KEYS]
        table.add_row(f'{name} labels', *cells, f'{scores["seconds"]:.3f}')
    Console().print(table)
    figures = {f'{key}_{name}': scores[key] for name, scores in found.items() for key in KEYS}
    truth = found['true']['ap_bev_50']
    ratio = found['auto']['ap_bev_50'] / truth if truth else float('nan')
    return {
        'ap_ratio_auto_vs_true': ratio,
        **figures,
        'seconds': found['auto']['seconds'],
        'objects': found['auto']['objects'],
        'frames': found['auto']['frames'],
        'command': found['auto']['command'],
    }
