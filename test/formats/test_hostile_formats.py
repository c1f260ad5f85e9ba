"""Files of others with any one value wrong, or cut anywhere: read, or refused in a sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_box_files import CAMERA, TAXONOMY, VIDEO, coco
from test_calibration_files import CHAIN, GOOD, URDF

from sim_perception.calibration import read_camera, read_link_pose
from sim_perception.files import FileError
from training.datasets.bags.drawn_boxes import drawn_boxes
from training.datasets.sample import DatasetError

JUNK = (None, 'x', -1, 1e308, [], {}, float('nan'), [[]], True)
DATUMARO = {
    'categories': {'label': {'labels': [{'name': 'car'}]}},
    'items': [
        {
            'id': 'street_00000',
            'annotations': [{'type': 'bbox', 'label_id': 0, 'bbox': [1, 2, 3, 4]}],
            'attr': {'stamp': 10 * 10**9},
            'image': {'path': 'street_00000.png', 'size': [96, 192]},
        }
    ],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value within a value."""
    below = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in below:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


def spoiled(value: Any) -> Iterator[Any]:
    """Yield copies with one value replaced by junk, or gone."""
    for path in places(value):
        for junk in (*JUNK, 'gone'):
            changed = copy.deepcopy(value)
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            if junk == 'gone':
                del holder[path[-1]]
            else:
                holder[path[-1]] = junk
            yield changed


@pytest.mark.parametrize('good', [coco(['street_00000.png']), DATUMARO], ids=['coco', 'datumaro'])
def test_boxes_with_a_wrong_value(good: Any, tmp_path: Path) -> None:
    path = tmp_path / 'boxes.json'
    refused = 0
    for values in spoiled(good):
        path.write_text(json.dumps(values))
        try:
            found = drawn_boxes(path, CAMERA, ['car'], TAXONOMY)
        except DatasetError as error:
            refused += 'boxes.json' in str(error) or pytest.fail(str(error))
        else:
            boxes = [one.box for boxes in found.by_number.values() for one in boxes]
            assert np.isfinite(boxes).all()
    assert refused > 50


@pytest.mark.parametrize('good', [GOOD, CHAIN], ids=['camera_info', 'camchain'])
def test_calibrations_with_a_wrong_value(good: Any, tmp_path: Path) -> None:
    path = tmp_path / 'camera.yaml'
    where = f'{path}#cam1' if 'cam1' in good else str(path)
    refused = 0
    for values in spoiled(good):
        path.write_text(json.dumps(values).replace('NaN', '.nan').replace('1e+308', '1.0e+308'))
        try:
            camera = read_camera(where)
        except FileError as error:
            refused += 'camera.yaml' in str(error) or pytest.fail(str(error))
        else:
            assert np.isfinite(camera.matrix).all()
    assert refused > 50


def test_texts_cut_anywhere(tmp_path: Path) -> None:
    robot, video, chain = (tmp_path / name for name in ('r.urdf', 'v.xml', 'c.yaml'))
    text = yaml.safe_dump(CHAIN)
    text = text[: text.rindex('resolution')]  # what comes later may be cut and be whole
    for share in np.linspace(0, 0.99, 40):
        robot.write_text(URDF[: int(share * len(URDF))])
        with pytest.raises(FileError, match=r'r\.urdf'):
            read_link_pose(f'{robot}#camera_link')
        video.write_text(VIDEO[: int(share * len(VIDEO))])
        with pytest.raises(DatasetError, match=r'v\.xml'):
            drawn_boxes(video, CAMERA, ['car'], TAXONOMY, 'Vehicle=car,bird=')
        chain.write_text(text[: int(share * len(text))])
        with pytest.raises(FileError, match=r'c\.yaml'):
            read_camera(f'{chain}#cam1')
