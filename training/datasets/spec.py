"""Sources of clips and unlabelled images by name: what a SPEC says."""

from __future__ import annotations

from dataclasses import dataclass

from training.datasets.images.files import split_frames
from training.datasets.sample import DatasetError

#: What a ``spec`` may begin with, for messages and help.
HELP = (
    'bag:DIR (a bag, a folder of bags or a pattern), video:FILE, images:DIR (in name order), '
    'camvid:DIR/SPLIT, kitti_stereo:DIR; with #0-27 at the end only those frames of each sequence'
)
KINDS = ('bag', 'video', 'images', 'camvid', 'kitti_stereo')


@dataclass(frozen=True)
class ParsedSpec:
    """A spec in its parts; ``frames`` may be empty."""

    kind: str
    path: str
    frames: str


def parse_spec(spec: str) -> ParsedSpec:
    """Split ``KIND:PATH#FRAMES``.

    Raises:
        DatasetError: for an unknown kind or no path.
    """
    kind, _, rest = spec.partition(':')
    path, frames = split_frames(rest)
    if kind not in KINDS or not path:
        raise DatasetError(f'source {spec!r} is none of: {HELP}')
    return ParsedSpec(kind, path, frames)
