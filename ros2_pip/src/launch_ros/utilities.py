"""Namespaces and parameter values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from launch.launch_context import LaunchContext
from launch.substitution import Substitution, TextSubstitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from .parameter_descriptions import Parameter, ParameterFile, ParameterValue

__all__ = [
    'evaluate_parameter_dict',
    'evaluate_parameters',
    'make_namespace_absolute',
    'normalize_parameter_dict',
    'normalize_parameters',
    'normalize_remap_rules',
    'prefix_namespace',
]

_SCALARS = (bool, int, float, str)


def prefix_namespace(base_ns: str | None, ns: str | None) -> str | None:
    """Return ns within base_ns; an absolute ns stays as it is, None stands for no namespace."""
    if ns is None:
        combined = base_ns
    elif not base_ns or ns.startswith('/'):
        combined = ns
    else:
        combined = ('' if base_ns == '/' else base_ns) + '/' + ns
    if combined is None or combined == '/':
        return combined
    return combined.rstrip('/')


def make_namespace_absolute(ns: str | None) -> str | None:
    """Return ns with a leading slash."""
    return ns if ns is None or ns.startswith('/') else '/' + ns


def normalize_remap_rules(
    rules: Iterable[Any],
) -> list[tuple[list[Substitution], list[Substitution]]]:
    """Return remapping rules as pairs of lists of substitutions.

    Raises:
        TypeError: a rule is no pair.
    """
    normalized = []
    for rule in rules:
        if isinstance(rule, str) or len(rule) != 2:
            raise TypeError(f'a remapping must be a pair (from, to), got {rule!r}')
        source, target = rule
        normalized.append(
            (
                normalize_to_list_of_substitutions(source),
                normalize_to_list_of_substitutions(target),
            )
        )
    return normalized


def normalize_parameters(parameters: Any) -> list[Any]:
    """Return parameters as ParameterFile, Parameter and normalised dictionaries."""
    if isinstance(parameters, str) or not isinstance(parameters, Sequence):
        raise TypeError(f'Expecting list of parameters, got {parameters}')
    normalized: list[Any] = []
    for item in parameters:
        if isinstance(item, Mapping):
            normalized.append(normalize_parameter_dict(item))
        elif isinstance(item, (Parameter, ParameterFile)):
            normalized.append(item)
        else:
            normalized.append(ParameterFile(item))
    return normalized


def normalize_parameter_dict(
    parameters: Mapping[Any, Any], _prefix: Sequence[Substitution] = ()
) -> dict[tuple[Substitution, ...], Any]:
    """Return a flat dictionary; nested names are joined with dots.

    Text stays text ('1' is no number), substitutions are read by the rules of YAML when they
    are evaluated, a list with substitutions and text is one text, and the items of other lists
    get one type.
    """
    flat: dict[tuple[Substitution, ...], Any] = {}
    for key, value in parameters.items():
        name = (*_prefix, *normalize_to_list_of_substitutions(key))
        if isinstance(value, Mapping):
            flat.update(normalize_parameter_dict(value, (*name, TextSubstitution(text='.'))))
        elif isinstance(value, (ParameterValue, *_SCALARS, bytes)):
            flat[name] = value
        elif isinstance(value, Substitution):
            flat[name] = _YamlText([value])
        elif isinstance(value, Sequence):
            flat[name] = _normalize_sequence(value)
        else:
            raise TypeError(f'Unexpected type for parameter value {value!r}')
    return flat


class _YamlText:
    """Substitutions whose joined text is read as YAML."""

    def __init__(self, parts: Any) -> None:
        self.parts = normalize_to_list_of_substitutions(parts)

    def evaluate(self, context: LaunchContext) -> Any:
        text = perform_substitutions(context, self.parts)
        return yaml.safe_load(text) if text else ''


def _normalize_sequence(value: Sequence[Any]) -> Any:
    if any(isinstance(item, Substitution) for item in value) and all(
        isinstance(item, (str, Substitution)) for item in value
    ):
        return _YamlText(value)
    if value and all(type(item) in (int, float) for item in value):
        return list(value) if all(type(i) is int for i in value) else [float(i) for i in value]
    if len({type(item) for item in value}) == 1 and isinstance(value[0], _SCALARS):
        return list(value)
    return [item if isinstance(item, _SCALARS) else _YamlText(item) for item in value]


def evaluate_parameter_dict(
    context: LaunchContext, parameters: Mapping[tuple[Substitution, ...], Any]
) -> dict[str, Any]:
    """Return parameter values by name.

    Raises:
        TypeError: a substitution's text is neither a scalar nor a list of one scalar type.
    """
    evaluated: dict[str, Any] = {}
    for key, value in parameters.items():
        name = perform_substitutions(context, key)
        try:
            evaluated[name] = _evaluate_value(context, value)
        except yaml.YAMLError as error:
            raise TypeError(
                f'Unable to parse the value of parameter {name} as yaml. If it is meant to be a '
                'string, wrap it in launch_ros.parameter_descriptions.ParameterValue('
                'value, value_type=str)'
            ) from error
        if not _is_allowed(evaluated[name]):
            raise TypeError(
                f'Parameter {name} has the value {evaluated[name]!r}; expected a bool, int, '
                'float, str or a non-empty list of one of these'
            )
    return evaluated


def _evaluate_value(context: LaunchContext, value: Any) -> Any:
    if isinstance(value, (_YamlText, ParameterValue)):
        return value.evaluate(context)
    if isinstance(value, list):
        return [item.evaluate(context) if isinstance(item, _YamlText) else item for item in value]
    return value


def _is_allowed(value: Any) -> bool:
    if isinstance(value, (*_SCALARS, bytes)):
        return True
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return isinstance(value[0], _SCALARS) and all(type(i) is type(value[0]) for i in value)


def evaluate_parameters(context: LaunchContext, parameters: Iterable[Any]) -> list[Any]:
    """Return parameter files as paths, dictionaries with values, and Parameter as they are."""
    evaluated: list[Any] = []
    for item in parameters:
        if isinstance(item, ParameterFile):
            evaluated.append(item.evaluate(context))
        elif isinstance(item, Parameter):
            evaluated.append(item)
        else:
            evaluated.append(evaluate_parameter_dict(context, item))
    return evaluated
