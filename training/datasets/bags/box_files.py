"""Image boxes of people or of detectors: CVAT XML (images and video), Datumaro JSON, COCO JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

from sim_perception.files import mapping, parse_json, parse_xml, read_text
from training.datasets.sample import DatasetError

T = TypeVar('T')
Corners = tuple[float, float, float, float]

KINDS = 'CVAT XML 1.1 (images or video), Datumaro JSON or COCO JSON'
_MOST_FRAMES = 10_000_000


@dataclass(frozen=True)
class DrawnBox:
    """One box of an image.

    Attributes:
        label: class name, as in the file.
        box: x1 y1 x2 y2; pixels, with their middles on integers.
        id: the same for an object's life, or ''.
        score: of a detector's box, 0 to 1; 1 where the file has none.
    """

    label: str
    box: Corners
    id: str = ''
    score: float = 1.0


@dataclass(frozen=True)
class DrawnImage:
    """An image that was looked at, and its boxes.

    Attributes:
        name: of its file, or '' for a frame of a video.
        number: of the frame in a video from 0; else its place in the file.
        boxes: may be empty.
        size: width and height in pixels, None where the file does not say it.
        stamp: nanoseconds, None where the file does not say it.
    """

    name: str
    number: int
    boxes: tuple[DrawnBox, ...]
    size: tuple[int, int] | None = None
    stamp: int | None = None


def is_box_file(text: str) -> bool:
    """Return whether a source of detections is a file, not a topic."""
    return Path(text).suffix.lower() in ('.json', '.xml', '.zip') or Path(text).is_file()


def read_box_file(path: Path) -> list[DrawnImage]:
    """Read a file of image boxes.

    Raises:
        DatasetError: if it is none of ``KINDS``, has no images, or a box makes no sense.
    """
    if path.suffix.lower() == '.zip':
        raise DatasetError(f'{path} is an archive; unpack it and give the XML or JSON file in it')
    if not path.exists():
        raise DatasetError(f'there is no {path}; boxes are read from {KINDS}')
    text = _checked(path, lambda: read_text(path))
    if text.lstrip().startswith('<'):
        images = _checked(path, lambda: _cvat(text, path))
    else:
        values = _checked(path, lambda: mapping(parse_json(text, path), path))
        if 'items' in values and 'categories' in values:
            images = _checked(path, lambda: list(_datumaro(values)))
        elif {'images', 'annotations', 'categories'} <= set(values):
            images = _checked(path, lambda: list(_coco(values)))
        else:
            there = ', '.join(list(values)[:6]) or '(none)'
            raise DatasetError(
                f'{path} has the keys {there}: neither those of Datumaro (items, categories) nor '
                'those of COCO (images, annotations, categories)'
            )
    if not images:
        raise DatasetError(f'{path} has no images; did the export hold the right task?')
    return images


def _checked(path: Path, read: Callable[[], T]) -> T:
    """Return what was read; anything that others' files do wrong is one sentence."""
    try:
        return read()
    except DatasetError as error:
        raise DatasetError(f'{path}: {error}') from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as e:
        reason = f'lacks {e}' if isinstance(e, KeyError) else str(e)
        raise DatasetError(f'{path} is no {KINDS}: {reason}') from e


def _corners(x1: Any, y1: Any, x2: Any, y2: Any, where: str) -> Corners:
    """Return a box given by the edges of pixels; here their middles are whole numbers."""
    left, top, right, bottom = (float(v) - 0.5 for v in (x1, y1, x2, y2))
    finite = all(map(math.isfinite, (left, top, right, bottom)))
    if not finite or right <= left or bottom <= top:
        raise DatasetError(f'{where} has a box without area: {x1} {y1} {x2} {y2}')
    return left, top, right, bottom


# COCO and Datumaro -------------------------------------------------------------------------


def _coco(values: Mapping[str, Any]) -> Iterator[DrawnImage]:
    names = {row['id']: str(row['name']) for row in values['categories']}
    boxes: dict[Any, list[DrawnBox]] = {row['id']: [] for row in values['images']}
    for row in values['annotations']:
        what = f'annotation {row.get("id")}'
        if row.get('iscrowd'):
            continue
        if row['image_id'] not in boxes:
            raise DatasetError(f'{what} is of image {row["image_id"]}, which is not there')
        if row['category_id'] not in names:
            raise DatasetError(f'{what} is of category {row["category_id"]}, which is not there')
        x, y, w, h = row['bbox']
        box = _corners(x, y, x + w, y + h, what)
        own = row.get('track_id', (row.get('attributes') or {}).get('track_id', ''))
        score = float(row.get('score', 1.0))
        boxes[row['image_id']].append(DrawnBox(names[row['category_id']], box, str(own), score))
    for number, row in enumerate(values['images']):
        size = (int(row['width']), int(row['height'])) if row.get('width') else None
        stamp = row.get('stamp')
        found = tuple(boxes[row['id']])
        yield DrawnImage(str(row['file_name']), number, found, size, stamp)


