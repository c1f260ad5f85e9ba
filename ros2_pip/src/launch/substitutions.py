"""The substitutions a launch file uses."""

from __future__ import annotations

import importlib
import math
import os
import shutil
from collections.abc import Iterable
from typing import Any

from .launch_context import LaunchContext
from .substitution import (
    SomeSubstitutionsType,
    Substitution,
    SubstitutionFailure,
    TextSubstitution,
)
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

__all__ = [
    'AndSubstitution',
    'EnvironmentVariable',
    'EqualsSubstitution',
    'FindExecutable',
    'LaunchConfiguration',
    'LocalSubstitution',
    'NotEqualsSubstitution',
    'NotSubstitution',
    'OrSubstitution',
    'PathJoinSubstitution',
    'PythonExpression',
    'SubstitutionFailure',
    'TextSubstitution',
    'ThisLaunchFile',
    'ThisLaunchFileDir',
]


class LaunchConfiguration(Substitution):
    """The value of a launch configuration, such as a declared argument."""

    def __init__(self, variable_name: SomeSubstitutionsType, *, default: Any = None) -> None:
        self.__name = normalize_to_list_of_substitutions(variable_name)
        self.__default = None if default is None else _as_text(default)

    @property
    def variable_name(self) -> list[Substitution]:
        """Return the name."""
        return self.__name

    def describe(self) -> str:
        """Return the name in words."""
        return f'LaunchConfig({" + ".join(part.describe() for part in self.__name)})'

    def perform(self, context: LaunchContext) -> str:
        """Return the value, or the default where the configuration is not set."""
        name = perform_substitutions(context, self.__name)
        if name in context.launch_configurations:
            return context.launch_configurations[name]
        if self.__default is None:
            raise SubstitutionFailure(f"launch configuration '{name}' does not exist")
        return perform_substitutions(context, self.__default)


def _as_text(value: Any) -> list[Substitution]:
    """Return any default, number or text or list of them, as substitutions."""
    items = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    return normalize_to_list_of_substitutions(
        [item if isinstance(item, (str, Substitution)) else str(item) for item in items]
    )


class EnvironmentVariable(Substitution):
    """The value of an environment variable when the substitution is performed."""

    def __init__(
        self,
        name: SomeSubstitutionsType,
        *,
        default_value: SomeSubstitutionsType | None = None,
    ) -> None:
        self.__name = normalize_to_list_of_substitutions(name)
        self.__default = (
            None if default_value is None else normalize_to_list_of_substitutions(default_value)
        )

    def perform(self, context: LaunchContext) -> str:
        """Return the value, or the default where the variable is not set."""
        name = perform_substitutions(context, self.__name)
        if name in context.environment:
            return context.environment[name]
        if self.__default is None:
            raise SubstitutionFailure(f"environment variable '{name}' does not exist")
        return perform_substitutions(context, self.__default)


class PathJoinSubstitution(Substitution):
    """Parts joined to a path."""

    def __init__(self, substitutions: Iterable[str | Substitution]) -> None:
        self.__parts = normalize_to_list_of_substitutions(substitutions)

    @property
    def substitutions(self) -> list[Substitution]:
        """Return the parts."""
        return self.__parts

    def perform(self, context: LaunchContext) -> str:
        """Return the joined path."""
        return os.path.join(*(part.perform(context) for part in self.__parts))


class PythonExpression(Substitution):
    """The text of an evaluated Python expression."""

    def __init__(
        self,
        expression: SomeSubstitutionsType,
        python_modules: SomeSubstitutionsType = ('math',),
    ) -> None:
        self.__expression = normalize_to_list_of_substitutions(expression)
        self.__modules = normalize_to_list_of_substitutions(python_modules)

    def describe(self) -> str:
        """Return the unevaluated expression."""
        return f'PythonExpr({" + ".join(part.describe() for part in self.__expression)})'

    def perform(self, context: LaunchContext) -> str:
        """Return the result as text; the modules, and math's content, are known by name."""
        names: dict[str, Any] = {}
        for part in self.__modules:
            module = importlib.import_module(context.perform_substitution(part))
            if module.__name__ == 'math':
                names.update(vars(module))
            names[module.__name__] = module
        # A launch file is trusted code: evaluating its expressions is what it asks for.
        return str(eval(perform_substitutions(context, self.__expression), {}, names))


