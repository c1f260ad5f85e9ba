"""Which camera and which LiDAR of a recording are meant.

A camera is known by its namespace: ``image_raw``, ``image_rect``, ``image_raw/compressed`` and so
on of one are one camera, whose calibration is the ``camera_info`` beside them. Depth images and
``/ground_truth`` are no cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim_perception.bags.calibration import is_rectified
from sim_perception.bags.errors import (
    BagError,
    CorruptBagError,
    MessageError,
    MissingTopicError,
)
from sim_perception.bags.topics import Topic
from sim_perception.geometry.frames import frame_name

if TYPE_CHECKING:
    from sim_perception.bags.reader import BagReader

IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
INFO = 'sensor_msgs/msg/CameraInfo'
POINTS = 'sensor_msgs/msg/PointCloud2'
_BOXES = 'vision_msgs/msg/Detection2DArray'
#: Parts of the names of clouds that no sensor has measured: truth, and states of tracks.
_SAID = ('ground_truth', 'track_states')
_TRANSPORTS = ('compressed', 'compressedDepth', 'theora', 'zstd', 'ffmpeg')
#: What image_proc publishes of one camera, what is taken first.
_VARIANTS = (
    'image_raw', 'image', 'image_color', 'image_rect_color', 'image_rect', 'image_rect_raw',
    'image_mono', 'image_rect_mono',
)  # fmt: skip
_DEPTHS = ('16UC1', '32FC1', '64FC1')


class AmbiguousSensorError(BagError):
    """A recording has several sensors of a kind; the message lists them and says how to choose."""


@dataclass(frozen=True)
class Sensors:
    """What a user chose; empty leaves it to the recording.

    Attributes:
        camera: an image topic, or enough of its namespace.
        lidar: a cloud topic, or enough of its name.
    """

    camera: str = ''
    lidar: str = ''


ANY = Sensors()


@dataclass(frozen=True)
class CameraTopics:
    """One camera of a recording.

    Attributes:
        image: topic of its images.
        info: topic of its calibration, or None.
        colour: whether its images have colours.
    """

    image: str
    info: str | None
    colour: bool


def cameras(bag: BagReader) -> list[CameraTopics]:
    """Return the cameras of a recording by name."""
    groups: dict[str, list[str]] = {}
    for topic in _images(bag):
        groups.setdefault(_camera_name(topic), []).append(topic)
    chosen = [min(topics, key=lambda topic: _rank(bag, topic)) for topics in groups.values()]
    return [_described(bag, topic) for topic in sorted(chosen)]


def lidars(bag: BagReader) -> list[str]:
    """Return the topics of clouds by name, those that a camera made left out if others remain."""
    found = _clouds(bag)
    measured = [name for name in found if 'depth' not in name.lower()]
    return measured or found


def choose_camera(bag: BagReader, wanted: str | None = None) -> CameraTopics:
    """Return the camera that is meant.

    Of several it is the only calibrated one, or of those the only one with colours.

    Args:
        bag: the recording.
        wanted: as in ``Sensors``; None is what ``bag.sensors`` says.

    Raises:
        MissingTopicError: if there is no camera, or none of that name.
        AmbiguousSensorError: if there are several.
    """
    wanted = bag.sensors.camera if wanted is None else wanted
    found = cameras(bag)
    if wanted:
        if f'/{wanted.strip("/")}' in bag.of_type(*IMAGES):
            return _described(bag, f'/{wanted.strip("/")}')
        found = [camera for camera in found if _means(wanted, camera.image)]
        if not found:
            bag.require(f'camera {wanted!r}')
    elif not found:
        _refuse_depth(bag)
        bag.require('/camera/image_raw or /camera/image_raw/compressed')
    keeps = (lambda c: _is_near(c.info, c.image), lambda c: c.info, lambda c: c.colour)
    for keep in keeps:
        found = [camera for camera in found if keep(camera)] or found
    if len(found) > 1:
        raise AmbiguousSensorError(
            f'{bag.path} has several cameras: {", ".join(c.image for c in found)}; choose one: '
            f'--camera {found[0].image}, in a data SPEC bag:DIR,camera={found[0].image}'
        )
    return found[0]


def _refuse_depth(bag: BagReader) -> None:
    """Say so where all images of a recording are of depth."""
    depth = [f'{topic} ({_encoding(bag, topic)})' for topic in bag.of_type(*IMAGES)]
    if depth:
        raise MissingTopicError(
            f'{bag.path} has no camera images but only depth or labels: {", ".join(depth)}; '
            'record the camera too'
        )


def choose_lidar(bag: BagReader, wanted: str | None = None) -> str:
    """Return the topic of the LiDAR that is meant.

    Raises:
        MissingTopicError: if there is no cloud, or none of that name.
        AmbiguousSensorError: if there are several.
    """
    wanted = bag.sensors.lidar if wanted is None else wanted
    found = lidars(bag)
    if wanted:
        if f'/{wanted.strip("/")}' in bag.of_type(POINTS):
            return f'/{wanted.strip("/")}'
        found = [topic for topic in _clouds(bag) if _means(wanted, topic)]
    if not found:
        bag.require(f'LiDAR {wanted!r}' if wanted else f'any {POINTS}')
    if len(found) > 1:
        raise AmbiguousSensorError(
            f'{bag.path} has several LiDARs: {", ".join(found)}; choose one: --lidar {found[0]}, '
            f'in a data SPEC bag:DIR,lidar={found[0]}'
        )
    return found[0]


def _clouds(bag: BagReader) -> list[str]:
    """Return the topics of clouds that a sensor, or depth, has made."""
    return [name for name in bag.of_type(POINTS) if not any(part in name for part in _SAID)]


def _images(bag: BagReader) -> list[str]:
    """Return the topics of camera images; of 16 bits only where nothing says that it is depth."""
    topics = [name for name in bag.of_type(*IMAGES) if 'ground_truth' not in name]
    kinds = {name: _encoding(bag, name) for name in topics}
    return [
        name
        for name in topics
        if 'compressedDepth' not in (*kinds[name].split(), *name.split('/'))
        and not (kinds[name] in _DEPTHS and kinds[name] != '16UC1')
        and not (kinds[name] in ('16UC1', 'mono16') and 'depth' in name.lower())
        and not _beside_colours(name, kinds)
    ]


def _beside_colours(name: str, kinds: dict[str, str]) -> bool:
    """Return whether an image is of 16UC1, as depth is, while there are others."""
    return kinds[name] == '16UC1' and any(kind not in _DEPTHS for kind in kinds.values())


def _encoding(bag: BagReader, topic: str) -> str:
    """Return the encoding of a topic's first image, '' if it cannot be read."""
    try:
        message = bag.message(topic, 0)
    except (CorruptBagError, MessageError):
        return ''
    if hasattr(message, 'encoding'):
        return str(message.encoding)
    source, _, rest = str(message.format).partition(';')
    return 'compressedDepth' if 'compressedDepth' in rest else source.strip()


