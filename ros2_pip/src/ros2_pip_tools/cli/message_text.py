"""Messages as YAML text, and YAML text as messages."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import yaml

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import get_interface


def to_plain(value: Any, limit: int | None = 128, arrays: bool = True) -> Any:
    """Return a message as dictionaries, lists and scalars.

    Args:
        value: a message or the value of a field.
        limit: longest list and text, the rest is replaced by '...'; None for no limit.
        arrays: whether to show the content of arrays.
    """
    if hasattr(value, 'get_fields_and_field_types'):
        return {
            name: to_plain(getattr(value, name), limit, arrays)
            for name in value.get_fields_and_field_types()
        }
    if getattr(value, 'ndim', None) == 0:  # a number of a fixed array
        return value.item()
    if isinstance(value, str):
        return value if limit is None or len(value) <= limit else value[:limit] + '...'
    if isinstance(value, (bytes, bytearray, array.array, Sequence)) or hasattr(value, 'tolist'):
        return _plain_sequence(value, limit, arrays)
    return value


def _plain_sequence(values: Any, limit: int | None, arrays: bool) -> Any:
    if not arrays and len(values):
        return f'<sequence, length: {len(values)}>'
    shown = values if limit is None else values[:limit]
    plain = [to_plain(item, limit) for item in shown]
    plain = [item[0] if isinstance(item, bytes) else item for item in plain]
    return [*plain, '...'] if len(shown) < len(values) else plain


def to_yaml(value: Any, limit: int | None = 128, arrays: bool = True) -> str:
    """Return a message as YAML with a closing line of dashes."""
    plain = to_plain(value, limit, arrays)
    if isinstance(plain, (dict, list)):
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True) + '---'
    return f'{plain}\n---'


def select(message: Any, field: str | None) -> Any:
    """Return a field of a message, written as 'header.stamp' or 'poses[0].position'.

    Raises:
        CommandError: there is no such field.
    """
    value = message
    for part in filter(None, (field or '').replace('[', '.').replace(']', '').split('.')):
        try:
            value = value[int(part)] if part.isdigit() else getattr(value, part)
        except (AttributeError, IndexError, TypeError) as error:
            raise CommandError(f"'{field}' is no field of {type(message).__name__}") from error
    return value


def from_yaml(text: str) -> dict[str, Any]:
    """Return the fields that a text in YAML names.

    Raises:
        CommandError: it is no YAML, or no dictionary.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"'{text}' is no YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise CommandError('The passed value needs to be a dictionary in YAML format')
    return values


def fill(message: Any, values: dict[str, Any]) -> list[Any]:
    """Set fields of a message; return the times that are 'now' (or in an 'auto' header).

    Raises:
        CommandError: there is no such field, or it cannot have the value.
    """
    stamps: list[Any] = []
    kinds = message.get_fields_and_field_types()
    for name, value in values.items():
        if name not in kinds:
            raise CommandError(
                f"Failed to populate field: '{type(message).__name__}' has no field '{name}'; it "
                f'has {", ".join(kinds) or "none"}'
            )
        present = getattr(message, name)
        if kinds[name] == 'builtin_interfaces/Time' and value == 'now':
            stamps.append(present)
        elif kinds[name] == 'std_msgs/Header' and value == 'auto':
            stamps.append(present.stamp)
        elif isinstance(value, dict) and hasattr(present, 'get_fields_and_field_types'):
            stamps += fill(present, value)
        else:
            _set(message, name, value, kinds[name], stamps)
    return stamps


def _set(message: Any, name: str, value: Any, kind: str, stamps: list[Any]) -> None:
    try:
        if isinstance(value, list):
            value = _items(value, kind, stamps)
        elif kind in ('float', 'double') and isinstance(value, int):
            value = float(value)
        elif kind == 'octet' and isinstance(value, int):
            value = bytes([value])
        setattr(message, name, value)
    # What rclpy's setters raise depends on the field; one of them asserts.
    except (AssertionError, TypeError, ValueError, OverflowError) as error:
        raise CommandError(f"Failed to populate field '{name}' ({kind}): {error}") from error


def _items(values: list[Any], kind: str, stamps: list[Any]) -> list[Any]:
    item = kind.removeprefix('sequence<').split('[')[0].split(',')[0].rstrip('>')
    if item in ('float', 'double'):
        return [float(value) for value in values]
    if '/' not in item:
        return values
    items = []
    for value in values:
        items.append(get_interface(item)())
        stamps += fill(items[-1], value)
    return items
