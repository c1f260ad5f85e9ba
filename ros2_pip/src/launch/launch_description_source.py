"""Where a launch description comes from."""

from __future__ import annotations

import logging
import os

from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .substitution import SomeSubstitutionsType
from .utilities import normalize_to_list_of_substitutions, perform_substitutions


class LaunchDescriptionSource:
    """A launch description, or the place from which subclasses load it when it is needed."""

    def __init__(
        self,
        launch_description: LaunchDescription | None = None,
        location: SomeSubstitutionsType = '<string>',
        method: str = 'unspecified mechanism from a script',
    ) -> None:
        self.__launch_description = launch_description
        self.__location = normalize_to_list_of_substitutions(location)
        self.__expanded_location: str | None = None
        self.method = method

    def get_launch_description(self, context: LaunchContext) -> LaunchDescription:
        """Return the description, loading it the first time."""
        if self.__expanded_location is None:
            self.__expanded_location = perform_substitutions(context, self.__location)
        if self.__launch_description is None:
            self.__launch_description = self._get_launch_description(self.__expanded_location)
        return self.__launch_description

    def try_get_launch_description_without_context(self) -> LaunchDescription | None:
        """Return the description, or None where its place depends on the run."""
        if self.__launch_description is not None:
            return self.__launch_description
        try:
            location = perform_substitutions(LaunchContext(), self.__location)
            return self._get_launch_description(location)
        except Exception as error:  # whatever a user's launch file raises
            logging.getLogger(__name__).debug('launch file not loaded in advance: %s', error)
            return None

    def _get_launch_description(self, location: str) -> LaunchDescription:
        raise RuntimeError('LaunchDescriptionSource without a launch description')

    @property
    def location(self) -> str:
        """Return the place: the path once it is known, before that a description."""
        if self.__expanded_location is None:
            return ' + '.join(part.describe() for part in self.__location)
        return self.__expanded_location

    def describe_place(self) -> dict[str, str]:
        """Return the context locals that name the launch file and its folder."""
        path = os.path.abspath(self.location)
        folder = os.path.dirname(path) if os.path.exists(path) else self.location
        return {'current_launch_file_path': path, 'current_launch_file_directory': folder}
