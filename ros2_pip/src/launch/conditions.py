"""Conditions that actions take: if, unless, and comparisons of a launch configuration."""

from __future__ import annotations

from .condition import Condition
from .launch_context import LaunchContext
from .substitution import SomeSubstitutionsType, Substitution
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

__all__ = [
    'IfCondition',
    'InvalidConditionExpressionError',
    'LaunchConfigurationEquals',
    'LaunchConfigurationNotEquals',
    'UnlessCondition',
    'evaluate_condition_expression',
]

_TRUTH = {'true': True, '1': True, 'false': False, '0': False}


class InvalidConditionExpressionError(Exception):
    """A condition's text is none of true, 1, false, 0."""

    def __init__(self, expanded: str, expression: list[Substitution]) -> None:
        described = ' + '.join(part.describe() for part in expression)
        super().__init__(
            f"invalid condition expression: '{expanded}' (from {described}); "
            f'expected one of {", ".join(_TRUTH)}'
        )


def evaluate_condition_expression(context: LaunchContext, expression: list[Substitution]) -> bool:
    """Return the truth of performed text: true/1 or false/0, whatever the letters' case.

    Raises:
        InvalidConditionExpressionError: the text is anything else.
    """
    expanded = perform_substitutions(context, expression).strip().lower()
    if expanded not in _TRUTH:
        raise InvalidConditionExpressionError(expanded, expression)
    return _TRUTH[expanded]


class IfCondition(Condition):
    """True where the expression's text is true."""

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        self._expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(predicate=self._evaluate)

    def _evaluate(self, context: LaunchContext) -> bool:
        return evaluate_condition_expression(context, self._expression)


class UnlessCondition(IfCondition):
    """True where the expression's text is false."""

    def _evaluate(self, context: LaunchContext) -> bool:
        return not super()._evaluate(context)


class LaunchConfigurationEquals(Condition):
    """True where a launch configuration has a value; None stands for 'not set'."""

    def __init__(
        self, launch_configuration_name: str, expected_value: SomeSubstitutionsType | None
    ) -> None:
        self._name = launch_configuration_name
        self._expected = (
            None if expected_value is None else normalize_to_list_of_substitutions(expected_value)
        )
        super().__init__(predicate=self._evaluate)

    def _evaluate(self, context: LaunchContext) -> bool:
        expected = (
            None if self._expected is None else perform_substitutions(context, self._expected)
        )
        return context.launch_configurations.get(self._name) == expected


class LaunchConfigurationNotEquals(LaunchConfigurationEquals):
    """True where a launch configuration has another value."""

    def _evaluate(self, context: LaunchContext) -> bool:
        return not super()._evaluate(context)
