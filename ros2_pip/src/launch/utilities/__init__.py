"""Small helpers for writing actions and substitutions."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..launch_description_entity import LaunchDescriptionEntity
from ..substitution import SomeSubstitutionsType, Substitution, TextSubstitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

__all__ = [
    'ensure_argument_type',
    'is_a',
    'is_a_subclass',
    'normalize_to_list_of_entities',
    'normalize_to_list_of_substitutions',
    'perform_substitutions',
    'visit_all_entities_and_collect_futures',
]


def is_a(obj: Any, entity_type: type) -> bool:
    """Return whether obj is of the type."""
    return isinstance(obj, entity_type)


def is_a_subclass(obj: Any, entity_type: type) -> bool:
    """Return whether obj, a class or an instance, is of the type."""
    return issubclass(obj if inspect.isclass(obj) else type(obj), entity_type)


def ensure_argument_type(argument: Any, types: Any, argument_name: str, caller: str = '') -> None:
    """Raise TypeError unless the argument is of one of the types."""
    expected = tuple(types) if isinstance(types, Iterable) else (types,)
    if not isinstance(argument, expected):
        names = ', '.join(item.__name__ for item in expected)
        raise TypeError(
            f"{caller}: '{argument_name}' expects {names}, got {argument!r} ({type(argument)})"
        )


def normalize_to_list_of_substitutions(subs: SomeSubstitutionsType) -> list[Substitution]:
    """Return a flat list of substitutions; text becomes TextSubstitution.

    Raises:
        TypeError: a part is neither text nor a substitution.
    """
    if isinstance(subs, Substitution):
        return [subs]
    if isinstance(subs, str):
        return [TextSubstitution(text=subs)]
    if isinstance(subs, Iterable):
        return [part for item in subs for part in normalize_to_list_of_substitutions(item)]
    raise TypeError(f'expected text, Substitutions or a list of them, got {subs!r}')


def perform_substitutions(context: LaunchContext, subs: Iterable[Substitution]) -> str:
    """Return the joined text of substitutions."""
    return ''.join(context.perform_substitution(sub) for sub in subs)


def normalize_to_list_of_entities(entities: Any) -> list[LaunchDescriptionEntity]:
    """Return one entity, or several, as a list."""
    if entities is None:
        return []
    if isinstance(entities, LaunchDescriptionEntity):
        return [entities]
    return [item for entity in entities for item in normalize_to_list_of_entities(entity)]


def visit_all_entities_and_collect_futures(
    entity: LaunchDescriptionEntity, context: LaunchContext
) -> list[tuple[LaunchDescriptionEntity, asyncio.Future]]:
    """Visit an entity and, depth first, all it yields; return what is still under way."""
    sub_entities = entity.visit(context)
    future = entity.get_asyncio_future()
    pairs = [(entity, future)] if future is not None else []
    for sub_entity in sub_entities or ():
        pairs += visit_all_entities_and_collect_futures(sub_entity, context)
    return pairs
