"""Objects in a stream of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.cards.page import Page, runs_of

_SIMULATED = 'Trained on simulated clips and their exact truth alone.'
_REAL = (
    'Trained on simulated clips and their exact truth, and on real images without labels: its '
    'last round and the classes of a depth network told what is there.'
)


def page(metrics: Mapping[str, Any]) -> Page:
    """Return what the card says of the permanence network."""
    runs = runs_of(metrics['training'])
    saw_real = any(run['config']['data'].get('real_images') for run in runs)
    return Page(
        'Objects with 2D and 3D boxes from a stream of images, hidden ones included',
        _REAL if saw_real else _SIMULATED,
        'clips out of {samples}',
    )
