"""The documentation site: it builds without a warning, and what the code says is on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ('mkdocs', 'material', 'mkdocstrings', 'nbconvert'):
        pytest.importorskip(name, reason='the site needs the extra docs')
    folder = tmp_path_factory.mktemp('site')
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', folder],
        cwd=ROOT,
        env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text_of(page: Path) -> str:
    """Return what a reader sees of a page."""
    return re.sub(r'\s+', ' ', re.sub(r'<[^>]+>', '', page.read_text()))


@pytest.mark.slow
def test_the_pictures_of_every_page_are_there(site: Path) -> None:
    pages = [page for page in site.rglob('*.html') if page.name != '404.html']
    assert len(pages) > 30
    for page in pages:
        place = page.relative_to(site)
        for source in re.findall(r'<img [^>]*src="([^"]+)"', page.read_text()):
            if not source.startswith(('data:', 'http')):
                assert (page.parent / source).is_file(), f'{place}: {source}'


@pytest.mark.slow
def test_pages_that_are_generated_say_what_the_code_says(site: Path) -> None:
    from sim_perception.ros.parameters import NODES
    from sim_perception.simulator.scenario import scenario_names

    commands = text_of(site / 'cli.html')
    for word in ('--image-format', '--max-minutes', '--detections', 'evaluate tracking'):
        assert word in commands
    assert 'simulate: Simulate scenarios into bags: images, ' in commands, 'not cut off'
    assert '$ sim-perception simulate [OPTIONS]' in commands
    for page in site.rglob('*.html'):
        assert '=====' not in text_of(page), f'{page.name}: a table that Markdown does not know'
        assert not re.search(r'<code>\s*</code>', page.read_text()), f'{page.name}: empty code'
    for card in (site / 'models').glob('*.html'):
        assert f'<h1 id="{card.stem}">{card.stem}' in card.read_text()
    fields = text_of(site / 'scenario_fields.html')
    assert 'fog_density [0.0005, 0.003] 0 to 0.1, or a range' in fields
    assert 'returns single single, dual' in fields
    scenarios = text_of(site / 'scenarios.html')
    assert all(name in scenarios for name in scenario_names())
    reference = text_of(site / 'reference.html')
    assert all(node in reference for node in NODES)
    api = text_of(site / 'api.html')
    for word in ('level_T_camera', 'accepted', 'parent_T_box', 'camera_T_points'):
        assert word in api, word
