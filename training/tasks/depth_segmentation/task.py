"""Supervised depth and segmentation on simulated data: the source-only baseline."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint
from sim_perception.models.depth_segmentation import (
    DepthSegmentationNet,
    DepthSegmentationOutput,
)
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from training.engine.config import ConfigError, Section, TrainConfig, validated
from training.engine.sampler import TrainingData
from training.engine.task import Batch, NetworkTask, build_net, preprocess_of
from training.evaluation.depth_segmentation.scores import evaluate_engine
from training.evaluation.specs import open_spec
from training.losses import (
    balanced_log_error,
    bootstrapped_cross_entropy,
    gradient_matching,
    silog,
)
from training.pictures.images import picture_grid
from training.tasks.depth_segmentation.data import BagImages, DataConfig, LabelledData


class LossConfig(Section):
    """Weights and settings of the losses."""

    silog: float = Field(default=1.0, ge=0)
    silog_lambda: float = Field(default=0.85, ge=0, le=1)
    gradient: float = Field(default=0.25, ge=0)
    balanced: float = Field(default=0.0, ge=0)
    """Mean absolute log error in which every range of depth counts alike."""
    cross_entropy: float = Field(default=0.5, ge=0)
    hardest: float = Field(default=0.3, gt=0, le=1)
    """Fraction of every image's pixels that the cross-entropy looks at."""
    class_weights: dict[str, float] = Field(default_factory=dict)
    """Class name -> factor on its pixels' cross-entropy; 1 for the others."""
    stride: int = Field(default=2, ge=1)
    """Losses are taken on every stride-th pixel of truth."""


