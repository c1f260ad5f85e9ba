"""Recordings with every object's true place in every frame, for evaluating trackers.

``bag:DIR`` is a recorded drive, whose truth is ``/ground_truth/objects`` and ``objects_2d`` if it
has them; ``sim:SCENARIO[:SEEDS[:SECONDS]]`` is rendered on the fly, one recording per seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics as t_
from sim_perception.bags.messages import START_STAMP
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import (
    ANY,
    Sensors,
    calibrated_camera,
    split_sensors,
    truth_topic,
)
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.simulation import ObjectTruth, Simulation
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from sim_perception.types import Frame
from training.datasets.bags.open_bags import expand, image_with_truth
from training.datasets.bags.track_clips import ObjectTable, read_objects
from training.datasets.sample import DatasetError
from training.datasets.simulated.rendered import scenarios_of
from training.datasets.spec import Kinds, Spec

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrueObjects:
    """The objects of one frame, K of them, hidden ones included.

    Attributes:
        id: (K,) the same for an object's life.
        class_id: (K,) in the taxonomy.
        visibility: (K,) visible fraction in [0, 1]; 0 also beyond the image.
        box2d: (K, 4) x1 y1 x2 y2 pixels of the whole object, possibly beyond the image; NaN
            behind the camera.
        box3d: (K, 7) ``x y z yaw length width height`` in the world, metres.
    """

    id: npt.NDArray[np.int64]
    class_id: npt.NDArray[np.int64]
    visibility: Array
    box2d: Array
    box3d: Array


@dataclass(frozen=True)
class TrueFrame:
    """One image of a recording with what is true of it.

    Attributes:
        frame: the image with its camera.
        world_T_camera: (4, 4) pose of the optical frame, or None if the recording does not tell.
        objects: what is there, or None if the recording does not tell.
    """

    frame: Frame
    world_T_camera: Array | None
    objects: TrueObjects | None


class Recording(Protocol):
    """Frames in the order of time, by iteration; every iteration starts anew."""

    @property
    def name(self) -> str:
        """For files and messages, unique within the data."""
        ...

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def __iter__(self) -> Iterator[TrueFrame]:
        """Yield the frames."""
        ...


@dataclass(frozen=True)
class RenderedRecording:
    """A scenario, rendered while it is iterated over.

    Attributes:
        scenario: with its seed.
        seconds: the recording ends with the scenario, or after this time.
    """

    scenario: Scenario
    seconds: float = math.inf

    @property
    def name(self) -> str:
        """Scenario and seed."""
        return f'{self.scenario.name}_{self.scenario.seed}'

    def __len__(self) -> int:
        """Return the number of frames."""
        seconds = min(self.seconds, self.scenario.duration_s)
        return max(1, int(seconds * self.scenario.frame_rate_hz + 1e-6))

    def __iter__(self) -> Iterator[TrueFrame]:
        """Render the frames."""
        simulation = Simulation(self.scenario)
        for number in range(len(self)):
            time = number * simulation.frame_period
            sample = simulation.camera_frame(time, layers=frozenset({'rgb'}))
            state = simulation.state(time)
            assert sample.rgb is not None
            stamp = START_STAMP + round(1e9 * time)
            yield TrueFrame(
                Frame(stamp, sample.rgb, simulation.camera, t_.CAMERA_FRAME),
                np.asarray(state.world_T_base @ simulation.base_T_camera, float),
                _from_simulator(simulation.object_truth(state, sample)),
            )


class BagRecording:
    """The camera of a bag.

    Args:
        path: the bag.
        taxonomy: names the classes of its truth.
        sensors: which camera of several is meant.

    Raises:
        BagError: for a bag that cannot be read.
        MissingTopicError: if it has no images or calibration.
        DatasetError: if it has truth and its images are distorted.
    """

    def __init__(self, path: Path, taxonomy: Taxonomy, sensors: Sensors = ANY) -> None:
        self.path = path
        self._things = tuple(taxonomy.names[i] for i in taxonomy.thing_ids)
        self._ids = np.array(taxonomy.thing_ids, np.int64)
        self._table: ObjectTable | None = None
        with BagReader(path, sensors) as bag:
            if all(bag.count(truth_topic(bag, t)) for t in (t_.OBJECTS, t_.OBJECTS_2D)):
                self._image, self._info = image_with_truth(bag)
                self._table = read_objects(bag, taxonomy, self._things)
                stamps = self._table.stamps
                self._messages = [bag.nearest(self._image, int(stamp)) for stamp in stamps]
            else:
                self._image, self._info = calibrated_camera(bag)
                bag.camera(self._info)
                self._messages = list(range(bag.count(self._image)))

    @property
    def name(self) -> str:
        """The bag's own."""
        return self.path.stem

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._messages)

    def __iter__(self) -> Iterator[TrueFrame]:
        """Read the frames."""
        with BagReader(self.path) as bag:
            for row, message in enumerate(self._messages):
                assert message is not None
                frame = bag.frame(self._image, message, self._info)
                if self._table is None:
                    yield TrueFrame(frame, None, None)
                    continue
                pose = np.asarray(self._table.world_T_camera[row], float)
                yield TrueFrame(frame, pose, self._objects(self._table, row))

    def _objects(self, table: ObjectTable, row: int) -> TrueObjects:
        """Return a frame's row of a table; an object's id is its column."""
        there = np.flatnonzero(np.isfinite(table.visibility[row]))
        ahead = table.forward[row, there]
        yaw = np.arctan2(ahead[:, 1], ahead[:, 0])
        boxes = [table.position[row, there], yaw[:, None], table.size[there]]
        return TrueObjects(
            there,
            self._ids[table.thing[there]],
            table.visibility[row, there].astype(float),
            table.box[row, there].astype(float),
            np.concatenate(boxes, 1).astype(float),
        )


