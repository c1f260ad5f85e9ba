"""Training samples of the 3D detector: frames of bags, each in a new place and density."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from rich.console import Console
from rich.progress import Progress

from sim_perception.inference.preprocess import PreprocessConfig, preprocess
from sim_perception.models.checkpoint import fingerprint
from sim_perception.models.detector3d import POINT_COLUMNS, Detector3dNet
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Frame
from training.datasets.bags.open_bags import expand_each
from training.datasets.objects.clouds import cloud_source, points_on
from training.datasets.objects.label_scenes import LabelScene
from training.datasets.sample import DatasetError
from training.engine.config import Section
from training.tasks.detector3d.scenes import (
    ReadyFrame,
    asked_of_labels,
    asked_of_truth,
    labels_of,
    plain,
    ready,
    ready_frames,
)
from training.tasks.detector3d.targets import Asked, Change, plan_maps, resized


class Detector3dDataConfig(Section):
    """Training data and how it is varied."""

    bags: list[str] = Field(default_factory=list)
    """Recordings with camera and, for ``points`` ``lidar``, LiDAR: folders, folders of bags or
    patterns."""
    labels: str = ''
    """Folder with one folder per recording that ``python -m training label`` wrote; empty trains
    on the recordings' true objects."""
    points: Literal['lidar', 'depth'] = 'lidar'
    """What the detector sees: the LiDAR, or the depth that ``depth_checkpoint`` predicts."""
    depth_checkpoint: str = 'models/depth_segmentation'
    cache: str = ''
    """Folder in which frames made ready are kept for the next run; empty keeps none."""
    least_points: int = Field(default=20, ge=0)
    """True objects with fewer points on them, of ``points``, may be found or not."""
    max_occlusion: float = Field(default=0.7, ge=0, le=1)
    """True objects that are hidden more may be found or not."""
    most_points: int = Field(default=12288, ge=1)
    """Of a sample; of more, as many are drawn."""
    keep: tuple[float, float] = (0.5, 1.0)
    """Share of the points that is kept is drawn from this range."""
    mirror: float = Field(default=0.5, ge=0, le=1)
    """Probability of a plan mirrored left to right."""
    turn_deg: float = Field(default=20.0, ge=0)
    scale: float = Field(default=1.05, ge=1)
    shift: float = Field(default=0.4, ge=0)
    """Greatest turn, scale and shift (metres) of the plan."""
    resize: float = Field(default=1.0, ge=1)
    """Greatest factor by which an object with its points grows or shrinks, the same for its
    axes; each axis varies by a third of that besides."""
    blind: float = Field(default=0.1, ge=0, le=1)
    """Probability that a sample has no image."""

    @property
    def needs_lidar(self) -> bool:
        """Whether recordings must have a LiDAR."""
        return self.points == 'lidar'


