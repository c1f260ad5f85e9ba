"""The bytes are those of the real ROS 2 middleware."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import typestore

get_package_share_directory = pytest.importorskip(
    'ament_index_python.packages'
).get_package_share_directory
serialization = pytest.importorskip('rclpy.serialization')


@pytest.mark.ros
def test_rclpy_reads_and_writes_the_same_bytes(tiny_bag: Path) -> None:
    with BagReader(tiny_bag) as bag:
        for topic in bag.topics.values():
            package, _, name = topic.type.split('/')
            real_type = getattr(importlib.import_module(f'{package}.msg'), name)
            data = bytes(bag.raw(topic.name, topic.count - 1))
            message = serialization.deserialize_message(data, real_type)
            # Fast CDR leaves padding undefined, so objects are compared, not bytes.
            again = serialization.serialize_message(message)
            assert len(again) - len(data) in range(4)
            ours = typestore().deserialize_cdr(data, topic.type)
            theirs = typestore().deserialize_cdr(again, topic.type)
            assert repr(ours) == repr(theirs)


@pytest.mark.ros
def test_type_hashes_are_those_of_the_real_types(
    tiny_bag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if 'AMENT_PREFIX_PATH' not in os.environ:  # no distribution is sourced
        monkeypatch.setenv('AMENT_PREFIX_PATH', sys.prefix)
    with BagReader(tiny_bag) as bag:
        types = {topic.type for topic in bag.topics.values()}
    for kind in types:
        package, _, name = kind.split('/')
        file = Path(get_package_share_directory(package)) / 'msg' / f'{name}.json'
        hashes = json.loads(file.read_text())['type_hashes']
        real = next(entry['hash_string'] for entry in hashes if entry['type_name'] == kind)
        assert typestore().hash_rihs01(kind) == real
