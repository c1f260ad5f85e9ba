"""Adversarial adaptation with privileged information.

SPIGAN, Lee et al., "SPIGAN: Privileged adversarial learning from simulation" (ICLR 2019). A
generator makes simulated images look real while a discriminator tells them apart; the task
network learns from simulated images and from their translations, whose labels are still true;
and a privileged network must find the simulator's depth in both, so that translation cannot
bend the scene. Switching terms off gives its relatives: without ``privileged`` it is SPIGAN-no-PI,
with ``pixel`` instead SimGAN (Shrivastava et al., CVPR 2017), with ``cycle`` CycleGAN with
semantic consistency (Zhu et al., ICCV 2017; CyCADA, Hoffman et al., ICML 2018).
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from sim_perception.geometry.warping import normals_from_depth
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.decoders import Decoder, upsample
from sim_perception.models.depth_segmentation import INITIAL_DEPTH
from sim_perception.models.translation import TranslationConfig, TranslationNet
from sim_perception.taxonomy import Taxonomy
from training.engine.config import ConfigError, OptimizerConfig, TrainConfig
from training.engine.task import Batch
from training.losses.normals import smooth_surface
from training.metrics.domain_gap import DomainGap
from training.pictures.images import translation_grid
from training.tasks.depth_segmentation.task import DepthSegmentationTask, LossConfig
from training.tasks.guda.data import AdaptationDataConfig, MixedData
from training.tasks.spigan.adversarial import (
    PatchDiscriminator,
    discriminator_loss,
    feature_distance,
    generator_loss,
    matched_weights,
)

GAN_BETAS = (0.5, 0.999)
"""AdamW's for the players: a long memory of an opponent that moves makes them swing."""
PRIVILEGED_CHANNELS = {'depth': 1, 'normals': 3, 'edges': 1}
PERCEPTUAL_STAGES = 4


class SpiganLossConfig(LossConfig):
    """Weights of the terms; 0 switches one off. Defaults are the paper's (section 3).

    Only the generator has several terms to weigh against each other (the others' optimizer does
    not care for scale), so what counts is the gradients of ``adversarial``, ``task``,
    ``privileged`` and ``perceptual`` at the translated image. The paper's weights are those of
    its networks; the shipped configs have weights by measured gradients.
    """

    adversarial: float = Field(default=1.0, ge=0)
    """The generator's against the discriminator."""
    task: float = Field(default=0.5, ge=0)
    """The supervised losses, of simulated and of translated images."""
    privileged: float = Field(default=0.1, ge=0)
    """Privileged information found in simulated and in translated images."""
    perceptual: float = Field(default=0.33, ge=0)
    """Distance of the encoder's features of an image and its translation."""
    pixel: float = Field(default=0.0, ge=0)
    """Distance of an image's pixels from their translation: SimGAN's self-regularisation."""
    cycle: float = Field(default=0.0, ge=0)
    """Distance of an image, translated there and back, from itself."""
    matched: bool = False
    """Let discriminators count every class as often in real images, where the network that
    training began with tells it, as in made ones."""
    information: Literal['depth', 'normals', 'edges'] = 'depth'
    """What is privileged: depth, surface normals, or edges of depth and classes."""


