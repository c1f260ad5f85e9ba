"""Pages for people: README stays short, and no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / name
    for name in (
        'README.md',
        'CONTRIBUTING.md',
        'SECURITY.md',
        'training/README.md',
        'ros2_pip/README.md',
    )
] + sorted((ROOT / 'docs').rglob('*.md'))
_LINK = re.compile(r'\[[^]]*\]\(([^)\s]+)\)')


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    heads = re.findall(r'^#+ (.*)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', head.lower()).replace(' ', '-') for head in heads}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if '://' in link or link.startswith('mailto:'):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f'{link}: {target} is not there'
        if anchor and target.suffix == '.md':
            assert anchor in anchors(target), f'{link}: no such heading'


def test_the_readme_is_short_and_leads_to_every_page_for_people() -> None:
    text = (ROOT / 'README.md').read_text()
    assert len(text.splitlines()) <= 150
    for name in ('install', 'python', 'reference', 'tour', 'limits', 'results', 'architecture'):
        assert f'docs/{name}.md' in text, name
