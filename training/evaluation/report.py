"""The verb ``evaluate``: scores a checkpoint on any data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.models.checkpoint import load_checkpoint, update_checkpoint
from training.cards.writer import write_card
from training.datasets.sample import DatasetError, require_truth
from training.engine.command import command_line
from training.evaluation.depth_segmentation.scores import evaluate_engine
from training.evaluation.specs import open_spec
from training.evaluation.visual_odometry.evaluate import evaluate_odometry, open_posed

T = TypeVar('T')


def evaluate_depth_segmentation(
    checkpoint: Path,
    spec: str,
    *,
    json_file: Path | None = None,
    pictures: Path | None = None,
    limit: int | None = None,
    device: str = 'auto',
    record: bool = False,
    beside: Path | None = None,
    crop: float = 1.0,
    prior: str | None = None,
) -> dict[str, Any]:
    """Score a checkpoint, print a table, and write the scores as JSON.

    With ``crop`` below 1 the network sees the middle of every image, as by a camera of longer
    focal length; ``abs_rel_whole`` is then the error at the same pixels when it sees all, and
    ``camera_change`` by how much the other camera changes it.

    Args:
        checkpoint: checkpoint folder of a depth_segmentation network.
        spec: see ``evaluation.specs``.
        json_file: where to write the scores, or None.
        pictures: folder for one PNG per frame, or None.
        limit: greatest number of frames, spread evenly.
        device: ``auto``, ``cpu`` or ``cuda``.
        crop: share of width and height that the network sees.
        prior: data of the same camera whose mean depth is printed as the answer to beat.
        record: also keep the scores in the checkpoint's ``metrics.json`` and card.
        beside: a checkpoint whose kept scores on the same data the card shall show, too.

    Raises:
        DatasetError, BagError: for unusable data.
        CheckpointError: for an unusable checkpoint.
    """
    data = open_spec(spec, limit, crop)
    engine = DepthSegmentationEngine.load(checkpoint, device=device)
    progress = frames_of(spec)
    known = None if prior is None else open_spec(prior, None, crop)
    scores = evaluate_engine(engine, data, pictures=pictures, track=progress, prior=known)
    require_truth(bool(scores), spec)
    if crop < 1 and 'abs_rel' in scores:
        whole = evaluate_engine(engine, replace(data, crop=1.0, window=crop), track=progress)
        scores['abs_rel_whole'] = whole['abs_rel']
        scores['camera_change'] = scores['abs_rel'] / whole['abs_rel'] - 1
    return report(
        'depth_segmentation',
        checkpoint,
        spec,
        len(data),
        scores,
        json_file=json_file,
        record=record,
        beside=beside,
    )


def evaluate_visual_odometry(
    checkpoint: Path,
    spec: str,
    *,
    json_file: Path | None = None,
    limit: int | None = None,
    device: str = 'auto',
    record: bool = False,
) -> dict[str, Any]:
    """Score a checkpoint's ego-motion against true poses; see ``evaluate_depth_segmentation``.

    Args:
        spec: see ``evaluation.visual_odometry``.

    Raises:
        DatasetError: for unusable data.
        CheckpointError: for an unusable checkpoint.
        ValueError: for a network without an ego-motion head.
    """
    frames = open_posed(spec)
    engine = DepthSegmentationEngine.load(checkpoint, device=device)
    scores = evaluate_odometry(engine, frames, limit=limit, track=frames_of(spec))
    pairs = int(scores['pairs'])
    return report(
        'visual_odometry', checkpoint, spec, pairs, scores, json_file=json_file, record=record
    )


def evaluate_translation(
    checkpoint: Path,
    spec: str,
    judge: Path,
    *,
    real: str | None = None,
    json_file: Path | None = None,
    limit: int | None = None,
    device: str = 'auto',
) -> dict[str, Any]:
    """Score a translator on simulated images; see ``evaluation.translation``.

    Args:
        checkpoint: a run's ``translator`` folder.
        spec: simulated frames with depth and classes, see ``evaluation.specs``.
        judge: checkpoint folder of a depth and segmentation network.
        real: images of the domain that is aimed at, or None.
        json_file: where to write the scores, or None.
        limit: greatest number of frames, and of real images.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DatasetError: for unusable data.
        CheckpointError: for an unusable checkpoint.
    """
    from training.evaluation.translation.evaluate import Judge, evaluate_translator
    from training.simulation.translate import Translator

    data = open_spec(spec, limit)
    scores = evaluate_translator(
        Translator(checkpoint, device),
        Judge(judge, device),
        data,
        open_spec(real, limit) if real else None,
        frames_of(spec),
    )
    return report(
        'translation', checkpoint, spec, len(data), scores, json_file=json_file, record=False
    )


def evaluate_permanence(
    checkpoint: Path,
    data: str,
    *,
    json_file: Path | None = None,
    device: str = 'auto',
    record: bool = False,
) -> dict[str, Any]:
    """Score the permanence network alone, frame by frame and without a tracker.

    Args:
        checkpoint: its folder.
        data: ``bag:DIR``, also a folder of bags or a pattern, with the truth about all objects.
        json_file: where to write the scores, or None.
        device: see ``PermanenceEngine``.
        record: also keep the scores in the checkpoint's ``metrics.json`` and card.

    Returns:
        Those of ``permatrack_scores.score_bags`` and how they were made.

    Raises:
        DatasetError: for other data, or no bag.
        CheckpointError: for an unusable checkpoint.
    """
    from sim_perception.inference.permanence import PermanenceEngine
    from training.datasets.bags.track_targets import RuleConfig
    from training.evaluation.permanence.scores import score_bags

    if not data.startswith('bag:'):
        raise DatasetError(f'permanence is scored on bag:DIR, not {data!r}')
    engine = PermanenceEngine(checkpoint, device=device)
    scores = score_bags(engine, [data.removeprefix('bag:')], RuleConfig())
    require_truth(scores['seen'] + scores['hidden'] > 0, data)
    frames = int(scores.pop('frames'))
    return report(
        'permanence', checkpoint, data, frames, scores, json_file=json_file, record=record
    )


def evaluate_tracking(
    data: str,
    classes: Sequence[str],
    *,
    source: str = 'detections',
    checkpoint: Path | None = None,
    device: str = 'auto',
    detector: str = 'pointrcnn',
    gap: int = 0,
    json_file: Path | None = None,
    results: Path | None = None,
    video: Path | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Score the tracker, print a table, and write the scores as JSON.

    Args:
        data: recorded detections (``evaluation.tracking``) or images
            (``datasets.tracking_truth``).
        classes: to score.
        source: ``detections`` of the data, or of images ``network`` or ``oracle``.
        checkpoint: of the network.
        device: of the network.
        detector: of KITTI's detections, see ``evaluation.tracking``.
        gap: of recorded detections, see ``evaluation.tracking``.
        json_file: where to write the scores, or None.
        results: folder for result files of recorded detections, or None.
        video: MP4 to draw tracks in images into, or None.
        pictures: folder for one PNG per image, or None.

    Raises:
        DatasetError: for unusable data, an unknown class, an option that does not fit the
            source, or without TrackEval.
        CheckpointError: for an unusable checkpoint.
    """
    from training.evaluation.tracking import network as tracking_network
    from training.evaluation.tracking import recorded as tracking

    if source == 'detections':
        if video is not None or pictures is not None:
            raise DatasetError('--video and --pictures need images: --source network or oracle')
        scores = tracking.evaluate_tracking(
            data, classes=classes, gap=gap, results=results, detector=detector
        )
    else:
        if gap or results is not None:
            raise DatasetError('--gap and --results are for --source detections')
        scores = tracking_network.evaluate_images(
            data,
            source=source,
            checkpoint=checkpoint,
            classes=classes,
            device=device,
            video=video,
            pictures=pictures,
            track=frames_of(data),
        )
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(scores, indent=2) + '\n')
    print_scores(data, {k: float(v) for k, v in scores.items() if isinstance(v, int | float)})
    return scores


