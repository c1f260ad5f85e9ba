"""How far a translation keeps a simulated scene, and how near it comes to real images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from sim_perception.inference.backend import choose_device
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.preprocess import preprocess
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.depth_segmentation import DepthSegmentationNet
from sim_perception.types import Frame
from training.datasets.sample import DatasetError
from training.evaluation.report import Track, frames_of, record_of
from training.evaluation.specs import MAX_DEPTH, EvaluationData, open_spec
from training.metrics import ConfusionMatrix, DepthMetrics
from training.metrics.domain_gap import DomainGap
from training.simulation.translate import Translator

DOMAINS = ('simulated', 'made')


class Judge:
    """A depth and segmentation network that tells what an image shows, and its features.

    Args:
        checkpoint: its folder.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        CheckpointError: for an unusable checkpoint or one of another network.
    """

    def __init__(self, checkpoint: Path, device: str = 'auto') -> None:
        self.engine = DepthSegmentationEngine.load(checkpoint, device=device)
        net = cast(DepthSegmentationNet, load_checkpoint(checkpoint).net).eval()
        self._device = choose_device(device)
        self._net = net.to(self._device)

    @torch.inference_mode()
    def features(self, frame: Frame) -> Tensor:
        """Return the (1, C, h, w) coarsest features of a frame."""
        image = preprocess([frame], self.engine.preprocess).image.to(self._device)
        return self._net.encoder(image)[-1].cpu()


def evaluate_translator(
    translator: Translator,
    judge: Judge,
    data: EvaluationData,
    real: EvaluationData | None = None,
    track: Track[Any] | None = None,
) -> dict[str, float]:
    """Return what a judge that never saw translations finds in them.

    SPIGAN (Lee et al., ICLR 2019) claims that privileged information keeps translation from
    bending the scene; then depth and classes found in a translated image still agree with the
    simulator's truth.

    Args:
        translator: turns simulated images into others.
        judge: the same for all translators that are compared.
        data: simulated frames with depth and classes.
        real: images of the domain that is aimed at; their labels are not read.
        track: wraps the frames in a progress display.

    Returns:
        ``abs_rel`` and ``miou`` of the judge on translated images, each also with ``_simulated``
        behind it for the images as they were, and ``_change``, their ratio minus 1; ``pixels``,
        the mean absolute change in grey levels; with ``real`` ``gap`` and ``gap_simulated``, the
        kernel distance (KID) of the judge's features to those of the real images.

    Raises:
        DatasetError: if the simulated frames have no depth or no classes.
    """
    depths = {domain: DepthMetrics(max_depth=MAX_DEPTH) for domain in DOMAINS}
    classes = {domain: ConfusionMatrix(len(judge.engine.taxonomy.names)) for domain in DOMAINS}
    gap = DomainGap()
    changes = []
    for sample in track(data, len(data)) if track else data:
        if sample.depth is None or sample.semantic is None:
            raise DatasetError(f'{sample.name} has no depth or no classes; name simulated frames')
        made = replace(sample, image=translator(sample.image))
        for domain, frame in zip(DOMAINS, (sample, made), strict=True):
            shown = Frame(frame.stamp, frame.image, frame.camera)
            result = judge.engine.infer(shown)
            depths[domain].update(result.depth, sample.depth)
            classes[domain].update(result.segmentation, sample.semantic)
            gap.add(domain, judge.features(shown))
        changes.append(float(abs(made.image.astype(float) - sample.image).mean()))
    for frame in real or ():
        gap.add('real', judge.features(Frame(frame.stamp, frame.image, frame.camera)))
    scores: dict[str, float] = {}
    for name, of in (
        ('abs_rel', lambda domain: depths[domain].compute()['abs_rel']),
        ('miou', lambda domain: classes[domain].miou()),
    ):
        before, after = (of(domain) for domain in DOMAINS)
        scores |= {name: after, f'{name}_simulated': before, f'{name}_change': after / before - 1}
    scores['pixels'] = sum(changes) / len(changes)
    for domain, key in (('made', 'gap'), ('simulated', 'gap_simulated')):
        distance = gap.distance(domain, 'real') if real else None
        if distance is not None:
            scores[key] = distance
    return scores


def evaluate_translation(
    checkpoint: Path,
    spec: str,
    judge: Path,
    *,
    real: str | None = None,
    limit: int | None = None,
    device: str = 'auto',
) -> dict[str, Any]:
    """Score a translator on simulated images; see ``evaluate_translator``.

    Args:
        checkpoint: a run's ``translator`` folder.
        spec: simulated frames with depth and classes, see ``evaluation.specs``.
        judge: checkpoint folder of a depth and segmentation network.
        real: images of the domain that is aimed at, or None.
        limit: greatest number of frames, and of real images.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DatasetError: for unusable data.
        CheckpointError: for an unusable checkpoint.
    """
    data = open_spec(spec, limit)
    scores = evaluate_translator(
        Translator(checkpoint, device),
        Judge(judge, device),
        data,
        open_spec(real, limit) if real else None,
        frames_of(spec),
    )
    return record_of('translation', spec, scores, frames=len(data), checkpoint=str(checkpoint))
