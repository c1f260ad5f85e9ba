"""Substitutions that find packages and their executables."""

from __future__ import annotations

import os
import shutil

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch.launch_context import LaunchContext
from launch.substitution import SomeSubstitutionsType, Substitution, SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

__all__ = ['ExecutableInPackage', 'FindPackagePrefix', 'FindPackageShare']


class FindPackagePrefix(Substitution):
    """The ament prefix a package is installed in."""

    def __init__(self, package: SomeSubstitutionsType) -> None:
        self.package = normalize_to_list_of_substitutions(package)

    def find(self, package_name: str) -> str:
        """Return the prefix; PackageNotFoundError if there is none."""
        return get_package_prefix(package_name)

    def perform(self, context: LaunchContext) -> str:
        """Return the folder."""
        return self.find(perform_substitutions(context, self.package))


class FindPackageShare(FindPackagePrefix):
    """The share folder of a package."""

    def find(self, package_name: str) -> str:
        """Return the folder; PackageNotFoundError if there is no such package."""
        return get_package_share_directory(package_name)


class ExecutableInPackage(FindPackagePrefix):
    """The path of an executable in <prefix>/lib/<package>."""

    def __init__(self, executable: SomeSubstitutionsType, package: SomeSubstitutionsType) -> None:
        super().__init__(package)
        self.executable = normalize_to_list_of_substitutions(executable)

    def perform(self, context: LaunchContext) -> str:
        """Return the path."""
        executable = perform_substitutions(context, self.executable)
        package = perform_substitutions(context, self.package)
        folder = os.path.join(self.find(package), 'lib', package)
        if not os.path.exists(folder):
            raise SubstitutionFailure(
                f"package '{package}' found, but its folder of executables '{folder}' is missing"
            )
        found = shutil.which(executable, path=folder)
        if found is None:
            raise SubstitutionFailure(f"executable '{executable}' not found in '{folder}'")
        return found
