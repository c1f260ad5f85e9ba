"""Which frame of a recording each image of a file of boxes is, and what its classes are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.files import natural_key
from sim_perception.suggestions import unknown
from sim_perception.taxonomy import Taxonomy
from training.datasets.bags.box_files import DrawnBox, DrawnImage, read_box_file
from training.datasets.sample import DatasetError

_NANOSECONDS = re.compile(r'\d{16,19}')
_SECONDS = re.compile(r'(\d+)\.(\d{1,9})')


@dataclass(frozen=True)
class CameraImages:
    """The images of a recording's camera, as far as matching needs them.

    Attributes:
        prefix: of the names that ``label`` and ``convert`` give its frames: ``PREFIX_00000``.
        stamps: (N,) of the images, ascending, nanoseconds.
        size: width and height in pixels.
    """

    prefix: str
    stamps: npt.NDArray[np.int64]
    size: tuple[int, int]

    def name(self, number: int) -> str:
        """Return the name of the frame of an image."""
        return f'{self.prefix}_{number:05d}'


@dataclass(frozen=True)
class DrawnBoxes:
    """Boxes of a file by frame.

    Attributes:
        by_number: boxes of one class by the number of the camera's image.
        straight: whether they were drawn on images without distortion: those of this package.
    """

    by_number: Mapping[int, tuple[DrawnBox, ...]]
    straight: bool


def drawn_boxes(
    path: Path,
    camera: CameraImages,
    categories: Sequence[str],
    taxonomy: Taxonomy,
    class_map: str = '',
) -> DrawnBoxes:
    """Read a file of boxes and find their frames.

    Images are known by the names that ``label`` and ``convert`` give frames; else by stamps, in
    the file or as names; else, of a video or of as many images as the recording has, by order.

    Args:
        path: see ``box_files``.
        camera: the recording's images.
        categories: classes of the boxes that are wanted, which they are given.
        taxonomy: names the classes.
        class_map: what classes of the file are called here: ``van=car,tree=``; nothing behind
            ``=`` leaves a class out.

    Raises:
        DatasetError: if the file is unusable, an image is none of the recording's or cannot be
            told, sizes differ, or a class is not known.
    """
    images = read_box_file(path)
    try:
        _check_sizes(images, camera)
        names = class_names(images, taxonomy, parse_class_map(class_map, taxonomy))
        numbers, straight = match(images, camera)
        found = {
            number: tuple(
                replace(box, label=names[box.label])
                for box in image.boxes
                if names[box.label] in categories
            )
            for number, image in zip(numbers, images, strict=True)
        }
        if not any(found.values()):
            counts = Counter(box.label for image in images for box in image.boxes)
            there = ', '.join(f'{name} ({n})' for name, n in counts.most_common()) or 'none'
            wanted = ' or '.join(categories)
            raise DatasetError(f'it has no box of class {wanted}; its boxes: {there}')
    except DatasetError as error:
        raise DatasetError(f'{path}: {error}') from error
    return DrawnBoxes(found, straight)


def parse_class_map(text: str, taxonomy: Taxonomy) -> dict[str, str]:
    """Return the pairs of ``--class-map``.

    Raises:
        DatasetError: for other text, or a class that the taxonomy does not have.
    """
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(','))):
        theirs, equals, ours = (side.strip() for side in part.partition('='))
        if not theirs or not equals:
            raise DatasetError(f'--class-map must look like van=car,tree= ; got {part!r}')
        if ours and ours not in taxonomy.names:
            raise DatasetError(f'--class-map: {unknown("class", ours, taxonomy.names)}')
        pairs[theirs] = ours
    return pairs


def class_names(
    images: Sequence[DrawnImage], taxonomy: Taxonomy, class_map: Mapping[str, str]
) -> dict[str, str]:
    """Return the taxonomy's name of every class in a file, '' for those that are left out.

    Raises:
        DatasetError: for classes that neither the taxonomy nor the map has, or that the map has
            and the file has not.
    """
    labels = list(dict.fromkeys(box.label for image in images for box in image.boxes))
    surplus = [name for name in class_map if name not in labels]
    if surplus:
        raise DatasetError(f'--class-map: {unknown("class", surplus[0], labels)}')
    known = {name.lower(): name for name in taxonomy.names}
    found = {name: class_map.get(name, known.get(name.lower())) for name in labels}
    strange = [name for name, ours in found.items() if ours is None]
    if strange:
        example = ','.join(f'{name}=' for name in strange)
        raise DatasetError(
            f'{unknown("class", strange[0], taxonomy.names)}; say what its classes are, such as '
            f'--class-map {strange[0]}=car, or leave them out: --class-map {example}'
        )
    return {name: ours or '' for name, ours in found.items()}


def match(images: Sequence[DrawnImage], camera: CameraImages) -> tuple[list[int], bool]:
    """Return the number of the camera's image for every image of a file, and if by our names.

    Raises:
        DatasetError: if that is not certain.
    """
    numbers = _by_name(images, camera)
    if numbers is not None:
        return _once(numbers, images), True
    numbers = _by_stamp(images, camera)
    if numbers is None:
        numbers = _by_order(images, camera)
    return _once(numbers, images), False


def _by_name(images: Sequence[DrawnImage], camera: CameraImages) -> list[int] | None:
    """Return numbers by the names of frames, None if no image has one."""
    numbers = {camera.name(k): k for k in range(len(camera.stamps))}
    stems = [Path(image.name).stem for image in images]
    if not any(stem in numbers for stem in stems):
        return None
    strange = [stem for stem in stems if stem not in numbers]
    if strange:
        raise DatasetError(
            f'{len(stems) - len(strange)} of its images are named like frames of the recording '
            f'({camera.name(0)} to {camera.name(len(numbers) - 1)}), {strange[0]!r} is not; is '
            'it of another recording?'
        )
    return [numbers[stem] for stem in stems]


def _by_stamp(images: Sequence[DrawnImage], camera: CameraImages) -> list[int] | None:
    """Return numbers by time, None if not every image says its time."""
    times = [_stamp_of(image) for image in images]
    if not images or any(time is None for time in times):
        return None
    stamps = camera.stamps
    gap = int(np.diff(stamps).min()) if len(stamps) > 1 else 2_000_000
    numbers = []
    for image, time in zip(images, times, strict=True):
        assert time is not None
        best = int(np.abs(stamps - time).argmin())
        if abs(int(stamps[best]) - time) > max(gap // 2, 1):
            raise DatasetError(
                f'image {image.name!r} is of {time} ns, the recording has none within half a '
                f'frame of that (it is from {stamps[0]} to {stamps[-1]}); is it another one?'
            )
        numbers.append(best)
    return numbers


def _stamp_of(image: DrawnImage) -> int | None:
    if image.stamp is not None:
        return int(image.stamp)
    stem = Path(image.name).stem if image.name else ''
    if _NANOSECONDS.fullmatch(stem):
        return int(stem)
    seconds = _SECONDS.fullmatch(stem)
    if seconds:
        return int(seconds[1]) * 10**9 + int(seconds[2].ljust(9, '0'))
    return None


def _by_order(images: Sequence[DrawnImage], camera: CameraImages) -> list[int]:
    """Return numbers by order: a video's frames, or images sorted by name."""
    count = len(camera.stamps)
    if all(not image.name for image in images):
        last = max(image.number for image in images)
        if last >= count:
            raise DatasetError(
                f'it has boxes in frame {last}, counted from 0, but the recording has {count} '
                'images; was the video made from this camera, every frame of it?'
            )
        return [image.number for image in images]
    if len(images) != count:
        some = ', '.join(repr(image.name) for image in images[:3])
        raise DatasetError(
            f'its {len(images)} images ({some}, ...) cannot be told: they are named '
            f'neither {camera.name(0)} and so on, as `label` and `convert` name frames, nor by '
            f'stamps in nanoseconds, and order does not tell as the recording has {count} images'
        )
    order = sorted(range(count), key=lambda k: natural_key(images[k].name))
    numbers = [0] * count
    for number, k in enumerate(order):
        numbers[k] = number
    return numbers


def _once(numbers: list[int], images: Sequence[DrawnImage]) -> list[int]:
    """Refuse two images that are the same frame."""
    first: dict[int, str] = {}
    for number, image in zip(numbers, images, strict=True):
        if number in first:
            raise DatasetError(
                f'images {first[number]!r} and {image.name!r} are the same frame of the recording'
            )
        first[number] = image.name
    return numbers


def _check_sizes(images: Sequence[DrawnImage], camera: CameraImages) -> None:
    for image in images:
        if image.size is not None and image.size != camera.size:
            (width, height), (w, h) = image.size, camera.size
            what = f'image {image.name!r}' if image.name else 'the video'
            raise DatasetError(
                f"{what} is {width}x{height}, the recording's are {w}x{h}; boxes must be of "
                'images as they are in the recording'
            )
