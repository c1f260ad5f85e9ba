"""Messages of many parts to bytes and back, three times as fast as rclpy converts them.

An array of a thousand detections has 25,000 Python objects in rclpy, which takes longer to make
than to track them. Here it is converted by rosbags, on the thread that asks for it: subscribe
with ``raw=True``, and give the bytes to ``publish``. Such messages have the fields of rclpy's.
"""

from __future__ import annotations

import struct
from typing import Any

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

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


class Packed:
    """A message that begins with a header, as bytes; the rest is read when it is asked for.

    Attributes:
        header: of the message.

    Raises:
        ValueError: if the bytes are too few for a header.
    """

    def __init__(self, data: bytes, message_type: type) -> None:
        self._data, self._type = data, message_type
        try:
            order = '<' if data[1] & 1 else '>'
            seconds, nanoseconds, length = struct.unpack_from(f'{order}iII', data, 4)
            frame_id = data[16 : 16 + length].rstrip(b'\0').decode()
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise ValueError(f'{len(data)} bytes are no {message_type.__name__}') from error
        # of rclpy, as message_filters wants it
        self.header = Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame_id)

    def unpack(self) -> Any:
        """Return the message.

        Raises:
            ValueError: if the bytes are no such message.
        """
        return from_wire(self._data, self._type)


def to_wire(message: Any) -> bytes:
    """Return the bytes (CDR) of a message that is made of ``bags.typestore`` classes.

    Its headers may be rclpy's.
    """
    return bytes(serialize(message))
