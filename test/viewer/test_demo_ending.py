"""How the demo ends: with a file for the viewer, or with how to get one."""

from __future__ import annotations

from pathlib import Path

import drives
import pytest
from rich.console import Console

from training.demo import demo


def ending(bag: Path, file: Path) -> str:
    console = Console(width=300)
    with console.capture() as captured:
        demo.keep_view(bag, file, console)
    return captured.get()


def test_it_leaves_a_file_and_says_how_to_open_it_and_the_bag(tmp_path: Path) -> None:
    pytest.importorskip('rerun', reason='the viewer is not installed: make view')
    from rrd import RrdFile

    bag, file = drives.record_drive(tmp_path / 'bag'), tmp_path / 'demo.rrd'
    said = ending(bag, file)
    assert f'rerun {file}' in said
    assert f'-m training view {bag}' in said
    assert f'ros2 bag play {bag}' in said
    assert '/camera/image' in RrdFile(file).entities


def test_without_the_viewer_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, 'is_installed', lambda: False)
    said = ending(tmp_path / 'bag', tmp_path / 'demo.rrd')
    assert 'make view' in said
    assert f'ros2 bag play {tmp_path / "bag"}' in said
    assert not (tmp_path / 'demo.rrd').exists()
