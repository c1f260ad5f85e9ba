"""Boxes that people drew come to the right frames, whatever they drew them with."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim_perception.bags.reader import BagReader
from sim_perception.taxonomy import load_taxonomy
from training.datasets.bags.box_files import DrawnBox, read_box_file
from training.datasets.bags.drawn_boxes import CameraImages, drawn_boxes
from training.datasets.bags.label_source import LabelBag
from training.datasets.sample import DatasetError
from training.labelling.frames import LabelJob
from training.labelling.truth import TruthBag

TAXONOMY = load_taxonomy()
CAMERA = CameraImages('street', np.array([10, 20, 30]) * 10**9, (192, 96))


@pytest.fixture(scope='session')
def cars(drive: Path) -> list[dict[str, Any]]:
    """Where the seen cars are in each frame, by id, cut at the border."""
    found = []
    bag = TruthBag(drive)
    for number in range(len(bag)):
        labels = bag[number].item.frame.accepted
        found.append({
            label.id: np.clip(label.box2d, 0, [191, 95, 191, 95])
            for label in labels
            if TAXONOMY.names[label.class_id] == 'car'
        })  # fmt: skip
    return found


def boxes_in(bag: LabelBag) -> list[np.ndarray]:
    return [bag[number].boxes for number in range(len(bag))]


def check(found: list[np.ndarray], cars: list[dict[str, Any]], atol: float = 0.02) -> None:
    assert len(found) == len(cars)
    for boxes, there in zip(found, cars, strict=True):
        np.testing.assert_allclose(boxes, list(there.values()), atol=atol)


def test_datumaro_comes_back(drive: Path, converted: Path, cars: list[dict[str, Any]]) -> None:
    path = converted / 'datumaro/annotations/default.json'
    bag = LabelBag(drive, 'car', detections=str(path))
    check(boxes_in(bag), cars)
    ids = [bag[number].ids for number in range(len(bag))]
    assert [len(set(one)) for one in ids] == [len(there) for there in cars]
    assert set(ids[0]) & set(ids[1])


def test_coco_comes_back_as_what_is_seen(
    drive: Path, converted: Path, cars: list[dict[str, Any]]
) -> None:
    bag = LabelBag(drive, 'car', detections=str(converted / 'coco.json'))
    for number, there in enumerate(cars):
        item = bag[number]
        assert set(item.ids) <= set(there)
        for box, own in zip(item.boxes, item.ids, strict=True):
            assert (box[:2] >= there[own][:2] - 1).all()
            assert (box[2:] <= there[own][2:] + 1).all()


def test_what_datumaro_writes_for_cvat_is_read(
    drive: Path, converted: Path, cars: list[dict[str, Any]], tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        datumaro = pytest.importorskip('datumaro', reason='requirements/readers.txt')
        dataset = datumaro.Dataset.import_from(str(converted / 'datumaro'), 'datumaro')
        dataset.export(str(tmp_path), 'cvat', allow_undeclared_attrs=True)
    (path,) = tmp_path.rglob('*.xml')
    check(boxes_in(LabelBag(drive, 'car', detections=str(path))), cars)


VIDEO = """<annotations><version>1.1</version><meta><task>
<original_size><width>192</width><height>96</height></original_size></task></meta>
<track id="4" label="Vehicle">
  <box frame="0" outside="0" keyframe="1" xtl="10.5" ytl="20.5" xbr="30.5" ybr="40.5"/>
  <box frame="2" outside="0" keyframe="1" xtl="30.5" ytl="20.5" xbr="50.5" ybr="44.5"/>
</track>
<track id="5" label="bird">
  <box frame="1" outside="0" keyframe="1" xtl="1" ytl="1" xbr="5" ybr="5"/>
  <box frame="2" outside="1" keyframe="1" xtl="1" ytl="1" xbr="5" ybr="5"/>
