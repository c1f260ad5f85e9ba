"""Automatic labels on the simulator's target domain, beside what SDFLabel was measured at.

The seconds are wall-clock and grow with what else the machine does; ``cpu_per_object`` does not.

Examples:
  python -m benchmark autolabel --limit 20
  python -m benchmark autolabel --data kitti_object:KITTI --json labels.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.evaluation.autolabel.evaluate import CHECKPOINT, evaluate_autolabel
from training.evaluation.autolabel.refiners import compare_refiners

KEYS = (
    'seconds_per_object', 'refine_seconds_per_object', 'median_iou_3d', 'precision_bev_50',
    'recall_bev_50', 'confidence_rank_correlation',
)  # fmt: skip
MORE = (
    'objects', 'acceptance', 'cpu_per_object', 'tracks', 'track_length_error_single',
    'track_length_error_whole', 'length_error_ratio', 'length_error_ratio_accepted',
    'length_error_ratio_turned', 'track_mean_iou_single', 'track_mean_iou_whole',
)  # fmt: skip
SDFLABEL = {
    'sdflabel_seconds_per_object': 119.0,
    'sdflabel_median_iou_3d': 0.778,
    'sdflabel_confidence_rank_correlation': 0.37,
}
"""Patched to run on a CPU, on eight made scenes with starts near the truth; recorded, not run
here: one object takes two minutes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument('--data', default='sim:target:600-619', help='see evaluate autolabel')
    parser.add_argument('--limit', type=int, default=None, help='at most so many frames')
    parser.add_argument('--checkpoint', default=str(CHECKPOINT), help='shape space')
    parser.add_argument(
        '--modes',
        default='lidar,mono',
        help='besides lidar: mono, fused',
    )
    parser.add_argument(
        '--refiners',
        type=int,
        default=0,
        help='also fit so many cars in the ways of SDFLabel and MonoDR, seconds each; try 20',
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Label and score the data, print the table, return the figures."""
    modes = [name.strip() for name in options.modes.split(',') if name.strip()]
    reports = {
        mode: evaluate_autolabel(
            options.data, checkpoint=Path(options.checkpoint), mode=mode, limit=options.limit
        )
        for mode in dict.fromkeys(['lidar', *modes])
    }
    table = Table('labels', 's/object', 'refine s', 'median 3D IoU', 'BEV .5 precision', 'recall',
                  'rank correlation', title=f'cars of {options.data}')  # fmt: skip
    for mode, report in reports.items():
        table.add_row(f'ours, {mode}', *(f'{report[key]:.3g}' for key in KEYS))
    ways = compare_refiners(options.data, objects=options.refiners) if options.refiners else []
    for way in ways:
        name = f'{way["name"]} ({way["objects"]:.0f} cars, CPU s)'
        table.add_row(name, f'{way["seconds_per_object"]:.3g}', '', f'{way["median_iou_3d"]:.3g}')
    table.add_row('SDFLabel (recorded)', '119', '', '.778', '', '', '.37')
    Console().print(table)
    lidar = reports.pop('lidar')
    figures = {key: lidar[key] for key in (*KEYS, *MORE) if key in lidar}
    for mode, report in reports.items():
        figures |= {f'{mode}_{key}': report[key] for key in KEYS}
    for way in ways:
        for key in ('objects', 'median_iou_3d', 'seconds_per_object'):
            figures[f'{way["key"]}_{key}'] = way[key]
    return {**figures, **SDFLABEL, 'command': lidar['command']}
