"""The 3D detector trained on automatic labels beside the same one trained on true boxes.

Both have the same recordings, network, settings and number of steps (``training/configs/
detector3d.yaml`` and ``detector3d_auto.yaml``) and are scored on streets that neither has seen.

Examples:
  python -m benchmark detector3d --limit 40
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sim_perception.inference.detector3d import Detector3dEngine
from training.datasets.scenes import open_scenes
from training.engine.command import command_line
from training.evaluation.detector3d.evaluate import THRESHOLD, source_of
from training.evaluation.detector3d.scores import DetectorScores
from training.evaluation.report import frames_of

AUTO, TRUE = Path('models/detector3d_auto'), Path('models/detector3d_true')
DATA = 'sim:target:320000-320011'
KEYS = ('ap_bev_50', 'ap_bev_70', 'ap_3d_50', 'ap_3d_70')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument('--data', default=DATA, help='see evaluate detector3d')
    parser.add_argument('--limit', type=int, default=None, help='at most so many frames')
    parser.add_argument('--auto', default=str(AUTO), help='checkpoint trained on labels')
    parser.add_argument('--true', default=str(TRUE), help='checkpoint trained on truth')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Score both checkpoints on the same frames, print the table, return the figures."""
    found = {}
    for name, folder in (('auto', options.auto), ('true', options.true)):
        engine = Detector3dEngine.load(folder, threshold=THRESHOLD)
        found[name] = DetectorScores(engine, source_of(engine))
    scenes, count = open_scenes(options.data, options.limit)
    for scene in frames_of(options.data)(scenes, count):
        for scores in found.values():
            scores.add(scene)
    figures = {name: scores.figures() for name, scores in found.items()}
    table = Table('trained on', *KEYS, 's/frame', title=f'cars of {options.data}, moderate')
    for name, values in figures.items():
        cells = [f'{values[key]:.3f}' for key in KEYS]
        table.add_row(f'{name} labels', *cells, f'{values["seconds"]:.3f}')
    Console().print(table)
    auto, true = figures['auto'], figures['true']
    return {
        'ap_ratio_auto_vs_true': auto['ap_bev_50'] / true['ap_bev_50'],
        **{f'{key}_{name}': values[key] for name, values in figures.items() for key in KEYS},
        'seconds': auto['seconds'],
        'objects': auto['objects'],
        'frames': auto['frames'],
        'command': command_line(),
    }
