"""The tracker against named peers, on the same detections: KITTI's, and a network's.

Peers, in the same run: SORT, ByteTrack, OC-SORT and C-BIoU of PyPI ``trackers`` on the image
boxes, AB3DMOT's logic on the 3D boxes; all keep lost tracks for ``LIFE`` and see the detections
from ``LEAST_LOGIT`` on, which is their best threshold here. Keys, in percent, by
``SCORE_CLASS_TRACKER``: HOTA, IDF1 and ``kept``, the identities kept through real occlusions or
made gaps. ``frames_per_s`` counts the CPU time inside the tracker only, which a busy
machine disturbs little.

With ``--checkpoint`` also the permanence network and the tracker on simulated streets
(``--streets``) against ByteTrack, OC-SORT and a constant-velocity tracker kept alive, on the
network's detections (``_occlusion_peers``): ``id_kept`` and ``recall_hidden`` of ours and, with a
peer's name behind it, of each; ``id_kept_ratio_vs_best_peer``; see
``training.evaluation.tracking.hidden``.

``--node`` (with ``--checkpoint``) runs the node on live images of 640x192:
``tracker_node_overhead_ratio`` is the CPU time of everything around the network by the network's.
``--clutter 3600`` tracks an hour of clutter: ``clutter_tracks_max`` and ``clutter_growth_mib``;
see ``_tracker_node``.

``trackers`` must be installed without what it requires, or opencv-python replaces the headless
one: ``pip install --no-deps trackers==2.6.1 supervision 'pydeprecate<0.14'`` and
``pip install requests tqdm defusedxml``.

Examples:
  python -m benchmark tracking --data KITTI_TRACKING
  python -m benchmark tracking --checkpoint models/permanence
  python -m benchmark tracking --node --checkpoint models/permanence
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmark._ab3dmot import Ab3dmot
from benchmark._occlusion_peers import image_peer, kept_alive
from benchmark._tracker_node import clutter, node_overhead
from sim_perception.extras import missing, require, skipped
from sim_perception.tracking.config import network_config
from sim_perception.tracking.tables import sigmoid
from training.datasets.kitti.tracking import CLASSES, FRAME_RATE, KittiSequence, read_sequences
from training.evaluation.tracking.network import open_detector, score_clips, watch_all
from training.evaluation.tracking.network import runner as clip_runner
from training.evaluation.tracking.recorded import (
    Runner,
    kitti_image_boxes,
    run_tracker,
    score_runner,
)
from training.evaluation.tracking.scores import TrackRows

Array = npt.NDArray[np.float64]
LIFE = 3.0
"""Seconds that every peer keeps a lost track."""
LEAST_LOGIT = 2.0
EVALUATED = ('Car', 'Pedestrian')
STREET_CLASSES = ('car', 'pedestrian')
PUBLISHED = {
    'hota_car_published_ab3dmot_val': 77.4,
    'idf1_car_published_ab3dmot_val': 92.2,
}
"""AB3DMOT's logic with a life of 30 frames on KITTI's validation sequences (not these), without
ego-motion, PointRCNN's detections, by TrackEval 1.3."""
Step = Callable[[Array, Array, Array], tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]

_PEERS = ('trackers', 'supervision')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument('--data', type=Path, help='KITTI tracking folder')
    parser.add_argument('--checkpoint', type=Path, help='permanence network, for the streets')
    parser.add_argument(
        '--streets',
        nargs='+',
        default=['sim:target:501-505:10', 'sim:occlusion:500-503:10'],
        help='data SPECs with truth of what the network is run on',
    )
    parser.add_argument('--oracle', action='store_true', help='an oracle instead of the network')
    parser.add_argument('--gaps', type=int, nargs='*', default=[10, 20], help='frames of the gaps')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--node', action='store_true', help='the node beside its network, only')
    parser.add_argument('--node-frames', type=int, default=100, help='images to measure it on')
    parser.add_argument('--clutter', type=int, default=0, help='seconds of clutter, only')
    parser.add_argument('--domain', type=int, default=1 + os.getpid() % 100)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run every tracker on what the options name, and print tables.

    Raises:
        ValueError: if they name nothing.
    """
    if options.node or options.clutter:
        return _run_bounds(options)
    streets = options.checkpoint is not None or options.oracle
    if options.data is None and not streets:
        raise ValueError('nothing to run on: give --data FOLDER or --checkpoint FOLDER, or both')
    require('benchmark tracking', 'trackeval')
    figures = {} if options.data is None else _run_kitti(options)
    if streets:
        source = 'oracle' if options.oracle else 'network'
        figures.update(run_streets(source, options.checkpoint, options.streets))
    return figures | skipped('image_trackers', *_PEERS)


def _run_bounds(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the node's overhead and its growth, as far as they are asked for."""
    require('benchmark tracking --node', 'rclpy')
    figures: dict[str, Any] = {}
    if options.node:
        if options.checkpoint is None:
            raise ValueError('--node needs --checkpoint FOLDER, such as models/permanence')
        figures |= node_overhead(
            options.checkpoint,
            frames=options.node_frames,
            domain=options.domain,
        )
    if options.clutter:
        figures |= clutter(options.seed, seconds=options.clutter)
    table = Table('key', 'value')
    for key, value in figures.items():
        table.add_row(key, f'{value:.4g}')
    Console().print(table)
    return figures


