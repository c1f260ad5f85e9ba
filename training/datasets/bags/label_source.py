"""A recording as labelling needs it: frames with camera, cloud in a level frame, image boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.detect import boxes_from_clusters, boxes_from_segmentation
from sim_perception.bags import topics as t_
from sim_perception.bags.clouds import xyz
from sim_perception.bags.errors import TransformError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import ANY, Sensors, calibrated_camera, choose_lidar, truth_topic
from sim_perception.files import safe_name
from sim_perception.geometry.cameras import straight_boxes
from sim_perception.geometry.deskew import still_points
from sim_perception.geometry.frames import frame_name
from sim_perception.geometry.lidar_frame import LidarFrame, PreparedFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert, transform_points
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.permanence import DOUBTED, PermanenceEngine
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Frame
from training.datasets.bags.box_files import is_box_file
from training.datasets.bags.drawn_boxes import CameraImages, DrawnBoxes, drawn_boxes
from training.datasets.images.undistort import undistorted
from training.datasets.sample import DatasetError, Sample

Array = npt.NDArray[np.floating]

SEGMENTATION = 'segmentation'
"""Source of image boxes: what a depth_segmentation checkpoint sees."""
NETWORK = 'network'
"""Source of image boxes: what a permanence checkpoint finds in every frame by itself."""
CAMERA_LEVEL = 'camera_level'
"""Name of the level frame where the recording has none: the camera's, taken as level."""
DETECTOR = Path('models/permanence')
_FIXED = (t_.ODOM_FRAME, t_.MAP_FRAME, 'world')
_TIME_COLUMNS = ('time', 't')
_TOLERANCE_NS = 60_000_000


@dataclass(frozen=True)
class ToLabel:
    """One frame of a recording.

    Attributes:
        name: unique in the recording.
        frame: camera and cloud.
        image: (H, W, 3) RGB, undistorted.
        stamp: nanoseconds.
        boxes: (M, 4) image boxes within the image.
        class_ids: (M,) of the objects in them.
        ids: of the boxes, '' where not known.
        regions: (H, W) number of the box that a pixel belongs to, or -1; None where not known.
        raw_camera: of the image as it was recorded, with its lens.
        world_T_level: pose of the level frame in ``world_frame``, or None.
        level_frame, camera_frame, world_frame: names.
    """

    name: str
    frame: LidarFrame
    image: npt.NDArray[np.uint8]
    stamp: int
    boxes: Array
    class_ids: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    world_T_level: Array | None
    level_frame: str
    camera_frame: str
    world_frame: str
    raw_camera: Camera
    regions: npt.NDArray[np.int64] | None = None

    @property
    def masks(self) -> list[npt.NDArray[np.bool_]] | None:
        """The pixels of each box's object, or None where not known."""
        if self.regions is None:
            return None
        return [self.regions == k for k in range(len(self.boxes))]


class _Boxes(NamedTuple):
    """Image boxes of a frame: (M, 4), their class ids and ids, (H, W) whose a pixel is."""

    boxes: Array
    class_ids: list[int]
    ids: list[str] | None = None
    regions: npt.NDArray[np.int64] | None = None


