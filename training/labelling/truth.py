"""Simulated recordings as labelled frames: the truth, in the form that labels have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.export import HIDDEN, VISIBILITY, ExportFrame
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.bags import topics as t_
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import ANY, Sensors, lidars, truth_topic
from sim_perception.geometry.rectification import rectify
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from sim_perception.types import ShapeLabel
from training.datasets.bags.label_source import ToLabel
from training.datasets.bags.labelled import TrueThing, open_truth, true_things, world_pose
from training.datasets.objects.label_scenes import points_in_box
from training.datasets.sample import DatasetError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TruthFrame:
    """One frame of a simulated recording.

    Attributes:
        item: what formats of labels get; masks are of the accepted labels.
        image: (H, W, 3) uint8 RGB, undistorted.
    """

    item: ExportFrame
    image: npt.NDArray[np.uint8]


class TruthBag:
    """Frames of a simulated recording by number, with what is true of them.

    Args:
        path: the bag.
        sensors: which camera and LiDAR of several are meant.
        min_visibility: objects of which less is seen are hidden: their labels are not accepted.
        masks: whether frames have masks.
        classes: names of the classes of their labels; empty is all.

    Raises:
        BagError: if there is no readable bag, or a topic or transform is missing.
        DatasetError: if it has no true objects, or no instances though masks are wanted.
    """

    def __init__(
        self,
        path: Path,
        sensors: Sensors = ANY,
        *,
        min_visibility: float = 0.1,
        masks: bool = False,
        classes: Sequence[str] = (),
    ) -> None:
        with BagReader(path, sensors) as bag:
            if not bag.count(truth_topic(bag, t_.OBJECTS)):
                raise DatasetError(
                    f'{path} has no {t_.OBJECTS.name}, so nothing is known of its objects; '
                    'simulate it with --layers rgb,instance,objects,lidar, or label it with '
                    '`python -m training label` and convert its folder of labels'
                )
            points = bool(lidars(bag))
            self._instances = truth_topic(bag, t_.INSTANCE)
            if masks and not bag.count(self._instances):
                raise DatasetError(
                    f'{path} has no {self._instances}, which masks are made from; simulate it '
                    'with --layers rgb,instance,objects,lidar, or choose formats without masks'
                )
        self._bag = open_truth(path, sensors, points=points)
        self._points, self._masks, self._least = points, masks, min_visibility
        self._taxonomy: Taxonomy = load_taxonomy()
        self._classes = tuple(map(self._taxonomy.id_of, classes or self._taxonomy.names))

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._bag)

    def __getitem__(self, number: int) -> TruthFrame:
        """Return a frame.

        Raises:
            DatasetError: if the bag does not say where the robot was.
            CorruptBagError: if that part of the bag is damaged.
        """
        seen = self._bag.item(number, boxes=False)
        things = true_things(self._bag, seen, world_pose(self._bag, seen))
        labels = tuple(
            self._label(thing, seen) for thing in things if thing.class_id in self._classes
        )
        frame = LabelledFrame(
            name=seen.name,
            stamp=seen.stamp,
            camera=seen.frame.camera,
            camera_T_level=np.asarray(seen.frame.camera_T_level, np.float64),
            labels=labels,
            world_T_level=seen.world_T_level,
            level_frame=seen.level_frame,
            camera_frame=seen.camera_frame,
            world_frame=seen.world_frame,
        )
        item = ExportFrame(
            frame,
            self._taxonomy,
            seen.frame.points if self._points else None,
            masks=self._masks_of(frame, seen) if self._masks else None,
            hidden=[1 - label.measures[VISIBILITY] for label in frame.accepted],
        )
        return TruthFrame(item, seen.image)

    def _label(self, thing: TrueThing, seen: ToLabel) -> ShapeLabel:
        visible = thing.visibility > 0 and thing.visibility >= self._least
        measures = {VISIBILITY: thing.visibility}
        points = points_in_box(seen.frame.points, thing.box3d)
        if points:
            measures['log_points'] = math.log(points)
        x1, y1, x2, y2 = (float(v) for v in thing.outline)
        return ShapeLabel(
            class_id=thing.class_id,
            box2d=(x1, y1, x2, y2),
            accepted=visible,
            reason='' if visible else HIDDEN,
            confidence=1.0,
            box3d=thing.box3d,
            measures=measures,
            id=thing.id,
        )

    def _masks_of(self, frame: LabelledFrame, seen: ToLabel) -> list[Mask]:
        """Return the pixels of the accepted labels; no instance has the number 0."""
        reader = self._bag.reader
        number = reader.nearest(self._instances, frame.stamp, 0)
        if number is None:
            raise DatasetError(
                f'{reader.path} has no message on {self._instances} at {frame.stamp} ns, the '
                'time of an image; simulate it anew'
            )
        instances = rectify(seen.raw_camera, reader.image(self._instances, number), 0)
        return [instances == int(label.id) for label in frame.accepted]
