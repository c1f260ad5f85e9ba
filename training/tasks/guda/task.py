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
from pydantic import Field
from torch import Tensor

from sim_perception.geometry.warping import pose_matrix, pose_vector
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint
from sim_perception.models.decoders import upsample
from sim_perception.models.depth_segmentation import (
    MOTION_STRIDE,
    DepthSegmentationNet,
    DepthSegmentationOutput,
)
from sim_perception.models.ego_motion import PASSES, EgoMotionHead, Matches
from sim_perception.taxonomy import Taxonomy
from training.engine.config import ConfigError, TrainConfig
from training.engine.task import Batch
from training.losses import laplace_nll, match_loss, normal_loss
from training.pictures.images import picture_grid, pseudo_label_grid, synthesis_grid
from training.tasks.depth_segmentation.task import DepthSegmentationTask, LossConfig
from training.tasks.guda.data import PARTS, AdaptationDataConfig, MixedData
from training.tasks.guda.focal_lengths import learnt_focal_lengths
from training.tasks.guda.pseudo_labels import (
    ClassThresholds,
    follow,
    mix_classes,
    pseudo_labels,
    weighted_cross_entropy,
)
from training.tasks.guda.view_synthesis import (
    ClipViews,
    hint_loss,
    pose_error,
    real_terms,
    synthesis_loss,
)

Parts = dict[str, DepthSegmentationOutput]

#: What is learnt from real images with depth: normals of matched depth are mostly noise.
REAL_TERMS = ('silog', 'gradient', 'balanced')

#: Depth given to matching where the truth has none (sky), metres.
FAR = 1000.0


