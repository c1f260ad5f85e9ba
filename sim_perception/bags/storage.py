"""What the reader needs of a storage file, be it MCAP or sqlite3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Channel:
    """One topic within one file.

    Attributes:
        id: number within the file.
        topic: its name.
        type: ROS 2 message type.
        definition: concatenated ``.msg`` or IDL text, or '' where the file has none.
        encoding: of the messages, ``cdr`` in every ROS 2 bag.
        language: of the definition, ``ros2msg`` or ``ros2idl``.
    """

    id: int
    topic: str
    type: str
    definition: str = ''
    encoding: str = 'cdr'
    language: str = 'ros2msg'


def full_type(name: str) -> str:
    """Return a message type as ``package/msg/Name``; some recorders leave out the middle."""
    package, slash, kind = name.replace('::', '/').partition('/')
    return f'{package}/msg/{kind}' if slash and '/' not in kind else f'{package}{slash}{kind}'


@dataclass(frozen=True)
class Index:
    """Where the N messages of a channel are, in file order.

    Attributes:
        times: (N,) log times in nanoseconds.
        places: (N, 2) numbers that only the storage understands.
    """

    times: I64
    places: I64


class Storage(Protocol):
    """An open storage file.

    Attributes:
        path: the file, for messages.
        channels: its topics.
        problems: what could not be read when it was opened, in words.
        lists_topics: whether its index names the topics of all messages, as other programs
            need; this reader walks such files instead.
    """

    path: Path
    channels: list[Channel]
    problems: list[str]
    lists_topics: bool

    def index(self, channel: int) -> Index:
        """Return where a channel's messages are."""
        ...

    def read(self, place: tuple[int, int]) -> memoryview:
        """Return one message's bytes.

        Raises:
            CorruptBagError: if that part of the file is damaged.
        """
        ...

    def heads(self, places: I64, size: int) -> list[bytes]:
        """Return the first bytes of many messages; empty where the file is damaged."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def strays(path: Path, channels: Iterable[Channel], found: Mapping[int, int]) -> list[str]:
    """Return in words how many messages belong to no topic.

    Args:
        path: the file.
        channels: its topics.
        found: how many messages there are, by their channel's number.
    """
    known = {channel.id for channel in channels}
    lost = sum(count for number, count in found.items() if number not in known)
    return [f'{path}: {lost} messages belong to no topic of the file and are lost'] if lost else []


@dataclass
class IndexBuilder:
    """Collects the index of one channel while a file is scanned."""

    times: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    def add(self, time: int, place: tuple[int, int]) -> None:
        """Note one message."""
        self.times.append(time)
        self.places.append(place)

    def finish(self) -> Index:
        """Return the index."""
        return Index(
            np.array(self.times, np.int64), np.array(self.places, np.int64).reshape(-1, 2)
        )
