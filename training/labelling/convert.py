"""The verb ``convert``: labels that are there, or the truth of a simulation, in other formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from sim_perception.autolabel.classes import load_shapes
from sim_perception.autolabel.export import (
    EXPORTS,
    IMAGES,
    LabelledRecording,
    export_frame,
    finish_export,
    needs_shapes,
    place_file,
    scan_file,
    scan_points,
    write_item,
)
from sim_perception.autolabel.records import LabelledFrame, read_frames
from sim_perception.bags.layout import bags_at
from sim_perception.bags.sensors import ANY, Sensors
from sim_perception.files import mapping, natural_key, read_json, safe_name, write_atomically
from sim_perception.suggestions import unknown
from sim_perception.taxonomy import load_taxonomy
from training.datasets.sample import DatasetError
from training.engine.jobs import job_bar
from training.labelling.frames import encoded_image
from training.labelling.truth import TruthBag

T = TypeVar('T')

SHAPE_SPACE = 'models/shape_car'
_OF_BAGS = tuple(name for name, export in EXPORTS.items() if not export.needs_surfaces)


@dataclass(frozen=True)
class Conversion:
    """What is converted.

    Attributes:
        sources: folders of ``label``, simulated bags, or folders of such; each recording of a
            name of its own.
        out: the data set's folder, new or empty.
        formats: of ``EXPORTS``.
        classes: names of classes; empty is all.
        sensors: which camera and LiDAR of several are meant.
        min_visibility: of bags: objects of which less is seen are left out (MOT keeps them).
        shape: checkpoints of the labels' shape spaces, comma-separated; empty for those that the
            labels name.
    """

    sources: tuple[Path, ...]
    out: Path
    formats: tuple[str, ...]
    classes: tuple[str, ...] = ()
    sensors: Sensors = ANY
    min_visibility: float = 0.1
    shape: str = ''

    def __post_init__(self) -> None:
        if not self.formats:
            raise ValueError(f'--to names no format; known: {", ".join(EXPORTS)}')
        for name in self.formats:
            if name not in EXPORTS:
                raise ValueError(unknown('format', name, EXPORTS))
        known = load_taxonomy().names
        for name in self.classes:
            if name not in known:
                raise ValueError(unknown('class', name, known))


def convert(job: Conversion, console: Console | None = None) -> list[LabelledRecording]:
    """Write a data set in other formats; return what it has.

    Raises:
        FileExistsError: if the output folder has something in it.
        DatasetError: if a source is neither labels nor a simulated bag, lacks what a format
            needs, or two recordings have one name.
        BagError, RecordError, CheckpointError: for an unreadable source.
        OSError: for a full disk and the like.
    """
    if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
        raise FileExistsError(f'{job.out} has something in it; choose another --out')
    named = _recordings(job)
    written = []
    for name, source in named.items():
        write = _of_labels if _is_labels(source) else _of_bag
        written.append(LabelledRecording(name, write(job, name, source, console)))
    if len(written) > 1:
        written = [_told_apart(recording) for recording in written]
    finish_export(job.formats, written, load_taxonomy(), job.out)
    return written


def _recordings(job: Conversion) -> dict[str, Path]:
    """Return folders of labels and bags by the names of their recordings."""
    named: dict[str, Path] = {}
    for source in (one for given in job.sources for one in _sources_at(given)):
        name = _name_of(source)
        if name in named:
            raise DatasetError(
                f'{named[name]} and {source} are both recordings of the name {name!r}, and their '
                'files would have the same names; rename one, or convert them one at a time'
            )
        named[name] = source
    if fitted := [name for name in job.formats if EXPORTS[name].needs_surfaces]:
        for source in named.values():
            if not _is_labels(source):
                raise DatasetError(
                    f'{", ".join(fitted)} show fitted shapes, which the truth of {source} does '
                    f'not have; choose of {", ".join(_OF_BAGS)}, or label the bag first'
                )
    return named


def _is_labels(path: Path) -> bool:
    return (path / 'frames').is_dir()


def _sources_at(path: Path) -> list[Path]:
    """Return the folders of labels or the bags that a path stands for."""
    if _is_labels(path):
        return [path]
    below = [child for child in path.iterdir() if _is_labels(child)] if path.is_dir() else []
    if below:
        return sorted(below, key=lambda child: natural_key(child.name))
    bags = bags_at(path) if path.exists() else []
    if not bags:
        raise DatasetError(
            f'{path} is neither a folder of labels (one with frames/, as `python -m '
            'training label` writes it) nor a bag, nor a folder of such'
        )
    return bags


def _name_of(source: Path) -> str:
    """Return the name of a recording, as files are called after it."""
    if not _is_labels(source):
        return safe_name(source.stem)
    return safe_name(Path(_facts(source).get('bag', '')).name or source.resolve().name)


def _told_apart(recording: LabelledRecording) -> LabelledRecording:
    """Return a recording whose objects are not those that other recordings number alike."""
    frames = [
        replace(
            frame,
            labels=tuple(
                replace(label, id=f'{recording.name}/{label.id}') if label.id else label
                for label in frame.labels
            ),
        )
        for frame in recording.frames
    ]
    return replace(recording, frames=frames)


def _of_labels(
    job: Conversion, name: str, source: Path, console: Console | None
) -> list[LabelledFrame]:
    """Write the frames' own files of a folder of labels; return the frames."""
    frames = [_chosen(frame, job.classes) for frame in read_frames(source / 'frames')]
    if not frames:
        raise DatasetError(f'{source}/frames has no labelled frame; was the run finished?')
    shapes = None
    if needs_shapes(job.formats):
        shapes = load_shapes(job.shape or _facts(source).get('shape', SHAPE_SPACE))
    frames.sort(key=lambda frame: frame.stamp)
    taxonomy = load_taxonomy()
    for frame in _with_bar(frames, name, console):
        image = source / IMAGES / f'{frame.name}.png'
        if image.exists():
            place_file(image, job.out / IMAGES / image.name)
        elif any(EXPORTS[name].needs_images for name in job.formats):
            raise DatasetError(
                f'{image} is not there, and {", ".join(job.formats)} name images; label the bag '
                'with `python -m training label`, or choose kitti or nuscenes'
            )
        scan = scan_file(source, frame.name)
        points = None if scan is None else scan_points(scan)
        export_frame(job.formats, frame, taxonomy, job.out, shapes=shapes, points=points)
    return frames


