"""The layout for Foxglove: whole, and of topics that this package's nodes have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = json.loads((ROOT / 'config/foxglove/pipeline.json').read_text())


def panels(layout: Any) -> Iterator[str]:
    """Yield the panels of a tree of splits."""
    if isinstance(layout, str):
        yield layout
        return
    assert layout['direction'] in ('row', 'column')
    for part in ('first', 'second'):
        yield from panels(layout[part])


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a value, names too."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


def test_every_panel_has_its_settings_and_a_place() -> None:
    assert sorted(panels(LAYOUT['layout'])) == sorted(LAYOUT['configById'])


def test_its_topics_are_those_of_the_reference() -> None:
    """``docs/reference.md`` lists all of them; rviz shows what this layout does."""
    reference = (ROOT / 'docs/reference.md').read_text()
    names = {text for text in texts(LAYOUT['configById']) if re.fullmatch(r'/[\w/]+', text)}
    assert len(names) >= 10
    for name in names:
        if name.endswith('depth/camera_info'):
            name = 'depth/camera_info'
        assert name.lstrip('/') in reference, name
    rviz = (ROOT / 'config/rviz/pipeline.rviz').read_text()
    shown = set(re.findall(r'Value: ([\w/]+/\w+)$', rviz, re.MULTILINE))
    assert {f'/{name}' for name in shown} <= names


def test_its_curves_are_of_values_that_nodes_report() -> None:
    from sim_perception.ros.parameters import NODES

    diagnostics = (ROOT / 'sim_perception/ros/diagnostics.py').read_text()
    curves = [
        path['value'] for panel in LAYOUT['configById'].values() for path in panel.get('paths', [])
    ]
    assert curves
    for curve in curves:
        node, key = re.findall(r'=="/?([^"]+)"', curve)
        assert node.removesuffix(': perception') in NODES
        assert key == 'age p50 [ms]' or f"'{key}'" in diagnostics
