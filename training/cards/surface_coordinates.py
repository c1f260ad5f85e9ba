"""The card of a coordinates network's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.cards.depth_segmentation import score_lines, training_lines


def surface_coordinates_card(metrics: Mapping[str, Any]) -> str:
    """Return the checkpoint's README from its ``metrics.json``."""
    training = metrics['training']
    lines = [
        '# surface_coordinates',
        '',
        'Which part of a car every pixel of a crop shows, and its size, distance and heading; '
        f'{training["parameters"] / 1e6:.2f} M parameters. The weights are the exponential '
        'moving average over the run.',
        '',
    ]
    lines += score_lines(metrics)
    lines += training_lines(training, 'views of {samples} crops')
    return '\n'.join(lines)
