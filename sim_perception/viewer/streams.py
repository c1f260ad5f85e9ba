"""Which topics are shown, and as what: of a bag by what it has, live by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from sim_perception.bags import topics as t_
from sim_perception.bags.calibration import is_rectified
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import cameras, lidars

_IMAGE, _CLOUD = t_.IMAGE.type, t_.POINTS.type
_BOXES, _IMAGE_BOXES = t_.OBJECTS.type, t_.OBJECTS_2D.type
_TF, _INFO = t_.TF.type, t_.CAMERA_INFO.type


class Kind(Enum):
    """What a topic holds, and so how it is shown."""

    IMAGE = 'image'
    INFO = 'info'
    DEPTH = 'depth'
    CLASSES = 'classes'
    CLOUD = 'cloud'
    TRUTH = 'truth'
    TRACKS = 'tracks'
    GHOSTS = 'ghosts'
    LABELS = 'labels'
    FOUND = 'found'
    IMAGE_BOXES = 'image_boxes'
    MESHES = 'meshes'
    DIAGNOSTICS = 'diagnostics'
    MOVING = 'moving'
    STATIC = 'static'


@dataclass(frozen=True)
class Stream:
    """One topic that is shown.

    Attributes:
        topic: its name.
        type: of its messages.
        kind: what it holds.
        entity: where it is shown; of images and their calibration the camera, of what else is
            in the pixels of a camera the last part of the name.
        rectified: of a camera's topics, whether its images are said to be rectified.
    """

    topic: str
    type: str
    kind: Kind
    entity: str
    rectified: bool = False


OUTPUTS = (
    Stream('depth_segmentation/depth/image', _IMAGE, Kind.DEPTH, 'depth'),
    Stream('depth_segmentation/segmentation/image', _IMAGE, Kind.CLASSES, 'classes'),
    Stream('ground_truth/objects', _BOXES, Kind.TRUTH, 'objects/truth'),
    Stream('detector_3d/detections', _BOXES, Kind.FOUND, 'objects/detector_3d'),
    Stream('tracker/tracks', _BOXES, Kind.TRACKS, 'tracks/visible'),
    Stream('tracker/tracks_occluded', _BOXES, Kind.GHOSTS, 'tracks/hidden'),
    Stream('auto_labeler/labels', _BOXES, Kind.LABELS, 'labels/auto_labeler/boxes'),
    Stream(
        'auto_labeler/meshes',
        'visualization_msgs/msg/MarkerArray',
        Kind.MESHES,
        'labels/auto_labeler/meshes',
    ),
)
"""What this package's nodes say, by relative names."""
TRANSFORMS = (
    Stream(t_.TF_STATIC.name, _TF, Kind.STATIC, 'transforms'),
    Stream(t_.TF.name, _TF, Kind.MOVING, 'transforms'),
)
DIAGNOSTICS = Stream(
    '/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray', Kind.DIAGNOSTICS, 'diagnostics'
)
_PICTURES = '/depth_segmentation/'
"""Images in this namespace are made from those of a camera."""
PIXELS = (('depth', 'true_depth'), ('classes', 'true_classes'))
"""What is said of a camera's pixels, and what is true."""
_TRUE_PIXELS = (
    Stream(t_.DEPTH.name, _IMAGE, Kind.DEPTH, 'true_depth'),
    Stream(t_.SEMANTIC.name, _IMAGE, Kind.CLASSES, 'true_classes'),
)


def live_streams(
    camera_names: Sequence[str], transport: str, rectified: bool, boxes: Sequence[str] = ()
) -> list[Stream]:
    """Return what a node subscribes to, by relative names.

    Args:
        camera_names: namespaces of the cameras.
        transport: ``raw`` or ``compressed``.
        rectified: whether all images are rectified.
        boxes: further topics of Detection3DArray.
    """
    image = t_.IMAGE_COMPRESSED if transport == 'compressed' else t_.IMAGE
    streams = [*TRANSFORMS]
    for name in camera_names:
        for topic, kind in ((t_.CAMERA_INFO, Kind.INFO), (image, Kind.IMAGE)):
            own = f'{name}/{topic.name.removeprefix("/camera/")}'
            streams.append(Stream(own, topic.type, kind, name.strip('/'), rectified))
    streams.append(Stream('lidar/points', _CLOUD, Kind.CLOUD, 'points/lidar'))
    streams += [*OUTPUTS, *(_found(topic) for topic in boxes), DIAGNOSTICS]
    return streams


def bag_streams(bag: BagReader) -> list[Stream]:
    """Return what of a recording is shown: every camera and LiDAR, all boxes and the rest.

    Topics of this package are known in whatever namespace they are. Cameras come first, so that
    they are known before what else is in their pixels.
    """
    known = [*_known(bag)]
    taken = {stream.topic for stream in known}
    streams = [*(one for one in _of_cameras(bag) if one.topic not in taken), *known]
    for name in lidars(bag):
        streams.append(Stream(name, _CLOUD, Kind.CLOUD, f'points/{_short(name, "points")}'))
    others = [name for name in bag.of_type(_BOXES) if name not in taken]
    streams += [_found(name) for name in others]
    has_truth = any(stream.kind is Kind.TRUTH for stream in streams)
    for name in bag.of_type(_IMAGE_BOXES):
        if has_truth and 'ground_truth' in name:
            continue  # the same objects, in 3D, are drawn into images, too
        streams.append(Stream(name, _IMAGE_BOXES, Kind.IMAGE_BOXES, name.strip('/')))
    fixed = [stream for stream in (*TRANSFORMS, DIAGNOSTICS) if bag.count(stream.topic)]
    return [*streams, *fixed]


def _known(bag: BagReader) -> Iterator[Stream]:
    """Yield what this package's nodes have said, and the truth of its simulator."""
    for known in (*OUTPUTS, *_TRUE_PIXELS):
        tail = f'/{known.topic.strip("/")}'
        for name in bag.of_type(known.type):
            if name.endswith(tail):
                entity = _in(name.removesuffix(tail), known)
                yield Stream(name, known.type, known.kind, entity)


def _of_cameras(bag: BagReader) -> Iterator[Stream]:
    for camera in cameras(bag):
        if _PICTURES in camera.image:
            continue
        entity, rectified = _short(camera.image), is_rectified(camera.image)
        if camera.info is not None:
            yield Stream(camera.info, _INFO, Kind.INFO, entity, rectified)
        kind = bag.topics[camera.image].type
        yield Stream(camera.image, kind, Kind.IMAGE, entity, rectified)


def _short(topic: str, last: str = '') -> str:
    """Return a topic without what all of its kind end with: ``front`` of ``/front/image_raw``."""
    parts = topic.strip('/').split('/')
    if last:
        kept = parts[:-1] if parts[-1] == last else parts
    else:
        kept = [part for part in parts if not part.startswith('image') and part != 'compressed']
    return '/'.join(kept or parts)


def _in(space: str, known: Stream) -> str:
    """Return the entity of a known topic in a namespace, which cameras have by themselves."""
    own = space.strip('/')
    pixels = known.kind in (Kind.DEPTH, Kind.CLASSES)
    return known.entity if pixels or not own else f'{known.entity}/{own}'


def _found(topic: str) -> Stream:
    return Stream(topic, _BOXES, Kind.FOUND, f'objects/{topic.strip("/")}')