class AdaptationLossConfig(LossConfig):
    """Weights of the losses besides the supervised ones; 0 switches a loss off."""

    uncertainty: float = Field(default=0.1, ge=0)
    """Laplace likelihood of the depth error, if the model has ``uncertainty``."""
    normals: float = Field(default=0.1, ge=0)
    """1 - cos between true and predicted normals of simulated images."""
    partial_depth: float = Field(default=0.0, ge=0)
    """View synthesis of simulated clips with the predicted depth and the true motion."""
    partial_motion: float = Field(default=0.0, ge=0)
    """The same with the true depth and the predicted motion."""
    motion: float = Field(default=1.0, ge=0)
    """Error of the predicted motion of simulated clips against the true one."""
    match: float = Field(default=0.1, ge=0)
    """Likelihood of the matches behind the motion of simulated clips, given the true motion."""
    photometric: float = Field(default=1.0, ge=0)
    """View synthesis of real clips with predicted depth and motion."""
    hint: float = Field(default=1.0, ge=0)
    """Depth of real stereo clips against proposals of classical matching that fit better."""
    smoothness: float = Field(default=1e-3, ge=0)
    """Edge-aware smoothness of the inverse depth of real clips."""
    velocity: float = Field(default=0.1, ge=0)
    """Predicted against measured distance of real clips: what makes their scale metric."""
    pseudo_label: float = Field(default=0.0, ge=0)
    """Cross-entropy on real images against a teacher's labels."""
    teacher_momentum: float = Field(default=0.999, gt=0, le=1)
    """The teacher's inertia per step; 1 is a teacher that stays as it starts."""
    teacher: str | None = None
    """Checkpoint folder of another teacher, such as a larger network; it stays as it is. None: the
    network itself as it starts, which follows by ``teacher_momentum``."""
    teacher_threshold: float = Field(default=0.9, ge=0, le=1)
    """Smallest probability of a pseudo-label of the surest class; others need less."""
    mix: float = Field(default=0.5, ge=0, le=1)
    """Share of steps whose real images get simulated objects pasted in."""
    ssim: float = Field(default=0.85, ge=0, le=1)
    """Weight of structural similarity against absolute difference in view synthesis."""
    synthesis_stride: int = Field(default=2, ge=1)
    """Views are synthesised in images smaller by this factor: four times cheaper at 2."""


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
        self.focal_lengths = learnt_focal_lengths(data.real_clips)
        self.teacher: DepthSegmentationNet | None = None
        self.thresholds = ClassThresholds(len(self.taxonomy), loss.teacher_threshold)
        if loss.pseudo_label:
            self.teacher = self._make_teacher().requires_grad_(False)

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
                ``image``, ``clean`` (N, 3, H, W) and ``focal``.
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
            self._virtual_motion(predictions['virtual_clip'], batch['virtual_clip'], weighted)
        if 'real_clip' in predictions:
            outputs |= self._real_clip(predictions['real_clip'], batch['real_clip'], weighted)
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

    def matches(self, log_depth: Tensor, batch: Batch) -> list[Matches]:
        """Return how the target of a part's clips matches every source.

        Args:
            log_depth: (N, 1, h, w) of the target, any resolution.
            batch: the clips' ``frames`` and ``K``, and ``one_pass`` (N,), see ``_match``.
        """
        frames = batch['frames']
        with torch.no_grad():
            features = self.model.motion_features(self._normalized(frames.flatten(0, 1)))
        target, *sources = features.unflatten(0, frames.shape[:2]).unbind(1)
        one_pass = batch['one_pass'] if self.training else torch.zeros_like(batch['one_pass'])
        return [self._match(target, source, log_depth, batch['K'], one_pass) for source in sources]

    def _match(
        self, target: Tensor, source: Tensor, log_depth: Tensor, K: Tensor, one_pass: Tensor
    ) -> Matches:
        """Match in as many passes as at run time; the last one learns.

        The clips of ``one_pass`` (N,) get the first pass only, so that it learns, too.
        """
        motion = None
        with torch.no_grad():
            for _ in range(PASSES - 1):
                found = self.head.matches(target, source, log_depth, K, MOTION_STRIDE, motion)
                motion = torch.where(one_pass[:, None], 0.0, self.head.solve(found))
        return self.head.matches(target, source, log_depth, K, MOTION_STRIDE, motion)

    @property
    def head(self) -> EgoMotionHead:
        """The network's ego-motion head."""
        assert self.model.motion is not None
        return self.model.motion

    def _normalized(self, image: Tensor) -> Tensor:
        """Return (N, H, W, 3) bytes as the network's (N, 3, H, W) input."""
        image = image.permute(0, 3, 1, 2).float()
        mean = image.new_tensor(self.preprocess.mean).view(1, 3, 1, 1)
        std = image.new_tensor(self.preprocess.std).view(1, 3, 1, 1)
        return ((image - mean) / std).contiguous(memory_format=torch.channels_last)

    def _virtual_motion(
        self,
        raw: DepthSegmentationOutput,
        batch: Batch,
        weighted: dict[str, tuple[float, Tensor]],
    ) -> None:
        """Add the terms of simulated clips that need poses."""
        loss = self.loss_config
        views = ClipViews.of(batch, loss.synthesis_stride)
        if loss.partial_depth:
            depth = upsample(raw.log_depth.float(), views.size)[:, 0].exp()
            term, _ = synthesis_loss(views, depth, views.true_poses, loss.ssim)
            weighted['partial_depth'] = (loss.partial_depth, term)
        if loss.match:
            # With the true depth the true motion says exactly how every standing thing moves.
            known = torch.where(torch.isfinite(batch['depth']), batch['depth'], FAR)
            found = self.matches(known.log()[:, None], batch)
            pairs = zip(found, views.true_poses, strict=True)
            losses = [match_loss(m, pose_vector(pose), batch['K']) for m, pose in pairs]
            weighted['match'] = (loss.match, torch.stack(losses).mean())
        if not (loss.motion or loss.partial_motion):
            return
        vectors = [self.head.solve(m) for m in self.matches(raw.log_depth.detach(), batch)]
        if loss.motion:
            weighted['motion'] = (loss.motion, pose_error(vectors, views.true_poses))
        if loss.partial_motion:
            poses = [pose_matrix(vector) for vector in vectors]
            stride = loss.synthesis_stride
            depth = batch['depth'][:, ::stride, ::stride]
            term, _ = synthesis_loss(views, depth, poses, loss.ssim)
            weighted['partial_motion'] = (loss.partial_motion, term)

    def _real_clip(
        self,
        raw: DepthSegmentationOutput,
        batch: Batch,
        weighted: dict[str, tuple[float, Tensor]],
    ) -> dict[str, Tensor]:
        """Add the terms of real clips; return outputs to draw."""
        loss = self.loss_config
        views = ClipViews.of(batch, loss.synthesis_stride)
        depth = upsample(raw.log_depth.float(), views.size)[:, 0].exp()
        # Not detached: motion is solved from depth, so a measured distance corrects depth too.
        vectors = [self.head.solve(m) for m in self.matches(raw.log_depth, batch)]
        terms, outputs = real_terms(views, depth, vectors, loss.ssim)
        if loss.hint and 'hint' in batch:
            stride = loss.synthesis_stride
            hint = batch['hint'][:, ::stride, ::stride]
            terms['hint'] = hint_loss(views, depth, hint, loss.ssim)
        for name, term in terms.items():
            weighted[name] = (getattr(loss, name), term)
        return {f'real_clip/{name}': value for name, value in outputs.items()}

    def _pseudo_labelled(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Return labels and weights of the real images, whose input may get objects pasted in."""
        if self.teacher is None or 'real_image' not in batch:
            return None
        loss = self.loss_config
        if self.training and loss.teacher is None:
            follow(self.teacher, self.model, loss.teacher_momentum)
        part = batch['real_image']
        real = pseudo_labels(self.teacher, part['clean'], part['focal'], self.thresholds())
        if self.training:
            self.thresholds.update(real)
        if 'virtual' not in batch or float(torch.rand(())) >= loss.mix:
            return real.labels, real.weight
        virtual = batch['virtual']
        part['image'], labels, weight = mix_classes(
            virtual['image'], virtual['semantic'], part['image'], real, self.taxonomy.ignore_id
        )
        return labels, weight

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
