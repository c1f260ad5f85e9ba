"""Labels of objects of several classes, each by the shape space of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.fit.kernels import Evidence
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.autolabel.tracks.tracks import Sighting
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint
from sim_perception.models.shape import ShapeModel, ShapePrior
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import ShapeLabel

T = TypeVar('T')
Ids = npt.NDArray[np.integer]


def load_shape(folder: Path | str) -> ShapeModel:
    """Read a shape space of any kind.

    Raises:
        CheckpointError: if it is unusable or no shape space.
    """
    net = load_checkpoint(folder).net
    if not isinstance(net, ShapePrior):
        raise CheckpointError(f'{folder} holds no shape space; give models/shape_car or the like')
    return cast(ShapeModel, net)


def load_shapes(folders: str) -> dict[int, ShapeModel]:
    """Read comma-separated shape spaces, by the ids of their classes in the taxonomy.

    Raises:
        CheckpointError: if one is unusable or no shape space.
    """
    shapes = [load_shape(folder) for folder in folders.split(',')]
    taxonomy = load_taxonomy()
    return {taxonomy.id_of(shape.config.category): shape for shape in shapes}


class ClassLabelers:
    """Gives every object to the labeler of its class.

    Args:
        labelers: of different classes.

    Raises:
        ValueError: if there is none, or two are of one class.
    """

    def __init__(self, labelers: Sequence[ShapeLabeler]) -> None:
        self.by_class = {labeler.class_id: labeler for labeler in labelers}
        if not labelers or len(self.by_class) != len(labelers):
            names = ', '.join(labeler.model.config.category for labeler in labelers)
            raise ValueError(f'shape spaces must be of different classes, got: {names or "none"}')

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(one.model.config.category for one in self.by_class.values())

    @property
    def shapes(self) -> Mapping[int, ShapeModel]:
        """The shape spaces by class id."""
        return {class_id: labeler.shapes for class_id, labeler in self.by_class.items()}

    def label(
        self,
        frame: LidarFrame,
        boxes: npt.NDArray[np.floating],
        class_ids: Ids,
        *,
        image: npt.NDArray[np.uint8] | None = None,
        masks: Sequence[npt.NDArray[np.bool_]] | None = None,
    ) -> list[ShapeLabel]:
        """Return one label per image box; see ``ShapeLabeler.label`` and ``label_masked``.

        Args:
            frame: camera and cloud.
            boxes: (M, 4) x1 y1 x2 y2, pixels.
            class_ids: (M,) of the objects, classes that there is a labeler of.
            image: of the frame, for modes that look at it.
            masks: (H, W) pixels of each object, if they are known.
        """

        def make(labeler: ShapeLabeler, rows: Ids) -> list[ShapeLabel]:
            if masks is not None:
                return labeler.label_masked(frame, boxes[rows], [masks[k] for k in rows])
            return labeler.label(frame, boxes[rows], image=image)

        return self._in_order(class_ids, make)

    def evidence(self, frame: LidarFrame, labels: Sequence[ShapeLabel]) -> list[Evidence | None]:
        """Return what was measured of each label's object; see ``ShapeLabeler.evidence``."""

        def gather(labeler: ShapeLabeler, rows: Ids) -> list[Evidence | None]:
            return labeler.evidence(frame, [labels[k] for k in rows])

        return self._in_order(np.array([label.class_id for label in labels], np.int64), gather)

    def label_track(self, sightings: Sequence[Sighting]) -> list[ShapeLabel]:
        """Return the labels of one object's sightings; see ``ShapeLabeler.label_track``."""
        return self.by_class[sightings[0].label.class_id].label_track(sightings)

    def _in_order(
        self, class_ids: Ids, work: Callable[[ShapeLabeler, Ids], Sequence[T]]
    ) -> list[T]:
        """Return what labelers make of the rows of their class, in the order of all rows."""
        made: dict[int, T] = {}
        for class_id, labeler in self.by_class.items():
            rows = np.flatnonzero(class_ids == class_id)
            if len(rows):
                made |= dict(zip(rows.tolist(), work(labeler, rows), strict=True))
        return [made[k] for k in range(len(class_ids))]
