"""Actions that start nodes and set what they start with."""

from .lifecycle_node import LifecycleNode
from .node import Node
from .scoped_settings import PushROSNamespace, PushRosNamespace, SetParameter, SetRemap

__all__ = [
    'LifecycleNode',
    'Node',
    'PushROSNamespace',
    'PushRosNamespace',
    'SetParameter',
    'SetRemap',
]
