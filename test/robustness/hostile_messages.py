"""Messages that no publisher should send, by what is wrong with them, made of good ones."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np

Change = Callable[[Any], None]
HUGE = 2**32 - 1
NAN, INF = float('nan'), float('inf')


def put(path: str, value: Any) -> Change:
    """Return what sets a field, such as ``detections.0.bbox.size.x``."""

    def change(message: Any) -> None:
        *parents, last = path.split('.')
        for name in parents:
            message = message[int(name)] if name.isdigit() else getattr(message, name)
        if last.isdigit():
            message[int(last)] = value
        else:
            setattr(message, last, value)

    return change


def every(path: str, **values: Any) -> dict[str, Change]:
    """Return a change of one field for every value, by its name."""
    return {f'{path} {name}': put(path, value) for name, value in values.items()}


def both(*changes: Change) -> Change:
    def change(message: Any) -> None:
        for one in changes:
            one(message)

    return change


NUMBERS = {'nan': NAN, 'inf': INF, 'minus_inf': -INF, 'huge': 1e308}

HEADER: dict[str, Change] = {
    'zero stamp': both(put('header.stamp.sec', 0), put('header.stamp.nanosec', 0)),
    **every('header.stamp.sec', negative=-1, least=-(2**31), last=2**31 - 1, past=3),
    **every('header.stamp.nanosec', full=HUGE, second=10**9),
    **every(
        'header.frame_id',
        empty='', unknown='atlantis', slash='/', slashes='//a//', long='x' * 10_000,
        unicode='🤖 камера', lines='a\nb\tc', quotes='\'"{}%s',
    ),
}  # fmt: skip

IMAGE: dict[str, Change] = {
    **HEADER,
    **every('width', none=0, one=1, huge=HUGE, more=129, odd=127),
    **every('height', none=0, one=1, huge=HUGE, more=65),
    'huge both': both(put('width', HUGE), put('height', HUGE)),
    'overflow': both(put('width', 2**16), put('height', 2**16), put('step', 0)),
    **every('step', none=0, one=1, huge=HUGE, short=383),
    **every('is_bigendian', one=1, odd=255),
    **every(
        'encoding',
        empty='', unknown='dragon', long='y' * 10_000, unicode='рgb8', zero='rgb8\1',
        case='RGB8', depth='32FC1', labels='mono16', five='8UC5', none='8UC0', many='8UC99999999',
        bayer='bayer_rggb8', yuv='yuv422', nv12='nv12', doubles='64FC4', signed='32SC1',
    ),
    'no data': lambda m: setattr(m, 'data', array.array('B')),
    'one byte': lambda m: setattr(m, 'data', array.array('B', b'x')),
    'one byte less': lambda m: m.data.pop(),
    'half the data': lambda m: setattr(m, 'data', m.data[: len(m.data) // 2]),
    'twice the data': lambda m: setattr(m, 'data', m.data + m.data),
}  # fmt: skip


def _written(start: int, value: int) -> Change:
    """Return what writes a big-endian number into the bytes of a PNG: its sizes, for one."""

    def change(message: Any) -> None:
        message.data[start : start + 4] = array.array('B', value.to_bytes(4, 'big'))

    return change


def _bytes(data: bytes) -> Change:
    return lambda m: setattr(m, 'data', array.array('B', data))


def _bytes_until(count: int) -> Change:
    return lambda m: setattr(m, 'data', m.data[:count])


COMPRESSED: dict[str, Change] = {
    **HEADER,
    **every(
        'format',
        empty='', jpeg='jpeg', unknown='dragon', long='j' * 10_000, unicode='пнг',
        full='bgr8; png compressed rgb8', depth='32FC1; compressedDepth png', lines='a\nb',
    ),
    **{f'PNG wide {v}': _written(16, v) for v in (0, 1, 127, 65_535, 10**6, 2**31 - 1, HUGE)},
    **{f'PNG high {v}': _written(20, v) for v in (0, 1, 63, 65_535, 2**31 - 1)},
    'PNG huge both': both(_written(16, 60_000), _written(20, 60_000)),
    **{f'chunk of {v}': _written(8, v) for v in (0, HUGE)},
    **{f'cut at {n}': _bytes_until(n) for n in (0, 1, 8, 20, 33, 60)},
    'twice': lambda m: setattr(m, 'data', m.data + m.data),
    'zeros': _bytes(bytes(5000)),
    'text': _bytes(b'<html>no image</html>' * 10),
    'GIF': _bytes(b'GIF89a' + b'\xff' * 20),
    'BMP of 4 GB': _bytes(b'BM\xff\xff\xff\xff\0\0\0\0\x36\0\0\0(\0\0\0' + b'\x7f' * 40),
    'JPEG of nothing': _bytes(b'\xff\xd8\xff\xd9'),
    'JPEG of 65535': _bytes(
        b'\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\x01\x03\x11\x01'
    ),
}  # fmt: skip

INFO: dict[str, Change] = {
    **HEADER,
    **every('width', none=0, other=100, huge=HUGE),
    **every('height', none=0, other=3, huge=HUGE),
    **{
        f'k{i} {name}': put(f'k.{i}', value)
        for i in (0, 2, 4, 5)
        for name, value in {**NUMBERS, 'zero': 0.0, 'negative': -5.0}.items()
        if not (i in (2, 5) and name in ('zero', 'negative'))  # a place beside the image is legal
    },
    'k of zeros': lambda m: setattr(m, 'k', np.zeros(9)),
    **{f'd {n}': put('d', [NAN] * n) for n in (1, 4, 5, 8, 100)},
    **{f'd {name}': put('d', [v] * 5) for name, v in NUMBERS.items() if name != 'nan'},
    **every('distortion_model', dragon='dragon', long='z' * 10_000),
    'unknown model': both(put('distortion_model', 'dragon'), put('d', [0.1] * 5)),
    'three coefficients': put('d', [0.1] * 3),
    'fifteen coefficients': put('d', [0.1] * 15),
    **every('roi.width', huge=HUGE, beyond=1000),
    'roi beyond': both(put('roi.width', 10), put('roi.height', 10), put('roi.x_offset', HUGE)),
    **every('binning_x', huge=HUGE, many=1000),
    'p of nan': lambda m: setattr(m, 'p', np.full(12, NAN)),
    'r of nan': lambda m: setattr(m, 'r', np.full(9, NAN)),
}


def _field(index: int, **values: Any) -> Change:
    return both(*(put(f'fields.{index}.{name}', value) for name, value in values.items()))


def _coordinates(value: float) -> Change:
    def change(message: Any) -> None:
        points = np.frombuffer(message.data, '<f4').copy()
        points[:] = value
        message.data = array.array('B', points.tobytes())

    return change


CLOUD: dict[str, Change] = {
    **HEADER,
    **every('width', none=0, one=1, huge=HUGE, more=1201),
    **every('height', none=0, two=2, huge=HUGE),
    'huge both': both(put('width', HUGE), put('height', HUGE)),
    **every('point_step', none=0, one=1, huge=HUGE, short=8),
    **every('row_step', one=1, huge=HUGE, less=100),
    **every('is_bigendian', yes=True),
    'no fields': put('fields', []),
    'two fields': lambda m: setattr(m, 'fields', m.fields[:2]),
    'one name': lambda m: [setattr(field, 'name', 'x') for field in m.fields],
    'no names': lambda m: [setattr(field, 'name', '') for field in m.fields],
    'many fields': lambda m: setattr(m, 'fields', list(m.fields) * 2000),
    **{f'count {n}': _field(2, count=n) for n in (2, 20_000, 2**31, HUGE)},
    'count of all': lambda m: [setattr(field, 'count', HUGE) for field in m.fields],
    **{f'type {n}': _field(1, datatype=n) for n in (0, 9, 255)},
    'doubles': lambda m: [setattr(field, 'datatype', 8) for field in m.fields],
    **{f'offset {n}': _field(2, offset=n) for n in (9, 2**31, HUGE)},
    **{f'all {name}': _coordinates(value) for name, value in {**NUMBERS, 'zero': 0.0}.items()},
    'no data': lambda m: setattr(m, 'data', array.array('B')),
    'one byte less': lambda m: m.data.pop(),
    'half the data': lambda m: setattr(m, 'data', m.data[: len(m.data) // 2]),
}


def _crowd(count: int) -> Change:
    def change(message: Any) -> None:
        message.detections = list(message.detections) * count

    return change


DETECTIONS: dict[str, Change] = {
    **HEADER,
    'none': put('detections', []),
    'a crowd': _crowd(700),
    'no results': put('detections.0.results', []),
    'many results': lambda m: setattr(
        m.detections[0], 'results', list(m.detections[0].results) * 1000
    ),
    **every(
        'detections.0.results.0.hypothesis.score',
        nan=NAN, inf=INF, minus_inf=-INF, negative=-1.0, two=2.0, least=5e-324,
    ),
    **every(
        'detections.0.results.0.hypothesis.class_id',
        empty='', unknown='unicorn', long='c' * 10_000, unicode='车', case='CAR', number='7',
        visibility='visibility', lines='car\n',
    ),
    **every('detections.0.id', long='i' * 10_000, unicode='№1', lines='1\n2', negative='-1'),
}  # fmt: skip

BOXES_3D: dict[str, Change] = {
    **DETECTIONS,
    **{
        f'{path} {name}': put(f'detections.0.bbox.{path}', value)
        for path in ('center.position.x', 'center.orientation.w', 'size.z')
        for name, value in NUMBERS.items()
    },
    **every('detections.0.bbox.size.x', zero=0.0, negative=-4.0, tiny=5e-324),
    'no orientation': put('detections.0.bbox.center.orientation.w', 0.0),
    'far away': put('detections.0.bbox.center.position.y', 1e300),
}

BOXES_2D: dict[str, Change] = {
    **DETECTIONS,
    **{
        f'{path} {name}': put(f'detections.0.bbox.{path}', value)
        for path in ('center.position.x', 'center.theta', 'size_y')
        for name, value in NUMBERS.items()
    },
    **every('detections.0.bbox.size_x', zero=0.0, negative=-4.0, tiny=5e-324, wide=1e9),
    'far away': put('detections.0.bbox.center.position.y', 1e300),
}

_POSE = 'transforms.0.transform'
TRANSFORMS: dict[str, Change] = {
    'none': put('transforms', []),
    **{f'sec {v}': put('transforms.0.header.stamp.sec', v) for v in (0, -1, -(2**31), 2**31 - 1)},
    **{f'nanosec {v}': put('transforms.0.header.stamp.nanosec', v) for v in (10**9, HUGE)},
    **every(
        'transforms.0.header.frame_id',
        empty='', slash='/', unknown='atlantis', long='f' * 10_000, unicode='рама', lines='a\nb',
    ),
    **every(
        'transforms.0.child_frame_id',
        empty='', slash='/', unknown='atlantis', long='f' * 10_000, unicode='рама', lines='a\nb',
    ),
    'its own parent': lambda m: setattr(
        m.transforms[0], 'child_frame_id', m.transforms[0].header.frame_id
    ),
    **{
        f'{axis} {name}': put(f'{_POSE}.translation.{axis}', value)
        for axis in 'xz'
        for name, value in NUMBERS.items()
    },
    **{
        f'turn {axis} {name}': put(f'{_POSE}.rotation.{axis}', value)
        for axis in 'xw'
        for name, value in {**NUMBERS, 'zero': 0.0, 'two': 2.0}.items()
    },
    'a thousand': lambda m: setattr(m, 'transforms', list(m.transforms) * 1000),
}  # fmt: skip

CASES = {
    'image': IMAGE, 'depth': IMAGE, 'compressed': COMPRESSED, 'info': INFO, 'cloud': CLOUD,
    'boxes_3d': BOXES_3D, 'boxes_2d': BOXES_2D, 'tf': TRANSFORMS, 'tf_static': TRANSFORMS,
}  # fmt: skip
"""By what they are sent as."""


def fuzzed(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes of a message with a few of them wrong, missing or too many."""
    changed = np.frombuffer(data, np.uint8).copy()
    way = rng.integers(5)
    near = min(len(changed), 400)  # where most of what is not payload is
    if way == 0:
        changed = changed[: rng.integers(4, len(changed))]
    elif way == 1:
        changed = np.append(changed, rng.integers(0, 256, rng.integers(1, 200), np.uint8))
    elif way == 2:
        places = rng.integers(4, near, rng.integers(1, 9))
        changed[places] = rng.integers(0, 256, len(places), np.uint8)
    else:
        place = 4 + 4 * rng.integers(0, (near - 8) // 4)
        value = rng.choice([0, 1, 0xFF, 2**16, 2**31 - 1, 2**31, HUGE])
        changed[place : place + 4] = np.array([value], '<u4').view(np.uint8)
    return changed.tobytes()