</track></annotations>"""


def test_tracks_of_a_video_lie_on_lines_between_what_was_drawn(tmp_path: Path) -> None:
    path = tmp_path / 'annotations.xml'
    path.write_text(VIDEO)
    found = drawn_boxes(path, CAMERA, ['car'], TAXONOMY, 'Vehicle=car, bird=')
    assert found.by_number == {
        0: (DrawnBox('car', (10, 20, 30, 40), '4'),),
        1: (DrawnBox('car', (20, 20, 40, 42), '4'),),
        2: (DrawnBox('car', (30, 20, 50, 44), '4'),),
    }
    images = {image.number: image for image in read_box_file(path)}
    assert len(images[1].boxes) == 2
    assert len(images[2].boxes) == 1  # the bird is outside


def coco(
    names: list[str], label: str = 'car', size: tuple[int, int] = (192, 96)
) -> dict[str, Any]:
    return {
        'images': [
            {'id': k, 'file_name': name, 'width': size[0], 'height': size[1]}
            for k, name in enumerate(names)
        ],
        'annotations': [
            {'id': k, 'image_id': k, 'category_id': 1, 'bbox': [0.5 + k, 0.5, 4, 5]}
            for k in range(len(names))
        ],
        'categories': [{'id': 1, 'name': label}],
    }


def read(tmp_path: Path, values: Any, class_map: str = '') -> Any:
    path = tmp_path / 'boxes.json'
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return drawn_boxes(path, CAMERA, ['car'], TAXONOMY, class_map)


@pytest.mark.parametrize(
    ('names', 'order', 'straight'),
    [
        (['a/street_00002.png', 'a/street_00000.png'], [2, 0], True),
        (['20000000000.png', '30000000000.png'], None, False),
        (['20000000000000000.png'], None, False),
        (['10.000.jpg', '20.4.jpg'], [0, 1], False),
        (['frame10.png', 'frame2.png', 'frame9.png'], [2, 0, 1], False),
    ],
)
def test_images_are_known_by_name_stamp_or_order(
    tmp_path: Path, names: list[str], order: list[int] | None, straight: bool
) -> None:
    if order is None:  # digits that are no stamps of the recording
        with pytest.raises(DatasetError, match=r'cannot be told|none within half a frame'):
            read(tmp_path, coco(names))
        return
    found = read(tmp_path, coco(names))
    assert found.straight is straight
    assert list(found.by_number) == order
    assert [boxes[0].box[0] for boxes in found.by_number.values()] == list(range(len(names)))


def test_nanoseconds_name_images_too(drive: Path, tmp_path: Path) -> None:
    with BagReader(drive) as bag:
        stamps = bag.stamps('/camera/image_raw')
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(coco([f'{stamps[1] + 5}.png', f'{stamps[0]}.png'])))
    bag = LabelBag(drive, 'car', detections=str(path))
    assert [boxes[:, 0].tolist() for boxes in boxes_in(bag)] == [[1.0], [0.0], []]


@pytest.mark.parametrize(
    ('values', 'problem'),
    [
        ('', 'not valid JSON'),
        ('{}', r'keys \(none\): neither those of Datumaro'),
        ('[]', 'holds list'),
        ({**coco(['street_00000.png']), 'images': []}, 'annotation 0 is of image 0'),
        ({**coco([]), 'annotations': []}, 'has no images'),
        ({**coco(['street_00000.png']), 'categories': []}, 'category 1, which is not there'),
        ({'images': [{'id': 1}], 'annotations': [], 'categories': []}, "lacks 'file_name'"),
        (coco(['street_00000.png'], size=(1920, 1080)), "1920x1080, the recording's are 192x96"),
        (coco(['street_00000.png', 'other.png']), "'other' is not; is it of another recording"),
        (coco(['street_00000.png', 'b/street_00000.png']), 'are the same frame'),
        (coco(['a.png', 'b.png']), r'2 images .* cannot be told.*has 3 images'),
        (coco(['street_00000.png'], 'cra'), "unknown class 'cra'; did you mean 'car'.*class-map"),
        (coco(['street_00000.png'], 'truck'), r'no box of class car; its boxes: truck \(1\)'),
        (
            {**coco(['street_00000.png']), 'annotations': [
                {'id': 7, 'image_id': 0, 'category_id': 1, 'bbox': [1, 1, 0, 5]}]},
            'annotation 7 has a box without area',
        ),
        ('<annotations/>', 'neither <image> nor <track>'),
        ('<a><b></a>', 'mismatched tag'),
        ('<html/>', 'CVAT writes <annotations>'),
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotations/>', 'XML entities'),
        (VIDEO.replace('frame="2"', 'frame="3"'), 'boxes in frame 3.*has 3 images'),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(tmp_path: Path, values: Any, problem: str) -> None:
    with pytest.raises(DatasetError, match=f'boxes.json.*{problem}'):
        read(tmp_path, values, 'Vehicle=car,bird=' if 'Vehicle' in str(values) else '')


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('van', "must look like van=car,tree= ; got 'van'"),
        ('van=caar', "class-map: unknown class 'caar'; did you mean 'car'"),
        ('Vehicel=car', "class-map: unknown class 'Vehicel'; did you mean 'Vehicle'"),
    ],
)
def test_a_wrong_map_says_what_was_meant(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DatasetError, match=problem):
        read(tmp_path, coco(['street_00000.png'], 'Vehicle'), text)


def test_the_file_is_part_of_what_a_data_set_is_made_from(tmp_path: Path) -> None:
    path = tmp_path / 'boxes.json'
    path.write_text('{}')
    job = LabelJob(bag='bag', out='out', detections=str(path))
    before = job.fingerprint
    path.write_text('{"items": []}')
    assert job.fingerprint != before
    other = LabelJob(bag='bag', out='out', detections=str(path), class_map='van=car')
    assert other.fingerprint != job.fingerprint


def test_sources_that_are_not_there_say_what_could_be(drive: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'there is no .*boxes.xml; boxes are read from CVAT'):
        LabelBag(drive, 'car', detections=str(tmp_path / 'boxes.xml'))
    with pytest.raises(DatasetError, match='unpack it'):
        LabelBag(drive, 'car', detections='task.zip')
    with pytest.raises(DatasetError, match='class-map is for'):
        LabelBag(drive, 'car', class_map='van=car')