class LabelBag:
    """Frames of a recording by number; a camera image with a scan and detections makes one.

    Args:
        path: the bag.
        categories: names of the classes to label, one or several.
        detections: a Detection2DArray topic; a file of boxes (``drawn_boxes``);
            ``segmentation``; ``network``; or '' for the recording's own true boxes, where it has
            them, else ``network``.
        class_map: what classes of a file of boxes are called here; see ``drawn_boxes``.
        checkpoint: of ``segmentation``, and the second opinion of ``network``.
        detector: checkpoint of ``network``.
        level_frame: a frame with z up that moves with the robot; where the recording does not
            have it the camera is taken as level.
        min_visibility: detections that say they are less visible are left out.
        points: whether frames need a scan; without, their clouds are empty.
        sensors: which camera and LiDAR of several are meant.
        device: what the network that finds boxes runs on.

    Attributes:
        reader: of the bag.
        detections: as given, or what was chosen.

    Raises:
        BagError: if there is no readable bag, a topic or transform is missing, or of several
            sensors none is chosen.
        DatasetError: if nothing belongs together in time.
    """

    def __init__(
        self,
        path: Path,
        categories: str | Sequence[str],
        *,
        detections: str = '',
        checkpoint: Path | None = None,
        detector: Path = DETECTOR,
        level_frame: str = t_.BASE_FRAME,
        min_visibility: float = 0.3,
        points: bool = True,
        sensors: Sensors = ANY,
        class_map: str = '',
        device: str = 'auto',
    ) -> None:
        self.reader = self._bag = bag = BagReader(path, sensors)
        self._name = safe_name(path.name)
        self._taxonomy = load_taxonomy()
        self._categories = (categories,) if isinstance(categories, str) else tuple(categories)
        self._wanted = [self._taxonomy.id_of(name) for name in self._categories]
        self._min_visibility = min_visibility
        self._image, self._info = calibrated_camera(bag)
        self._points = choose_lidar(bag) if points else None
        truth = truth_topic(bag, t_.OBJECTS_2D)
        self.detections = detections or (truth if bag.count(truth) else NETWORK)
        self._checkpoint, self._detector, self._device = checkpoint, detector, device
        self._engine: DepthSegmentationEngine | None = None
        self._finder: PermanenceEngine | None = None
        topics = [self._image] if self._points is None else [self._image, self._points]
        self._drawn = self._read_drawn(class_map)
        if self.detections not in (SEGMENTATION, NETWORK) and self._drawn is None:
            topics.append(self.detections)
        self._rows = bag.synchronized(topics, _TOLERANCE_NS)
        if not len(self._rows):
            raise DatasetError(
                f'{path}: nothing on {" and ".join(topics)} lies within '
                f'{_TOLERANCE_NS * 1e-9:g} s; are the clocks synchronised?'
            )
        level = frame_name(level_frame)
        self._level = level if level in bag.transforms.frames else CAMERA_LEVEL

    def _read_drawn(self, class_map: str) -> DrawnBoxes | None:
        """Return the boxes of a file, None where they come from elsewhere."""
        if not is_box_file(self.detections):
            if class_map:
                raise DatasetError('--class-map is for --detections FILE; topics have our names')
            return None
        height, width = self._bag.image(self._image, 0).shape[:2]
        camera = CameraImages(self._name, self._bag.stamps(self._image), (width, height))
        path = Path(self.detections)
        return drawn_boxes(path, camera, self._categories, self._taxonomy, class_map)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._rows)

    def name(self, number: int) -> str:
        """Return the name of a frame."""
        return f'{self._name}_{int(self._rows[number, 0]):05d}'

    def __getitem__(self, number: int) -> ToLabel:
        """Return a frame; see ``item``."""
        return self.item(number)

    def item(self, number: int, *, boxes: bool = True) -> ToLabel:
        """Return a frame, with or without its image boxes.

        Raises:
            CorruptBagError: if that part of the bag is damaged.
            TransformError: if the sensors' mounting is not known.
        """
        bag = self._bag
        raw = bag.frame(self._image, int(self._rows[number, 0]), self._info)
        assert raw.camera is not None
        camera_frame = raw.frame_id
        sample = Sample(image=raw.image, camera=raw.camera, depth=None, semantic=None, name='')
        sample = undistorted(sample)
        assert sample.camera is not None
        if self._level == CAMERA_LEVEL:
            camera_T_level = invert(BODY_T_OPTICAL)
        else:
            camera_T_level = bag.transforms.lookup(camera_frame, self._level, raw.stamp)
        fixed, world_T_level = self._world(camera_frame, camera_T_level, raw.stamp)
        cloud, sensor = self._cloud(number, camera_frame, camera_T_level, raw.stamp, world_T_level)
        found = _Boxes(np.zeros((0, 4)), [])
        if boxes:
            straight = replace(raw, image=sample.image, camera=sample.camera)
            lidar = LidarFrame(sample.camera, camera_T_level, cloud, sensor)
            found = self._boxes(number, straight, raw, lidar)
        return ToLabel(
            name=self.name(number),
            frame=LidarFrame(sample.camera, camera_T_level, cloud, sensor),
            image=sample.image,
            stamp=raw.stamp,
            boxes=found.boxes,
            class_ids=np.array(found.class_ids, np.int64),
            ids=tuple(found.ids or [''] * len(found.boxes)),
            world_T_level=world_T_level,
            level_frame=self._level,
            camera_frame=camera_frame,
            world_frame=fixed,
            raw_camera=raw.camera,
            regions=found.regions,
        )

    def _world(
        self, camera_frame: str, camera_T_level: Array, stamp: int
    ) -> tuple[str, Array | None]:
        """Return the name of a frame that stands still and the level frame's pose in it."""
        for fixed in _FIXED:
            try:
                world_T_camera = self._bag.transforms.lookup(fixed, camera_frame, stamp)
            except TransformError:
                continue
            return fixed, world_T_camera @ camera_T_level
        return '', None

    def _cloud(
        self,
        number: int,
        camera_frame: str,
        camera_T_level: Array,
        stamp: int,
        world_T_level: Array | None,
    ) -> tuple[Array, Array]:
        """Return the points in the level frame, the robot's motion removed, and the sensor."""
        bag, topic = self._bag, self._points
        if topic is None:
            return np.zeros((0, 3)), invert(camera_T_level)[:3, 3]
        number = int(self._rows[number, 1])
        lidar_frame = bag.message(topic, number).header.frame_id
        level_T_lidar = invert(camera_T_level) @ bag.transforms.lookup(
            camera_frame, lidar_frame, stamp
        )
        cloud = bag.cloud(topic, number)
        places = xyz(cloud).astype(np.float64)
        sensor = level_T_lidar[:3, 3]
        names = [name for name in _TIME_COLUMNS if name in (cloud.dtype.names or ())]
        if world_T_level is None or not names or not len(cloud):
            return transform_points(level_T_lidar, places), sensor
        first = int(bag.stamps(topic)[number])
        still = self._still(
            places, cloud[names[0]].astype(np.float64), first, lidar_frame, world_T_level
        )
        return (transform_points(level_T_lidar, places) if still is None else still), sensor

    def _still(
        self, places: Array, seconds: Array, first: int, frame: str, world_T_level: Array
    ) -> Array | None:
        """Return points without the robot's motion; None if its poses do not span the scan."""
        finite = np.isfinite(seconds)
        if not finite.all() or np.ptp(seconds) > 1.0:  # not seconds since the scan's start
            return None
        fixed = next(f for f in _FIXED if f in self._bag.transforms.frames)

        def pose(time: float) -> npt.NDArray[np.floating]:
            return self._bag.transforms.lookup(fixed, frame, first + round(time * 1e9))

        try:
            return still_points(places, seconds, pose, world_T_level)
        except TransformError:
            return None

    def _boxes(self, number: int, frame: Frame, raw: Frame, lidar: LidarFrame) -> _Boxes:
        if self.detections == SEGMENTATION:
            return self._segmented(frame, lidar)
        if self.detections == NETWORK:
            return self._found(frame)
        assert raw.camera is not None
        if self._drawn is not None:
            drawn = self._drawn.by_number.get(int(self._rows[number, 0]), ())
            camera = raw.camera.ideal if self._drawn.straight else raw.camera
            corners = np.array([one.box for one in drawn], float).reshape(-1, 4)
            classes = [self._taxonomy.id_of(one.label) for one in drawn]
            return _Boxes(straight_boxes(camera, corners), classes, [one.id for one in drawn])
        found = self._bag.detections(self.detections, int(self._rows[number, -1]), self._taxonomy)
        chosen = [
            item
            for item in found
            if item.class_id in self._wanted
            and item.box2d is not None
            and (item.visibility is None or item.visibility >= self._min_visibility)
        ]
        boxes = np.array([item.box2d for item in chosen], float).reshape(-1, 4)
        classes = [item.class_id for item in chosen]
        return _Boxes(straight_boxes(raw.camera, boxes), classes, [item.id for item in chosen])

    def _segmented(self, frame: Frame, lidar: LidarFrame) -> _Boxes:
        """Return the boxes of regions, and which pixels belong to which where points tell."""
        seen = self._segmenter().infer(frame)
        config = LabelConfig()
        prepared = PreparedFrame(lidar, config.max_range)
        boxes: list[Array] = []
        classes: list[int] = []
        regions = None if prepared.ground is None else np.full(seen.segmentation.shape, -1)
        for class_id in self._wanted:
            if regions is None:
                found = boxes_from_segmentation(seen.segmentation, seen.depth, class_id)
            else:
                found, own = boxes_from_clusters(seen.segmentation, prepared, class_id, config)
                regions = np.where(own >= 0, own + len(classes), regions)
            boxes.append(found)
            classes += [class_id] * len(found)
        return _Boxes(np.concatenate(boxes), classes, regions=regions)

    def _found(self, frame: Frame) -> _Boxes:
        """Return the boxes that the network finds in a frame, the surest first."""
        if self._finder is None:
            asked = not set(DOUBTED).isdisjoint(self._categories)
            self._finder = PermanenceEngine.load(
                self._detector,
                device=self._device,
                threads=1,
                second_opinion=self._checkpoint if asked else None,
            )
            for name in self._categories:
                if name not in self._finder.things:
                    raise DatasetError(f'{self._detector} does not find {name!r}')
        self._finder.reset()
        chosen = [
            item
            for item in self._finder.update(frame)
            if item.class_id in self._wanted and (item.visibility or 0) >= self._min_visibility
        ]
        height, width = frame.image.shape[:2]
        limit = np.array([width, height] * 2) - 1.0
        boxes = np.array([item.box2d for item in chosen], float).reshape(-1, 4)
        return _Boxes(np.clip(boxes, 0, limit), [item.class_id for item in chosen])

    def _segmenter(self) -> DepthSegmentationEngine:
        if self._engine is None:
            if self._checkpoint is None:
                raise DatasetError('boxes from segmentation need a depth_segmentation checkpoint')
            self._engine = DepthSegmentationEngine.load(
                self._checkpoint, device=self._device, threads=1
            )
        return self._engine