def _facts(folder: Path) -> dict[str, str]:
    """Return what ``label`` noted of how the labels were made."""
    path = folder / 'dataset.json'
    return mapping(read_json(path), path) if path.exists() else {}


def _chosen(frame: LabelledFrame, classes: Sequence[str]) -> LabelledFrame:
    """Return a frame with the labels of some classes; of no class is of all."""
    names = load_taxonomy().names
    kept = tuple(x for x in frame.labels if not classes or names[x.class_id] in classes)
    return replace(frame, labels=kept)


def _of_bag(
    job: Conversion, name: str, source: Path, console: Console | None
) -> list[LabelledFrame]:
    """Write the frames' own files of a simulated bag; return the frames."""
    bag = TruthBag(
        source,
        job.sensors,
        min_visibility=job.min_visibility,
        masks=any(EXPORTS[name].needs_masks for name in job.formats),
        classes=job.classes,
    )
    frames = []
    for number in _with_bar(range(len(bag)), name, console):
        truth = bag[number]
        frame = truth.item.frame
        picture = encoded_image(truth.image, '.png')
        write_atomically(job.out / IMAGES / f'{frame.name}.png', picture)
        write_item(job.formats, truth.item, job.out)
        frames.append(frame)
    return frames


def _with_bar(parts: Sequence[T], name: str, console: Console | None) -> Iterator[T]:
    """Yield parts of a recording while a bar moves."""
    with job_bar(console) as bar:
        task = bar.add_task(name, total=len(parts), note='frames')
        for part in parts:
            yield part
            bar.advance(task)
