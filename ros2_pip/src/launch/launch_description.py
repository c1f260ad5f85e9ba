"""A list of entities that describes a launch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .launch_description_entity import LaunchDescriptionEntity

if TYPE_CHECKING:
    from .actions.launch_arguments import DeclareLaunchArgument
    from .launch_context import LaunchContext


class LaunchDescription(LaunchDescriptionEntity):
    """Entities that are visited in order."""

    def __init__(self, initial_entities: Iterable[LaunchDescriptionEntity] | None = None) -> None:
        self.__entities = list(initial_entities or [])

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities."""
        return self.__entities

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Return the entities."""
        return self.__entities

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities."""
        return self.__entities

    def add_entity(self, entity: LaunchDescriptionEntity) -> None:
        """Append an entity."""
        self.__entities.append(entity)

    def add_action(self, action: LaunchDescriptionEntity) -> None:
        """Append an action."""
        self.add_entity(action)

    def get_launch_arguments(
        self, conditional_inclusion: bool = False
    ) -> list[DeclareLaunchArgument]:
        """Return the declared arguments, those of included files too where these can be found.

        The first declaration of a name counts. An argument that is declared only under a
        condition is marked `_conditionally_included`.
        """
        from .actions.launch_arguments import DeclareLaunchArgument

        found: dict[str, DeclareLaunchArgument] = {}

        def search(entities: Iterable[LaunchDescriptionEntity], conditional: bool) -> None:
            for entity in entities:
                if isinstance(entity, DeclareLaunchArgument) and entity.name not in found:
                    entity._conditionally_included = conditional or entity.condition is not None
                    found[entity.name] = entity
                search(entity.describe_sub_entities(), False)
                for _, conditional_entities in entity.describe_conditional_sub_entities():
                    search(conditional_entities, True)

        search(self.entities, conditional_inclusion)
        return list(found.values())
