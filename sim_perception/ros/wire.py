"""Messages of many parts to bytes and back, three times as fast as rclpy converts them.

An array of a thousand detections has 25,000 Python objects in rclpy, which takes longer to make
than to track them. Here it is converted by rosbags, on the thread that asks for it: subscribe
with ``raw=True``, and give the bytes to ``publish``. Such messages have the fields of rclpy's.
"""

from __future__ import annotations

from typing import Any

from sim_perception.bags.typestore import serialize, typestore


def from_wire(data: bytes, message_type: type) -> Any:
    """Return a message from its bytes (CDR).

    Args:
        data: as a subscription with ``raw=True`` gives them.
        message_type: the ROS message class.

    Raises:
        ValueError: if the bytes are no such message.
    """
    name = f'{message_type.__module__.partition(".")[0]}/msg/{message_type.__name__}'
    try:
        return typestore().deserialize_cdr(data, name)
    # Generated code: what it raises on bytes that end too early depends on where they end.
    except Exception as error:
        raise ValueError(
            f'{len(data)} bytes are no {name} ({type(error).__name__}: {error}); were they cut '
            'short, or is it of another version?'
        ) from error


def to_wire(message: Any) -> bytes:
    """Return the bytes (CDR) of a message that is made of ``bags.typestore`` classes.

    Its headers may be rclpy's.
    """
    return bytes(serialize(message))
