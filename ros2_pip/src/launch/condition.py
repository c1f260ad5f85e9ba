"""Base class of conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Condition:
    """Decides in a context whether an action is executed."""

    def __init__(self, *, predicate: Callable[[LaunchContext], bool] | None = None) -> None:
        self._predicate = predicate

    def describe(self) -> str:
        """Return a short description for messages."""
        return repr(self)

    def evaluate(self, context: LaunchContext) -> bool:
        """Return whether the action shall be executed; False without a predicate."""
        return self._predicate(context) if self._predicate is not None else False
