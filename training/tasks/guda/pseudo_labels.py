"""Pseudo-labels of a teacher network on real images, and class mixing.

Tarvainen and Valpola, "Mean teachers are better role models" (NeurIPS 2017); class mixing across
domains from Tranheden et al., "DACS" (WACV 2021). A teacher that stands still (momentum 1) is
GUDA's second stage (Guizilini et al., ICCV 2021, section 4.5).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sim_perception.models.decoders import upsample


class PseudoLabels(NamedTuple):
    """What a teacher says about images.

    Attributes:
        labels: (N, H, W) class ids.
        weight: (N, H, W) in [0, 1]: how much each pixel counts.
        confidence: (N, H, W) probability of the winning class.
    """

    labels: Tensor
    weight: Tensor
    confidence: Tensor


@torch.no_grad()
def pseudo_labels(
    teacher: nn.Module, image: Tensor, focal: Tensor, threshold: Tensor | float
) -> PseudoLabels:
    """Label images by the mean over the image and its mirror image.

    Pixels below the threshold do not count; an image counts by the share of its pixels above it,
    so that images the teacher does not understand teach little.

    Args:
        teacher: the depth and segmentation network, in evaluation mode.
        image: (N, 3, H, W) normalised, without changes of appearance.
        focal: (N,) pixels.
        threshold: smallest probability of a label, one for all or (C,) by class.
    """
    size = image.shape[-2:]
    logits = upsample(teacher(image, focal).logits.float(), size)
    mirrored = upsample(teacher(image.flip(-1), focal).logits.float(), size).flip(-1)
    probability = (logits.softmax(1) + mirrored.softmax(1)) / 2
    confidence, labels = probability.max(1)
    needed = threshold[labels] if isinstance(threshold, Tensor) else threshold
    sure = (confidence >= needed).float()
    weight = sure * sure.mean((1, 2), keepdim=True)
    return PseudoLabels(labels, weight, confidence)


def known_labels(labels: Tensor, ignore: int) -> PseudoLabels:
    """Return labels that were made before; where they are unknown they do not count.

    Args:
        labels: (N, H, W) class ids, ``ignore`` where unknown.
        ignore: the class id of unknown pixels.
    """
    sure = (labels != ignore).float()
    weight = sure * sure.mean((1, 2), keepdim=True)
    return PseudoLabels(labels.long().where(sure > 0, 0), weight, sure)


class ClassThresholds(nn.Module):
    """Lower thresholds for classes the teacher is less sure of, so that rare ones are not lost.

    The threshold of a class is the highest one times the class's mean confidence over that of the
    surest class: Wang et al., "FreeMatch" (ICLR 2023), eq. 8, with a fixed highest threshold.
    With one threshold for all, a teacher's people and signs never count, and the student forgets
    them.
    """

    confidence: Tensor

    def __init__(self, classes: int, highest: float, momentum: float = 0.99) -> None:
        super().__init__()
        self.highest, self.momentum = highest, momentum
        self.register_buffer('confidence', torch.full((classes,), highest))

    def forward(self) -> Tensor:
        """Return the (C,) thresholds."""
        return self.highest * self.confidence / self.confidence.max()

    @torch.no_grad()
    def update(self, found: PseudoLabels) -> None:
        """Take note of the confidence in the classes that a batch shows."""
        labels, confidence = found.labels.flatten(), found.confidence.flatten()
        count = torch.zeros_like(self.confidence).index_add_(
            0, labels, torch.ones_like(confidence)
        )
        total = torch.zeros_like(self.confidence).index_add_(0, labels, confidence)
        mean = torch.where(count > 0, total / count.clamp(min=1), self.confidence)
        self.confidence.lerp_(mean, 1 - self.momentum)


def mix_classes(
    virtual_image: Tensor,
    virtual_labels: Tensor,
    real_image: Tensor,
    real: PseudoLabels,
    ignore: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Paste half of the classes of every simulated image over a real one.

    Returns:
        Mixed (N, 3, H, W) images, (N, H, W) labels and weights; pasted pixels weigh 1.
    """
    mask = torch.zeros_like(virtual_labels, dtype=torch.bool)
    for number, labels in enumerate(virtual_labels):
        present = labels.unique()
        present = present[present != ignore]
        order = torch.randperm(len(present), device=present.device)
        chosen = present[order[: (len(present) + 1) // 2]]
        mask[number] = torch.isin(labels, chosen)
    image = torch.where(mask[:, None], virtual_image, real_image)
    labels = torch.where(mask, virtual_labels.long(), real.labels)
    return image, labels, torch.where(mask, 1.0, real.weight)


def weighted_cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Return the mean over all pixels of the weighted cross-entropy.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W) class ids.
        weight: (N, H, W); pixels of weight 0 pull the mean down, they are not left out.
        class_weights: (C,) factor on every pixel's loss by its label, or None.
    """
    loss = functional.cross_entropy(logits, labels.long(), reduction='none')
    if class_weights is not None:
        weight = weight * class_weights.to(weight)[labels.long()]
    return (loss * weight).mean()


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's weights to ``m t + (1 - m) s``; buffers are copied."""
    if momentum >= 1:
        return
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)
    for kept, now in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(now)
