"""Values that may be given as typed Python values or as substitutions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_origin

import yaml

from ..launch_context import LaunchContext
from ..substitution import Substitution
from . import normalize_to_list_of_substitutions, perform_substitutions

_SCALARS = (int, float, bool, str)


def is_substitution(value: Any) -> bool:
    """Return whether value is a Substitution, or a list of text with at least one in it."""
    if isinstance(value, Substitution):
        return True
    return (
        isinstance(value, Iterable)
        and not isinstance(value, (str, bytes, dict))
        and all(isinstance(item, (str, Substitution)) for item in value)
        and any(isinstance(item, Substitution) for item in value)
    )


def _is_instance(value: Any, data_type: Any) -> bool:
    if data_type is None:
        items = value if isinstance(value, list) else [value]
        return all(isinstance(i, _SCALARS) and type(i) is type(items[0]) for i in items)
    if get_origin(data_type) is list:
        (item_type,) = get_args(data_type)
        return isinstance(value, list) and all(isinstance(item, item_type) for item in value)
    return isinstance(value, data_type)


def normalize_typed_substitution(value: Any, data_type: Any) -> Any:
    """Return substitutions as a list of them, or a value checked against the type.

    Args:
        value: a value of the type or substitutions.
        data_type: int, float, bool, str, List[...] of these, or None for any of them.

    Raises:
        TypeError: the value has another type.
    """
    if is_substitution(value):
        return normalize_to_list_of_substitutions(value)
    value = list(value) if isinstance(value, tuple) else value
    if not _is_instance(value, data_type):
        raise TypeError(f'value={value!r} is not an instance of {data_type}')
    return value


def coerce_to_type(text: str, data_type: Any = None) -> Any:
    """Return text as a value of a type; bool, lists and None follow YAML's rules.

    Raises:
        ValueError: the text cannot be read as that type.
    """
    if data_type in (str, int, float):
        return data_type(text)
    if data_type is bool:
        text = {'1': 'true', '0': 'false'}.get(text, text)
    try:
        value = yaml.safe_load(text) if text else text
    except yaml.YAMLError as error:
        raise ValueError(f"cannot read '{text}' as YAML: {error}") from error
    if not _is_instance(value, data_type):
        expected = data_type or 'a bool, int, float, str or a list of one of these'
        raise ValueError(f"cannot convert '{text}' to {expected}")
    return value


def perform_typed_substitution(context: LaunchContext, value: Any, data_type: Any) -> Any:
    """Return the typed value of a normalised value or list of substitutions."""
    if isinstance(value, list) and value and all(isinstance(v, Substitution) for v in value):
        return coerce_to_type(perform_substitutions(context, value), data_type)
    return value
