"""Base class of everything a launch description can hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class LaunchDescriptionEntity:
    """Something that is visited when its turn comes and may yield further entities."""

    def describe(self) -> str:
        """Return a short description for messages."""
        return repr(self)

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities that a visit always yields."""
        return []

    def describe_conditional_sub_entities(
        self,
    ) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return (condition, entities) pairs a visit yields under a condition."""
        return []

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Do the work, without blocking, and return the entities to visit next."""
        return None

    def get_asyncio_future(self) -> asyncio.Future | None:
        """Return what the launch must wait for before it is idle; asked after `visit`."""
        return None
