"""Point clouds of messages, recorded or live, as numpy arrays.

What a message announces is compared with the bytes that it has before anything of that size is
made, so a hostile message costs no more than an honest one of the same length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags.errors import MessageError

Array = npt.NDArray[Any]

_TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_MOST_FIELDS = 1000


def cloud_array(message: Any, needs: Sequence[str] = ('x', 'y', 'z')) -> Array:
    """Return a ``sensor_msgs/PointCloud2`` as a 1-D structured array, named as its fields.

    The array is a view of the message's bytes where its rows have no padding, and keeps their
    byte order. Padding is left out: fields without a name, or of a name that several have
    (PCL's ``_``). So are fields of unknown type that are not needed. A ``count`` of 0 is 1, and
    a ``row_step`` of 0 means rows without padding.

    Args:
        message: organised or not, of any byte order.
        needs: fields that must be there, once and with one value a point.

    Raises:
        MessageError: if a needed field is missing or the sizes contradict each other.
    """
    height, width, step = int(message.height), int(message.width), int(message.point_step)
    row = width * step
    row_step = int(message.row_step) or row
    data = np.frombuffer(message.data, np.uint8)
    needed = row_step * (height - 1) + row if height and width else 0
    if needed and (row_step < row or len(data) < needed):
        raise MessageError(
            f'cloud has {len(data)} bytes, {height} rows of {width} points with point_step {step} '
            f'and row_step {row_step} need {max(needed, row * height)}; was it truncated?'
        )
    dtype = _point_type(message, needs)
    if height * width == 0:
        return np.zeros(0, dtype)
    # As opaque bytes until the end: numpy copies those many times faster than fields.
    rows: Array = np.ndarray((height, width), f'V{step}', data, strides=(row_step, step))
    return rows.reshape(-1).view(dtype)


def _point_type(message: Any, needs: Sequence[str]) -> np.dtype[Any]:
    """Return the structured type of a cloud's points."""
    fields, step = message.fields, int(message.point_step)
    if len(fields) > _MOST_FIELDS:
        raise MessageError(
            f'cloud has {len(fields)} fields, the most are {_MOST_FIELDS}; use the count of a '
            'field for vectors'
        )
    known = Counter(field.name for field in fields)
    missing = [name for name in needs if name not in known]
    if missing:
        listed = ', '.join(filter(None, known)) or 'none'
        raise MessageError(f'cloud lacks the field(s) {", ".join(missing)}; it has {listed}')
    order = '>' if message.is_bigendian else '<'
    names, formats, offsets = [], [], []
    for field in fields:
        name, count = field.name, int(field.count) or 1
        if name in needs:
            _check_needed(field, known[name])
        kind = _TYPES.get(int(field.datatype))
        if kind is None:
            continue
        scalar = np.dtype(order + kind)
        if int(field.offset) + count * scalar.itemsize > step:
            raise MessageError(
                f'cloud field {name!r} of {count} {scalar.name} at offset {field.offset} does '
                f'not fit its point_step of {step} bytes; correct the publisher'
            )
        if name and known[name] == 1:
            names.append(name)
            formats.append((scalar, (count,)) if count > 1 else scalar)
            offsets.append(int(field.offset))
    try:
        return np.dtype(
            {'names': names, 'formats': formats, 'offsets': offsets, 'itemsize': step}
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError) as error:
        raise MessageError(f'cloud has malformed fields: {error}') from error


def _check_needed(field: Any, occurrences: int) -> None:
    if occurrences > 1:
        raise MessageError(f'cloud has {occurrences} fields {field.name!r}; name each but once')
    if int(field.datatype) not in _TYPES:
        raise MessageError(f'cloud field {field.name!r} has unknown type {field.datatype}')
    if int(field.count) > 1:
        raise MessageError(
            f'cloud field {field.name!r} has {field.count} values a point; it must have one'
        )


def columns(points: Array, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Return (N, len(names)) float32 columns of a structured cloud, contiguous and writable."""
    fields: Any = points.dtype.fields or {}
    kinds = {fields[name][0] for name in names}
    offsets = [fields[name][1] for name in names]
    size = 4 * len(names)
    if kinds != {np.dtype('<f4')} or offsets != list(range(offsets[0], offsets[0] + size, 4)):
        return np.stack([points[name] for name in names], -1).astype(np.float32, copy=False)
    # Side by side, as coordinates mostly are: copied as one opaque value per point, which
    # numpy does many times faster than number by number.
    together = np.dtype(
        {'names': ['all'], 'formats': [f'V{size}'], 'offsets': [offsets[0]],
         'itemsize': points.itemsize}
    )  # fmt: skip
    return points.view(together)['all'].copy().view(np.float32).reshape(-1, len(names))


def xyz(points: Array) -> npt.NDArray[np.float32]:
    """Return the (N, 3) float32 coordinates of a structured cloud, contiguous and writable."""
    return columns(points, ('x', 'y', 'z'))