def _plain(topic: str) -> str:
    """Return a topic without its transport."""
    base, _, last = topic.rpartition('/')
    return base if last in _TRANSPORTS and base else topic


def _camera_name(topic: str) -> str:
    """Return what the topics of one camera have in common."""
    plain = _plain(topic)
    base, _, last = plain.rpartition('/')
    return base if last in _VARIANTS and base else plain


def _rank(bag: BagReader, topic: str) -> tuple[int, int, str]:
    """Return what orders the topics of one camera: its images as they are, the most of them."""
    plain = _plain(topic)
    last = plain.rpartition('/')[2]
    variant = _VARIANTS.index(last) if last in _VARIANTS else len(_VARIANTS)
    return variant, -bag.count(topic), topic


def _means(wanted: str, topic: str) -> bool:
    """Return whether a topic is meant: some of its parts, one after the other, are named."""
    parts, names = topic.strip('/').split('/'), wanted.strip('/').split('/')
    starts = range(len(parts) - len(names) + 1)
    return any(parts[start : start + len(names)] == names for start in starts)


def _described(bag: BagReader, topic: str) -> CameraTopics:
    kind = _encoding(bag, topic)
    grey = kind.startswith('mono') or kind in ('8UC1', *_DEPTHS)
    return CameraTopics(topic, info_topic(bag, topic), not grey)


