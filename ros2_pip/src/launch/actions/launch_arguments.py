"""Actions on launch arguments and launch configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import launch.logging

from ..action import Action
from ..launch_context import LaunchContext
from ..substitution import SomeSubstitutionsType, Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions


class DeclareLaunchArgument(Action):
    """Declares an argument that callers may set and that has its default otherwise."""

    def __init__(
        self,
        name: str,
        *,
        default_value: SomeSubstitutionsType | None = None,
        description: str | None = None,
        choices: list[str] | None = None,
        **kwargs,
    ) -> None:
        """Create the declaration.

        Raises:
            RuntimeError: choices is empty or does not hold the default.
        """
        super().__init__(**kwargs)
        if choices is not None and not choices:
            raise RuntimeError(
                'Provided choices arg is empty. Use None to ignore the choice list.'
            )
        if choices is not None and isinstance(default_value, str) and default_value not in choices:
            raise RuntimeError(
                f'Provided default_value "{default_value}" is not in provided choices "{choices}".'
            )
        self.name = name
        self.choices = choices
        self.default_value: list[Substitution] | None = (
            None if default_value is None else normalize_to_list_of_substitutions(default_value)
        )
        self.description = self.__describe(description)
        self._conditionally_included = False

    def __describe(self, description: str | None) -> str:
        if description is None:
            return 'no description given' if self.choices is None else f'One of: {self.choices}'
        if self.choices is None:
            return description
        stop = '' if description.endswith('.') else '.'
        return f'{description}{stop} Valid choices are: {self.choices}'

    def execute(self, context: LaunchContext) -> None:
        """Set the default where the argument is not set; check the choices."""
        configurations = context.launch_configurations
        logger = launch.logging.get_logger('launch')
        if self.name not in configurations:
            if self.default_value is None:
                logger.error(
                    'Required launch argument "%s" (description: "%s") was not provided',
                    self.name,
                    self.description,
                )
                raise RuntimeError(f'Required launch argument "{self.name}" was not provided.')
            configurations[self.name] = perform_substitutions(context, self.default_value)
        value = configurations[self.name]
        if self.choices is not None and value not in self.choices:
            raise RuntimeError(
                f'Argument "{self.name}" provided value "{value}" is not valid. '
                f'Valid options are: {self.choices}'
            )


class SetLaunchConfiguration(Action):
    """Sets a launch configuration in the current scope."""

    def __init__(
        self, name: SomeSubstitutionsType, value: SomeSubstitutionsType, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.name = normalize_to_list_of_substitutions(name)
        self.value = normalize_to_list_of_substitutions(value)

    def execute(self, context: LaunchContext) -> None:
        """Set it."""
        name = perform_substitutions(context, self.name)
        context.launch_configurations[name] = perform_substitutions(context, self.value)


class UnsetLaunchConfiguration(Action):
    """Removes a launch configuration; one that is not set is no error."""

    def __init__(self, name: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self.name = normalize_to_list_of_substitutions(name)

    def execute(self, context: LaunchContext) -> None:
        """Remove it."""
        context.launch_configurations.pop(perform_substitutions(context, self.name), None)


class PushLaunchConfigurations(Action):
    """Opens a scope of launch configurations."""

    def execute(self, context: LaunchContext) -> None:
        """Open it."""
        context._push_launch_configurations()


class PopLaunchConfigurations(Action):
    """Closes a scope of launch configurations."""

    def execute(self, context: LaunchContext) -> None:
        """Close it."""
        context._pop_launch_configurations()


class ResetLaunchConfigurations(Action):
    """Removes all launch configurations but those given."""

    def __init__(self, launch_configurations: Mapping[Any, Any] | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.__kept = dict(launch_configurations or {})

    def execute(self, context: LaunchContext) -> None:
        """Evaluate those to keep, then replace all."""

        def text(value: SomeSubstitutionsType) -> str:
            return perform_substitutions(context, normalize_to_list_of_substitutions(value))

        kept = {text(key): text(value) for key, value in self.__kept.items()}
        context.launch_configurations.clear()
        context.launch_configurations.update(kept)