class DepthSegmentationTask(NetworkTask):
    """SILog and gradient matching on log depth, bootstrapped cross-entropy on classes.

    The section ``model`` of its config holds the fields of ``DepthSegmentationConfig`` and
    ``pretrained`` (ImageNet encoder) or ``init`` (an earlier checkpoint's folder), and perhaps
    ``init_parts`` (name of a part -> folder of the checkpoint it comes from) and ``train_only``
    (names of parts such as ``motion``; the others stay as they are).
    """

    name: ClassVar[str] = 'depth_segmentation'
    model: DepthSegmentationNet
    network: ClassVar[str] = 'depth_segmentation'
    data_settings: ClassVar[type[DataConfig]] = DataConfig
    loss_settings: ClassVar[type[LossConfig]] = LossConfig

    def __init__(self, config: TrainConfig, taxonomy: Taxonomy | None = None) -> None:
        super().__init__()
        self.taxonomy = taxonomy or load_taxonomy()
        self.data_config: Any = validated(self.data_settings, config.data, 'section data')
        self.loss_config: Any = validated(self.loss_settings, config.loss, 'section loss')
        settings = dict(config.model)
        pretrained = bool(settings.pop('pretrained', True))
        start = settings.pop('init', None)
        parts = dict(settings.pop('init_parts', None) or {})
        trained = settings.pop('train_only', None)
        settings.setdefault('classes', len(self.taxonomy))
        if settings['classes'] != len(self.taxonomy):
            raise ConfigError(
                f'model.classes is {settings["classes"]} but the taxonomy has {len(self.taxonomy)}'
            )
        self.model = build_net(self.network, settings, config.seed, pretrained=pretrained)
        if start is not None:
            self._start_from(Path(start))
        for part, folder in parts.items():
            self._take_part(part, Path(folder))
        if trained is not None:
            self._freeze_all_but(trained)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocess = preprocess_of(self.model.encoder)
        weights = torch.ones(len(self.taxonomy))
        for class_name, weight in self.loss_config.class_weights.items():
            try:
                weights[self.taxonomy.id_of(class_name)] = weight
            except KeyError as error:
                raise ConfigError(f'loss.class_weights: {error.args[0]}') from error
        self.register_buffer('class_weights', weights, persistent=False)

    def _start_from(self, folder: Path) -> None:
        """Take the weights of an earlier checkpoint (``model.init``).

        Heads that the earlier network did not have start untrained.
        """
        try:
            earlier = load_checkpoint(folder, network=self.network, taxonomy=self.taxonomy)
            weights = self.model.state_dict() | earlier.net.state_dict()
            self.model.load_state_dict(weights)
            self._earlier = earlier.metrics.get('training')
        except (CheckpointError, RuntimeError) as error:
            raise ConfigError(f'model.init: {error}') from error

    def _take_part(self, part: str, folder: Path) -> None:
        """Take the weights of one part, such as ``semantic``, from yet another checkpoint."""
        prefix = f'{part}.'
        try:
            other = load_checkpoint(folder, network=self.network, taxonomy=self.taxonomy)
            weights = {k: v for k, v in other.net.state_dict().items() if k.startswith(prefix)}
            if not weights:
                raise ConfigError(f'model.init_parts: {folder} has no part {part!r}')
            self.model.load_state_dict(self.model.state_dict() | weights)
        except (CheckpointError, RuntimeError) as error:
            raise ConfigError(f'model.init_parts: {error}') from error

    def _freeze_all_but(self, parts: list[str]) -> None:
        """Train only the named parts of the network (``model.train_only``)."""
        known = [name for name, _ in self.model.named_children()]
        if not parts or not set(parts) <= set(known):
            raise ConfigError(f'model.train_only: need some of {", ".join(known)}, got {parts}')
        for name, part in self.model.named_children():
            if name not in parts:
                part.requires_grad_(False)

    def training_data(self) -> TrainingData:
        """Open the configured bags."""
        data = self.data_config
        if not data.bags:
            raise ConfigError('data.bags is empty: name the simulated bags to train on')
        return LabelledData(BagImages(data.bags, data.stride), data, self.preprocess)

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return loss, terms and outputs.

        Args:
            batch: ``image`` (N, 3, H, W) normalised, ``focal`` (N,) pixels, ``K`` (N, 3, 3) its
                intrinsics, ``depth`` (N, H, W) metres with NaN where unknown, ``semantic``
                (N, H, W) class ids.
        """
        image = batch['image'].contiguous(memory_format=torch.channels_last)
        terms, outputs = self.supervised(self.model(image, batch['focal']), batch)
        total = sum(getattr(self.loss_config, name) * value for name, value in terms.items())
        return {'loss': total, 'terms': terms, 'outputs': outputs}

    def supervised(
        self, raw: DepthSegmentationOutput, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the loss terms that need truth, by the names of their weights, and outputs.

        Args:
            raw: predictions at the heads' strides.
            batch: the truth, see ``forward``.
        """
        loss = self.loss_config
        depth = batch['depth'][:, :: loss.stride, :: loss.stride]
        labels = batch['semantic'][:, :: loss.stride, :: loss.stride]
        prediction = raw.resized(*depth.shape[-2:])
        log_depth, logits = prediction.log_depth[:, 0].float(), prediction.logits.float()
        valid = torch.isfinite(depth) & (depth > 0) & (depth < self.data_config.max_depth)
        log_truth = torch.where(valid, depth, 1.0).log()
        terms = {
            'silog': silog(log_depth, log_truth, valid, loss.silog_lambda),
            'gradient': gradient_matching(log_depth, log_truth, valid),
            'cross_entropy': bootstrapped_cross_entropy(
                logits,
                labels,
                fraction=loss.hardest,
                ignore_index=self.taxonomy.ignore_id,
                class_weights=cast(Tensor, self.class_weights) if loss.class_weights else None,
            ),
        }
        if loss.balanced:
            terms['balanced'] = balanced_log_error(log_depth, log_truth, valid)
        return terms, {'log_depth': log_depth, 'logits': logits}

    def pictures(
        self, batch: Batch, outputs: dict[str, Tensor]
    ) -> dict[str, npt.NDArray[np.uint8]]:
        """Draw up to four samples: image, depth, true depth, classes, true classes."""
        return {'prediction': picture_grid(batch, outputs, self.taxonomy, rows=4)}

    def engine(self) -> DepthSegmentationEngine:
        """Return an inference engine with a copy of the present weights."""
        device = str(next(self.model.parameters()).device)
        net = copy.deepcopy(self.model)
        return DepthSegmentationEngine(
            net, self.taxonomy, self.preprocess, device=device, precision='float32'
        )

    def check_validation(self, data: dict[str, str]) -> None:
        """Open what ``validate`` scores.

        Raises:
            DatasetError, BagError: if it is unusable.
        """
        for spec in data.values():
            open_spec(spec, 1)

    def validate(self, data: dict[str, str], limit: int) -> dict[str, float]:
        """Score the present weights; keys are ``name/score``."""
        scores = {}
        engine = self.engine()
        for name, spec in data.items():
            for key, value in evaluate_engine(engine, open_spec(spec, limit)).items():
                scores[f'{name}/{key}'] = value
        return scores
