"""Descriptions of parameters, parameter values and parameter files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml
from launch.launch_context import LaunchContext
from launch.substitution import SomeSubstitutionsType, SubstitutionFailure
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch.utilities.type_utils import normalize_typed_substitution, perform_typed_substitution

from .substitutions import FindPackagePrefix, FindPackageShare
from .temporary_files import write_temporary

__all__ = ['Parameter', 'ParameterFile', 'ParameterValue']


class ParameterValue:
    """A value, or substitutions that become a value of a type."""

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        """Describe the value.

        Args:
            value: a value or substitutions.
            value_type: bool, int, float, str, List[...] of these, or None for YAML's rules.
        """
        self.value = normalize_typed_substitution(value, value_type)
        self.value_type = value_type

    def evaluate(self, context: LaunchContext) -> Any:
        """Return the value; ValueError if the text cannot be read as the type."""
        return perform_typed_substitution(context, self.value, self.value_type)


class Parameter:
    """A parameter's name and value."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, *, value_type: Any = None) -> None:
        self.name = normalize_to_list_of_substitutions(name)
        self.value = ParameterValue(value, value_type=value_type)

    def evaluate(self, context: LaunchContext) -> tuple[str, Any]:
        """Return name and value."""
        return perform_substitutions(context, self.name), self.value.evaluate(context)


_SUBSTITUTION = re.compile(r'\$\((var|env|find-pkg-share|find-pkg-prefix)\s+([^\s)]+)\s*([^)]*)\)')


class ParameterFile:
    """A YAML file of parameters, on request with $(var NAME) and the like in it.

    Known in files: $(var NAME [DEFAULT]), $(env NAME [DEFAULT]), $(find-pkg-share PACKAGE) and
    $(find-pkg-prefix PACKAGE).
    """

    def __init__(
        self, param_file: os.PathLike | SomeSubstitutionsType, *, allow_substs: Any = False
    ) -> None:
        if isinstance(param_file, os.PathLike):
            param_file = os.fspath(param_file)
        self.param_file = normalize_to_list_of_substitutions(param_file)
        self.allow_substs = normalize_typed_substitution(allow_substs, bool)

    def evaluate(self, context: LaunchContext) -> Path:
        """Return the path of the file with its substitutions performed."""
        path = Path(perform_substitutions(context, self.param_file))
        if not perform_typed_substitution(context, self.allow_substs, bool):
            return path
        text = _SUBSTITUTION.sub(lambda match: _perform(match, context), path.read_text())
        try:
            yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SubstitutionFailure(
                f'{path} is no valid YAML once its substitutions are performed: {error}'
            ) from error
        return Path(write_temporary('launch_params_', text))


def _perform(match: re.Match, context: LaunchContext) -> str:
    kind, name, default = match.group(1), match.group(2), match.group(3).strip() or None
    if kind == 'var':
        return LaunchConfiguration(name, default=default).perform(context)
    if kind == 'env':
        return EnvironmentVariable(name, default_value=default).perform(context)
    finder = FindPackageShare if kind == 'find-pkg-share' else FindPackagePrefix
    return finder(name).perform(context)
