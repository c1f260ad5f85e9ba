"""Actions that set namespace, parameters and remappings for the nodes of a scope."""

from __future__ import annotations

from typing import Any

from launch.action import Action
from launch.launch_context import LaunchContext
from launch.substitution import SomeSubstitutionsType, SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from rclpy.exceptions import InvalidNamespaceException
from rclpy.validate_namespace import validate_namespace

from ..utilities import (
    evaluate_parameter_dict,
    make_namespace_absolute,
    normalize_parameter_dict,
    prefix_namespace,
)


class PushROSNamespace(Action):
    """Puts the nodes that follow in the scope into a namespace."""

    def __init__(self, namespace: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self.namespace = normalize_to_list_of_substitutions(namespace)

    def execute(self, context: LaunchContext) -> None:
        """Push it; SubstitutionFailure if the result is no valid namespace."""
        pushed = perform_substitutions(context, self.namespace)
        previous = context.launch_configurations.get('ros_namespace')
        namespace = make_namespace_absolute(prefix_namespace(previous, pushed))
        try:
            validate_namespace(namespace)
        except InvalidNamespaceException as error:
            raise SubstitutionFailure(
                f"The resulting namespace is invalid: [previous_namespace='{previous}', "
                f"pushed_namespace='{pushed}']"
            ) from error
        context.launch_configurations['ros_namespace'] = namespace


PushRosNamespace = PushROSNamespace


class SetParameter(Action):
    """Sets a parameter of all nodes that follow in the scope; a node's own value wins."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, **kwargs) -> None:
        super().__init__(**kwargs)
        self.__parameter = normalize_parameter_dict({tuple_name(name): value})

    def execute(self, context: LaunchContext) -> None:
        """Set it."""
        known = context.launch_configurations.get('global_params', [])
        added = list(evaluate_parameter_dict(context, self.__parameter).items())
        # A new list: an outer scope keeps its own.
        context.launch_configurations['global_params'] = [*known, *added]


def tuple_name(name: SomeSubstitutionsType) -> Any:
    """Return a name that can be a dictionary's key."""
    return tuple(normalize_to_list_of_substitutions(name))


class SetRemap(Action):
    """Sets a remapping of all nodes that follow in the scope, before their own."""

    def __init__(self, src: SomeSubstitutionsType, dst: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self.src = normalize_to_list_of_substitutions(src)
        self.dst = normalize_to_list_of_substitutions(dst)

    def execute(self, context: LaunchContext) -> None:
        """Set it."""
        rule = (
            perform_substitutions(context, self.src),
            perform_substitutions(context, self.dst),
        )
        known = context.launch_configurations.get('ros_remaps', [])
        context.launch_configurations['ros_remaps'] = [*known, rule]