def _from_simulator(truth: ObjectTruth) -> TrueObjects:
    poses = truth.world_T_object
    yaw = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    return TrueObjects(
        truth.id.astype(np.int64),
        truth.class_id.astype(np.int64),
        truth.visibility.astype(float),
        truth.box_amodal.astype(float),
        np.concatenate([poses[:, :3, 3], yaw[:, None], truth.size], 1).astype(float),
    )


def open_recordings(spec: str, taxonomy: Taxonomy | None = None) -> list[Recording]:
    """Return the recordings that a SPEC names.

    Args:
        spec: see ``KINDS``.
        taxonomy: names the classes; None is the shipped one.

    Raises:
        DatasetError: for an unknown kind, or data that is absent or unusable.
        BagError: for a bag that cannot be read or lacks topics.
    """
    opener, parts = KINDS.find(spec)
    return opener(parts, taxonomy or load_taxonomy())


def _bags(spec: Spec, taxonomy: Taxonomy) -> list[Recording]:
    path, sensors = split_sensors(spec.rest)
    return [BagRecording(bag, taxonomy, sensors) for bag in expand([path])]


def _rendered(spec: Spec, taxonomy: Taxonomy) -> list[Recording]:
    seconds = _seconds(spec.field(2))
    return [RenderedRecording(s, seconds) for s in scenarios_of(spec.scenario, spec.seeds)]


KINDS = Kinds({
    'sim': (
        'sim:SCENARIO[:SEEDS[:SECONDS]] (rendered on the fly, e.g. sim:target:0-3:10)',
        _rendered,
    ),
    'bag': ('bag:DIR (truth from /ground_truth/objects)', _bags),
})  # fmt: skip


def _seconds(text: str) -> float:
    """Return a number of seconds; an empty text is no limit.

    Raises:
        DatasetError: if the text is no positive number.
    """
    try:
        seconds = float(text or 'inf')
    except ValueError:
        seconds = float('nan')
    if not seconds > 0:
        raise DatasetError(f'seconds {text!r} of the data SPEC must be a positive number')
    return seconds
