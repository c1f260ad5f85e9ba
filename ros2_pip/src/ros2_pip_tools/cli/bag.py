"""`ros2 bag`: play, record, describe and mend bags, by the rosbags library."""

from __future__ import annotations

import argparse
import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ros2_pip_tools.cli.bag_metadata import reindex
from ros2_pip_tools.cli.bag_play import Playback, play
from ros2_pip_tools.cli.bag_record import Recording, record
from ros2_pip_tools.cli.errors import CommandError

if TYPE_CHECKING:
    from rosbags.rosbag2 import Reader


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('bag', help='play, record and describe bags')
    verbs = group.add_subparsers(metavar='verb', required=True)
    info = verbs.add_parser('info', help='describe a bag')
    info.add_argument('bag', type=Path, help='folder of the bag, or its .mcap / .db3 file')
    _add_storage(info)
    info.set_defaults(run=_info)
    _add_play(verbs)
    _add_record(verbs)
    again = verbs.add_parser('reindex', help='write the metadata of a bag anew')
    again.add_argument('bag', type=Path, help='folder of the bag')
    _add_storage(again)
    again.set_defaults(run=_reindex)


def _add_storage(parser: Any) -> None:
    parser.add_argument(
        '-s', '--storage', choices=['mcap', 'sqlite3'], help='need not be said: files tell it'
    )


def _add_play(verbs: Any) -> None:
    parser = verbs.add_parser('play', help='publish what is in a bag')
    parser.add_argument('bag', type=Path, help='folder of the bag, or its .mcap / .db3 file')
    _add_storage(parser)
    parser.add_argument('-r', '--rate', type=_positive, default=1.0, help='speed (default: 1)')
    parser.add_argument('-l', '--loop', action='store_true', help='play again and again')
    parser.add_argument(
        '--clock',
        type=_positive,
        nargs='?',
        const=40.0,
        metavar='HZ',
        help='publish /clock, by default 40 times per second',
    )
    parser.add_argument(
        '--start-offset', type=float, default=0.0, metavar='S', help='skip the beginning'
    )
    parser.add_argument(
        '--playback-duration',
        type=float,
        default=-1.0,
        metavar='S',
        help='play so many seconds of the bag; by default all',
    )
    parser.add_argument(
        '-p', '--start-paused', action='store_true', help='wait for SPACE before the start'
    )
    parser.add_argument(
        '--disable-keyboard-controls', action='store_true', help='SPACE does not pause'
    )
    parser.add_argument(
        '-d', '--delay', type=float, default=0.0, metavar='S', help='wait before every round'
    )
    parser.add_argument('--topics', nargs='+', metavar='TOPIC', help='play only these')
    parser.add_argument('--exclude-topics', nargs='+', default=[], metavar='TOPIC')
    parser.add_argument(
        '-m', '--remap', nargs='+', default=[], metavar='OLD:=NEW', help='rename topics'
    )
    parser.add_argument(
        '--qos-profile-overrides-path', type=Path, metavar='FILE', help='YAML: QoS by topic'
    )
    parser.set_defaults(run=_play)


def _add_record(verbs: Any) -> None:
    parser = verbs.add_parser('record', help='write topics into a new bag')
    parser.add_argument('topics_positional', nargs='*', metavar='TOPIC', help='record these')
    parser.add_argument('--topics', nargs='+', default=[], metavar='TOPIC', help='record these')
    parser.add_argument('-a', '--all', '--all-topics', action='store_true', help='record all')
    parser.add_argument('-e', '--regex', help='record topics that match')
    parser.add_argument('-x', '--exclude-regex', help='do not record topics that match')
    parser.add_argument('-o', '--output', type=Path, help='folder of the new bag')
    parser.add_argument('-s', '--storage', choices=['mcap', 'sqlite3'], default='mcap')
    parser.add_argument('--compression-mode', choices=['none', 'file', 'message'], default='none')
    parser.add_argument('--compression-format', choices=['zstd'], default='zstd')
    parser.add_argument(
        '--storage-preset-profile',
        choices=['none', 'fastwrite', 'zstd_fast', 'zstd_small'],
        default='none',
        help='mcap: zstd_fast and zstd_small compress its chunks',
    )
    parser.add_argument('--use-sim-time', action='store_true', help='stamp with /clock')
    parser.add_argument(
        '-b',
        '--max-bag-size',
        type=_natural,
        default=0,
        metavar='BYTES',
        help='begin a new file after so many bytes of messages',
    )
    parser.add_argument(
        '-d',
        '--max-bag-duration',
        type=_natural,
        default=0,
        metavar='S',
        help='begin a new file after so many seconds',
    )
    parser.set_defaults(run=_record)


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f'{text} is not greater than 0')
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'{text} is negative')
    return value


