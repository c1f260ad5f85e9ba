"""Parts of cars in crops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.cards.page import Page


def page(metrics: Mapping[str, Any]) -> Page:
    """Return what the card says of the coordinates network."""
    return Page(
        'Which part of a car every pixel of a crop shows, and its size, distance and heading',
        samples='views of {samples} crops',
    )