def info_topic(bag: BagReader, image: str) -> str | None:
    """Return the topic of an image topic's calibration, None without one or if it is empty.

    Of several the one in the nearest namespace is taken, else the one of the same frame, else
    the only one.

    Raises:
        MessageError: for a calibration that is there but not usable.
    """
    found = [name for name in bag.of_type(INFO) if 'ground_truth' not in name]
    near = [name for name in found if _is_near(name, image)]
    if near:
        longest = max(len(_namespace(name)) for name in near)
        near = [name for name in near if len(_namespace(name)) == longest]
    if len(near) != 1 and len(found) > 1:
        frame = _frame(bag, image)
        near = [name for name in near or found if _frame(bag, name) == frame] or near
    elif not near:
        near = found
    if not near:
        return None
    best = min(near, key=lambda name: (len(name), name))
    return best if _is_calibrated(bag, best, is_rectified(image)) else None


def _namespace(topic: str) -> str:
    return f'{topic.rpartition("/")[0]}/'


def _is_near(info: str | None, image: str) -> bool:
    """Return whether a calibration's namespace says that it is an image's; the root says so only
    of images in it.
    """
    if info is None:
        return False
    space = _namespace(info)
    return image.startswith(space) and (space != '/' or _namespace(_plain(image)) == '/')


def _frame(bag: BagReader, topic: str) -> str:
    return frame_name(str(bag.message(topic, 0).header.frame_id))


def _is_calibrated(bag: BagReader, topic: str, rectified: bool) -> bool:
    """Return whether a CameraInfo has numbers: drivers send zeros before a calibration."""
    message: Any = bag.message(topic, 0)
    return bool(np.any(message.k) or (rectified and np.any(message.p)))


def truth_topic(bag: BagReader, topic: Topic) -> str:
    """Return the topic on which a recording tells the truth of what the meant camera sees.

    Of the first camera of a simulated vehicle it is the table's, of others in their namespace;
    the frame of the images tells whose it is. The topic may not be there.

    Args:
        bag: the recording.
        topic: of the table, one below ``/ground_truth``.

    Raises:
        AmbiguousSensorError: if several cameras have truth and none is chosen.
    """
    tellers: dict[str, str] = {}
    for name in bag.of_type(*IMAGES, _BOXES):
        space, below, _ = name.rpartition('/ground_truth/')
        if below:
            tellers.setdefault(space, name)
    if set(tellers) <= {''}:
        return topic.name
    frame = _frame(bag, choose_camera(bag).image)
    spaces = [space for space, name in tellers.items() if _frame(bag, name) == frame]
    return (spaces[0] if spaces else '/without_truth') + topic.name


def with_sensors(text: str, sensors: Sensors) -> str:
    """Return ``DIR`` or ``bag:DIR`` with a choice of sensors, as ``split_sensors`` reads it."""
    chosen = {'camera': sensors.camera, 'lidar': sensors.lidar}
    return text + ''.join(f',{key}={value}' for key, value in chosen.items() if value)


def split_sensors(text: str) -> tuple[str, Sensors]:
    """Return the path in ``DIR,camera=NAME,lidar=NAME`` and the choice; both parts may be absent.

    Raises:
        BagError: for an empty name or the same sensor twice.
    """
    chosen: dict[str, str] = {}
    while not Path(text).exists():
        rest, comma, last = text.rpartition(',')
        key, equals, value = last.partition('=')
        if not (comma and equals and key in ('camera', 'lidar')):
            break
        if key in chosen or not value:
            raise BagError(f'{key} must be given once, like ",{key}=NAME"; got {text!r}')
        chosen[key] = value
        text = rest
    return text, Sensors(**chosen)


def calibrated_camera(bag: BagReader) -> tuple[str, str]:
    """Return the topics of the images and the calibration of the camera that is meant.

    Raises:
        MissingTopicError: if there is no camera, or none of that name.
        AmbiguousSensorError: if there are several.
        BagError: if it has no calibration.
    """
    camera = choose_camera(bag)
    if camera.info is None:
        infos = ', '.join(bag.of_type(INFO)) or 'none'
        raise BagError(
            f'{bag.path} has no calibration of {camera.image} (topics of {INFO}: {infos}); '
            'calibrate the camera, or record its camera_info'
        )
    return camera.image, camera.info