@contextlib.contextmanager
def open_bag(path: Path) -> Iterator[Reader]:
    """Yield an open reader; CommandError when the bag is missing or unreadable."""
    from rosbags.rosbag2 import Reader, ReaderError

    try:
        reader = Reader(path)
        reader.open()
    except (ReaderError, OSError, ValueError) as error:
        raise CommandError(f'cannot read the bag {path}: {error}') from error
    except KeyError as error:  # rosbags looks encodings up without asking
        raise CommandError(
            f'cannot read the bag {path}: its messages are {error}, not of ROS 2; convert the '
            'recording that it comes from with rosbags-convert'
        ) from error
    try:
        yield reader
    finally:
        reader.close()


def _play(options: argparse.Namespace) -> None:
    playback = Playback(
        rate=options.rate,
        loop=options.loop,
        clock_hz=options.clock,
        start_offset=options.start_offset,
        delay=options.delay,
        topics=options.topics,
        exclude=options.exclude_topics,
        remap=options.remap,
        qos_overrides=options.qos_profile_overrides_path,
        duration=options.playback_duration,
        start_paused=options.start_paused,
        keyboard=not options.disable_keyboard_controls,
    )
    with open_bag(options.bag) as reader:
        play(reader, playback)


def _record(options: argparse.Namespace) -> None:
    topics = [*options.topics_positional, *options.topics]
    if not (topics or options.all or options.regex):
        raise CommandError('name the topics, or use --all or --regex')
    output = options.output
    if output is None:
        output = Path(datetime.datetime.now().strftime('rosbag2_%Y_%m_%d-%H_%M_%S'))
    recording = Recording(
        output=output,
        storage=options.storage,
        compression='storage'
        if options.storage_preset_profile.startswith('zstd')
        else options.compression_mode,
        topics=topics,
        regex='.*' if options.all else options.regex,
        exclude=options.exclude_regex,
        use_sim_time=options.use_sim_time,
        max_size=options.max_bag_size,
        max_duration=options.max_bag_duration,
    )
    record(recording)


def _reindex(options: argparse.Namespace) -> None:
    files = reindex(options.bag)
    print(f'Reindexing complete: {options.bag} has {files} file(s)')


def _info(options: argparse.Namespace) -> None:
    with open_bag(options.bag) as reader:
        files = sorted(options.bag.glob('*')) if options.bag.is_dir() else [options.bag]
        files = [file for file in files if file.suffix in ('.mcap', '.db3', '.zstd')]
        size = sum(file.stat().st_size for file in files)
        empty = reader.message_count == 0
        print(f'Files:             {" ".join(file.name for file in files)}')
        print(f'Bag size:          {size / 2**20:.1f} MiB')
        print(f'Storage id:        {"sqlite3" if ".db3" in files[0].suffixes else "mcap"}')
        print(f'ROS Distro:        {reader.ros_distro or "unknown"}')
        print(f'Duration:          {0.0 if empty else reader.duration * 1e-9:.9f}s')
        if not empty:
            print(f'Start:             {_date(reader.start_time)}')
            print(f'End:               {_date(reader.end_time)}')
        print(f'Messages:          {reader.message_count}')
        for index, item in enumerate(sorted(reader.connections, key=lambda c: c.topic)):
            label = 'Topic information:' if index == 0 else ''
            print(
                f'{label:<18} Topic: {item.topic} | Type: {item.msgtype} | '
                f'Count: {item.msgcount} | Serialization Format: cdr'
            )


def _date(nanoseconds: int) -> str:
    stamp = datetime.datetime.fromtimestamp(nanoseconds // 10**9)
    seconds, rest = divmod(nanoseconds, 10**9)
    return f'{stamp:%b %d %Y %H:%M:%S}.{rest:09d} ({seconds}.{rest:09d})'
