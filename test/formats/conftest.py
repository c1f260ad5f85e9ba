"""One tiny simulated drive and what ``convert`` makes of it, for all tests of formats."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('typer', reason='training is not installed')
from format_drive import FORMATS, SCENARIO, quiet
from simulated_bags import simulate_bag

from training.labelling.convert import Conversion, convert


@pytest.fixture(scope='session')
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three simulated frames of a street with traffic."""
    return simulate_bag(tmp_path_factory.mktemp('drive') / 'street', SCENARIO, 3)


@pytest.fixture(scope='session')
def converted(drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drive in every format that truth can have."""
    out = tmp_path_factory.mktemp('converted') / 'set'
    convert(Conversion((drive,), out, FORMATS), quiet())
    return out
