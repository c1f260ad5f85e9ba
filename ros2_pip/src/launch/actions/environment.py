"""Actions on the environment variables of the processes to come."""

from __future__ import annotations

import os
from typing import Any

from ..action import Action
from ..launch_context import LaunchContext
from ..substitution import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution


class SetEnvironmentVariable(Action):
    """Sets an environment variable in the current scope."""

    def __init__(
        self, name: SomeSubstitutionsType, value: SomeSubstitutionsType, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.name = normalize_to_list_of_substitutions(name)
        self.value = normalize_to_list_of_substitutions(value)

    def execute(self, context: LaunchContext) -> None:
        """Set it."""
        name = perform_substitutions(context, self.name)
        context.environment[name] = perform_substitutions(context, self.value)


class UnsetEnvironmentVariable(Action):
    """Removes an environment variable; one that is not set is no error."""

    def __init__(self, name: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self.name = normalize_to_list_of_substitutions(name)

    def execute(self, context: LaunchContext) -> None:
        """Remove it."""
        context.environment.pop(perform_substitutions(context, self.name), None)


class AppendEnvironmentVariable(Action):
    """Appends to, or prepends to, an environment variable; sets it where it is not set."""

    def __init__(
        self,
        name: SomeSubstitutionsType,
        value: SomeSubstitutionsType,
        prepend: Any = False,
        separator: SomeSubstitutionsType = os.pathsep,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.name = normalize_to_list_of_substitutions(name)
        self.value = normalize_to_list_of_substitutions(value)
        self.prepend = normalize_typed_substitution(prepend, bool)
        self.separator = normalize_to_list_of_substitutions(separator)

    def execute(self, context: LaunchContext) -> None:
        """Extend it."""
        name = perform_substitutions(context, self.name)
        parts = [perform_substitutions(context, self.value)]
        if name in context.environment:
            first = perform_typed_substitution(context, self.prepend, bool)
            parts.insert(1 if first else 0, context.environment[name])
        context.environment[name] = perform_substitutions(context, self.separator).join(parts)


class PushEnvironment(Action):
    """Opens a scope of environment variables."""

    def execute(self, context: LaunchContext) -> None:
        """Open it."""
        context._push_environment()


class PopEnvironment(Action):
    """Closes a scope of environment variables."""

    def execute(self, context: LaunchContext) -> None:
        """Close it."""
        context._pop_environment()


class ResetEnvironment(Action):
    """Puts back the environment of the launch's beginning."""

    def execute(self, context: LaunchContext) -> None:
        """Put it back."""
        context._reset_environment()
