"""Geometric sim-to-real adaptation: simulated truth and real video in every step.

GUDA, Guizilini et al., "Geometric unsupervised domain adaptation for semantic segmentation"
(ICCV 2021). Simulated images teach depth, classes, surface normals and, as clips with true
poses, view synthesis with one side true (section 4.4 there: true depth with the predicted
motion, and predicted depth with the true motion). Real clips teach by view synthesis alone. Real
images may get pseudo-labels of a teacher. No label of a real image is read.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sim_perception.models.checkpoint import CheckpointError, load_checkpoint
from sim_perception.models.decoders import upsample
from sim_perception.models.depth_segmentation import (
    DepthSegmentationNet,
    DepthSegmentationOutput,
)
from sim_perception.taxonomy import Taxonomy
from training.engine.config import ConfigError, TrainConfig
from training.engine.task import Batch
from training.losses import laplace_nll, normal_loss
from training.pictures.images import picture_grid, pseudo_label_grid, synthesis_grid
from training.tasks.depth_segmentation.task import DepthSegmentationTask
from training.tasks.guda.clip_terms import ClipTerms
from training.tasks.guda.data import PARTS, AdaptationDataConfig, MixedData
from training.tasks.guda.focal_lengths import learnt_focal_lengths
from training.tasks.guda.loss_config import AdaptationLossConfig
from training.tasks.guda.pseudo_labels import (
    ClassThresholds,
    PseudoLabels,
    follow,
    known_labels,
    mix_classes,
    pseudo_labels,
    weighted_cross_entropy,
)

Parts = dict[str, DepthSegmentationOutput]

#: What is learnt from real images with depth: normals of matched depth are mostly noise.
REAL_TERMS = ('silog', 'gradient', 'balanced')


class GudaTask(DepthSegmentationTask):
    """Depth, segmentation and ego-motion from simulated and real images together.

    ``model`` is configured as for ``depth_segmentation``; real clips and the losses of clips need
    ``ego_motion: true``.
    """

    name: ClassVar[str] = 'guda'
    data_settings = AdaptationDataConfig
    loss_settings = AdaptationLossConfig

    def __init__(self, config: TrainConfig, taxonomy: Taxonomy | None = None) -> None:
        super().__init__(config, taxonomy)
        loss, data = self.loss_config, self.data_config
        clips = bool(data.clips and (loss.partial_motion or loss.motion or loss.match))
        if (clips or data.real_clips) and not self.model.config.ego_motion:
            raise ConfigError('data.clips and data.real_clips need model.ego_motion=true')
        if loss.pseudo_label and not data.real_images:
            raise ConfigError('loss.pseudo_label needs data.real_images')
        self._check_class_teachers()
        self.clips = ClipTerms(self.model, self.preprocess, loss)
        self.focal_lengths = learnt_focal_lengths(data.real_clips)
        self.teacher: DepthSegmentationNet | None = None
        self.thresholds = ClassThresholds(len(self.taxonomy), loss.teacher_threshold)
        if loss.pseudo_label and not data.class_teachers.folders:
            self.teacher = self._make_teacher().requires_grad_(False)

    def _check_class_teachers(self) -> None:
        """Raise ``ConfigError`` before hours of training meet what loaders will need."""
        teachers = self.data_config.class_teachers
        if teachers.folders and self.loss_config.teacher is not None:
            raise ConfigError('data.class_teachers and loss.teacher: need one of them')
        if teachers.folders and not self.loss_config.pseudo_label:
            raise ConfigError('data.class_teachers need loss.pseudo_label')
        try:
            teachers.check(self.taxonomy)
        except (CheckpointError, KeyError) as error:
            raise ConfigError(f'data.class_teachers: {error.args[0]}') from error

    def _make_teacher(self) -> DepthSegmentationNet:
        folder = self.loss_config.teacher
        if folder is None:
            return copy.deepcopy(self.model)
        try:
            net = load_checkpoint(folder, network=self.network, taxonomy=self.taxonomy).net
        except CheckpointError as error:
            raise ConfigError(f'loss.teacher: {error}') from error
        teacher = cast(DepthSegmentationNet, net)
        if (teacher.encoder.mean, teacher.encoder.std) != (
            self.preprocess.mean,
            self.preprocess.std,
        ):
            raise ConfigError(f'loss.teacher: {folder} wants images normalised in another way')
        return teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def training_data(self) -> MixedData:
        """Open the configured simulated and real data."""
        return MixedData(self.data_config, self.preprocess)

    def train(self, mode: bool = True) -> GudaTask:
        """Switch modes; the teacher always stays in evaluation mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return loss, terms and outputs.

        Args:
            batch: parts as ``MixedData`` gives them. ``virtual`` is as for
                ``depth_segmentation``; clips see ``view_synthesis.ClipViews``; ``real_image`` has
                ``image``, ``clean`` (N, 3, H, W) and ``focal``, perhaps ``semantic`` (N, H, W) of
                ``data.class_teachers``.
        """
        weighted, outputs = self._weighted_terms(batch)
        total = torch.stack([weight * term for weight, term in weighted.values()]).sum()
        terms = {name: term for name, (_, term) in weighted.items()}
        return {'loss': total, 'terms': terms, 'outputs': outputs}

    def save_checkpoint(self, folder: Path, config: TrainConfig, record: dict[str, Any]) -> None:
        """Write the deployable checkpoint folder; its record tells the learnt focal lengths."""
        if self.focal_lengths is not None:
            record = {**record, 'focal_ratios': self.focal_lengths.ratios()}
        super().save_checkpoint(folder, config, record)

    def diagnose(self, batch: Batch) -> dict[str, float]:
        """Return the norm of every weighted term's gradient at the encoder's last stage.

        Weights are balanced when these are of one order of magnitude; the values of the terms
        say little about that. Nothing if that stage is frozen.
        """
        last = [p for m in self.model.encoder.stages()[-1] for p in m.parameters()]
        shared = [parameter for parameter in last if parameter.requires_grad]
        if not shared:
            return {}
        # In evaluation mode, so that looking does not move the teacher.
        self.eval()
        weighted, _ = self._weighted_terms({part: dict(batch[part]) for part in batch})
        self.train()
        norms = {}
        for name, (weight, term) in weighted.items():
            if weight and term.requires_grad:
                gradients = torch.autograd.grad(
                    weight * term, shared, retain_graph=True, allow_unused=True
                )
                parts = [gradient.norm() for gradient in gradients if gradient is not None]
                norms[f'gradient/{name}'] = float(torch.stack(parts).norm()) if parts else 0.0
        if self.focal_lengths is not None:
            for number, ratio in enumerate(self.focal_lengths.ratios().values()):
                norms[f'focal_ratio/{number}'] = ratio
        return norms

    def _weighted_terms(
        self, batch: Batch
    ) -> tuple[dict[str, tuple[float, Tensor]], dict[str, Tensor]]:
        """Return (weight, term) by name, and outputs to draw."""
        real = self._pseudo_labelled(batch)
        if self.focal_lengths is not None and 'real_clip' in batch:
            batch = {**batch, 'real_clip': self.focal_lengths(batch['real_clip'])}
        predictions = self._predict(batch)
        weighted: dict[str, tuple[float, Tensor]] = {}
        outputs: dict[str, Tensor] = {}
        for part, prefix in (
            ('virtual', ''),
            ('virtual_clip', 'clip_'),
            ('real_depth', 'real_'),
        ):
            if part in predictions:
                terms, drawn = self._virtual(predictions[part], batch[part])
                if part == 'real_depth':
                    # no classes there, and a teacher's errors are not what depth is unsure of
                    terms = {k: terms[k] for k in terms if k in REAL_TERMS}
                for name, term in terms.items():
                    weighted[prefix + name] = (getattr(self.loss_config, name), term)
                outputs.update({f'{part}/{key}': value for key, value in drawn.items()})
        if 'virtual_clip' in predictions:
            log_depth = predictions['virtual_clip'].log_depth
            weighted |= self.clips.simulated(log_depth, batch['virtual_clip'])
        if 'real_clip' in predictions:
            log_depth = predictions['real_clip'].log_depth
            of_clips, to_draw = self.clips.real(log_depth, batch['real_clip'])
            weighted |= of_clips
            outputs |= to_draw
        if real is not None:
            labels, weight = real
            logits = predictions['real_image'].resized(*labels.shape[-2:]).logits.float()
            weights = self.class_weights if self.loss_config.class_weights else None
            term = weighted_cross_entropy(logits, labels, weight, weights)  # type: ignore[arg-type]
            weighted['pseudo_label'] = (self.loss_config.pseudo_label, term)
            outputs |= {'real_image/logits': logits, 'real_image/labels': labels}
            outputs['real_image/weight'] = weight
        return weighted, outputs

    def _predict(self, batch: Batch) -> Parts:
        """Run the network over the target images of all parts, those of one size together."""
        present = [part for part in PARTS if part in batch]
        by_size: dict[torch.Size, list[str]] = {}
        for part in present:
            by_size.setdefault(batch[part]['image'].shape[-2:], []).append(part)
        found: Parts = {}
        for parts in by_size.values():
            found |= self._predict_together(parts, batch)
        return found

    def _predict_together(self, parts: Sequence[str], batch: Batch) -> Parts:
        images = torch.cat([batch[part]['image'] for part in parts])
        focal = torch.cat([batch[part]['focal'] for part in parts])
        raw = self.model(images.contiguous(memory_format=torch.channels_last), focal)
        sizes = [len(batch[part]['image']) for part in parts]
        log_depth, logits = raw.log_depth.split(sizes), raw.logits.split(sizes)
        log_scale = None if raw.log_scale is None else raw.log_scale.split(sizes)
        return {
            part: DepthSegmentationOutput(
                log_depth[k], logits[k], None if log_scale is None else log_scale[k]
            )
            for k, part in enumerate(parts)
        }

    def _virtual(
        self, raw: DepthSegmentationOutput, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the terms that need truth."""
        loss = self.loss_config
        terms, outputs = self.supervised(raw, batch)
        depth = batch['depth'][:, :: loss.stride, :: loss.stride]
        valid = torch.isfinite(depth) & (depth > 0) & (depth < self.data_config.max_depth)
        safe = torch.where(valid, depth, 1.0)
        if loss.normals and 'K' in batch:
            matrix = batch['K'].clone()
            matrix[:, :2] /= loss.stride
            terms['normals'] = normal_loss(outputs['log_depth'], safe, valid, matrix)
        if loss.uncertainty and raw.log_scale is not None:
            log_scale = upsample(raw.log_scale, depth.shape[-2:])[:, 0]
            terms['uncertainty'] = laplace_nll(outputs['log_depth'], safe.log(), log_scale, valid)
        return terms, outputs

    def _pseudo_labelled(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Return labels and weights of the real images, whose input may get objects pasted in."""
        loss = self.loss_config
        if not loss.pseudo_label or 'real_image' not in batch:
            return None
        part = batch['real_image']
        if 'semantic' in part:
            real = known_labels(part['semantic'], self.taxonomy.ignore_id)
        else:
            real = self._ask_teacher(part)
        if 'virtual' not in batch or float(torch.rand(())) >= loss.mix:
            return real.labels, real.weight
        virtual = batch['virtual']
        part['image'], labels, weight = mix_classes(
            virtual['image'], virtual['semantic'], part['image'], real, self.taxonomy.ignore_id
        )
        return labels, weight

    def _ask_teacher(self, part: Batch) -> PseudoLabels:
        """Return what the task's teacher sees, which then follows the network."""
        loss = self.loss_config
        assert self.teacher is not None
        if self.training and loss.teacher is None:
            follow(self.teacher, self.model, loss.teacher_momentum)
        real = pseudo_labels(self.teacher, part['clean'], part['focal'], self.thresholds())
        if self.training:
            self.thresholds.update(real)
        return real

    def pictures(
        self, batch: Batch, outputs: dict[str, Tensor]
    ) -> dict[str, npt.NDArray[np.uint8]]:
        """Draw predictions on simulated images, view synthesis and pseudo-labels on real ones."""
        drawn: dict[str, npt.NDArray[np.uint8]] = {}
        for part in PARTS:
            mine = {
                key.removeprefix(f'{part}/'): value
                for key, value in outputs.items()
                if key.startswith(f'{part}/')
            }
            if not mine:
                continue
            if part == 'real_clip':
                drawn[part] = synthesis_grid(batch[part], mine, rows=4)
            elif part == 'real_image':
                drawn[part] = pseudo_label_grid(batch[part], mine, self.taxonomy, rows=4)
            else:
                drawn[part] = picture_grid(batch[part], mine, self.taxonomy, rows=4)
        return drawn