def run_streets(source: str, checkpoint: Path | None, specs: list[str]) -> dict[str, Any]:
    """Run ours and the peers on what a detector sees in streets with truth; print a table.

    Args:
        source: ``network`` or ``oracle``, see ``training.evaluation.tracking.network``.
        checkpoint: of the network.
        specs: data SPECs, see ``training.datasets.bags.tracking_truth``.
    """
    detect, taxonomy = open_detector(source, checkpoint)
    clips = [clip for spec in specs for clip in watch_all(spec, detect)]
    runners = {'ours': clip_runner(taxonomy, network_config(taxonomy))}
    runners['kept_alive'] = kept_alive(taxonomy, STREET_CLASSES)
    runners['kept_alive_all'] = kept_alive(taxonomy, STREET_CLASSES, least_score=0.0)
    makers = image_trackers()
    for name in sorted(makers.keys() & {'bytetrack', 'ocsort'}):
        for suffix, hidden in (('', False), ('_hidden', True)):
            runners[name + suffix] = image_peer(
                makers[name], taxonomy, STREET_CLASSES, hidden=hidden
            )
    columns = ('id_kept', 'recall_hidden', 'precision_hidden', 'IDF1_car', 'IDF1_pedestrian')
    table = Table('tracker', *columns, title=f'streets, {source}')
    figures: dict[str, Any] = {'streets': specs}
    for name, runner in runners.items():
        scores = score_clips(runner, clips, taxonomy, STREET_CLASSES)
        figures.update({f'{key}_{name}': scores[key] for key in columns if key in scores})
        table.add_row(name, *(f'{scores.get(key, float("nan")):.3f}' for key in columns))
    for key in ('id_kept', 'recall_hidden'):
        figures[key] = figures.get(f'{key}_ours', float('nan'))
    images = [name for name in runners if name.startswith(('bytetrack', 'ocsort'))]
    events = scores['occlusion_events']
    if images:
        best = max(figures.get(f'id_kept_{name}', 0.0) for name in images)
        figures['id_kept_best_peer'] = best
        # a peer that kept none is taken to have kept one
        figures['id_kept_ratio_vs_best_peer'] = figures['id_kept'] / max(best, 1 / max(events, 1))
    figures['occlusion_events'] = events
    figures['hidden_frames'] = scores['hidden_frames']
    Console().print(table)
    return figures


def _run_kitti(options: argparse.Namespace) -> dict[str, Any]:
    """Run every tracker with and without gaps, and print a table."""
    sequences = read_sequences(options.data)
    runners = {'ours': run_tracker, **peers()}
    figures: dict[str, Any] = dict(PUBLISHED)
    for name, runner in runners.items():
        runner(sequences[0])  # compile outside of the timing
        for gap in (0, *options.gaps):
            scores, _ = score_runner(runner, sequences, EVALUATED, gap, options.seed)
            suffix = f'_gap{gap}' if gap else ''
            for kind in ('car', 'pedestrian'):
                for key in ('HOTA', 'IDF1', 'IDSW', 'kept', 'events'):
                    if f'{key}_{kind}' in scores:
                        label = f'{key.lower()}_{kind}{suffix}_{name}'
                        figures[label] = scores[f'{key}_{kind}']
            if not gap:
                figures[f'frames_per_s_{name}'] = scores['frames_per_s']
    figures['tracker_frames_per_s'] = figures['frames_per_s_ours']
    for gap in options.gaps:
        best = max(figures[f'kept_car_gap{gap}_{name}'] for name in runners if name != 'ours')
        figures[f'kept_car_gap{gap}_ratio_vs_best_peer'] = figures[
            f'kept_car_gap{gap}_ours'
        ] / max(best, 1e-9)
    _print(figures, list(runners), options.gaps)
    return figures


