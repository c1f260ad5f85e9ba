from __future__ import annotations

from pathlib import Path

import pytest

from sim_perception.resources import share_path


def test_checkout_comes_first() -> None:
    assert share_path('config', 'taxonomy.yaml').is_file()


def test_ament_prefixes_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / 'share/sim_perception/config/only_here.yaml'
    file.parent.mkdir(parents=True)
    file.write_text('a: 1\n')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{tmp_path}')
    assert share_path('config', 'only_here.yaml') == file


def test_a_missing_file_names_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AMENT_PREFIX_PATH', '/nowhere')
    with pytest.raises(FileNotFoundError, match='/nowhere/share/sim_perception'):
        share_path('config', 'none.yaml')
