"""What the engine asks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from sim_perception.models.registry import build_model, name_of
from sim_perception.taxonomy import Taxonomy
from training.cards.writer import write_card
from training.engine.config import ConfigError, OptimizerConfig, TrainConfig
from training.engine.sampler import TrainingData

Batch = dict[str, Any]


class Task(nn.Module, ABC):
    """A method to train: data, network and losses. One subclass per method.

    ``forward(batch)`` returns ``{'loss': scalar, 'terms': {name: scalar}, 'outputs': {...}}``.
    ``terms`` are logged; ``outputs`` go to ``pictures``.
    """

    name: ClassVar[str]

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return loss, terms and outputs of a batch."""

    @abstractmethod
    def training_data(self) -> TrainingData:
        """Return the samples to train on.

        Raises:
            ConfigError: if the data named in the config is absent or unusable.
        """

    def parameter_groups(self, optimizer: OptimizerConfig) -> list[dict[str, Any]]:
        """Return AdamW groups: norms and biases are not decayed (they set scale, not shape)."""
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for parameter in self.parameters():
            if parameter.requires_grad:
                (decayed if parameter.ndim > 1 else plain).append(parameter)
        rate = optimizer.learning_rate
        return [
            {'params': decayed, 'lr': rate, 'weight_decay': optimizer.weight_decay},
            {'params': plain, 'lr': rate, 'weight_decay': 0.0},
        ]

    def pictures(
        self, batch: Batch, outputs: dict[str, Tensor]
    ) -> dict[str, npt.NDArray[np.uint8]]:
        """Return (H, W, 3) RGB pictures of a batch and its outputs by name."""
        return {}

    def diagnose(self, batch: Batch) -> dict[str, float]:
        """Return numbers about a batch that are too costly for every step, by name."""
        return {}

    def check_validation(self, data: dict[str, str]) -> None:
        """Raise what ``validate`` would of absent or unusable data, before a run begins."""

    def validate(self, data: dict[str, str], limit: int) -> dict[str, float]:
        """Score the present weights on evaluation SPECs by name; keys are ``name/score``."""
        return {}

    def save_checkpoint(self, folder: Path, config: TrainConfig, record: dict[str, Any]) -> None:
        """Write the deployable checkpoint folder with the present weights.

        ``record`` says how the weights were made: command, data, steps, scores.
        """


class NetworkTask(Task):
    """A task that trains one network and ships it as a checkpoint folder.

    Attributes:
        model: the network.
        taxonomy: its class list.
        preprocess: how images become its inputs.
    """

    model: nn.Module
    taxonomy: Taxonomy
    preprocess: PreprocessConfig
    _earlier: dict[str, Any] | None = None

    def parameter_groups(self, optimizer: OptimizerConfig) -> list[dict[str, Any]]:
        """Give a pretrained encoder its smaller learning rate."""
        groups = super().parameter_groups(optimizer)
        encoder = getattr(self.model, 'encoder', None)
        if encoder is None:
            return groups
        return with_slow_encoder(groups, encoder, optimizer.encoder_factor)

    def go_on_from(self, folder: Path, network: str) -> None:
        """Take all weights of an earlier checkpoint of this network (``model.init``).

        Raises:
            ConfigError: if there is none that fits.
        """
        try:
            earlier = load_checkpoint(folder, network=network, taxonomy=self.taxonomy)
            self.model.load_state_dict(earlier.net.state_dict())
        except (CheckpointError, RuntimeError) as error:
            raise ConfigError(f'model.init: {error}') from error
        self._earlier = earlier.metrics.get('training')

    def save_checkpoint(self, folder: Path, config: TrainConfig, record: dict[str, Any]) -> None:
        """Write the deployable checkpoint folder with its card."""
        metrics = training_metrics(self.model, config, record, self._earlier)
        save_checkpoint(
            folder,
            self.model,
            taxonomy=self.taxonomy,
            preprocess=self.preprocess.to_dict(),
            metrics=metrics,
            card=write_card(name_of(self.model), metrics),
        )


def build_net(
    network: str, settings: Mapping[str, Any], seed: int, *, pretrained: bool = False
) -> Any:
    """Build the network of a run; fresh layers start alike in every run and process.

    Args:
        network: registered name.
        settings: the section ``model`` without what is not the network's.
        seed: of the run.
        pretrained: give the encoder ImageNet weights.

    Raises:
        ConfigError: for settings that the network does not take.
    """
    torch.manual_seed(seed)
    try:
        return build_model(network, settings, pretrained=pretrained)
    except (ValueError, TypeError) as error:
        raise ConfigError(f'bad configuration in section model: {error}') from error


def preprocess_of(encoder: Any) -> PreprocessConfig:
    """Return how images are prepared for an encoder."""
    return PreprocessConfig(mean=encoder.mean, std=encoder.std)


def take_encoder(encoder: nn.Module, folder: Path) -> None:
    """Give an image encoder the weights of a depth and segmentation checkpoint (``model.start``).

    The encoder may lack the other's last stages.

    Raises:
        ConfigError: if there is none that fits.
    """
    try:
        other: Any = load_checkpoint(folder, network='depth_segmentation').net
        weights = other.encoder.state_dict()
        encoder.load_state_dict({key: weights[key] for key in encoder.state_dict()})
    except (CheckpointError, RuntimeError, KeyError) as error:
        raise ConfigError(f'model.start: {error}') from error


def with_slow_encoder(
    groups: list[dict[str, Any]], encoder: nn.Module, factor: float
) -> list[dict[str, Any]]:
    """Split optimizer groups so that the parameters of an encoder learn at ``factor`` times the
    rate."""
    inside = {id(p) for p in encoder.parameters()}
    split = []
    for base in groups:
        for scale, member in ((1.0, False), (factor, True)):
            chosen = [p for p in base['params'] if (id(p) in inside) == member]
            if chosen:
                split.append({**base, 'params': chosen, 'lr': base['lr'] * scale})
    return split


def training_metrics(
    net: nn.Module, config: TrainConfig, record: dict[str, Any], earlier: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what a checkpoint's ``metrics.json`` says of its making.

    Args:
        net: the trained network.
        config: of the run.
        record: command, data, steps.
        earlier: the same of the run it started from, if any.
    """
    training = {
        **record,
        'parameters': sum(parameter.numel() for parameter in net.parameters()),
        'config': config.model_dump(mode='json'),
    }
    if earlier is not None:
        training['earlier'] = earlier
    return {'training': training}
