"""Message types without ROS: the rosbags type store plus this package's ``.msg`` files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

_DEFINITIONS = Path(__file__).with_name('msg')


@cache
def typestore() -> Typestore:
    """Return the shared store; see :func:`new_typestore`."""
    return new_typestore()


def new_typestore() -> Typestore:
    """Return a store of one's own: Jazzy's types and those of ``msg/<package>/*.msg``.

    Jazzy and Kilted agree in every type used here. Types that the store has already (such
    as ``tf2_msgs``) are kept.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for path in sorted(_DEFINITIONS.glob('*/*.msg')):
        name = f'{path.parent.name}/msg/{path.stem}'
        if name not in store.types:
            types.update(get_types_from_msg(path.read_text(), name))
    store.register(types)
    return store


def message_class(name: str) -> Any:
    """Return the dataclass of a message type such as ``sensor_msgs/msg/Image``."""
    return typestore().types[name]


def serialize(message: Any) -> memoryview:
    """Return a message's little-endian CDR bytes."""
    return typestore().serialize_cdr(message, message.__msgtype__, little_endian=True)
