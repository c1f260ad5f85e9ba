"""Frames made ready once for training the 3D detector: points, image maps, true objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sim_perception.autolabel.records import LabelledFrame, read_frame
from sim_perception.bags import topics as t_
from sim_perception.bags.sensors import ANY, Sensors, truth_topic
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.inference.plan import Plan, plan_points
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera
from training.datasets.bags.label_source import SEGMENTATION, LabelBag
from training.datasets.bags.labelled import true_objects
from training.datasets.bags.open_bags import expand_each
from training.datasets.objects.label_scenes import LabelScene, TrueObject
from training.datasets.sample import DatasetError
from training.tasks.detector3d.targets import Asked

F64 = npt.NDArray[np.float64]
Paint = Callable[[npt.NDArray[np.uint8], Camera], Sequence[Tensor]]
Cloud = Callable[[LabelScene], LidarFrame]
Count = Callable[[TrueObject], float]

#: Written into the fingerprint of kept frames.
_FORMAT = 2
_OBJECT_COLUMNS = ('points', 'occluded')


@dataclass(frozen=True)
class ReadyFrame:
    """One frame of a recording.

    Attributes:
        bag, name: of the recording and the frame.
        plan: where the points are.
        points: (N, 6) float32; see ``models.detector3d.POINT_COLUMNS``.
        maps: image maps, (C, h, w) float16.
        kinds: (K,) names of the classes of the true objects.
        rows: (K, 7) of ``plan.BOX_COLUMNS`` of the true objects.
        facts: (K, 2) points on them and hidden share.
        sight: focal length and principal point in x, pixels.
    """

    bag: str
    name: str
    plan: Plan
    points: npt.NDArray[np.float32]
    maps: tuple[npt.NDArray[np.float16], ...]
    kinds: tuple[str, ...]
    rows: F64
    facts: F64
    sight: tuple[float, float]


def ready(
    scene: LabelScene, bag: str, max_range: float, paint: Paint, cloud: Cloud, on: Count
) -> ReadyFrame:
    """Return a frame made ready.

    Args:
        scene: the frame and its truth.
        bag: name of its recording.
        max_range: of points, metres.
        paint: gives an image's maps.
        cloud: gives the points that the detector shall see.
        on: tells how many of them are on an object.
    """
    frame = scene.frame
    seen = plan_points(cloud(scene), max_range)
    maps = paint(scene.image, frame.camera)
    facts = [[on(item), item.occluded] for item in scene.objects]
    return ReadyFrame(
        bag=bag,
        name=scene.name,
        plan=seen.plan,
        points=seen.points,
        maps=tuple(each[0].to(torch.float16).numpy() for each in maps),
        kinds=tuple(item.kind for item in scene.objects),
        rows=seen.plan.rows([item.box3d for item in scene.objects]),
        facts=np.array(facts, np.float64).reshape(-1, len(_OBJECT_COLUMNS)),
        sight=(frame.camera.fx, frame.camera.cx),
    )


def scenes_of(path: Path, sensors: Sensors = ANY, *, points: bool = True) -> Iterator[LabelScene]:
    """Yield the frames of a recording, without objects where it does not know the true ones.

    Args:
        path: of the recording.
        sensors: which of several are meant.
        points: whether a LiDAR is needed; without, clouds are empty.
    """
    bag = LabelBag(path, 'car', detections=SEGMENTATION, points=points, sensors=sensors)
    has_truth = bag.reader.count(truth_topic(bag.reader, t_.OBJECTS)) > 0
    for number in range(len(bag)):
        item = bag.item(number, boxes=False)
        known = has_truth and item.world_T_level is not None
        objects = true_objects(bag, item, np.asarray(item.world_T_level)) if known else ()
        yield LabelScene(item.name, item.frame, item.image, objects)


def write_ready(frame: ReadyFrame, path: Path) -> None:
    """Keep a frame as an ``.npz`` file that is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f'map{k}': each for k, each in enumerate(frame.maps)}
    partial = path.with_name(f'.{path.name}.partial.npz')
    np.savez(
        partial,
        names=np.array([frame.bag, frame.name]),
        level_T_plan=frame.plan.level_T_plan,
        ground=frame.plan.ground,
        points=frame.points,
        kinds=np.array(frame.kinds, dtype=np.str_),
        rows=frame.rows,
        facts=frame.facts,
        sight=np.array(frame.sight),
        **arrays,
    )
    partial.replace(path)


