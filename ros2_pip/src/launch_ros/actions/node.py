"""An action that starts a node."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import launch.logging
import yaml
from launch.actions import ExecuteProcess
from launch.launch_context import LaunchContext
from launch.substitution import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

from ..parameter_descriptions import Parameter
from ..substitutions import ExecutableInPackage
from ..temporary_files import write_temporary
from ..utilities import (
    evaluate_parameters,
    make_namespace_absolute,
    normalize_parameters,
    normalize_remap_rules,
    prefix_namespace,
)


class Node(ExecuteProcess):
    """Starts an executable of a package with ROS arguments for name, parameters, remappings.

    Parameter dictionaries are written to temporary files, for this node if its name is given
    and for any node of the process otherwise. Later parameters win over earlier ones, and all
    over those of SetParameter.
    """

    UNSPECIFIED_NODE_NAME = '<node_name_unspecified>'
    UNSPECIFIED_NODE_NAMESPACE = '<node_namespace_unspecified>'

    def __init__(
        self,
        *,
        executable: SomeSubstitutionsType,
        package: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        namespace: SomeSubstitutionsType | None = None,
        exec_name: SomeSubstitutionsType | None = None,
        parameters: Any = None,
        remappings: Iterable[tuple[Any, Any]] | None = None,
        ros_arguments: Iterable[SomeSubstitutionsType] | None = None,
        arguments: Iterable[SomeSubstitutionsType] | None = None,
        **kwargs,
    ) -> None:
        """Describe the node.

        Args:
            executable: in the package's lib folder, or a program if no package is given.
            package: of the executable.
            name: of the node; by default the one in its code.
            namespace: absolute, or relative to that of the scope.
            exec_name: label of the process.
            parameters: list of dictionaries, paths of YAML files, ParameterFile, Parameter.
            remappings: pairs (from, to).
            ros_arguments: further arguments after --ros-args.
            arguments: further arguments of the program.
            **kwargs: of ExecuteProcess.
        """
        program = executable
        if package is not None:
            program = ExecutableInPackage(package=package, executable=executable)
        command = [program, *(arguments or ())]
        if ros_arguments is not None:
            command += ['--ros-args', *ros_arguments]
        super().__init__(cmd=[*command, '--ros-args'], name=exec_name, **kwargs)
        self.__name = None if name is None else normalize_to_list_of_substitutions(name)
        self.__namespace = (
            None if namespace is None else normalize_to_list_of_substitutions(namespace)
        )
        self.__parameters = normalize_parameters(parameters if parameters is not None else [])
        self.__remappings = normalize_remap_rules(remappings or [])
        self.__final_name: str | None = None
        self.__substitutions_performed = False

    @property
    def node_name(self) -> str:
        """Return the full name; RuntimeError before the action is executed."""
        if self.__final_name is None:
            raise RuntimeError("cannot access 'node_name' before executing action")
        return self.__final_name

    def is_node_name_fully_specified(self) -> bool:
        """Return whether both name and namespace are known."""
        unknown = (self.UNSPECIFIED_NODE_NAME, self.UNSPECIFIED_NODE_NAMESPACE)
        return not any(marker in self.node_name for marker in unknown)

    def execute(self, context: LaunchContext) -> None:
        """Start the node."""
        self._perform_substitutions(context)
        return super().execute(context)

    def _perform_substitutions(self, context: LaunchContext) -> None:
        """Append the ROS arguments to the command, once."""
        if self.__substitutions_performed:
            return
        self.__substitutions_performed = True
        arguments = self.__name_arguments(context)
        arguments += self.__global_parameter_arguments(context)
        arguments += self.__parameter_arguments(context)
        rules = list(context.launch_configurations.get('ros_remaps', []))
        rules += [
            (perform_substitutions(context, source), perform_substitutions(context, target))
            for source, target in self.__remappings
        ]
        for source, target in rules:
            arguments += ['-r', f'{source}:={target}']
        self.cmd += [normalize_to_list_of_substitutions(argument) for argument in arguments]

    def __name_arguments(self, context: LaunchContext) -> list[str]:
        arguments = []
        name = self.UNSPECIFIED_NODE_NAME
        if self.__name is not None:
            name = perform_substitutions(context, self.__name)
            validate_node_name(name)
            arguments += ['-r', f'__node:={name}']
        own = None
        if self.__namespace is not None:
            own = perform_substitutions(context, self.__namespace)
        scope = context.launch_configurations.get('ros_namespace')
        namespace = make_namespace_absolute(prefix_namespace(scope, own))
        if namespace is not None:
            validate_namespace(namespace)
            arguments += ['-r', f'__ns:={namespace}']
        self.__final_name = prefix_namespace(namespace or self.UNSPECIFIED_NODE_NAMESPACE, name)
        return arguments

    def __global_parameter_arguments(self, context: LaunchContext) -> list[str]:
        arguments = []
        for name, value in context.launch_configurations.get('global_params', []):
            arguments += ['-p', f'{name}:={value}']
        return arguments

    def __parameter_arguments(self, context: LaunchContext) -> list[str]:
        arguments = []
        for item in evaluate_parameters(context, self.__parameters):
            if isinstance(item, Parameter):
                name, value = item.evaluate(context)
                arguments += ['-p', f'{name}:={_yaml_value(value)}']
            elif isinstance(item, Path):
                if item.is_file():
                    arguments += ['--params-file', os.path.abspath(item)]
                else:
                    launch.logging.get_logger('launch').warning(
                        'Parameter file path is not a file: %s', item
                    )
            else:
                arguments += ['--params-file', self.__write_parameters(item)]
        return arguments

    def __write_parameters(self, parameters: dict[str, Any]) -> str:
        owner = self.node_name if self.is_node_name_fully_specified() else '/**'
        content = {owner: {'ros__parameters': {k: _plain(v) for k, v in parameters.items()}}}
        return write_temporary('launch_params_', yaml.safe_dump(content))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _yaml_value(value: Any) -> str:
    """Return a value as one line of YAML, so that text stays text."""
    return yaml.safe_dump(_plain(value), default_flow_style=True).removesuffix('...\n').strip()
