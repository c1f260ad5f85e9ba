"""The verb ``sizes``: what is measured, what is published, and the page that holds both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from training.commands.sizes import sizes
from training.datasets.sample import DatasetError
from training.inspection.sizes import (
    CLASSES,
    PUBLISHED,
    content_markdown,
    kitti_sizes,
    scenario_sizes,
    size_rows,
    with_tables,
)

LABEL = '{} 0.00 0 0.0 10 10 50 50 {} {} {} 1.0 1.6 {} 0.0\n'


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    folder = tmp_path / 'label_2'
    folder.mkdir()
    cars = ''.join(LABEL.format('Car', 1.5, 1.6, length, 10) for length in (3.5, 4.5))
    (folder / '000000.txt').write_text(cars + LABEL.format('Cyclist', 1.7, 0.6, 1.8, 12))
    (folder / '000001.txt').write_text(LABEL.format('Van', 2.2, 1.9, 5.0, 9))
    return tmp_path


def test_labels_are_measured_by_class(labels: Path) -> None:
    found = kitti_sizes(labels)
    np.testing.assert_allclose(found['car'], [[3.5, 1.6, 1.5], [4.5, 1.6, 1.5]])
    np.testing.assert_allclose(found['van'], [[5.0, 1.9, 2.2]])
    assert len(found['truck']) == 0
    with pytest.raises(DatasetError, match='label_2'):
        kitti_sizes(labels / 'nowhere')


def test_rows_have_mean_spread_and_what_is_published() -> None:
    values = np.array([[3.0, 1.6, 1.4], [5.0, 1.8, 1.6]])
    rows = size_rows({'mine': {'car': values}})
    first = rows[0]
    assert (first.category, first.data, first.count) == ('car', 'mine', 2)
    np.testing.assert_allclose(first.mean, [4.0, 1.7, 1.5])
    np.testing.assert_allclose(first.deviation, [1.0, 0.1, 0.1])
    np.testing.assert_allclose(first.low, [3.1, 1.61, 1.41])
    assert [r.category for r in rows] == sorted((r.category for r in rows), key=CLASSES.index)
    assert len(rows) == 1 + len(PUBLISHED)


def test_regions_differ_in_a_scenario() -> None:
    european = scenario_sizes('clean', range(1), 'european')
    american = scenario_sizes('clean', range(1), 'american')
    assert len(european['car']) > 5
    assert european['car'][:, 0].mean() < american['car'][:, 0].mean() - 0.3
    assert european['pedestrian'][:, 2].max() < 2.3


def test_command_line_prints_and_writes_the_page(labels: Path) -> None:
    page = labels / 'page.md'
    marks = '<!-- table sizes -->\n<!-- end -->\nb\n<!-- table content -->\nold\n<!-- end -->'
    page.write_text(f'a\n{marks}')
    app = typer.Typer()
    app.command()(sizes)
    arguments = ['clean', '--count', '1', '--kitti', str(labels), '--write', str(page)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert '4.00' in result.output
    text = page.read_text()
    assert text.startswith('a\n<!-- table sizes -->\n| class |')
    assert 'KITTI (published) |  | 3.88 | 1.63 | 1.53' in text
    assert '\nold\n' not in text
    assert 'tanker' in text
    with pytest.raises(ValueError, match='no place for the table sizes'):
        with_tables('nothing', {'sizes': ''})


def test_the_page_of_content_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / 'docs' / 'simulator_content.md'
    assert content_markdown() in page.read_text(), (
        'docs/simulator_content.md is old; the command on that page makes it anew'
    )