def _datumaro(values: Mapping[str, Any]) -> Iterator[DrawnImage]:
    names = [str(row['name']) for row in values['categories']['label']['labels']]
    for number, item in enumerate(values['items']):
        found = []
        for row in item.get('annotations', ()):
            if row.get('type') != 'bbox':
                continue
            label = row.get('label_id')
            if not isinstance(label, int) or not 0 <= label < len(names):
                raise DatasetError(f'item {item["id"]} has a box of class {label}, not there')
            x, y, w, h = row['bbox']
            own = (row.get('attributes') or {}).get('track_id', '')
            box = _corners(x, y, x + w, y + h, f'item {item["id"]}')
            found.append(DrawnBox(names[label], box, str(own)))
        image = item.get('image') or {}
        size = image.get('size')
        stamp = (item.get('attr') or {}).get('stamp')
        yield DrawnImage(
            str(image.get('path') or item['id']),
            number,
            tuple(found),
            (int(size[1]), int(size[0])) if size else None,
            stamp,
        )


# CVAT --------------------------------------------------------------------------------------


def _cvat(text: str, path: Path) -> list[DrawnImage]:
    root = parse_xml(text, path)
    if root.tag != 'annotations':
        raise DatasetError(f'its root is <{root.tag}>, CVAT writes <annotations>')
    if root.find('image') is None and root.find('track') is None:
        raise DatasetError('it has neither <image> nor <track>; is the task annotated?')
    if root.find('track') is not None:
        return _cvat_video(root)
    return [_cvat_image(element) for element in root.iter('image')]


def _cvat_image(element: ElementTree.Element) -> DrawnImage:
    name = element.attrib['name']
    boxes = tuple(
        DrawnBox(row.attrib['label'], _cvat_corners(row, f'image {name}'), _own_id(row))
        for row in element.iter('box')
    )
    size = int(element.attrib['width']), int(element.attrib['height'])
    return DrawnImage(name, int(element.attrib['id']), boxes, size)


def _own_id(row: ElementTree.Element) -> str:
    """Return the attribute ``track_id`` that CVAT gives to boxes made from tracks."""
    found = [a.text for a in row.iter('attribute') if a.attrib.get('name') == 'track_id']
    return found[0] or '' if found else ''


def _cvat_corners(row: ElementTree.Element, where: str) -> Corners:
    edges = [row.attrib[key] for key in ('xtl', 'ytl', 'xbr', 'ybr')]
    return _corners(edges[0], edges[1], edges[2], edges[3], where)


def _cvat_video(root: ElementTree.Element) -> list[DrawnImage]:
    """Return the frames of a video task; boxes between two of a track lie on straight lines."""
    found: dict[int, list[DrawnBox]] = {}
    for track in root.iter('track'):
        label, own = track.attrib['label'], track.attrib['id']
        rows = []
        for row in track.iter('box'):
            number = int(row.attrib['frame'])
            if not 0 <= number < _MOST_FRAMES:
                raise DatasetError(f'track {own} has frame {number}')
            hidden = row.attrib.get('outside') == '1'
            rows.append((number, hidden, _cvat_corners(row, f'track {own}, frame {number}')))
        rows.sort(key=lambda one: one[0])
        for number, box in _between(rows):
            found.setdefault(number, []).append(DrawnBox(label, box, own))
    size = _original_size(root)
    return [DrawnImage('', number, tuple(boxes), size) for number, boxes in sorted(found.items())]


def _between(rows: list[tuple[int, bool, Corners]]) -> Iterator[tuple[int, Corners]]:
    """Yield a track's boxes in every frame in which it is not outside."""
    for (first, outside, start), (last, _, end) in pairwise(rows):
        for number in range(first, last) if not outside else ():
            share = (number - first) / (last - first)
            x1, y1, x2, y2 = ((1 - share) * a + share * b for a, b in zip(start, end, strict=True))
            yield number, (x1, y1, x2, y2)
    if rows and not rows[-1][1]:
        yield rows[-1][0], rows[-1][2]


def _original_size(root: ElementTree.Element) -> tuple[int, int] | None:
    element = root.find('.//original_size')
    if element is None:
        return None
    width, height = element.findtext('width'), element.findtext('height')
    return (int(width), int(height)) if width and height else None
