"""Matchers of nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def matches_node_name(node_name: str) -> Callable[[Any], bool]:
    """Return a matcher for nodes with this full name."""
    if not node_name.startswith('/'):
        node_name = f'/{node_name}'
    return lambda action: action.node_name == node_name
