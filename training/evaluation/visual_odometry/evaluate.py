"""Scores ego-motion between consecutive frames against true poses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.odometry.motion import GeometricMotion
from sim_perception.odometry.views import MotionView, motion_view
from sim_perception.simulator.simulation import Simulation
from sim_perception.types import Frame
from training.datasets.clips import MAX_GAP_S, Motion, Timeline
from training.datasets.kitti.stereo import KittiStereo
from training.datasets.sample import DatasetError, LabelSpace, Sample, Samples
from training.datasets.simulated.rendered import scenarios_of
from training.datasets.spec import DEFAULT_SEEDS, Kinds, Spec
from training.evaluation.report import Track, frames_of, record_of
from training.evaluation.specs import evenly

F64 = npt.NDArray[np.float64]
Pair = tuple[int, int]

#: How motion is told: by tracked points and the road, by the network's head, or by both.
METHODS = ('geometric', 'learned', 'fused')
#: Of KITTI's cameras above the road (Geiger et al., IJRR 2013, figure 3), metres.
KITTI_CAMERA_HEIGHT_M = 1.65
#: Pairs with less true motion have no relative error, metres.
MIN_DISTANCE_M = 0.1
_RATE_HZ = 10.0
_FRAMES_PER_SEED = 11


@dataclass(frozen=True)
class PosedFrames:
    """Frames in time order with their true poses.

    Attributes:
        samples: all frames.
        time: of all frames.
        motion: true poses of all frames.
        chosen: which of the frames count.
        camera_height: above the road, metres; None where the data do not say.
    """

    samples: Samples
    time: Timeline
    motion: Motion
    chosen: npt.NDArray[np.int64]
    camera_height: float | None = None

    def pairs(self) -> list[Pair]:
        """Return the (previous, now) numbers of frames that follow each other closely."""
        found = []
        for before, now in zip(self.chosen[:-1].tolist(), self.chosen[1:].tolist(), strict=True):
            seconds = float(self.time.stamp[now] - self.time.stamp[before]) / 1e9
            follows = self.time.sequence[now] == self.time.sequence[before]
            if follows and 0 < seconds <= MAX_GAP_S and self._known(before, now):
                found.append((before, now))
        return found

    def truth(self, pair: Pair) -> F64:
        """Return the true ``before_T_now`` of a pair."""
        transform = self.motion.frame_T_target(*pair)
        assert transform is not None
        return np.asarray(transform, np.float64)

    def _known(self, before: int, now: int) -> bool:
        return self.motion.frame_T_target(before, now) is not None


def open_posed(spec: str) -> PosedFrames:
    """Return the frames that a SPEC names, see ``KINDS``.

    Raises:
        DatasetError: for another kind, or data that are absent or without poses.
    """
    opener, parts = KINDS.find(spec)
    return opener(parts)


def _kitti_stereo(spec: Spec) -> PosedFrames:
    stereo = KittiStereo(spec.path, depth=False)
    time = stereo.timeline()
    return PosedFrames(
        stereo, time, stereo.motion(), time.numbered(spec.frames), KITTI_CAMERA_HEIGHT_M
    )


def _rendered(spec: Spec) -> PosedFrames:
    drives = RenderedDrives(spec.scenario, spec.seeds)
    return PosedFrames(
        drives, drives.timeline(), drives.motion(), np.arange(len(drives)), drives.camera_height()
    )


KINDS = Kinds({
    'kitti_stereo': ('kitti_stereo:DIR[#FRAMES] (poses.txt)', _kitti_stereo),
    'sim': ('sim:SCENARIO[:SEEDS] (rendered at 10 Hz)', _rendered),
})  # fmt: skip


class RenderedDrives:
    """One second at 10 Hz from the middle of a scenario under several seeds.

    Raises:
        DatasetError: for an unknown scenario, malformed seeds, or one shorter than two frames.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, scenario: str, seeds: str = DEFAULT_SEEDS) -> None:
        self.scenarios = scenarios_of(scenario, seeds)
        duration = min(s.duration_s for s in self.scenarios)
        self._count = min(_FRAMES_PER_SEED, int(duration * _RATE_HZ + 1e-6) + 1)
        if self._count < 2:
            raise DatasetError(f'scenario {scenario} lasts {duration:g} s; need at least 0.1 s')
        self._simulation = lru_cache(maxsize=2)(Simulation)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.scenarios) * self._count

    def __getitem__(self, index: int) -> Sample:
        """Render one image."""
        number, place = divmod(index, self._count)
        scenario = self.scenarios[number]
        simulation = self._simulation(scenario)
        rendered = simulation.camera_frame(self._time(index), layers=frozenset({'rgb'}))
        assert rendered.rgb is not None
        return Sample(
            image=rendered.rgb,
            camera=simulation.camera,
            depth=None,
            semantic=None,
            name=f'{scenario.name}_{scenario.seed}_{place:02d}',
            sequence=f'{scenario.name}_{scenario.seed}',
            index=place,
            stamp=round(self._time(index) * 1e9),
        )

    def _time(self, index: int) -> float:
        number, place = divmod(index, self._count)
        start = (self.scenarios[number].duration_s - (self._count - 1) / _RATE_HZ) / 2
        return max(start, 0.0) + place / _RATE_HZ

    def timeline(self) -> Timeline:
        """Return sequences and times of the frames."""
        stamps = [round(self._time(index) * 1e9) for index in range(len(self))]
        return Timeline(np.arange(len(self)) // self._count, np.array(stamps, np.int64))

    def camera_height(self) -> float | None:
        """Return the camera's height above the road if it is the same in all drives, metres."""
        heights = {round(float(self._simulation(s).base_T_camera[2, 3]), 3)
                   for s in self.scenarios}  # fmt: skip
        return heights.pop() if len(heights) == 1 else None

    def motion(self) -> Motion:
        """Return the poses of the frames."""
        poses = np.empty((len(self), 4, 4))
        for index in range(len(self)):
            simulation = self._simulation(self.scenarios[index // self._count])
            state = simulation.state(self._time(index))
            poses[index] = state.world_T_base @ simulation.base_T_camera
        return Motion('poses of the simulation', poses)


def evaluate_visual_odometry(
    checkpoint: Path,
    spec: str,
    *,
    method: str = METHODS[0],
    camera_height: float | None = None,
    limit: int | None = None,
    device: str = 'auto',
) -> dict[str, Any]:
    """Score a checkpoint's ego-motion against true poses; see ``evaluate_depth_segmentation``.

    Args:
        spec: see ``KINDS``.
        method: of ``METHODS``.
        camera_height: above the road, metres; None for what the data say, 0 to go by predicted
            depth.

    Raises:
        DatasetError: for unusable data.
        CheckpointError: for an unusable checkpoint.
        ValueError: for a network without an ego-motion head.
    """
    frames = open_posed(spec)
    engine = DepthSegmentationEngine.load(checkpoint, device=device)
    height = frames.camera_height if camera_height is None else camera_height
    scores = evaluate_odometry(
        engine,
        frames,
        method=method,
        camera_height=height or None,
        limit=limit,
        track=frames_of(spec),
    )
    facts = {'method': method, 'camera_height': height or None, 'checkpoint': str(checkpoint)}
    return record_of('visual_odometry', spec, scores, frames=int(scores['pairs']), **facts)


def evaluate_odometry(
    engine: DepthSegmentationEngine,
    frames: PosedFrames,
    *,
    method: str = METHODS[0],
    camera_height: float | None = None,
    limit: int | None = None,
    track: Track[Pair] | None = None,
) -> dict[str, float]:
    """Return the errors of the camera's motion between consecutive frames.

    ``translation_error_percent``: mean of ``|t - t_true| / |t_true|``; ``rotation_error_deg``:
    mean angle; ``scale_ratio``: median of ``|t| / |t_true|``; ``speed_error_percent``: mean of
    ``| |t| - |t_true| | / |t_true|``; ``pairs``. ``prior_translation_error_percent`` is that of
    always the median true translation, which looks at no image.

    Args:
        engine: one that ``predicts_motion``, unless the method is geometric.
        frames: with true poses.
        method: of ``METHODS``.
        camera_height: above the road, metres, which the geometric methods then go by; None to
            take lengths from predicted depth.
        limit: greatest number of pairs, spread evenly.
        track: wraps the pairs in a progress display.

    Raises:
        DatasetError: without any pair of consecutive frames between which the camera moves.
        ValueError: for an unknown method, or if the engine cannot tell ego-motion.
    """
    if method not in METHODS:
        raise ValueError(f'unknown method {method!r}; choose one of {", ".join(METHODS)}')
    pairs = frames.pairs()
    pairs = [pairs[place] for place in evenly(len(pairs), limit)]
    true = np.array([frames.truth(pair) for pair in pairs]).reshape(-1, 4, 4)
    moving = np.linalg.norm(true[:, :3, 3], axis=1) >= MIN_DISTANCE_M
    if not moving.any():
        raise DatasetError(
            f'the camera does not move between any of {len(pairs)} pairs of consecutive frames '
            'with known poses; take a recording of a drive'
        )
    views = _Views(engine, frames.samples, method)
    geometry = GeometricMotion(camera_height)
    found = []
    for before, now in track(pairs, len(pairs)) if track else pairs:
        source, target = views.of(before), views.of(now)  # the older first, while it is kept
        learned = partial(engine.ego_motion, target.learned, source.learned)
        if target.seen is None or source.seen is None:
            found.append(learned())
        else:
            second = learned if method == 'fused' else None
            found.append(geometry.between(target.seen, source.seen, second))
    return odometry_errors(np.array(found), true, moving)


def odometry_errors(found: F64, true: F64, moving: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return the scores of ``evaluate_odometry`` of (N, 4, 4) motions.

    Args:
        found, true: ``before_T_now``.
        moving: (N,) which of them count for translation.
    """
    t, t_true = found[moving, :3, 3], true[moving, :3, 3]
    length, length_true = np.linalg.norm(t, axis=1), np.linalg.norm(t_true, axis=1)
    prior = np.median(t_true, axis=0)
    turn = np.swapaxes(true[:, :3, :3], 1, 2) @ found[:, :3, :3]
    # The chord between rotations: exact for small angles, where the cosine is not.
    chord = np.linalg.norm(turn - np.eye(3), axis=(1, 2)) / np.sqrt(8)
    return {
        'translation_error_percent': _percent(np.linalg.norm(t - t_true, axis=1), length_true),
        'rotation_error_deg': float(np.degrees(2 * np.arcsin(np.minimum(chord, 1))).mean()),
        'scale_ratio': float(np.median(length / length_true)),
        'speed_error_percent': _percent(np.abs(length - length_true), length_true),
        'prior_translation_error_percent': _percent(
            np.linalg.norm(prior - t_true, axis=1), length_true
        ),
        'pairs': float(len(true)),
    }


def _percent(error: F64, length: F64) -> float:
    return float(100 * np.mean(error / length))


class _View(NamedTuple):
    """What the methods compare of a frame; None of what a method does not look at."""

    learned: Any
    seen: MotionView | None


class _Views:
    """Looks at frames once; keeps the newest two."""

    def __init__(self, engine: DepthSegmentationEngine, samples: Samples, method: str) -> None:
        self._engine, self._samples, self._method = engine, samples, method
        self.of = lru_cache(maxsize=2)(self._look)

    def _look(self, number: int) -> _View:
        sample = self._samples[number]
        frame = Frame(sample.stamp, sample.image, sample.camera)
        if self._method == 'learned':
            return _View(self._engine.infer_for_motion(frame)[1], None)
        if self._method == 'fused':
            result, learned = self._engine.infer_for_motion(frame)
        else:
            result, learned = self._engine.infer(frame), None
        if sample.camera is None:
            raise DatasetError(f'{sample.name} has no camera; odometry needs the focal length')
        return _View(
            learned,
            motion_view(sample.stamp, sample.image, sample.camera, result, self._engine.taxonomy),
        )
