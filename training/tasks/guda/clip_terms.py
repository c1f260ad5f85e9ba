"""The losses of clips: how the camera moved, and whether one frame can be made of another."""

from __future__ import annotations

import torch
from torch import Tensor

from sim_perception.geometry.warping import pose_matrix, pose_vector
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.decoders import upsample
from sim_perception.models.depth_segmentation import MOTION_STRIDE, DepthSegmentationNet
from sim_perception.models.ego_motion import PASSES, EgoMotionHead, Matches
from training.engine.task import Batch
from training.losses import match_loss
from training.tasks.guda.loss_config import AdaptationLossConfig
from training.tasks.guda.view_synthesis import (
    ClipViews,
    hint_loss,
    pose_error,
    real_terms,
    synthesis_loss,
)

#: Weight and value of losses by name.
Weighted = dict[str, tuple[float, Tensor]]

#: Depth given to matching where the truth has none (sky), metres.
FAR = 1000.0


class ClipTerms:
    """The terms of simulated and real clips under one network.

    Args:
        model: with an ego-motion head.
        preprocess: how images become its inputs.
        loss: the weights.
    """

    def __init__(
        self, model: DepthSegmentationNet, preprocess: PreprocessConfig, loss: AdaptationLossConfig
    ) -> None:
        self.model, self.preprocess, self.loss = model, preprocess, loss

    def simulated(self, log_depth: Tensor, batch: Batch) -> Weighted:
        """Return the terms of simulated clips that need poses.

        Args:
            log_depth: (N, 1, h, w) predicted of the targets, any resolution.
            batch: see ``MixedData``.
        """
        loss, weighted = self.loss, Weighted()
        views = ClipViews.of(batch, loss.synthesis_stride)
        if loss.partial_depth:
            depth = upsample(log_depth.float(), views.size)[:, 0].exp()
            term, _ = synthesis_loss(views, depth, views.true_poses, loss.ssim)
            weighted['partial_depth'] = (loss.partial_depth, term)
        if loss.match:
            # With the true depth the true motion says exactly how every standing thing moves.
            known = torch.where(torch.isfinite(batch['depth']), batch['depth'], FAR)
            found = self._matches(known.log()[:, None], batch)
            pairs = zip(found, views.true_poses, strict=True)
            losses = [match_loss(m, pose_vector(pose), batch['K']) for m, pose in pairs]
            weighted['match'] = (loss.match, torch.stack(losses).mean())
        if not (loss.motion or loss.partial_motion):
            return weighted
        vectors = [self._head.solve(m) for m in self._matches(log_depth.detach(), batch)]
        if loss.motion:
            weighted['motion'] = (loss.motion, pose_error(vectors, views.true_poses))
        if loss.partial_motion:
            poses = [pose_matrix(vector) for vector in vectors]
            stride = loss.synthesis_stride
            depth = batch['depth'][:, ::stride, ::stride]
            term, _ = synthesis_loss(views, depth, poses, loss.ssim)
            weighted['partial_motion'] = (loss.partial_motion, term)
        return weighted

    def real(self, log_depth: Tensor, batch: Batch) -> tuple[Weighted, dict[str, Tensor]]:
        """Return the terms of real clips, and outputs to draw; arguments as for simulated ones."""
        loss = self.loss
        views = ClipViews.of(batch, loss.synthesis_stride)
        depth = upsample(log_depth.float(), views.size)[:, 0].exp()
        # Not detached: motion is solved from depth, so a measured distance corrects depth too.
        vectors = [self._head.solve(m) for m in self._matches(log_depth, batch)]
        terms, outputs = real_terms(views, depth, vectors, loss.ssim)
        if loss.hint and 'hint' in batch:
            stride = loss.synthesis_stride
            hint = batch['hint'][:, ::stride, ::stride]
            terms['hint'] = hint_loss(views, depth, hint, loss.ssim)
        weighted = {name: (float(getattr(loss, name)), term) for name, term in terms.items()}
        return weighted, {f'real_clip/{name}': value for name, value in outputs.items()}

    def _matches(self, log_depth: Tensor, batch: Batch) -> list[Matches]:
        """Return how the target of a part's clips matches every source.

        Args:
            log_depth: (N, 1, h, w) of the target, any resolution.
            batch: the clips' ``frames`` and ``K``, and ``one_pass`` (N,), see ``_match``.
        """
        frames = batch['frames']
        with torch.no_grad():
            features = self.model.motion_features(self._normalized(frames.flatten(0, 1)))
        target, *sources = features.unflatten(0, frames.shape[:2]).unbind(1)
        one_pass = batch['one_pass'] & self.model.training
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
                found = self._head.matches(target, source, log_depth, K, MOTION_STRIDE, motion)
                motion = torch.where(one_pass[:, None], 0.0, self._head.solve(found))
        return self._head.matches(target, source, log_depth, K, MOTION_STRIDE, motion)

    @property
    def _head(self) -> EgoMotionHead:
        """The network's ego-motion head."""
        assert self.model.motion is not None
        return self.model.motion

    def _normalized(self, image: Tensor) -> Tensor:
        """Return (N, H, W, 3) bytes as the network's (N, 3, H, W) input."""
        image = image.permute(0, 3, 1, 2).float()
        mean = image.new_tensor(self.preprocess.mean).view(1, 3, 1, 1)
        std = image.new_tensor(self.preprocess.std).view(1, 3, 1, 1)
        return ((image - mean) / std).contiguous(memory_format=torch.channels_last)
