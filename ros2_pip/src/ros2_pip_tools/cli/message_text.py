"""Messages as YAML text."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import yaml

from ros2_pip_tools.cli.errors import CommandError


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
    plain = [item.item() if hasattr(item, 'item') else item for item in plain]
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
