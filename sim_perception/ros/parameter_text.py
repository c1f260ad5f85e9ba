"""A node's parameters as a Markdown table, as plain help and as a ``.param.yaml`` file."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

from sim_perception.ros.parameter_fields import TYPE_NAMES, allowed


def _yaml_value(field: dataclasses.Field[Any]) -> str:
    text: str = yaml.safe_dump(field.default, width=1000, default_flow_style=True)
    return text.splitlines()[0]


def parameter_table(cls: type) -> str:
    """Return the Markdown table of a node's parameters."""
    lines = ['| parameter | type | default | allowed | meaning |', '|---|---|---|---|---|']
    for field in dataclasses.fields(cls):
        default = _yaml_value(field)
        live = ' *(live)*' if field.metadata['read_at'] == 'always' else ''
        lines.append(
            f'| `{field.name}` | {TYPE_NAMES[type(field.default)]} | `{default}` '
            f'| {allowed(field)} | {field.metadata["description"]}{live} |'
        )
    return '\n'.join(lines) + '\n'


def parameter_help(cls: type) -> str:
    """Return the parameters as plain text for ``--help``."""
    lines = ['ROS parameters (--ros-args -p NAME:=VALUE):']
    for field in dataclasses.fields(cls):
        limits = allowed(field).replace('`', '')
        lines.append(
            f'  {field.name}: {TYPE_NAMES[type(field.default)]} = {field.default!r}'
            + (f' [{limits}]' if limits else '')
        )
        lines.append(f'      {field.metadata["description"]}')
    return '\n'.join(lines)


def parameter_yaml(node_name: str, cls: type) -> str:
    """Return the text of a node's ``.param.yaml``: every default with its description."""
    lines = [
        f'# Parameters of the {node_name} node, in any namespace.',
        '# Written by: python -m sim_perception.ros.parameters --write config',
        f'/**/{node_name}:',
        '  ros__parameters:',
    ]
    for field in dataclasses.fields(cls):
        limits = allowed(field).replace('`', '')
        comment = field.metadata['description'] + (f' [{limits}]' if limits else '')
        lines.append(f'    # {comment}')
        value = _yaml_value(field)
        lines.append(f'    {field.name}: {value}')
    return '\n'.join(lines) + '\n'