class Detector3dData:
    """Training samples of the task ``detector3d``.

    Args:
        config: which, and how they are varied.
        model: the network, whose frozen encoder paints the points.
        preprocess: of its images.

    Raises:
        DatasetError: if no bag is named, or one is absent, unusable or not labelled.
    """

    def __init__(
        self, config: Detector3dDataConfig, model: Detector3dNet, preprocess: PreprocessConfig
    ) -> None:
        if not config.bags:
            raise DatasetError('no training data: name data.bags')
        self.config, self.model = config, model.config
        if config.labels:
            self._check_names()
        make = maker(config, model, preprocess)
        folder = Path(config.cache) if config.cache else None
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task('making frames ready', total=None)
            self._frames = ready_frames(
                config.bags,
                folder,
                facts_of(config, model, preprocess),
                make,
                lambda done, total: bar.update(task, completed=done, total=total),
                points=config.needs_lidar,
            )
        self._asked = [self._ask(frame) for frame in self._frames]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._frames)

    @property
    def objects(self) -> int:
        """How many objects the frames ask for."""
        return sum(len(asked.rows) for asked in self._asked)

    def _check_names(self) -> None:
        """Raise ``DatasetError`` where two recordings would share the labels of one."""
        places: dict[str, Path] = {}
        for path, _ in expand_each(self.config.bags):
            other = places.setdefault(path.name, path)
            if other != path:
                raise DatasetError(
                    f'{other} and {path} have one name, by which labels are found: rename a folder'
                )

    def _ask(self, frame: ReadyFrame) -> Asked:
        config, things = self.config, self.model.things
        if config.labels:
            labelled = labels_of(frame, Path(config.labels))
            return asked_of_labels(frame, labelled, things, load_taxonomy())
        return asked_of_truth(frame, things, config.least_points, config.max_occlusion)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return ``points`` (N, 6), the maps ``map0`` ... and the targets of ``plan_maps``."""
        config, frame = self.config, self._frames[index]
        change = Change(
            mirror=bool(rng.random() < config.mirror),
            turn=float(np.deg2rad(rng.uniform(-config.turn_deg, config.turn_deg))),
            scale=float(config.scale ** rng.uniform(-1, 1)),
            shift=(
                float(rng.uniform(-config.shift, config.shift)),
                float(rng.uniform(-config.shift, config.shift)),
            ),
        )
        count = int(len(frame.points) * rng.uniform(*config.keep))
        rows = rng.permutation(len(frame.points))[: min(count, config.most_points)]
        blind = rng.random() < config.blind
        asked = self._asked[index]
        # Drawn last: labels of different numbers of objects leave all else the same.
        factors = _factors(config.resize, len(asked.rows), rng)
        cloud, boxes = resized(frame.points[rows], asked.rows, factors)
        points = np.full((config.most_points, POINT_COLUMNS), np.nan, np.float32)
        points[: len(rows)] = change.points(cloud)
        if blind:
            points[: len(rows), 5] = 0.0
        maps = {f'map{k}': torch.from_numpy(each).float() for k, each in enumerate(frame.maps)}
        targets = plan_maps(replace(asked, rows=boxes), change, self.model)
        return {'points': torch.from_numpy(points), **maps, **targets}


def _factors(most: float, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw (count, 3) factors of objects' axes; see ``Detector3dDataConfig.resize``."""
    reach = np.log(most)
    together, apart = (
        rng.uniform(-reach, reach, (count, 1)),
        rng.uniform(-reach, reach, (count, 3)),
    )
    return np.exp(together + apart / 3)


def maker(
    config: Detector3dDataConfig, model: Detector3dNet, settings: PreprocessConfig
) -> Callable[[LabelScene, str], ReadyFrame]:
    """Return what makes frames ready for a network."""
    far = float(np.hypot(model.config.x_range[1], max(map(abs, model.config.y_range)))) + 2.0
    cloud = cloud_source(config.points, config.depth_checkpoint)
    on = points_on(config.points)

    def paint(image: Any, camera: Any) -> list[torch.Tensor]:
        if not model.config.camera:
            return []
        device = next(model.parameters()).device
        inputs = preprocess([Frame(0, image, camera)], settings)
        return [each.cpu() for each in model.image_maps(inputs.image.to(device))]

    return lambda scene, bag: ready(scene, bag, far, paint, cloud, on)


def facts_of(
    config: Detector3dDataConfig, model: Detector3dNet, settings: PreprocessConfig
) -> dict[str, Any]:
    """Return all that determines a frame made ready besides its recording."""
    plan = {key: plain(model.config)[key] for key in ('camera', 'encoder', 'x_range', 'y_range')}
    weights = hashlib.sha256()
    for value in model.encoder.state_dict().values() if model.encoder is not None else ():
        weights.update(np.ascontiguousarray(value.cpu().numpy()).tobytes())
    facts = {**plan, 'points': config.points, 'encoder_weights': weights.hexdigest()}
    if config.points == 'depth':
        facts['depth'] = fingerprint(config.depth_checkpoint)
    return {**facts, 'preprocess': settings.to_dict()}
