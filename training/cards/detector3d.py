"""The card of a 3D detector's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.cards.depth_segmentation import score_lines, training_lines


def detector3d_card(metrics: Mapping[str, Any]) -> str:
    """Return the Markdown card of a checkpoint from its ``metrics.json``.

    Args:
        metrics: ``training`` as in ``depth_segmentation.card``, and perhaps ``evaluations``:
            scores by what they were measured on, each with its ``command``.
    """
    training = metrics['training']
    data, model = training['config']['data'], training['config']['model']
    truth = (
        'Trained on automatic labels alone (`python -m training label`): no true 3D box was used.'
        if data.get('labels')
        else 'Trained on the true boxes of simulated recordings.'
    )
    sees = 'a predicted depth image' if data.get('points') == 'depth' else 'a LiDAR scan'
    lines = [
        '# detector3d',
        '',
        f'3D boxes of cars from {sees} and an image'
        f'{" that is optional" if model.get("camera", True) else ", of which it looks at none"}; '
        f'{training["parameters"] / 1e6:.2f} M parameters. {truth} '
        'The weights are the exponential moving average over the run.',
        '',
    ]
    lines += score_lines(metrics)
    lines += training_lines(training, 'frames out of {samples}')
    return '\n'.join(lines)