class SpiganTask(DepthSegmentationTask):
    """A depth and segmentation network that learns from translated simulated images.

    ``model`` is as for ``depth_segmentation`` and may hold ``generator`` (fields of
    ``TranslationConfig``) and ``discriminator``: ``width``, ``layers``, ``rate``, a factor on its
    learning rate (the paper trains it more often than the generator), and ``noise``, the standard
    deviation of what is added to all images that it sees, real ones too, on the network's scale
    of -1 to 1, so that it cannot win by traces finer than that (instance noise, Sonderby et al.,
    "Amortised MAP inference for image super-resolution", ICLR 2017, section 4.3).
    """

    name: ClassVar[str] = 'spigan'
    data_settings = AdaptationDataConfig
    loss_settings = SpiganLossConfig

    def __init__(self, config: TrainConfig, taxonomy: Taxonomy | None = None) -> None:
        model = dict(config.model)
        generator = dict(model.pop('generator', None) or {})
        discriminator = dict(model.pop('discriminator', None) or {})
        self.discriminator_rate = float(discriminator.pop('rate', 2.0))
        self.discriminator_noise = float(discriminator.pop('noise', 0.0))
        if self.discriminator_noise < 0:
            raise ConfigError('model.discriminator.noise must not be negative')
        super().__init__(config.model_copy(update={'model': model}), taxonomy)
        data, loss = self.data_config, self.loss_config
        if not data.bags or not data.real_images or data.clips or data.real_clips:
            raise ConfigError('spigan needs data.bags and data.real_images, and no clips')
        both = ['to_real', 'to_simulated'] if loss.cycle else ['to_real']
        try:
            shape = TranslationConfig(**generator)
            self.generators = nn.ModuleDict({name: TranslationNet(shape) for name in both})
            self.discriminators = nn.ModuleDict(
                {name: PatchDiscriminator(**discriminator) for name in both}
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f'model.generator or model.discriminator: {error}') from error
        # What translation must keep is judged by a network that does not follow it.
        self.source = copy.deepcopy(self.model).requires_grad_(False)
        self.privileged = (
            Decoder(
                self.source.encoder.channels, (96, 64, 48), PRIVILEGED_CHANNELS[loss.information]
            )
            if loss.privileged
            else None
        )
        if self.privileged is not None and loss.information == 'depth':
            # a usual depth, or the first steps only learn that depth is not 1 m
            assert self.privileged.head.bias is not None
            nn.init.constant_(self.privileged.head.bias, math.log(INITIAL_DEPTH))
        self.gap = DomainGap()

    def training_data(self) -> MixedData:
        """Open the configured simulated and real images."""
        return MixedData(self.data_config, self.preprocess)

    def train(self, mode: bool = True) -> SpiganTask:
        """Switch modes; the judging network always stays in evaluation mode."""
        super().train(mode)
        self.source.eval()
        return self

    def parameter_groups(self, optimizer: OptimizerConfig) -> list[dict[str, Any]]:
        """Give the players a short memory, and the discriminators their own learning rate."""
        players = {id(p) for p in self.generators.parameters()}
        judges = {id(p) for p in self.discriminators.parameters()}
        groups = []
        for base in super().parameter_groups(optimizer):
            kinds = [
                ({}, [p for p in base['params'] if id(p) not in players | judges]),
                ({'betas': GAN_BETAS}, [p for p in base['params'] if id(p) in players]),
                (
                    {'betas': GAN_BETAS, 'lr': base['lr'] * self.discriminator_rate},
                    [p for p in base['params'] if id(p) in judges],
                ),
            ]
            groups += [{**base, **change, 'params': chosen} for change, chosen in kinds if chosen]
        return groups

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return loss, terms and outputs.

        Args:
            batch: parts as ``MixedData`` gives them: ``virtual`` as for ``depth_segmentation``,
                and ``real_image`` with ``clean`` (N, 3, H, W).
        """
        virtual, real = batch['virtual'], batch['real_image']['clean']
        image = virtual['image']
        made = self.generators['to_real'](image)
        weighted: dict[str, tuple[float, Tensor]] = {}
        loss = self.loss_config
        with torch.no_grad():
            seen = self.source.encode(real)
        self.gap.add('real', seen[-1])
        classes = None
        if loss.matched:
            with torch.no_grad():
                told = self.source.semantic(seen).argmax(1)
            classes = told, virtual['semantic'].long()
        self._play('to_real', real, made, classes, weighted)
        if loss.cycle:
            back = self.generators['to_simulated'](real)
            swapped = None if classes is None else (classes[1], classes[0])
            self._play('to_simulated', image, back, swapped, weighted)
            returned = (self.generators['to_simulated'](made) - image).abs().mean()
            again = (self.generators['to_real'](back) - real).abs().mean()
            weighted['cycle'] = (loss.cycle, returned + again)
        if loss.pixel:
            weighted['pixel'] = (loss.pixel, (made - image).abs().mean())
        outputs = self._supervise(virtual, made, weighted)
        self._keep(virtual, made, weighted, outputs)
        terms = {name: term for name, (_, term) in weighted.items()}
        total = torch.stack([weight * term for weight, term in weighted.values()]).sum()
        return {'loss': total, 'terms': terms, 'outputs': {**outputs, 'made': made}}

    def _play(
        self,
        name: str,
        real: Tensor,
        made: Tensor,
        classes: tuple[Tensor, Tensor] | None,
        weighted: dict[str, tuple[float, Tensor]],
    ) -> None:
        """Add the losses of a generator and of its discriminator.

        Args:
            name: of both.
            real: images of the domain that is played for.
            made: the generator's images.
            classes: of both, if those matter.
            weighted: the losses.
        """
        judge = self.discriminators[name]
        assert isinstance(judge, PatchDiscriminator)
        prefix = '' if name == 'to_real' else 'back_'
        of_real, of_made = judge(self._noisy(real)), judge(self._noisy(made.detach()))
        weights: tuple[Tensor | None, Tensor | None] = (None, None)
        if classes is not None:
            weights = matched_weights(*classes, of_made.shape[-2:])
        weighted[f'{prefix}discriminator'] = (1.0, discriminator_loss(of_real, of_made, weights))
        answer = judge.fixed(self._noisy(made))
        weighted[f'{prefix}generator'] = (
            self.loss_config.adversarial,
            generator_loss(answer, weights[1]),
        )
        # Balance of the game: both at .5 means that the judge cannot tell.
        weighted[f'{prefix}answer_real'] = (0.0, of_real.detach().mean())
        weighted[f'{prefix}answer_made'] = (0.0, of_made.detach().mean())

    def _noisy(self, image: Tensor) -> Tensor:
        """Return an image as a discriminator sees it."""
        if not self.discriminator_noise:
            return image
        return image + self.discriminator_noise * torch.randn_like(image)

    def _supervise(
        self, virtual: Batch, made: Tensor, weighted: dict[str, tuple[float, Tensor]]
    ) -> dict[str, Tensor]:
        """Add the task's losses of simulated images and of their translations."""
        outputs: dict[str, Tensor] = {}
        for prefix, image in (('', virtual['image']), ('made_', made)):
            image = image.contiguous(memory_format=torch.channels_last)
            terms, outputs = self.supervised(self.model(image, virtual['focal']), virtual)
            for name, term in terms.items():
                weight = self.loss_config.task * getattr(self.loss_config, name)
                weighted[prefix + name] = (weight, term)
        return outputs

    def _keep(
        self,
        virtual: Batch,
        made: Tensor,
        weighted: dict[str, tuple[float, Tensor]],
        outputs: dict[str, Tensor],
    ) -> None:
        """Add what the translation must keep: features and privileged information."""
        loss = self.loss_config
        before = self.source.encode(virtual['image'])
        after = self.source.encode(made)
        self.gap.add('simulated', before[-1])
        self.gap.add('made', after[-1])
        if loss.perceptual:
            distance = feature_distance(after[:PERCEPTUAL_STAGES], before[:PERCEPTUAL_STAGES])
            weighted['perceptual'] = (loss.perceptual, distance)
        if self.privileged is None:
            return
        truth, valid = privileged_truth(virtual, loss.information, self.data_config.max_depth)
        errors = []
        for features in (before, after):
            found = upsample(self.privileged(features), truth.shape[-2:])
            difference = (found - truth).abs().mean(1)
            errors.append((difference * valid).sum() / valid.sum().clamp(min=1))
            outputs['privileged'] = found
        weighted['privileged'] = (loss.privileged, torch.stack(errors).sum())

    def diagnose(self, batch: Batch) -> dict[str, float]:
        """Return how far made and simulated images are from real ones, of the last images."""
        found = {
            f'gap/{domain}': self.gap.distance(domain, 'real') for domain in ('simulated', 'made')
        }
        return {name: value for name, value in found.items() if value is not None}

    def pictures(
        self, batch: Batch, outputs: dict[str, Tensor]
    ) -> dict[str, npt.NDArray[np.uint8]]:
        """Draw simulated images, their translations, what is found in these, and real images."""
        return {'translation': translation_grid(batch, outputs, self.taxonomy, rows=4)}

    def save_checkpoint(self, folder: Path, config: TrainConfig, record: dict[str, Any]) -> None:
        """Write the task network, and beside it in ``translator`` what ``translate`` needs."""
        super().save_checkpoint(folder, config, record)
        save_checkpoint(
            folder.parent / 'translator',
            self.generators['to_real'],
            taxonomy=self.taxonomy,
            preprocess=self.preprocess.to_dict(),
            metrics={'training': {**record, 'config': config.model_dump(mode='json')}},
            card=TRANSLATOR_CARD.format(command=record.get('command', '')),
        )