def read_ready(path: Path) -> ReadyFrame:
    """Read a kept frame.

    Raises:
        DatasetError: if the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            values = dict(file)
        bag, name = (str(text) for text in values['names'])
        count = sum(key.startswith('map') for key in values)
        return ReadyFrame(
            bag=bag,
            name=name,
            plan=Plan(values['level_T_plan'], values['ground']),
            points=values['points'],
            maps=tuple(values[f'map{k}'] for k in range(count)),
            kinds=tuple(str(kind) for kind in values['kinds']),
            rows=values['rows'],
            facts=values['facts'],
            sight=(float(values['sight'][0]), float(values['sight'][1])),
        )
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f'{path} is no kept frame ({error}); remove it') from error


def ready_frames(
    patterns: Sequence[str],
    folder: Path | None,
    facts: dict[str, Any],
    make: Callable[[LabelScene, str], ReadyFrame],
    tell: Callable[[int, int], None] = lambda done, total: None,
    *,
    points: bool = True,
) -> list[ReadyFrame]:
    """Return all frames of bags, from the folder of kept ones where they are there.

    Args:
        patterns: bags, folders of bags or patterns.
        folder: where frames are kept, or None to keep none.
        facts: all that determines a frame besides its recording.
        make: makes a frame ready, given its recording's name.
        tell: called with the number of bags done and their total.
        points: whether the bags need a LiDAR.

    Raises:
        DatasetError: if there is no bag, or a kept frame is damaged.
    """
    mark = hashlib.sha256(json.dumps({**facts, 'format': _FORMAT}, sort_keys=True).encode())
    frames: list[ReadyFrame] = []
    bags = expand_each(patterns)
    for done, (path, sensors) in enumerate(bags):
        tell(done, len(bags))
        kept = folder / mark.hexdigest()[:12] / _key(path, sensors) if folder else None
        if kept is not None and kept.is_dir():
            frames += [read_ready(file) for file in sorted(kept.glob('*.npz'))]
            continue
        made = [make(scene, path.name) for scene in scenes_of(path, sensors, points=points)]
        if kept is not None:
            growing = kept.with_name(f'.{kept.name}.growing')
            for frame in made:
                write_ready(frame, growing / f'{frame.name}.npz')
            growing.rename(kept)
        frames += made
    return frames


def _key(path: Path, sensors: Sensors) -> str:
    """Return a name that no recording of the same name elsewhere has, nor its other sensors."""
    place = hashlib.sha256(f'{path.resolve()} {sensors}'.encode()).hexdigest()
    return f'{path.name}.{place[:8]}'


def asked_of_truth(
    frame: ReadyFrame, things: Sequence[str], least_points: int, max_occlusion: float
) -> Asked:
    """Return the true objects of the wanted classes as the detector is asked for them.

    Objects with too few points or hidden too much may be found or not.
    """
    thing = np.array([things.index(k) if k in things else -1 for k in frame.kinds], np.int64)
    clear = (frame.facts[:, 0] >= least_points) & (frame.facts[:, 1] <= max_occlusion)
    wanted = (thing >= 0) & clear
    unsure = frame.rows[(thing >= 0) & ~clear]
    radius = np.hypot(unsure[:, 4], unsure[:, 5]) / 2
    unknown = np.concatenate([unsure[:, :2], radius[:, None]], 1)
    return Asked(thing[wanted], frame.rows[wanted], unknown, np.empty((0, 2)))


def asked_of_labels(
    frame: ReadyFrame, labelled: LabelledFrame, things: Sequence[str], taxonomy: Taxonomy
) -> Asked:
    """Return accepted labels of the wanted classes as what the detector is asked for.

    Where labels were rejected there may be an object or not: along the whole bearing of their
    image boxes.
    """
    wanted = [
        (things.index(name), label.box3d)
        for label in labelled.accepted
        if label.box3d is not None and (name := taxonomy.names[label.class_id]) in things
    ]
    rejected = [label.box2d for label in labelled.labels if not label.accepted]
    focal, middle = frame.sight
    wedges = [sorted(((middle - box[0]) / focal, (middle - box[2]) / focal)) for box in rejected]
    thing = np.array([thing for thing, _ in wanted], np.int64)
    rows = frame.plan.rows([box for _, box in wanted])
    return Asked(thing, rows, np.empty((0, 3)), np.array(wedges, np.float64).reshape(-1, 2))


def labels_of(frame: ReadyFrame, folder: Path) -> LabelledFrame:
    """Read what ``python -m training label`` wrote about a frame.

    Args:
        frame: which.
        folder: holds one folder per recording, by its name.

    Raises:
        DatasetError: if that frame is not labelled there.
    """
    path = folder / frame.bag / 'frames' / f'{frame.name}.json'
    if not path.is_file():
        raise DatasetError(
            f'no labels of frame {frame.name}: {path} is absent; label the bag with `python -m '
            f'training label BAGS/{frame.bag} --out {folder / frame.bag}`'
        )
    return read_frame(path)


def plain(config: Any) -> dict[str, Any]:
    """Return a dataclass as JSON values."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return values
