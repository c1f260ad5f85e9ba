"""What a source of images offers to training, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.table import Table

from sim_perception.bags import topics as t_
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import truth_topic
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera
from sim_perception.visualization import caption, color_depth, color_labels, grid
from training.datasets.bags.open_bags import expand
from training.datasets.clips import MAX_GAP_S, Clip, SampleClips
from training.datasets.frames import Frames
from training.datasets.kitti.stereo import KittiStereo
from training.datasets.sample import DatasetError, Sample
from training.datasets.sources import OpenSource, SourceConfig, clips_of, open_source

Image = npt.NDArray[np.uint8]

#: Image motion below this share of the width teaches no depth by view synthesis.
_STILL = 0.003
#: Share of the pixels that must move: sky and road without texture seem to stand still.
_MOVING = 0.1
_FLOW_WIDTH = 320
_PANEL_WIDTH = 400


@dataclass(frozen=True)
class Facts:
    """What a source has; empty texts and NaN where it has not.

    Attributes:
        frames: number of chosen images.
        sequences: number of recordings, 0 if the images are no sequence.
        size: width and height of the first image.
        rate_hz: images per second.
        clips: number of triplets.
        camera: the first image's intrinsics, or None.
        assumed: the intrinsics are from ``focal_ratio``.
        motion: where the motion is known from.
        metres: mean metres between target and neighbour.
        flow: image motion between target and neighbour / image width, see ``image_motion``.
        stereo: the baseline in metres.
        depth: which depth truth there is.
        labels: which class labels there are.
    """

    frames: int
    sequences: int
    size: tuple[int, int]
    rate_hz: float
    clips: int
    camera: Camera | None
    assumed: bool
    motion: str
    metres: float
    flow: float
    stereo: float
    depth: str
    labels: str


@dataclass(frozen=True)
class Inspected:
    """An opened source with its clips, if it has any, and the facts about both."""

    source: OpenSource
    indices: npt.NDArray[np.int64]
    clips: SampleClips | None
    facts: Facts


def inspect_source(config: SourceConfig) -> Inspected:
    """Open a source and find out what it offers.

    Raises:
        DatasetError: if it is absent or unusable.
        BagError: for a bag that cannot be read or has no camera.
    """
    source = open_source(config.spec, rate=config.rate)
    indices = source.chosen(config.frames)
    try:
        clips = clips_of(source, config)
    except DatasetError:
        clips = None
    sample = source.samples[int(indices[0])]
    first = indices[:1].tolist()
    seen = Frames(source.samples, first, config.focal_ratio, config.calibration)[0]
    depth, labels = _truth(source, sample)
    time = None if source.time is None else source.time.select(indices)
    pairs = source.samples
    facts = Facts(
        frames=len(indices),
        sequences=0 if time is None else len(np.unique(time.sequence)),
        size=(sample.image.shape[1], sample.image.shape[0]),
        rate_hz=float('nan') if time is None else time.rate_hz(),
        clips=0 if clips is None else len(clips),
        camera=seen.camera,
        assumed=sample.camera is None and seen.camera is not None and not config.calibration,
        motion=source.motion.source if clips is None else clips.motion.source,
        metres=float('nan') if clips is None else clips.mean_distance(),
        flow=float('nan') if clips is None else image_motion(clips),
        stereo=-pairs.right_T_left(0)[0, 3] if isinstance(pairs, KittiStereo) else float('nan'),
        depth=depth,
        labels=labels,
    )
    return Inspected(source, indices, clips, facts)


def _truth(source: OpenSource, sample: Sample) -> tuple[str, str]:
    """Return which depth and which labels there are, in words."""
    kind, path = source.spec.kind, Path(source.spec.path)
    if kind == 'kitti_stereo':
        return 'by stereo matching, for scores', ''
    if kind == 'camvid' and path.with_name(f'{path.name}annot').is_dir():
        return '', f'in {path.name}annot, for scores'
    if kind != 'bag':
        return '', ''
    if sample.depth is not None:
        return 'exact', 'exact'
    with BagReader(expand([path])[0], source.spec.sensors) as bag:
        depth = 'exact' if bag.count(truth_topic(bag, t_.DEPTH)) else ''
        if not depth and bag.of_type(t_.POINTS.type):
            depth = 'sparse, by LiDAR, for scores'
        return depth, 'exact' if bag.count(truth_topic(bag, t_.SEMANTIC)) else ''


def image_motion(clips: SampleClips, count: int = 5) -> float:
    """Return the optical flow between target and neighbour / image width.

    It is the length that a tenth of the pixels reach, the median over a few clips.
    """
    lengths = []
    for index in np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int)):
        clip = clips[int(index)]
        now, later = (_small_grey(frame.image) for frame in clip.frames[clip.target :][:2])
        flow: Any = None
        flow = cv2.calcOpticalFlowFarneback(now, later, flow, 0.5, 4, 15, 3, 5, 1.1, 0)
        moved = np.quantile(np.hypot(flow[..., 0], flow[..., 1]), 1 - _MOVING)
        lengths.append(moved / _FLOW_WIDTH)
    return float(np.median(lengths))


def _small_grey(image: Image) -> Image:
    height = max(32, round(image.shape[0] * _FLOW_WIDTH / image.shape[1]))
    small = cv2.resize(image, (_FLOW_WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def usable_for(facts: Facts) -> list[str]:
    """Return what a source can be used for."""
    found = []
    truth = [n for n, t in (('depth', facts.depth), ('classes', facts.labels)) if t == 'exact']
    if truth:
        found.append(f'supervised ({" and ".join(truth)})')
    scored = [n for n, t in (('depth', facts.depth), ('classes', facts.labels)) if 'scores' in t]
    if scored:
        found.append(f'evaluation ({" and ".join(scored)})')
    if facts.clips and facts.camera is not None:
        scales = [facts.motion] if facts.motion else []
        if np.isfinite(facts.stereo):
            scales.append('stereo')
        scale = f'metric scale: {", ".join(scales)}' if scales else 'scale unknown'
        found.append(f'photometric ({scale})')
    found.append('pseudo-labels')
    return found


def missing(facts: Facts) -> list[str]:
    """Return what a source lacks and how to give it."""
    found = []
    if facts.camera is None:
        found.append(
            'intrinsics: give focal_ratio, the focal length / image width, which is '
            '1 / (2 tan(horizontal field of view / 2)), or calibration, a file; view synthesis '
            'and metric depth need it'
        )
    if not facts.clips and not facts.sequences:
        found.append('time: give rate, in images per second, if the images follow each other')
    elif not facts.clips and facts.frames < 3 * facts.sequences:
        found.append('neighbours: a clip needs three frames of a sequence')
    elif not facts.clips:
        found.append(f'neighbours: {_why_no_neighbours(facts.rate_hz)}')
    if facts.clips and not facts.motion and not np.isfinite(facts.stereo):
        found.append('motion: give speed in m/s if it was constant; without it scale is unknown')
    if facts.clips and facts.flow < _STILL:
        found.append('motion: the camera hardly moves; view synthesis learns nothing from that')
    return found


def _why_no_neighbours(rate_hz: float) -> str:
    if np.isnan(rate_hz):
        return 'all frames are of one time; are they stamped?'
    if 1 / rate_hz > MAX_GAP_S:
        return (
            f'frames lie {1 / rate_hz:.2f} s apart, more than {MAX_GAP_S} s; record faster, or '
            'ask for a longer gap (gap_s)'
        )
    return f'{rate_hz:g} frames per second are too few in all; ask for a shorter gap (gap_s)'


def facts_table(title: str, facts: Facts) -> Table:
    """Return the facts for people."""
    table = Table('what', 'found', title=title, title_justify='left')
    table.add_row('frames', f'{facts.frames}, {facts.sequences or "no"} sequence(s)')
    table.add_row('size', f'{facts.size[0]}x{facts.size[1]}')
    table.add_row('rate', _number(facts.rate_hz, '{:.2f} Hz'))
    table.add_row('clips of 3 frames', str(facts.clips))
    camera = 'unknown'
    if facts.camera is not None:
        camera = f'focal length {facts.camera.fx / facts.camera.width:.3f} x width'
        camera += ', given by focal_ratio' if facts.assumed else ', calibrated'
    table.add_row('intrinsics', camera)
    table.add_row('motion', facts.motion or 'unknown')
    table.add_row('metres between neighbours', _number(facts.metres, '{:.2f}'))
    table.add_row('image motion between them', _number(100 * facts.flow, '{:.2f} % of width'))
    table.add_row('stereo', _number(facts.stereo, 'baseline {:.3f} m'))
    table.add_row('depth truth', facts.depth or 'none')
    table.add_row('labels', facts.labels or 'none')
    return table


def _number(value: float, text: str, unknown: str = '-') -> str:
    return text.format(value) if np.isfinite(value) else unknown


def source_sheet(found: Inspected, rows: int) -> Image:
    """Return a picture of the source: one row per clip, or images in rows of three.

    A clip's row shows its frames, the right image of a stereo pair, true depth and classes.
    """
    if found.clips is None:
        picked = found.indices[_spread(len(found.indices), 3 * rows)]
        samples = [found.source.samples[int(index)] for index in picked]
        return grid(_fitted([caption(_panel(s.image), s.name) for s in samples]), 3)
    lines = [_clip_panels(found.clips[int(i)]) for i in _spread(len(found.clips), rows)]
    return grid(_fitted([panel for line in lines for panel in line]), len(lines[0]))


def _spread(count: int, wanted: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def _clip_panels(clip: Clip) -> list[Image]:
    target = clip.frames[clip.target]
    panels = []
    for place, frame in enumerate(clip.frames):
        text = target.name
        if place != clip.target:
            text = f'{place - clip.target:+d}{_number(clip.distance[place], ": {:.2f} m", "")}'
        panels.append(caption(_panel(frame.image), text))
    if clip.right is not None:
        panels.append(caption(_panel(clip.right.image), 'right'))
    if target.depth is not None:
        panels.append(caption(_panel(color_depth(target.depth)), 'depth'))
    if target.semantic is not None:
        colors = color_labels(target.semantic, load_taxonomy())
        panels.append(caption(_panel(colors), 'classes'))
    return panels


def _panel(image: Image) -> Image:
    """Return an image at the sheet's width."""
    height = round(image.shape[0] * _PANEL_WIDTH / image.shape[1])
    how = cv2.INTER_AREA if image.shape[1] > _PANEL_WIDTH else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (_PANEL_WIDTH, height), interpolation=how), np.uint8)


def _fitted(panels: Sequence[Image]) -> list[Image]:
    """Return the panels at the height of the first; sequences may differ by a few pixels."""
    height, width = panels[0].shape[:2]
    return [np.asarray(cv2.resize(panel, (width, height)), np.uint8) for panel in panels]
