"""Launch descriptions from Python launch files."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

from .launch_description import LaunchDescription
from .launch_description_source import LaunchDescriptionSource
from .substitution import SomeSubstitutionsType

__all__ = [
    'AnyLaunchDescriptionSource',
    'InvalidPythonLaunchFileError',
    'PythonLaunchDescriptionSource',
    'get_launch_description_from_python_launch_file',
]


class InvalidPythonLaunchFileError(Exception):
    """A launch file without generate_launch_description()."""


def get_launch_description_from_python_launch_file(path: str) -> LaunchDescription:
    """Return what a launch file's generate_launch_description() returns.

    Raises:
        InvalidPythonLaunchFileError: the file does not define that function.
    """
    loader = SourceFileLoader('python_launch_file', path)
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    if not hasattr(module, 'generate_launch_description'):
        raise InvalidPythonLaunchFileError(
            f"launch file '{path}' does not define generate_launch_description()"
        )
    return module.generate_launch_description()


class PythonLaunchDescriptionSource(LaunchDescriptionSource):
    """A launch description from a Python launch file."""

    def __init__(self, launch_file_path: SomeSubstitutionsType) -> None:
        super().__init__(None, launch_file_path, 'interpreted python launch file')

    def _get_launch_description(self, location: str) -> LaunchDescription:
        return get_launch_description_from_python_launch_file(location)


class AnyLaunchDescriptionSource(PythonLaunchDescriptionSource):
    """A launch description from a launch file; here only Python files are known."""
