"""The benchmark of bags: its readers agree, its figures are there."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope='module')
def bags() -> Iterator[Any]:
    """The benchmark, which only a checkout has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2]))
        yield importlib.import_module('benchmark.bags')


def test_figures(bags: Any, tiny_bag: Path) -> None:
    parser = argparse.ArgumentParser()
    bags.add_arguments(parser)
    options = parser.parse_args(['--bag', str(tiny_bag), '--samples', '8', '--repeats', '1'])
    figures = bags.run(options)
    assert figures['samples_per_s'] / figures['samples_per_s_rosbags'] == pytest.approx(
        figures['ratio_vs_rosbags']
    )
    for name in ('samples_per_s_2_workers', 'write_mcap_zstd_mb_per_s'):
        assert figures[name] > 0
    if importlib.util.find_spec('mcap_ros2') is None:
        assert 'pip install' in figures['skipped_mcap_ros2']
    else:
        assert figures['ratio_vs_mcap_ros2'] > 0


def test_disagreement_is_noticed(bags: Any, tiny_bag: Path) -> None:
    own = bags._own_reader(tiny_bag)
    with pytest.raises(AssertionError, match='other decodes sample 0 differently'):
        bags._assert_equal({'own': own, 'other': lambda _: own(1)}, [0])
