"""A shape space by a network, learnt from the simulator's cars.

The auto-decoder of Park et al., "DeepSDF" (CVPR 2019), section 4: weights and one code per car
are learnt together from distances; there is no encoder. ``models.shape_sdf`` has the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.shape import ShapeConfig
from sim_perception.models.shape_sdf import ShapeSdf, ShapeSdfConfig
from sim_perception.simulator.catalogue import FAMILIES
from sim_perception.taxonomy import load_taxonomy
from training.datasets.objects.draws import draw_cars
from training.datasets.objects.shapes import MIRRORS, ShapeSample, distance_samples
from training.engine.config import Section, TrainConfig, validated
from training.engine.task import Batch, Task, build_net, training_metrics
from training.evaluation.shape.scores import parse_cars, score_shapes
from training.pictures.shapes import draw_members
from training.tasks.shape_pca.fit import shape_prior

F32 = npt.NDArray[np.float32]

_FIRST_SPREAD = 0.1
"""Deviation of the codes before training."""


class ShapeDataConfig(Section):
    """Which cars, and how many distances of each."""

    cars: int = Field(default=160, ge=2)
    seed: int = Field(default=0, ge=0)
    points: int = Field(default=20_000, ge=10)
    """Distances that are measured about each car, once."""
    drawn: int = Field(default=1024, ge=1)
    """Of those, so many per car and step."""


class ShapeLossConfig(Section):
    """Weights of the loss."""

    near: float = Field(default=0.2, gt=0)
    """Errors count by exp(-|distance| / near), metres, but at least as ``far``."""
    far: float = Field(default=0.1, ge=0)
    code: float = Field(default=1e-4, ge=0)
    """Of the codes' squared lengths: DeepSDF, equation 9."""


class ShapeData:
    """Distances about cars; a sample is some of one car's.

    Args:
        cars: to learn from.
        config: of the shape space.
        points: measured about each.
        drawn: of those, per sample.
    """

    def __init__(
        self, cars: list[ShapeSample], config: ShapeConfig, points: int, drawn: int
    ) -> None:
        jobs = track(cars, description='measuring cars', console=Console(stderr=True))
        measured = [distance_samples(car, config, points, k) for k, car in enumerate(jobs)]
        self._points = np.stack([places for places, _ in measured])
        self._distances = np.stack([distances for _, distances in measured])
        self._drawn = drawn

    def __len__(self) -> int:
        return len(self._points)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return ``car`` (its number), ``points`` (N, 3) and ``distances`` (N,)."""
        rows = rng.integers(self._points.shape[1], size=self._drawn)
        return {
            'car': torch.tensor(index),
            'points': torch.from_numpy(self._points[index, rows]),
            'distances': torch.from_numpy(self._distances[index, rows]),
        }


class ShapeSdfTask(Task):
    """Network and codes from distances.

    The section ``model`` of its config holds the fields of ``ShapeSdfConfig``; ``mean_size`` and
    ``seeds`` are those of the cars. ``validation.data`` names held-out cars as ``cars:SEED``.
    """

    name: ClassVar[str] = 'shape_sdf'

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.data_config = validated(ShapeDataConfig, config.data, 'section data')
        self.loss_config = validated(ShapeLossConfig, config.loss, 'section loss')
        self._cars = draw_cars(self.data_config.cars, self.data_config.seed)
        self._sizes = np.array([car.size for car in self._cars])
        self._family = np.array([FAMILIES.index(car.family) for car in self._cars])
        settings = {
            'mean_size': [float(s) for s in self._sizes.mean(0).round(3)],
            'seeds': len(FAMILIES),
            **MIRRORS,
            **config.model,
        }
        self.model: ShapeSdf = build_net(self.name, settings, config.seed)
        self.codes = nn.Embedding(len(self._cars), self.model.config.components)
        nn.init.normal_(self.codes.weight, std=_FIRST_SPREAD)

    def training_data(self) -> ShapeData:
        """Measure the cars."""
        data = self.data_config
        return ShapeData(self._cars, self.model.config, data.points, data.drawn)

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return loss, terms and outputs; see ``ShapeData.sample`` for the batch."""
        settings, distances = self.loss_config, batch['distances']
        codes = self.codes(batch['car'])
        found = self.model.decode(batch['points'], codes)
        weight = (-distances.abs() / settings.near).exp().clamp(min=settings.far)
        error = (found - distances).abs()
        terms = {
            'distance': (weight * error).mean(),
            'code': codes.square().sum(-1).mean(),
            'surface_mm': 1000 * error[distances.abs() < 0.05].mean(),
        }
        loss = terms['distance'] + settings.code * terms['code']
        return {'loss': loss, 'terms': terms, 'outputs': {'distance': found}}

    def validate(self, data: dict[str, str], limit: int) -> dict[str, float]:
        """Score the nearest members of held-out cars; see ``score_shapes``."""
        self.finish()
        scores = {}
        for name, spec in data.items():
            cars = draw_cars(*parse_cars(spec, limit))
            for key, value in score_shapes(self.model, cars).items():
                scores[f'{name}/{key}'] = value
        return scores

    def pictures(
        self, batch: Batch, outputs: dict[str, Tensor]
    ) -> dict[str, npt.NDArray[np.uint8]]:
        """Draw the families' typical cars."""
        self.finish()
        return {'families': draw_members(self.model, self.model.seeds.numpy().astype(np.float64))}

    def finish(self) -> None:
        """Give the model what the codes say: how latents become codes, the prior, the seeds."""
        codes = self.codes.weight.detach().double().numpy()
        center = codes.mean(0)
        _, deviation, axes = np.linalg.svd(codes - center, full_matrices=False)
        deviation = np.maximum(deviation / np.sqrt(len(codes)), 1e-6)
        latents = (codes - center) @ axes.T / deviation
        self.model.fill({'center': center, 'spread': axes.T * deviation})
        self.model.set_prior(*shape_prior(self._sizes, latents, self._family, len(FAMILIES)))
        self.model.forget()

    def save_checkpoint(self, folder: Path, config: TrainConfig, record: dict[str, Any]) -> None:
        """Write the shape space."""
        self.finish()
        save_checkpoint(
            folder,
            self.model,
            taxonomy=load_taxonomy(),
            metrics=training_metrics(self.model, config, record, None),
            card=card(self.model.config, self.data_config, config, record),
            half=False,
        )


def card(
    model: ShapeSdfConfig, data: ShapeDataConfig, config: TrainConfig, record: dict[str, Any]
) -> str:
    """Return the checkpoint's README."""
    length, width, height = model.mean_size
    return f"""# Shapes of cars, by a network

A DeepSDF auto-decoder of car shapes without mirrors, with the joint Gaussian of size and shape;
`sim_perception.models.shape_sdf` says how it is meant.

- learnt from: {data.cars} cars of the simulator, seed {data.seed}; {data.points} distances of each
- network: {model.layers} layers of {model.hidden}, {model.components} numbers in a latent
- mean box: {length:.2f} x {width:.2f} x {height:.2f} m
- made by `{record['command']}`, {record['step']} steps of {config.batch_size} cars

`python -m training evaluate shape` compares it with the linear space on cars that neither has
seen. The simulator's cars are the only ones it knows; the prior of size is widened so that
others fit.
"""