def image_trackers() -> dict[str, Callable[[], Any]]:
    """Return by name what makes the image trackers of PyPI ``trackers``, where it is there."""
    if missing(_PEERS):
        return {}
    import trackers

    common = {'lost_track_buffer': round(30 * LIFE), 'frame_rate': FRAME_RATE}
    return {
        'sort': partial(trackers.SORTTracker, **common),
        'bytetrack': partial(trackers.ByteTrackTracker, **common),
        'ocsort': partial(trackers.OCSORTTracker, **common),
        'cbiou': partial(trackers.CBIoUTracker, **common),
    }


def peers() -> dict[str, Runner]:
    """Return the peers by name."""
    runners: dict[str, Runner] = {
        name: partial(_run, make=partial(_image_step, make))
        for name, make in image_trackers().items()
    }
    runners['ab3dmot'] = partial(_run, make=_space_step)
    return runners


def _image_step(make: Callable[[], Any]) -> Step:
    import supervision

    tracker = make()

    def step(image: Array, _space: Array, scores: Array) -> tuple[Any, Any]:
        found = supervision.Detections(
            xyxy=image, confidence=scores, class_id=np.zeros(len(image), int)
        )
        found.data['row'] = np.arange(len(image))
        out = tracker.update(found)
        if out.tracker_id is None or not len(out):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        known = np.asarray(out.tracker_id) >= 0
        return np.asarray(out.tracker_id)[known], np.asarray(out.data['row'])[known]

    return step


def _space_step() -> Step:
    tracker = Ab3dmot(life=round(LIFE * FRAME_RATE))

    def step(_image: Array, space: Array, _scores: Array) -> tuple[Any, Any]:
        ids, _, rows = tracker.step(space)
        return ids, rows

    return step


def _run(sequence: KittiSequence, make: Callable[[], Step]) -> tuple[TrackRows, float]:
    """Run one tracker per class over a sequence; the tracks have the detections' boxes."""
    found = sequence.detections.select(sequence.detections.logit >= LEAST_LOGIT)
    image, use = kitti_image_boxes(sequence, found.box3d, found.kind)
    seconds = 0.0
    frames, ids, rows = [], [], []
    for kind in range(len(EVALUATED)):
        step = make()
        own = np.flatnonzero((found.kind == kind) & use)
        edges = np.searchsorted(found.frame[own], np.arange(sequence.frames + 1))
        for frame in range(sequence.frames):
            now = own[edges[frame] : edges[frame + 1]]
            start = time.process_time()
            identity, place = step(image[now], found.box3d[now], sigmoid(found.logit[now]))
            seconds += time.process_time() - start
            frames.append(np.full(len(place), frame))
            ids.append(identity * len(CLASSES) + kind)
            rows.append(now[place])
    order = np.concatenate(rows)
    tracks = TrackRows(
        np.concatenate(frames),
        np.concatenate(ids),
        np.array(CLASSES)[found.kind[order]],
        image[order],
        found.box3d[order],
        found.logit[order],
    )
    return tracks, seconds


def _print(figures: dict[str, Any], names: list[str], gaps: list[int]) -> None:
    """Print one line per tracker for cars, and one for pedestrians."""
    for kind in ('car', 'pedestrian'):
        columns = ['HOTA', 'IDF1', 'IDSW', 'kept']
        columns += [f'{key} gap {gap}' for gap in gaps for key in ('IDF1', 'kept')]
        table = Table('tracker', *columns, 'frames/s', title=f'KITTI {kind}s, PointRCNN')
        for name in names:
            keys = [f'{key}_{kind}_{name}' for key in ('hota', 'idf1', 'idsw', 'kept')]
            keys += [f'{key}_{kind}_gap{gap}_{name}' for gap in gaps for key in ('idf1', 'kept')]
            keys.append(f'frames_per_s_{name}')
            table.add_row(name, *(f'{figures.get(key, float("nan")):.1f}' for key in keys))
        Console().print(table)
