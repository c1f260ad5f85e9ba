"""Random-access decoding of synchronised camera, depth, class and LiDAR samples to tensors.

The same bag, the same samples in the same random order, the same tensors, by three readers:
this package's ``BagReader``, plain rosbags, and ``mcap-ros2-support`` (in the extra
``benchmark``) by its documented ``read_ros2_messages`` and, as ``mcap_ros2_open``, by an
expert's use of its decoder with a reader that stays open. The tensors are checked against each
other.

Examples:
  python -m benchmark bags
  python -m benchmark bags --bag my_drive --samples 200
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader as RosbagsReader
from rosbags.typesys import Stores, get_typestore
from torch.utils.data import DataLoader, Dataset

from sim_perception.bags import topics as t_
from sim_perception.bags.clouds import columns
from sim_perception.bags.messages import StampedMessage
from sim_perception.bags.reader import BagReader
from sim_perception.bags.writer import BagWriter
from sim_perception.extras import skipped
from training.simulation.plans import plan_bags
from training.simulation.write import write_bag

Tensors = tuple[torch.Tensor, ...]

_TOPICS = (t_.IMAGE.name, t_.DEPTH.name, t_.SEMANTIC.name, t_.POINTS.name)
_COLUMNS = ('x', 'y', 'z', 'intensity')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument('--bag', type=Path, help='a bag with these topics; default: simulate one')
    parser.add_argument('--scenario', default='clean', help='what to simulate')
    parser.add_argument('--frames', type=int, default=40, help='length of the simulated bag')
    parser.add_argument('--samples', type=int, default=100, help='per reader and repetition')
    parser.add_argument('--repeats', type=int, default=5, help='repetitions; the median counts')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; see the module's docstring."""
    # mcap-ros2-support's documented function calls itself deprecated, at every use.
    warnings.filterwarnings('ignore', category=DeprecationWarning, module='mcap')
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix='bags_') as folder:
        path = options.bag or _make_bag(Path(folder) / 'bag', options.scenario, options.frames)
        with BagReader(path) as bag:
            rows = bag.synchronized(_TOPICS)
            stamps = bag.stamps(_TOPICS[0])[rows[:, 0]]
        if not len(rows):
            raise ValueError(f'{path} has no synchronised samples of {", ".join(_TOPICS)}')
        rng = np.random.default_rng(0)
        order = np.concatenate(
            [rng.permutation(len(rows)) for _ in range(-(-options.samples // len(rows)))]
        )[: options.samples]
        readers = {
            'own': _own_reader(path),
            'rosbags': _rosbags_reader(path, stamps),
        }
        left_out = skipped('mcap_ros2', 'mcap_ros2')
        if not left_out:
            readers['mcap_ros2'] = _mcap_reader(path, stamps)
            readers['mcap_ros2_open'] = _open_mcap_reader(path, stamps)
        _assert_equal(readers, order[:10].tolist())
        peers = [name for name in readers if name != 'own']
        rates = _rates(readers, order.tolist(), options.repeats)
        figures: dict[str, Any] = {
            **{f'ratio_vs_{name}': rates['own'] / rates[name] for name in peers},
            'samples_per_s': rates['own'],
            **{f'samples_per_s_{name}': rates[name] for name in peers},
            'samples_per_s_2_workers': _loader_rate(path, options.samples * 4),
        }
        figures.update(_write_rates(path, Path(folder)))
        figures['bag_mb_per_sample'] = _size(path) / 1e6 / len(rows)
        figures['samples'] = options.samples
    return figures | left_out


def _make_bag(path: Path, scenario: str, frames: int) -> Path:
    """Simulate a bag of all layers with a scan per frame."""
    plan = plan_bags(scenario, 0, path, duration=frames / 10.0, frame_rate=10.0)[0]
    write_bag(plan, None, lambda: None)
    return path


def _tensors(image: Any, depth: Any, semantic: Any, points: Any) -> Tensors:
    """Return tensors of their own memory: (H,W,3) u8, (H,W) f32, (H,W) u8, (N,4) f32.

    Images are views of the bag and are copied; the points were put together anew already.
    """
    # `torch.tensor` would copy some hundred times slower.
    images = (torch.from_numpy(np.array(array)) for array in (image, depth, semantic))
    return (*images, torch.from_numpy(points))


def _own_reader(path: Path) -> Callable[[int], Tensors]:
    bag = BagReader(path)
    rows = bag.synchronized(_TOPICS)

    def read(number: int) -> Tensors:
        image, depth, semantic, points = rows[number].tolist()
        return _tensors(
            bag.image(t_.IMAGE.name, image),
            bag.image(t_.DEPTH.name, depth),
            bag.image(t_.SEMANTIC.name, semantic),
            columns(bag.cloud(t_.POINTS.name, points), _COLUMNS),
        )

    return read


_POINT_TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: '<f4', 8: '<f8'}


def _image(message: Any, dtype: Any, channels: int = 1) -> Any:
    shape = (message.height, message.width, channels)[: 2 + (channels > 1)]
    return np.frombuffer(message.data, dtype).reshape(shape)


def _cloud(message: Any) -> Any:
    """Decode a cloud as users do with numpy alone."""
    layout: Any = {
        'names': [field.name for field in message.fields],
        'formats': [_POINT_TYPES[field.datatype] for field in message.fields],
        'offsets': [field.offset for field in message.fields],
        'itemsize': message.point_step,
    }
    points = np.frombuffer(message.data, np.dtype(layout))
    return np.stack([points[name] for name in _COLUMNS], -1)


def _decoded(found: dict[str, Any]) -> Tensors:
    image, depth, semantic, points = (found[topic] for topic in _TOPICS)
    return _tensors(
        _image(image, np.uint8, 3),
        _image(depth, np.float32),
        _image(semantic, np.uint8),
        _cloud(points),
    )


def _rosbags_reader(path: Path, stamps: Any) -> Callable[[int], Tensors]:
    store = get_typestore(Stores.ROS2_JAZZY)
    reader = RosbagsReader(path)
    reader.open()
    connections = [c for c in reader.connections if c.topic in _TOPICS]

    def read(number: int) -> Tensors:
        stamp = int(stamps[number])
        messages = reader.messages(connections=connections, start=stamp, stop=stamp + 1)
        return _decoded(
            {c.topic: store.deserialize_cdr(data, c.msgtype) for c, _, data in messages}
        )

    return read


def _mcap_reader(path: Path, stamps: Any) -> Callable[[int], Tensors]:
    """Read with the documented function of mcap-ros2-support, which opens the file each time."""
    from mcap_ros2.reader import read_ros2_messages

    file = _mcap_file(path)

    def read(number: int) -> Tensors:
        stamp = int(stamps[number])
        messages = read_ros2_messages(file, _TOPICS, start_time=stamp, end_time=stamp + 1)
        return _decoded({message.channel.topic: message.ros_msg for message in messages})

    return read


def _open_mcap_reader(path: Path, stamps: Any) -> Callable[[int], Tensors]:
    """Read with the classes beneath it, so that file and decoders stay open."""
    from mcap_ros2.decoder import DecoderFactory

    reader = make_reader(_mcap_file(path).open('rb'), decoder_factories=[DecoderFactory()])

    def read(number: int) -> Tensors:
        stamp = int(stamps[number])
        messages = reader.iter_decoded_messages(
            _TOPICS, starting_at=stamp, ending_before=stamp + 1
        )
        return _decoded({channel.topic: decoded for _, channel, _, decoded in messages})

    return read


def _mcap_file(path: Path) -> Path:
    return path if path.is_file() else next(path.glob('*.mcap'))


def _assert_equal(readers: dict[str, Callable[[int], Tensors]], numbers: list[int]) -> None:
    """Check that all readers give the same tensors."""
    for number in numbers:
        reference = readers['own'](number)
        for name, read in readers.items():
            for mine, other in zip(reference, read(number), strict=True):
                same = mine.shape == other.shape and mine.dtype == other.dtype
                if not same or not torch.equal(mine.nan_to_num(-1), other.nan_to_num(-1)):
                    raise AssertionError(f'{name} decodes sample {number} differently')


def _rates(
    readers: dict[str, Callable[[int], Tensors]], order: list[int], repeats: int
) -> dict[str, float]:
    """Return each reader's samples per second: the median of interleaved repetitions."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(repeats):
        for name, read in readers.items():
            start = time.perf_counter()
            for number in order:
                read(number)
            seconds[name].append(time.perf_counter() - start)
    return {name: len(order) / statistics.median(values) for name, values in seconds.items()}


class _Samples(Dataset[Tensors]):
    """Random samples for loader workers, each of which opens the bag itself."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self._read: Callable[[int], Tensors] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Tensors:
        if self._read is None:
            self._read = _own_reader(self.path)
            with BagReader(self.path) as bag:
                self._rows = len(bag.synchronized(_TOPICS))
        return self._read(int(np.random.default_rng(number).integers(self._rows)))


def _loader_rate(path: Path, count: int) -> float:
    """Return samples per second through two loader processes, once they run."""
    loader = DataLoader(_Samples(path, count), batch_size=None, num_workers=2, prefetch_factor=4)
    iterator = iter(loader)
    warm_up = count // 4
    for _ in range(warm_up):
        next(iterator)
    start = time.perf_counter()
    for _ in iterator:
        pass
    return (count - warm_up) / (time.perf_counter() - start)


def _write_rates(path: Path, folder: Path) -> dict[str, float]:
    """Write the bag's messages again; MB/s of message data, not of compressed bytes."""
    with BagReader(path) as bag:
        messages = [
            StampedMessage(topic, stamp, memoryview(bytes(data)))
            for topic, stamp, data in bag.messages()
        ]
    megabytes = sum(len(message.data) for message in messages) / 1e6
    rates = {}
    for storage, compression in (('mcap', 'zstd'), ('mcap', 'none'), ('sqlite3', 'none')):
        start = time.perf_counter()
        name = f'write_{storage}_{compression}'
        with BagWriter(folder / name, storage, compression) as writer:
            for message in messages:
                writer.write(message)
        rates[f'{name}_mb_per_s'] = megabytes / (time.perf_counter() - start)
    return rates


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
