"""Read rosbag2 bags without ROS: by topic and time, decoded to numpy and this package's types.

MCAP and sqlite3, one file or several, zstd by chunk, message or file. A damaged bag opens as
far as it is readable; ``BagReader.problems`` says what is lost.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sim_perception.bags import decode
from sim_perception.bags.bag_files import BagFiles, TopicIndex
from sim_perception.bags.calibration import camera_of, is_rectified
from sim_perception.bags.clouds import cloud_array
from sim_perception.bags.errors import (
    BagError,
    BagWarning,
    CorruptBagError,
    MessageError,
    MissingTopicError,
)
from sim_perception.bags.images import plain_image, rgb_image
from sim_perception.bags.sensors import ANY, Sensors
from sim_perception.bags.storage import I64
from sim_perception.bags.topics import TF, TF_STATIC
from sim_perception.bags.transforms import TransformTree
from sim_perception.geometry.frames import frame_name
from sim_perception.suggestions import meant
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from sim_perception.types import Camera, Detection, Frame

Array = npt.NDArray[Any]
_T = TypeVar('_T')


@dataclass(frozen=True)
class TopicInfo:
    """What a bag has on one topic."""

    name: str
    type: str
    count: int


class BagReader:
    """One bag, opened for random access; a context manager. Use it from one thread at a time.

    Messages of a topic are numbered by their header stamp (or by log time where the type has
    no header), so out-of-order recordings come out in order.

    Args:
        path: bag folder, or a single ``.mcap`` or ``.db3`` file.
        sensors: which camera and LiDAR of several the user means.

    Attributes:
        path, sensors: the same.
        topics: what there is, by name.
        problems: what could not be read so far, in words; empty for a healthy bag.
        custom: facts that the writer put into the metadata.

    Raises:
        BagError: if there is no readable bag at ``path``.
    """

    def __init__(self, path: Path | str, sensors: Sensors = ANY) -> None:
        self.path, self.sensors = Path(path), sensors
        self._files = BagFiles(self.path)
        self.problems = self._files.problems
        self.custom = self._files.custom
        self._types = self._files.types
        self._indexes: dict[str, TopicIndex] = {}
        self._camera = lru_cache(maxsize=8)(self._decode_camera)

    def __enter__(self) -> BagReader:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        self.close()

    def close(self) -> None:
        """Close the files; arrays that were read stay valid."""
        self._files.close()

    # What there is ------------------------------------------------------------------------

    @cached_property
    def topics(self) -> dict[str, TopicInfo]:
        """What there is, by topic name."""
        return {
            name: TopicInfo(name, kind, len(self._index(name).stamps))
            for name, kind in sorted(self._types.items())
        }

    def require(self, *topics: str) -> None:
        """Check that topics exist and have messages.

        Raises:
            MissingTopicError: naming all that lack and listing what there is.
        """
        missing = [t for t in topics if t not in self._types or not self.count(t)]
        if missing:
            there = ', '.join(map(_listed, self.topics.values())) or 'nothing'
            foreign = ''.join(f'; {t} is encoded as {e}' for t, e in self._files.foreign.items())
            hints = [meant(t, self._types) for t in missing if t not in self._types]
            hint = ''.join(f'{one} ' for one in hints if one)
            raise MissingTopicError(
                f'{self.path} has no messages on {", ".join(missing)}; '
                f'{hint}it has {there}{foreign}'
            )

    def of_type(self, *types: str) -> list[str]:
        """Return the non-empty topics of message types such as ``sensor_msgs/msg/Image``."""
        return [t.name for t in self.topics.values() if t.type in types and t.count]

    def count(self, topic: str) -> int:
        """Return how many messages a topic has; 0 for an unknown one."""
        return len(self._index(topic).stamps) if topic in self._types else 0

    @property
    def time_range(self) -> tuple[int, int]:
        """The first and last stamp of the bag, nanoseconds.

        Raises:
            BagError: if the bag has no messages.
        """
        ends = [s[[0, -1]] for s in (self._index(t).stamps for t in self._types) if len(s)]
        if not ends:
            raise BagError(f'{self.path} has no messages')
        return int(min(e[0] for e in ends)), int(max(e[1] for e in ends))

    def stamps(self, topic: str) -> I64:
        """Return the (N,) sorted stamps of a topic, nanoseconds.

        Raises:
            MissingTopicError: for an unknown topic.
        """
        if topic not in self._types:
            self.require(topic)
        return self._index(topic).stamps

    # Finding ------------------------------------------------------------------------------

    def nearest(self, topic: str, stamp: int, tolerance: int | None = None) -> int | None:
        """Return the number of the message nearest to a time, or None beyond the tolerance."""
        stamps = self.stamps(topic)
        if not len(stamps):
            return None
        after = int(np.searchsorted(stamps, stamp))
        around = [i for i in (after - 1, after) if 0 <= i < len(stamps)]
        best = min(around, key=lambda i: abs(int(stamps[i]) - stamp))
        if tolerance is not None and abs(int(stamps[best]) - stamp) > tolerance:
            return None
        return best

    def at_or_before(self, topic: str, stamp: int) -> int | None:
        """Return the number of the last message at or before a time, or None."""
        place = int(np.searchsorted(self.stamps(topic), stamp, side='right')) - 1
        return place if place >= 0 else None

    def between(self, topic: str, start: int, stop: int) -> range:
        """Return the numbers of the messages with ``start <= stamp < stop``."""
        first, last = np.searchsorted(self.stamps(topic), [start, stop])
        return range(int(first), int(last))

    def synchronized(self, topics: Sequence[str], tolerance: int = 0) -> I64:
        """Return (N, len(topics)) message numbers that belong together.

        Each message of the first topic is joined with the nearest ones of the others; it is
        left out if one is farther away than the tolerance.

        Raises:
            MissingTopicError: if a topic has no messages.
        """
        self.require(*topics)
        stamps = self.stamps(topics[0])
        rows = np.empty((len(stamps), len(topics)), np.int64)
        rows[:, 0] = np.arange(len(stamps))
        complete = np.ones(len(stamps), bool)
        for column, topic in enumerate(topics[1:], 1):
            others = self.stamps(topic)
            after = np.clip(np.searchsorted(others, stamps), 0, len(others) - 1)
            before = np.maximum(after - 1, 0)
            closer = np.abs(stamps - others[before]) < np.abs(others[after] - stamps)
            rows[:, column] = np.where(closer, before, after)
            complete &= np.abs(others[rows[:, column]] - stamps) <= tolerance
        return rows[complete]

    # Reading ------------------------------------------------------------------------------

    def raw(self, topic: str, number: int) -> memoryview:
        """Return a message's CDR bytes.

        Raises:
            MissingTopicError: for an unknown topic.
            IndexError: for a number that does not exist.
            CorruptBagError: if that part of the bag is damaged.
        """
        if topic not in self._types:
            self.require(topic)
        index = self._index(topic)
        if not -len(index.stamps) <= number < len(index.stamps):
            raise IndexError(f'{topic} has {len(index.stamps)} messages, not number {number}')
        return self._files.read(index, number)

    def message(self, topic: str, number: int) -> Any:
        """Return a message as an object with the fields of its ROS type; arrays are views.

        Raises:
            CorruptBagError: if that part of the bag is damaged.
            MessageError: if the bytes are not such a message.
        """
        return self._named(topic, number, lambda: self.parsed(topic, self.raw(topic, number)))

    def _decoded(self, topic: str, number: int, decode: Callable[[Any], _T]) -> _T:
        """Return what a message holds; an error names the message."""
        message = self.message(topic, number)
        return self._named(topic, number, lambda: decode(message))

    def _named(self, topic: str, number: int, read: Callable[[], _T]) -> _T:
        try:
            return read()
        except MessageError as error:
            raise MessageError(f'{self.path}: message {number} on {topic}: {error}') from error

    def parsed(self, topic: str, data: memoryview) -> Any:
        """Return the message that a topic's CDR bytes stand for, as ``message`` does.

        Raises:
            MessageError: if the bytes are not such a message.
        """
        return self._files.deserialize(data, self._types[topic])

    def image(self, topic: str, number: int) -> Array:
        """Return an image: colours as (H, W, 3) uint8 RGB, depth, labels and so on as they are.

        Raises:
            MessageError: if the message contradicts itself or its encoding is unknown.
        """
        return self._decoded(topic, number, plain_image)

    def frame(self, topic: str, number: int, camera_info: str | None = None) -> Frame:
        """Return a camera image as RGB with its stamp and, if asked for, its calibration.

        Of a topic like ``image_rect`` the calibration is that of rectified images.
        """
        message = self.message(topic, number)
        stamp = int(self.stamps(topic)[number])
        image = self._named(topic, number, lambda: rgb_image(message))
        camera = None
        if camera_info:
            size = image.shape[1], image.shape[0]
            camera = self.camera(camera_info, stamp, is_rectified(topic), size)
        return Frame(stamp, image, camera, frame_name(message.header.frame_id))

    def camera(
        self,
        topic: str,
        stamp: int | None = None,
        rectified: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Camera:
        """Return the calibration valid at a time: the last one before it, or else the first.

        Args:
            topic: of CameraInfo.
            stamp: nanoseconds.
            rectified: whether the images are; see ``calibration.camera_of``.
            size: of an image, width and height; likewise.

        Raises:
            MissingTopicError: if there is none.
            MessageError: if it is unusable.
        """
        self.require(topic)
        number = None if stamp is None else self.at_or_before(topic, stamp)
        return self._camera(topic, number or 0, rectified, size)

    def _decode_camera(
        self, topic: str, number: int, rectified: bool, size: tuple[int, int] | None
    ) -> Camera:
        return self._decoded(topic, number, lambda info: camera_of(info, rectified, size))

    def cloud(self, topic: str, number: int, needs: tuple[str, ...] = ('x', 'y', 'z')) -> Array:
        """Return a cloud as a 1-D structured array with the columns of the message.

        Raises:
            MessageError: if a needed column is missing or the sizes contradict each other.
        """
        return self._decoded(topic, number, lambda cloud: cloud_array(cloud, needs))

    def detections(
        self, topic: str, number: int, taxonomy: Taxonomy | None = None
    ) -> list[Detection]:
        """Return the objects of a Detection2DArray or Detection3DArray message."""
        return decode.detections_of(self.message(topic, number), taxonomy or load_taxonomy())

    @cached_property
    def transforms(self) -> TransformTree:
        """All of ``/tf`` and ``/tf_static``; unreadable messages are left out with a warning."""
        tree = TransformTree()
        for topic in (TF_STATIC.name, TF.name):
            for number in range(self.count(topic)):
                try:
                    tree.add(self.message(topic, number), static=topic == TF_STATIC.name)
                except (CorruptBagError, MessageError) as error:
                    self._lose(error)
        return tree

    def messages(
        self,
        topics: Sequence[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[str, int, memoryview]]:
        """Yield (topic, stamp, CDR bytes) in time order with ``start <= stamp < stop``.

        Damaged messages are left out with a :class:`BagWarning`.

        Raises:
            MissingTopicError: if a wanted topic has no messages.
        """
        if topics is not None:
            self.require(*topics)
        names = list(self._types if topics is None else topics)
        stamps = [self.stamps(name) for name in names]
        numbers = [np.arange(len(s)) for s in stamps]
        if not names:
            return
        which = np.repeat(np.arange(len(names)), [len(s) for s in stamps])
        times, number = np.concatenate(stamps), np.concatenate(numbers)
        for row in np.argsort(times, kind='stable'):
            stamp = int(times[row])
            if (start is not None and stamp < start) or (stop is not None and stamp >= stop):
                continue
            name = names[which[row]]
            try:
                yield name, stamp, self.raw(name, int(number[row]))
            except CorruptBagError as error:
                self._lose(error)

    def verify(self) -> list[str]:
        """Read everything once and return the bag's problems, those found now included."""
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', BagWarning)
            for _ in self.messages():
                pass
        return self.problems

    # Inside -------------------------------------------------------------------------------

    def _lose(self, error: Exception) -> None:
        """Note a loss once."""
        if str(error) not in self.problems:
            self.problems.append(str(error))
            warnings.warn(str(error), BagWarning, stacklevel=3)

    def _index(self, topic: str) -> TopicIndex:
        """Return a topic's index, built when first needed."""
        if topic not in self._indexes:
            self._indexes[topic] = self._files.index(topic)
        return self._indexes[topic]


def _listed(topic: TopicInfo) -> str:
    return f'{topic.name} ({topic.count}{"" if topic.type else ", of no known type"})'