class LocalSubstitution(Substitution):
    """A value of the context's locals, for example 'event.returncode'."""

    def __init__(self, expression: str, description: str | None = None) -> None:
        self.__expression = expression
        self.__description = description

    def describe(self) -> str:
        """Return the description or the expression."""
        return f"LocalVar('{self.__description or self.__expression}')"

    def perform(self, context: LaunchContext) -> str:
        """Return the value as text."""
        first, *rest = self.__expression.split('.')
        value = getattr(context.locals, first)
        for attribute in rest:
            value = getattr(value, attribute)
        return value


class FindExecutable(Substitution):
    """The path of a program on PATH."""

    def __init__(self, *, name: SomeSubstitutionsType) -> None:
        self.__name = normalize_to_list_of_substitutions(name)

    def perform(self, context: LaunchContext) -> str:
        """Return the path."""
        name = perform_substitutions(context, self.__name)
        found = shutil.which(name, path=context.environment.get('PATH'))
        if found is None:
            raise SubstitutionFailure(f"executable '{name}' not found on the PATH")
        return found


class ThisLaunchFile(Substitution):
    """The path of the launch file that is being visited."""

    def perform(self, context: LaunchContext) -> str:
        """Return the path."""
        return _current(context, 'current_launch_file_path')


class ThisLaunchFileDir(Substitution):
    """The folder of the launch file that is being visited."""

    def perform(self, context: LaunchContext) -> str:
        """Return the folder."""
        return _current(context, 'current_launch_file_directory')


def _current(context: LaunchContext, key: str) -> str:
    values = context.get_locals_as_dict()
    if key not in values:
        raise SubstitutionFailure('used outside of a launch file (in a script)')
    return values[key]


_TRUTH = {'true': True, '1': True, 'false': False, '0': False}


class EqualsSubstitution(Substitution):
    """'true' where two values are the same text, number or truth value, else 'false'."""

    def __init__(self, left: Any, right: Any) -> None:
        self.__left = _as_text(left)
        self.__right = _as_text(right)

    def perform(self, context: LaunchContext) -> str:
        """Compare as truth values, else as numbers, else as text."""
        left = perform_substitutions(context, self.__left)
        right = perform_substitutions(context, self.__right)
        truths = [_TRUTH.get(text.lower()) for text in (left, right)]
        if None not in truths:
            return _text(truths[0] == truths[1])
        try:
            return _text(math.isclose(float(left), float(right)))
        except ValueError:
            return _text(left == right)


class NotEqualsSubstitution(EqualsSubstitution):
    """The contrary of EqualsSubstitution."""

    def perform(self, context: LaunchContext) -> str:
        """Compare and invert."""
        return _text(super().perform(context) == 'false')


def _text(value: bool) -> str:
    return str(value).lower()


class _BooleanOperation(Substitution):
    """Common part of the substitutions that take truth values."""

    def __init__(self, *values: SomeSubstitutionsType) -> None:
        self._values = [normalize_to_list_of_substitutions(value) for value in values]

    def _truths(self, context: LaunchContext) -> list[bool]:
        from .conditions import evaluate_condition_expression

        return [evaluate_condition_expression(context, value) for value in self._values]


class NotSubstitution(_BooleanOperation):
    """'true' where the value is false."""

    def __init__(self, value: SomeSubstitutionsType) -> None:
        super().__init__(value)

    def perform(self, context: LaunchContext) -> str:
        """Return the contrary."""
        return _text(not self._truths(context)[0])


class AndSubstitution(_BooleanOperation):
    """'true' where both values are true."""

    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        super().__init__(left, right)

    def perform(self, context: LaunchContext) -> str:
        """Return whether both hold."""
        return _text(all(self._truths(context)))


class OrSubstitution(_BooleanOperation):
    """'true' where one of two values is true."""

    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        super().__init__(left, right)

    def perform(self, context: LaunchContext) -> str:
        """Return whether one holds."""
        return _text(any(self._truths(context)))
