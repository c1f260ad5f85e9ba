"""A node's parameters are the fields of a dataclass: declaring, checking and reading them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rclpy.node import Node

T = TypeVar('T')
TYPE_NAMES = {
    bool: 'bool', int: 'integer', float: 'double', str: 'string', tuple: 'string array',
}  # fmt: skip
"""What ROS calls the types that a parameter can have."""


FRAME_PREFIX = 'frame_prefix'
"""The parameter that goes before the names in all others that are frames."""
_READ_AT = {
    'start': 'when the node starts; start it anew with the value',
    'configure': (
        'when the node is configured; deactivate it and clean it up (ros2 lifecycle set), change '
        'the parameter, then configure and activate it again'
    ),
}
"""When parameters that are not live are read, and how a change comes about."""


class ParameterError(ValueError):
    """A parameter with a value that cannot be used; names the parameter and what is allowed."""


def parameter(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    read_at: str = 'configure',
    frame: bool = False,
) -> Any:
    """Return a dataclass field for one parameter.

    Args:
        default: a bool, int, float, str or tuple of str; its type is the parameter's.
        description: one sentence, with the unit.
        low, high: allowed range of a number, ends included; give both or none.
        choices: allowed values of a string.
        read_at: 'always' for a live parameter, which takes effect at once; 'configure', or only
            at the node's 'start'.
        frame: whether it names a frame, which then follows the node's ``frame_prefix``.
    """
    metadata = {
        'description': description,
        'low': low,
        'high': high,
        'choices': tuple(choices),
        'read_at': read_at,
        'frame': frame,
    }
    return dataclasses.field(default=default, metadata=metadata)


def check(name: str, value: Any, field: dataclasses.Field[Any]) -> Any:
    """Return a value as its field's type; an integer is a valid double.

    Raises:
        ParameterError: for a wrong type, a value out of range or not among the choices.
    """
    wanted = type(field.default)
    if wanted is float and type(value) is int:
        value = float(value)
    fits = type(value) is wanted
    if wanted is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        fits = all(isinstance(entry, str) for entry in value)
        value = tuple(value)
    if not fits:
        raise ParameterError(
            f'parameter {name} must be of type {TYPE_NAMES[wanted]}, got {value!r} '
            f'({TYPE_NAMES.get(type(value), type(value).__name__)})'
        )
    low, high, choices = (field.metadata[key] for key in ('low', 'high', 'choices'))
    if low is not None and not low <= value <= high:
        raise ParameterError(f'parameter {name} must lie within {low} and {high}, got {value}')
    if choices and value not in choices:
        raise ParameterError(
            f'parameter {name} must be one of {", ".join(choices)}; got {value!r}'
        )
    return value


def _descriptor(field: dataclasses.Field[Any]) -> Any:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    low, high, choices = (field.metadata[key] for key in ('low', 'high', 'choices'))
    constraints = [f'one of: {", ".join(choices)}'] if choices else []
    if field.metadata['read_at'] in _READ_AT:
        constraints.append(f'read {_READ_AT[field.metadata["read_at"]]}')
    descriptor = ParameterDescriptor(
        description=field.metadata['description'],
        additional_constraints='; '.join(constraints),
        # `rate:=1` on a command line is an integer; it is meant as a double.
        dynamic_typing=isinstance(field.default, float),
    )
    if low is not None and isinstance(field.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif low is not None:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor


def declare_parameters(node: Node, cls: type, in_use: Callable[[], bool] = lambda: False) -> None:
    """Declare the parameters of a dataclass on a node and refuse useless changes later on.

    Those are invalid values, and values that would not take effect now.

    Args:
        node: gets the parameters.
        cls: their dataclass.
        in_use: whether the node has read its parameters, so that only live ones may change.

    Raises:
        ParameterError: for an override of wrong type, out of range or not among the choices.
    """
    from rcl_interfaces.msg import SetParametersResult
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name, field in fields.items():
        try:
            default: Any = field.default
            if isinstance(default, tuple):
                default = list(default)
            declared = node.declare_parameter(name, default, _descriptor(field))
        except InvalidParameterTypeException as error:
            raise ParameterError(
                f'parameter {name} must be of type {TYPE_NAMES[type(field.default)]}: {error}'
            ) from error
        except InvalidParameterValueException as error:
            raise ParameterError(
                f'parameter {name} must lie within {allowed(field)}: {error}'
            ) from error
        check(name, declared.value, field)

    def validate(changes: list[Any]) -> Any:
        try:
            for change in changes:
                if change.name in fields:
                    value = check(change.name, change.value, fields[change.name])
                    present = node.get_parameter(change.name).value
                    if value != check(change.name, present, fields[change.name]):
                        _check_takes_effect(fields[change.name], in_use())
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(validate)


def _check_takes_effect(field: dataclasses.Field[Any], in_use: bool) -> None:
    read_at = field.metadata['read_at']
    if read_at == 'start' or (read_at == 'configure' and in_use):
        raise ParameterError(f'parameter {field.name} is read {_READ_AT[read_at]}')


def prefixed(prefix: str, frame: str) -> str:
    """Return a frame's name behind a prefix; one with a leading slash stands without it."""
    return frame[1:] if frame.startswith('/') else prefix + frame if frame else ''


def read_parameters(node: Node, cls: type[T]) -> T:
    """Return the node's parameters as an instance of their dataclass.

    Names of frames have the ``frame_prefix``.

    Raises:
        ParameterError: for a value of wrong type, out of range or not among the choices.
    """
    values = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        values[field.name] = check(field.name, node.get_parameter(field.name).value, field)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.metadata['frame']:
            values[field.name] = prefixed(values.get(FRAME_PREFIX, ''), values[field.name])
    return cls(**values)


def _range_text(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ''
    return ' to '.join(f'{x:.0f}' if float(x).is_integer() else f'{x:g}' for x in (low, high))


def allowed(field: dataclasses.Field[Any]) -> str:
    """Return a parameter's choices or range as text, empty if it has none."""
    choices = field.metadata['choices']
    if choices:
        return ', '.join(f'`{choice}`' for choice in choices)
    return _range_text(field.metadata['low'], field.metadata['high'])