TRANSLATOR_CARD = """# translation

Turns simulated images into images in the style of the real ones it was trained with; labels stay
true. Use it with `python -m training translate BAG --checkpoint FOLDER --out BAG`.

Made by `{command}`.
"""


def privileged_truth(batch: Batch, information: str, max_depth: float) -> tuple[Tensor, Tensor]:
    """Return (N, C, H, W) privileged information and (N, H, W) where it is known.

    Args:
        batch: ``depth`` and ``semantic`` (N, H, W) and ``K`` (N, 3, 3).
        information: ``depth``: its logarithm; ``normals``: unit vectors, on smooth surfaces;
            ``edges``: 1 where the class or the surface changes to the next pixel.
        max_depth: depth beyond it is not known.
    """
    depth = batch['depth']
    valid = torch.isfinite(depth) & (depth > 0) & (depth < max_depth)
    safe = torch.where(valid, depth, 1.0)
    if information == 'depth':
        return safe.log()[:, None], valid
    if information == 'normals':
        return normals_from_depth(safe, batch['K']), smooth_surface(safe, valid)
    labels = batch['semantic'].long()
    edges = torch.zeros_like(safe)
    edges[:, :, 1:] = (labels[:, :, 1:] != labels[:, :, :-1]).float()
    edges[:, 1:] = torch.maximum(edges[:, 1:], (labels[:, 1:] != labels[:, :-1]).float())
    jump = ~smooth_surface(safe, valid, threshold=0.2) & valid
    return torch.maximum(edges, jump.float())[:, None], torch.ones_like(valid)
