"""The notebook: it runs from top to bottom, and what it prints is right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / 'docs' / 'notebooks' / 'tour.ipynb'


@pytest.fixture(scope='module')
def notebook() -> Any:
    client = pytest.importorskip('nbclient', reason='the notebook needs the extra docs')
    pytest.importorskip('ipykernel', reason='the notebook needs the extra docs')
    nbformat = pytest.importorskip('nbformat', reason='the notebook needs the extra docs')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return client.NotebookClient(notebook, timeout=900, kernel_name='python3').execute()


def printed(notebook: Any) -> str:
    """Return all that the cells print."""
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    return ''.join(output.text for output in outputs if output.get('name') == 'stdout')


@pytest.mark.slow
def test_every_cell_that_shows_something_shows_a_picture(notebook: Any) -> None:
    shown = [
        cell for cell in notebook.cells if 'show(' in cell.source and 'def show' not in cell.source
    ]
    assert len(shown) >= 6
    for cell in shown:
        assert any('image/jpeg' in output.get('data', {}) for output in cell.outputs)


@pytest.mark.slow
def test_what_is_printed_is_right(notebook: Any) -> None:
    text = printed(notebook)
    error, agree = re.search(r'nearer than (\d+)%, (\d+)% of', text).groups()  # type: ignore[union-attr]
    assert int(error) < 20
    assert int(agree) > 75
    returned, kept = re.search(r'(\d+) were hidden .* (\d+) of them', text).groups()  # type: ignore[union-attr]
    assert 1 <= int(kept) <= int(returned)
    lengths = re.findall(r'([\d.]+) m long \(truth ([\d.]+)\), ([\d.]+) m off', text)
    assert lengths, 'a car is labelled'
    for found, true, off in lengths:
        assert abs(float(found) - float(true)) < 1.0
        assert float(off) < 1.0


def test_the_stored_file_is_small() -> None:
    assert NOTEBOOK.stat().st_size < 300_000
