"""The metadata.yaml of a bag: made from its files, put together from its parts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ros2_pip_tools.cli.bag_mend import mend
from ros2_pip_tools.cli.errors import CommandError

METADATA = 'metadata.yaml'
INFORMATION = 'rosbag2_bagfile_information'
_STORAGES = {'.mcap': 'mcap', '.db3': 'sqlite3'}
_VERSION = 9


def reindex(folder: Path) -> int:
    """Write the metadata of a bag anew from its files; return how many files it has.

    MCAP files that were cut short are completed.

    Raises:
        CommandError: there is no such folder, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise CommandError(f'Must specify a bag directory; {folder} is none')
    # A recording in several files that broke off has the last one in a folder of its own.
    for file in [file for part in folder.glob(f'{folder.name}_*/') for file in part.iterdir()]:
        if file.suffix in _STORAGES and not (folder / file.name).exists():
            file.rename(folder / file.name)
            shutil.rmtree(file.parent)
    files = sorted((f for f in folder.iterdir() if f.suffix in _STORAGES), key=_number)
    if not files:
        raise CommandError(f'No storage files found for reindexing in {folder}')
    write_metadata(folder, merged([_of_file_or_mended(file) for file in files]))
    return len(files)


def _number(file: Path) -> tuple[int, str]:
    """Return what brings the files of a recording into order: NAME_2 before NAME_10."""
    found = re.search(r'_(\d+)$', file.stem)
    return (int(found.group(1)) if found else -1), file.name


def _of_file_or_mended(file: Path) -> dict[str, Any]:
    try:
        return _of_file(file)
    except CommandError as error:
        if file.suffix != '.mcap':
            raise
        print(f'{error}; writing anew what can be read', flush=True)
        print(f'{mend(file)} messages are kept', flush=True)
        return _of_file(file)


def _of_file(file: Path) -> dict[str, Any]:
    from rosbags.rosbag2 import Reader, ReaderError
    from rosbags.rosbag2.metadata import dump_qos_v9

    try:
        with Reader(file) as reader:
            count = reader.message_count
            start = reader.start_time if count else 0
            length = reader.end_time - 1 - start if count else 0  # the end is after the last
            topics = [
                {
                    'topic_metadata': {
                        'name': item.topic,
                        'type': item.msgtype,
                        'serialization_format': item.ext.serialization_format,
                        'offered_qos_profiles': dump_qos_v9(item.ext.offered_qos_profiles),
                        'type_description_hash': item.digest,
                    },
                    'message_count': item.msgcount,
                }
                for item in reader.connections
            ]
            distro = reader.ros_distro
    # The library raises what its parsers meet; the file is from somebody else.
    except (ReaderError, OSError, ValueError, TypeError, KeyError) as error:
        raise CommandError(f'cannot read {file}: {error}; was it cut short?') from error
    times = {
        'starting_time': {'nanoseconds_since_epoch': start},
        'duration': {'nanoseconds': length},
        'message_count': count,
    }
    return {
        'version': _VERSION,
        'storage_identifier': _STORAGES[file.suffix],
        'relative_file_paths': [file.name],
        **times,
        'topics_with_message_count': topics,
        'compression_format': '',
        'compression_mode': '',
        'files': [{'path': file.name, **times}],
        'custom_data': None,
        'ros_distro': distro or 'unknown',
    }


def merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the metadata of a bag of one or more files, from those of each file."""
    whole = dict(parts[0])
    for name in ('relative_file_paths', 'files'):
        whole[name] = [item for part in parts for item in part[name]]
    topics: dict[str, dict[str, Any]] = {}
    for part in parts:
        for topic in part['topics_with_message_count']:
            name = topic['topic_metadata']['name']
            known = topics.setdefault(name, {**topic, 'message_count': 0})
            known['message_count'] += topic['message_count']
    whole['topics_with_message_count'] = list(topics.values())
    spans = [
        (part['starting_time']['nanoseconds_since_epoch'], part['duration']['nanoseconds'])
        for part in parts
        if part['message_count']
    ] or [(0, 0)]
    start = min(begin for begin, _ in spans)
    end = max(begin + length for begin, length in spans)
    whole['starting_time'] = {'nanoseconds_since_epoch': start}
    whole['duration'] = {'nanoseconds': end - start}
    whole['message_count'] = sum(part['message_count'] for part in parts)
    return whole


def write_metadata(folder: Path, information: dict[str, Any]) -> None:
    """Write metadata.yaml, whole or not at all."""
    new = folder / f'.{METADATA}.new'
    new.write_text(yaml.safe_dump({INFORMATION: information}, sort_keys=False))
    new.replace(folder / METADATA)
