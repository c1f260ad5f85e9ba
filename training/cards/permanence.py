"""Objects in a stream of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.cards.page import Page


def page(metrics: Mapping[str, Any]) -> Page:
    """Return what the card says of the permanence network."""
    return Page(
        'Objects with 2D and 3D boxes from a stream of images, hidden ones included',
        'Trained on simulated clips and their exact truth alone.',
        'clips out of {samples}',
    )
