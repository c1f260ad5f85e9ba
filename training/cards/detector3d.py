"""3D boxes: what the detector sees and whose boxes it learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.cards.page import Page, runs_of

_TRUE = 'Trained on the true boxes of simulated recordings.'
_LABELS = (
    'Trained on automatic labels alone (`python -m training label`): no true 3D box was used.'
)
_BOTH = (
    'Trained on the true boxes of simulated recordings and on automatic labels of others '
    '(`python -m training label`): no box that a human drew was used.'
)


def page(metrics: Mapping[str, Any]) -> Page:
    """Return what the card says of a 3D detector."""
    config = metrics['training']['config']
    data, model = config['data'], config['model']
    sees = 'a predicted depth image' if data.get('points') == 'depth' else 'a LiDAR scan'
    image = ' that is optional' if model.get('camera', True) else ', of which it looks at none'
    labelled = [bool(run['config']['data'].get('labels')) for run in runs_of(metrics['training'])]
    truth = _LABELS if all(labelled) else _BOTH if any(labelled) else _TRUE
    shows = f'3D boxes of {_plural(model.get("things", ["car"]))} from {sees} and an image{image}'
    return Page(shows, truth, 'frames out of {samples}')


def _plural(things: Sequence[str]) -> str:
    *most, last = (f'{thing}s' for thing in things)
    return f'{", ".join(most)} and {last}' if most else last
