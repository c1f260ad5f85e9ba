"""Clouds as publishers really lay them out, and as none should."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sim_perception.bags.clouds import cloud_array, xyz
from sim_perception.bags.errors import MessageError

XYZ = [('x', 0, 7, 1), ('y', 4, 7, 1), ('z', 8, 7, 1)]
PLACES = np.arange(18, dtype='<f4').reshape(6, 3)


def cloud(fields: list[tuple[str, int, int, int]], rows: np.ndarray, **changes: Any) -> Any:
    """Return a message of (N, bytes) rows."""
    step = rows.shape[1]
    values = {
        'fields': [
            SimpleNamespace(name=n, offset=o, datatype=d, count=c) for n, o, d, c in fields
        ],
        'height': 1, 'width': len(rows), 'point_step': step, 'row_step': step * len(rows),
        'is_bigendian': False, 'data': rows.tobytes(),
    }  # fmt: skip
    return SimpleNamespace(**values | changes)


def padded(width: int = 32) -> np.ndarray:
    rows = np.full((6, width), 0xAB, np.uint8)
    rows[:, :12] = PLACES.view(np.uint8)
    if width >= 20:
        rows[:, 16:20] = np.arange(6, dtype='<f4')[:, None].view(np.uint8)
    return rows


@pytest.mark.parametrize('name', ['_', '', 'pad', 'padding'])
def test_padding_of_any_name_is_left_out(name: str) -> None:
    fields = [*XYZ, (name, 12, 2, 4), ('intensity', 16, 7, 1), (name, 20, 2, 12)]
    points = cloud_array(cloud(fields, padded()), ('x', 'y', 'z', 'intensity'))
    assert points.dtype.names == ('x', 'y', 'z', 'intensity')
    np.testing.assert_array_equal(xyz(points), PLACES)
    np.testing.assert_array_equal(points['intensity'], np.arange(6))


def test_a_count_of_zero_is_one_and_vectors_are_vectors() -> None:
    fields = [(name, offset, kind, 0) for name, offset, kind, _ in XYZ]
    points = cloud_array(cloud([*fields, ('normal', 0, 7, 3)], padded()))
    np.testing.assert_array_equal(xyz(points), PLACES)
    np.testing.assert_array_equal(points['normal'], PLACES)


def test_fields_of_unknown_type_matter_only_if_needed() -> None:
    message = cloud([*XYZ, ('half', 16, 9, 1)], padded())
    assert cloud_array(message).dtype.names == ('x', 'y', 'z')
    with pytest.raises(MessageError, match="'half' has unknown type 9"):
        cloud_array(message, ('half',))


@pytest.mark.parametrize(('height', 'width'), [(1, 6), (2, 3), (6, 1)])
def test_a_row_step_of_zero_means_no_padding(height: int, width: int) -> None:
    message = cloud(XYZ, padded(), height=height, width=width, row_step=0)
    np.testing.assert_array_equal(xyz(cloud_array(message)), PLACES)


@pytest.mark.parametrize('bigendian', [False, True])
def test_organised_clouds_with_padded_rows(bigendian: bool) -> None:
    rows = PLACES.astype('>f4' if bigendian else '<f4').view(np.uint8).reshape(2, 36)
    data = np.pad(rows, ((0, 0), (0, 8))).tobytes()
    message = cloud(
        XYZ, padded(12), height=2, width=3, row_step=44, data=data, is_bigendian=bigendian
    )
    for _ in range(2):
        np.testing.assert_array_equal(xyz(cloud_array(message)), PLACES)
    # The last row may end with its last point.
    message.data = data[:-8]
    np.testing.assert_array_equal(xyz(cloud_array(message)), PLACES)


def test_columns_that_share_bytes_are_read_in_both_byte_orders() -> None:
    for order, letter in ((False, '<'), (True, '>')):
        rows = np.zeros((6, 16), np.uint8)
        rows[:, :12] = PLACES.astype(f'{letter}f4').view(np.uint8)
        rows[:, 12:] = [1, 2, 3, 4]
        fields = [*XYZ, ('rgba', 12, 6, 1), ('first', 12, 2, 1)]
        points = cloud_array(cloud(fields, rows, is_bigendian=order))
        np.testing.assert_array_equal(xyz(points), PLACES)
        assert set(points['first']) == {1}
        assert set(points['rgba']) == {0x01020304 if order else 0x04030201}


HUGE = 2**32 - 1
HOSTILE = [
    ([*XYZ, ('a', 12, 7, HUGE)], {}, "'a' of 4294967295 float32 at offset 12 does not fit"),
    ([*XYZ, ('_', 12, 7, 40_000), ('_', 12, 7, 40_000)], {}, 'does not fit its point_step'),
    ([*XYZ, ('a', HUGE, 7, 1)], {}, 'does not fit its point_step'),
    ([('x', 0, 7, 2), *XYZ[1:]], {}, "'x' has 2 values a point"),
    ([*XYZ, XYZ[0]], {}, "2 fields 'x'"),
    (XYZ[:2], {}, r'lacks the field\(s\) z; it has x, y'),
    ([], {}, r'lacks the field\(s\) x, y, z; it has none'),
    ([(f'f{i}', 0, 2, 1) for i in range(100_000)], {}, '100000 fields'),
    (XYZ, {'width': HUGE}, 'was it truncated'),
    (XYZ, {'width': HUGE, 'height': HUGE, 'row_step': 0}, 'was it truncated'),
    (XYZ, {'height': HUGE}, 'was it truncated'),
    (XYZ, {'point_step': HUGE}, 'was it truncated'),
    (XYZ, {'point_step': HUGE, 'width': 0}, 'malformed fields'),
    (XYZ, {'point_step': 0, 'row_step': 0}, 'does not fit its point_step of 0'),
    (XYZ, {'row_step': 1}, 'was it truncated'),
    (XYZ, {'row_step': HUGE, 'height': 2}, 'was it truncated'),
    (XYZ, {'data': b''}, 'has 0 bytes'),
]


@pytest.mark.parametrize(('fields', 'changes', 'problem'), HOSTILE)
def test_contradictions_are_refused_at_once(
    fields: list[tuple[str, int, int, int]], changes: dict[str, Any], problem: str
) -> None:
    message = cloud(fields, padded(), **changes)
    begin = time.process_time()
    with pytest.raises(MessageError, match=problem):
        cloud_array(message)
    assert time.process_time() - begin < 0.5


def test_clouds_without_points_have_their_columns() -> None:
    for changes in ({'width': 0}, {'height': 0}, {'width': 0, 'height': HUGE, 'data': b''}):
        points = cloud_array(cloud(XYZ, padded(), **changes))
        assert len(points) == 0
        assert points.dtype.names == ('x', 'y', 'z')
