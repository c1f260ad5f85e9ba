"""What a crop shows: masks, object coordinates, size, distance and heading, learnt from crops.

``models.surface_coordinates`` has the network, ``training.datasets.objects.crops`` the data.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from sim_perception.models.surface_coordinates import (
    SurfaceCoordinatesNet,
    SurfaceCoordinatesOutput,
)
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from training.datasets.objects.crops import CropFolder
from training.engine.config import Section, TrainConfig, validated
from training.engine.task import Batch, NetworkTask, build_net, preprocess_of, take_encoder
from training.evaluation.surface_coordinates.scores import score_crops
from training.tasks.surface_coordinates.data import CropData, CropDataConfig
from training.tasks.surface_coordinates.pictures import crop_picture


class SurfaceCoordinatesLossConfig(Section):
    """Weights of the losses; 0 switches a loss off."""

    visible: float = Field(default=1.0, ge=0)
    amodal: float = Field(default=0.5, ge=0)
    coordinates: float = Field(default=1.0, ge=0)
    bins: float = Field(default=0.5, ge=0)
    turn: float = Field(default=1.0, ge=0)
    log_size: float = Field(default=2.0, ge=0)
    latent: float = Field(default=0.1, ge=0)
    distance: float = Field(default=0.5, ge=0)


class SurfaceCoordinatesTask(NetworkTask):
    """The coordinates network from crops.

    The section ``model`` of its config holds the fields of ``SurfaceCoordinatesConfig`` and
    ``pretrained`` (ImageNet encoder), ``start`` (a depth and segmentation checkpoint that gives
    the encoder) or ``init`` (an earlier checkpoint of this network). ``validation.data`` names
    folders of crops.
    """

    name: ClassVar[str] = 'surface_coordinates'
    model: SurfaceCoordinatesNet

    def __init__(self, config: TrainConfig, taxonomy: Taxonomy | None = None) -> None:
        super().__init__()
        self.taxonomy = taxonomy or load_taxonomy()
        self.data_config = validated(CropDataConfig, config.data, 'section data')
        self.loss_config = validated(SurfaceCoordinatesLossConfig, config.loss, 'section loss')
        settings = dict(config.model)
        pretrained = bool(settings.pop('pretrained', True))
        init, start = settings.pop('init', None), settings.pop('start', None)
        pretrained = pretrained and not (start or init)
        self.model = build_net(self.name, settings, config.seed, pretrained=pretrained)
        if start is not None:
            take_encoder(self.model.encoder, Path(start))
        if init is not None:
            self.go_on_from(Path(init), self.name)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocess = preprocess_of(self.model.encoder)

    def training_data(self) -> CropData:
        """Open the configured crops."""
        return CropData(self.data_config, self.model.config, self.preprocess)

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return loss, terms and outputs; see ``CropData.sample`` for the batch."""
        output = self.model(batch['image'])
        terms = crop_losses(output, batch)
        total = sum(getattr(self.loss_config, name) * value for name, value in terms.items())
        return {'loss': total, 'terms': terms, 'outputs': output._asdict()}

    def pictures(
        self, batch: Batch, outputs: dict[str, Tensor]
    ) -> dict[str, npt.NDArray[np.uint8]]:
        """Draw crops with the true and the found masks and coordinates."""
        return {'crops': crop_picture(batch, SurfaceCoordinatesOutput(**outputs))}

    def check_validation(self, data: dict[str, str]) -> None:
        """Open what ``validate`` scores.

        Raises:
            DatasetError: if it is unusable.
        """
        for folder in data.values():
            CropFolder([folder])

    def validate(self, data: dict[str, str], limit: int) -> dict[str, float]:
        """Score the present weights on folders of crops; keys are ``name/score``.

        Args:
            data: folders by name.
            limit: greatest number of crops of each, spread evenly.
        """
        net, scores = copy.deepcopy(self.model).eval(), {}
        for name, folder in data.items():
            found = score_crops(net, CropFolder([folder]), self.preprocess, limit)
            scores.update({f'{name}/{key}': value for key, value in found.items()})
        return scores


def crop_losses(output: SurfaceCoordinatesOutput, batch: Batch) -> dict[str, Tensor]:
    """Return the losses by the names of their weights.

    Errors of coordinates and of the distance follow Laplace distributions of predicted scale
    (Kendall and Gal, NeurIPS 2017, section 2.2); headings are a bin and the turn from its middle
    (Mousavian et al., "3D bounding box estimation using deep learning and geometry", CVPR 2017,
    section 4.1), also for the bins beside the right one.
    """
    weight = batch['weight']
    seen = batch['visible']
    terms = {
        'visible': _mean(_bce(output.visible, seen), weight),
        'amodal': _mean(_bce(output.amodal, batch['amodal']), weight),
    }
    error = (output.coordinates - batch['coordinates']).abs().mean(1, keepdim=True)
    likelihood = error * torch.exp(-output.log_error) + output.log_error
    pixels = seen.sum((1, 2, 3)).clamp(min=1)
    terms['coordinates'] = _mean((likelihood * seen).sum((1, 2, 3)) / pixels, weight)
    count = output.bins.shape[1]
    width = 2 * torch.pi / count
    middles = torch.arange(count, device=weight.device) * width
    off = batch['angle'][:, None] - middles
    off = (off + torch.pi) % (2 * torch.pi) - torch.pi
    near = (off.abs() < width).float()
    right = off.abs().argmin(1)
    terms['bins'] = _mean(functional.cross_entropy(output.bins, right, reduction='none'), weight)
    terms['turn'] = _mean(((output.turn - off).abs() * near).sum(1) / near.sum(1), weight)
    terms['log_size'] = _mean((output.log_size - batch['log_size']).abs().mean(1), weight)
    known = batch['latent'].isfinite()
    latent = (output.latent - batch['latent'].nan_to_num()).abs() * known
    terms['latent'] = _mean(latent.mean(1), weight)
    distance = (output.log_distance - batch['log_distance'][:, None]).abs()
    scale = output.log_distance_error
    terms['distance'] = _mean((distance * torch.exp(-scale) + scale)[:, 0], weight)
    return terms


def _bce(logits: Tensor, target: Tensor) -> Tensor:
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction='none')
    return loss.mean((1, 2, 3))


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
