"""``docs/model_licences.md`` says of every shipped checkpoint what its own records say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from training.cards.page import runs_of
from training.engine.config import load_config

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/model_licences.md'
MODELS = sorted(path.name for path in (ROOT / 'models').iterdir())
# Words in the paths of what was trained on, and whose images those are.
OWNERS = {
    'kitti': 'KITTI', 'camvid': 'CamVid', 'boston': 'nuScenes', 'highway': 'Udacity',
}  # fmt: skip
_REAL = re.compile(r'(kitti_stereo|camvid|video|images|bag|kitti_object|kitti_tracking):(\S+)')


def texts(value: Any) -> Iterator[str]:
    """Yield every text within settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def owners(name: str) -> set[str]:
    """Return whose images a checkpoint has seen, itself or through what it started from."""
    training = json.loads((ROOT / 'models' / name / 'metrics.json').read_text()).get('training')
    found = set()
    for run in runs_of(training) if training else ():
        config = run['config']
        for text in texts([config['data'], config['model'], config.get('loss', {})]):
            if (spec := _REAL.match(text)) is not None:
                named = {who for word, who in OWNERS.items() if word in spec.group(0)}
                assert named, f'{name} was trained on {text}, which the page must name'
                found |= named
            if text.startswith('models/') and text != f'models/{name}':
                found |= owners(Path(text).name)
        assert config['model'].get('pretrained') in (True, False, None)
    return found


def rows() -> dict[str, list[str]]:
    """Return the cells of the page's first table by checkpoint."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith('| `')]
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    return {first.strip('`'): rest for first, *rest in cells}


def test_every_checkpoint_has_a_row() -> None:
    assert sorted(rows()) == MODELS


@pytest.mark.parametrize('name', MODELS)
def test_a_row_says_what_the_records_say(name: str) -> None:
    seen, _, commercial = rows()[name]
    real = owners(name)
    if real:
        assert commercial == '**yes**'
        whose = rows()['depth_segmentation'][0] if seen.startswith('as `depth_seg') else seen
        assert all(who in whose for who in real), (real, whose)
    else:
        assert commercial in ('no', 'ImageNet only')
        assert not any(who in seen for who in OWNERS.values())


def test_the_table_of_terms_names_all_owners() -> None:
    text = PAGE.read_text()
    assert all(f'[{who}]' in text for who in [*OWNERS.values(), 'ImageNet'])


def test_the_commands_for_weights_of_ones_own_are_understood() -> None:
    clips, images = 'data.real_clips=[{spec: "bag:my_drive"}]', 'data.real_images=[]'
    config = load_config('guda_pl', [clips, images, 'model.init=models/depth_segmentation_source'])
    assert 'shared' not in str(config.data)
    assert 'shared' not in str(load_config('permatrack', ['model.start=mine']).data)
    assert clips in PAGE.read_text()
    assert images in PAGE.read_text()


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= set(citation)
    assert f'<version>{citation["version"]}</version>' in (ROOT / 'package.xml').read_text()
    assert f'<license>{citation["license"]}</license>' in (ROOT / 'package.xml').read_text()


def test_issue_forms_are_forms() -> None:
    for path in (ROOT / '.github/ISSUE_TEMPLATE').glob('*.yml'):
        form = yaml.safe_load(path.read_text())
        if path.name != 'config.yml':
            assert {'name', 'description', 'body'} <= set(form)
            assert all('label' in one['attributes'] for one in form['body'])