def frames_of(data: str) -> Callable[[Iterable[T], int], Iterator[T]]:
    """Return what wraps frames with a progress bar."""

    def progress(frames: Iterable[T], total: int) -> Iterator[T]:
        yield from track(frames, description=data, total=total, console=Console(stderr=True))

    return progress


def report(
    task: str,
    checkpoint: Path,
    spec: str,
    frames: int,
    scores: dict[str, float],
    *,
    json_file: Path | None,
    record: bool,
    beside: Path | None = None,
) -> dict[str, Any]:
    """Print scores, write them as JSON, keep them in the checkpoint; return what is written."""
    result = {
        'task': task,
        'data': spec,
        'frames': frames,
        'checkpoint': str(checkpoint),
        'command': command_line(),
        **scores,
    }
    print_scores(spec, scores)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result, indent=2) + '\n')
    if record:
        _keep(checkpoint, spec, result, beside)
    return result


def _keep(checkpoint: Path, spec: str, result: dict[str, Any], beside: Path | None) -> None:
    """Add a result to the checkpoint's metrics and rewrite its card."""
    loaded = load_checkpoint(checkpoint)
    metrics = loaded.metrics
    name = spec if result['task'] == 'depth_segmentation' else f'{result["task"]} {spec}'
    kept = {key: value for key, value in result.items() if key not in ('checkpoint', 'data')}
    metrics.setdefault('evaluations', {})[name] = kept
    if beside is not None:
        found = load_checkpoint(beside).metrics.get('evaluations', {})
        if name in found:
            metrics.setdefault('beside', {}).setdefault(beside.name, {})[name] = found[name]
    card = write_card(loaded.name, metrics) if 'training' in metrics else None
    update_checkpoint(checkpoint, metrics=metrics, card=card)


def print_scores(title: str, scores: dict[str, float]) -> None:
    """Print scores by name."""
    table = Table(title=title)
    table.add_column('score')
    table.add_column('value', justify='right')
    for name, value in scores.items():
        table.add_row(name, f'{value:.4f}')
    Console().print(table)
