"""A 3D detector on a plan of the street, learnt from true objects or from automatic labels.

Losses of CenterPoint (Yin et al., CVPR 2021), section 4.1. ``detector3d_data`` has the samples,
``detector3d_targets`` what is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from sim_perception.inference.detector3d import Detector3dEngine
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.detector3d import GEOMETRY, Detector3dNet, Detector3dOutput
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from training.datasets.objects.clouds import cloud_source
from training.datasets.scenes import open_scenes
from training.engine.config import Section, TrainConfig, validated
from training.engine.task import Batch, NetworkTask, build_net, preprocess_of, take_encoder
from training.evaluation.detector3d.scores import score_scenes
from training.losses import centre_focal, weighted_l1
from training.tasks.detector3d.data import (
    Detector3dData,
    Detector3dDataConfig,
)


class Detector3dLossConfig(Section):
    """Weights of the losses; 0 switches a loss off."""

    heat: float = Field(default=1.0, ge=0)
    offset: float = Field(default=2.0, ge=0)
    height: float = Field(default=1.0, ge=0)
    log_size: float = Field(default=2.0, ge=0)
    axis: float = Field(default=1.0, ge=0)
    heading: float = Field(default=0.3, ge=0)


class Detector3dTask(NetworkTask):
    """Boxes of objects from points and image.

    The section ``model`` of its config holds the fields of ``Detector3dConfig`` and ``start``
    (folder of a depth and segmentation checkpoint that gives the image encoder; without it the
    encoder has ImageNet weights) or ``init`` (an earlier checkpoint of this network).
    """

    name: ClassVar[str] = 'detector3d'
    model: Detector3dNet

    def __init__(self, config: TrainConfig, taxonomy: Taxonomy | None = None) -> None:
        super().__init__()
        self.taxonomy = taxonomy or load_taxonomy()
        self.data_config = validated(Detector3dDataConfig, config.data, 'section data')
        self.loss_config = validated(Detector3dLossConfig, config.loss, 'section loss')
        settings = dict(config.model)
        start, init = settings.pop('start', None), settings.pop('init', None)
        fresh = start is None and init is None
        self.model = build_net(self.name, settings, config.seed, pretrained=fresh)
        if start is not None and self.model.encoder is not None:
            take_encoder(self.model.encoder, Path(start))
        if init is not None:
            self.go_on_from(Path(init), self.name)
        encoder = self.model.encoder
        self.preprocess = PreprocessConfig() if encoder is None else preprocess_of(encoder)

    def training_data(self) -> Detector3dData:
        """Open the configured bags and their labels."""
        return Detector3dData(self.data_config, self.model, self.preprocess)

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return loss, terms and outputs; see ``Detector3dData.sample`` for the batch."""
        maps = [batch[key] for key in sorted(k for k in batch if k.startswith('map'))]
        output = self.model(batch['points'], maps)
        terms = self.terms(output, batch)
        total = sum(getattr(self.loss_config, name) * value for name, value in terms.items())
        return {'loss': total, 'terms': terms, 'outputs': output._asdict()}

    def terms(self, output: Detector3dOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the losses by the names of their weights."""
        heat = batch['heat']
        terms = {'heat': centre_focal(output.heat, heat, batch['heat_weight'].expand_as(heat))}
        wanted = batch['values'].split(list(GEOMETRY.values()), 1)
        for name, values in zip(GEOMETRY, wanted, strict=True):
            found = getattr(output, name)
            terms[name] = weighted_l1(found.movedim(1, -1), values.movedim(1, -1), batch['weight'])
        return terms

    def engine(self, threshold: float = 0.1) -> Detector3dEngine:
        """Return an inference engine with a copy of the present weights."""
        device = str(next(self.model.parameters()).device)
        return Detector3dEngine(
            self.model, self.taxonomy, self.preprocess, device=device, threshold=threshold
        )

    def check_validation(self, data: dict[str, str]) -> None:
        """Open what ``validate`` scores.

        Raises:
            DatasetError, BagError: if it is unusable.
        """
        for spec in data.values():
            open_scenes(spec, 1, points=self.data_config.needs_lidar)

    def validate(self, data: dict[str, str], limit: int) -> dict[str, float]:
        """Score the present weights on evaluation SPECs by name; keys are ``name/score``.

        Args:
            data: see ``datasets.scenes.KINDS``.
            limit: greatest number of frames of each.
        """
        source = cloud_source(self.data_config.points, self.data_config.depth_checkpoint)
        scores = {}
        for name, spec in data.items():
            scenes, _ = open_scenes(spec, limit, points=self.data_config.needs_lidar)
            found = score_scenes(self.engine(), scenes, source)
            scores.update({f'{name}/{key}': value for key, value in found.items()})
        return scores
