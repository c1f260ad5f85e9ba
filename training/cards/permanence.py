"""The card of a permanence checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.cards.depth_segmentation import score_lines, training_lines


def permatrack_card(metrics: Mapping[str, Any]) -> str:
    """Return the Markdown card of a checkpoint from its ``metrics.json``.

    Args:
        metrics: ``training`` as in ``depth_segmentation.card``, and perhaps ``evaluations``:
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
    lines += score_lines(metrics)
    lines += training_lines(training, 'clips out of {samples}')
    return '\n'.join(lines)
