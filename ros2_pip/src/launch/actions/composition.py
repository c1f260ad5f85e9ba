"""Actions that yield other actions: groups and included launch files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..action import Action
from ..launch_context import LaunchContext
from ..launch_description import LaunchDescription
from ..launch_description_entity import LaunchDescriptionEntity
from ..launch_description_source import LaunchDescriptionSource
from ..substitution import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .environment import PopEnvironment, PushEnvironment, ResetEnvironment
from .launch_arguments import (
    PopLaunchConfigurations,
    PushLaunchConfigurations,
    ResetLaunchConfigurations,
    SetLaunchConfiguration,
)


class GroupAction(Action):
    """Several actions with one condition and, unless scoped=False, a scope of their own.

    Changes of launch configurations and environment variables end with the scope. With
    forwarding=False the scope begins empty but for `launch_configurations`.
    """

    def __init__(
        self,
        actions: Iterable[Action],
        *,
        scoped: bool = True,
        forwarding: bool = True,
        launch_configurations: Mapping[Any, Any] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        configurations = dict(launch_configurations or {})
        sets = [SetLaunchConfiguration(key, value) for key, value in configurations.items()]
        entities: list[Action] = list(actions)
        if not scoped:
            entities = [*sets, *entities]
        else:
            start: list[Action] = sets
            if not forwarding:
                start = [ResetEnvironment(), ResetLaunchConfigurations(configurations)]
            entities = [
                PushLaunchConfigurations(),
                PushEnvironment(),
                *start,
                *entities,
                PopEnvironment(),
                PopLaunchConfigurations(),
            ]
        self.__entities = entities

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the actions with those that open and close the scope."""
        return self.__entities

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Return the actions."""
        return self.__entities


class IncludeLaunchDescription(Action):
    """Visits another launch description, after setting the arguments given for it."""

    def __init__(
        self,
        launch_description_source: LaunchDescriptionSource | SomeSubstitutionsType,
        *,
        launch_arguments: Iterable[tuple[Any, Any]] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(launch_description_source, LaunchDescriptionSource):
            from ..launch_description_sources import AnyLaunchDescriptionSource

            launch_description_source = AnyLaunchDescriptionSource(launch_description_source)
        self.launch_description_source = launch_description_source
        self.launch_arguments = tuple(launch_arguments or ())

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the launch description where it can be had in advance."""
        found = self.launch_description_source.try_get_launch_description_without_context()
        return [] if found is None else [found]

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Return the actions that set the arguments, and the launch description.

        Raises:
            RuntimeError: an argument without default is not given.
        """
        description = self.launch_description_source.get_launch_description(context)
        context.extend_locals(self.launch_description_source.describe_place())
        self.__check_arguments(context, description)
        sets = [SetLaunchConfiguration(name, value) for name, value in self.launch_arguments]
        return [*sets, description]

    def __check_arguments(self, context: LaunchContext, description: LaunchDescription) -> None:
        given = {
            perform_substitutions(context, normalize_to_list_of_substitutions(name))
            for name, _ in self.launch_arguments
        }
        for entity in description.entities:
            for include in _includes(entity):
                given |= {str(name) for name, _ in include.launch_arguments}
        for argument in description.get_launch_arguments():
            optional = argument._conditionally_included or argument.default_value is not None
            if not optional and argument.name not in given:
                raise RuntimeError(
                    f"Included launch description missing required argument '{argument.name}' "
                    f"(description: '{argument.description}'), given: [{', '.join(sorted(given))}]"
                )


def _includes(entity: LaunchDescriptionEntity) -> list[IncludeLaunchDescription]:
    """Return the includes within an entity, which set arguments of nested files."""
    found = [entity] if isinstance(entity, IncludeLaunchDescription) else []
    children = list(entity.describe_sub_entities())
    for _, conditional in entity.describe_conditional_sub_entities():
        children += conditional
    return found + [include for child in children for include in _includes(child)]
