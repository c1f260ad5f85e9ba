"""What MkDocs asks for: pages that are generated, pages from beside ``docs/``, their links."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs' / 'site')]

import generated  # noqa: E402 (found by the line above)
from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

#: Pages of the site that are files of the repository outside docs/.
ELSEWHERE = {
    'README.md': 'index.md',
    'CONTRIBUTING.md': 'contributing.md',
    'training/README.md': 'training.md',
    'ros2_pip/README.md': 'ros2_pip.md',
    **{
        str(path.relative_to(ROOT)): f'models/{path.parent.name}.md'
        for path in sorted((ROOT / 'models').glob('*/README.md'))
    },
}
_HOMES = {page: home for home, page in ELSEWHERE.items()}
_LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of docs/."""
    for home, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / home)))
    for page, content in generated.pages().items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    uri = page.file.src_uri
    if uri.startswith('models/'):
        # a card is called by its kind of network, a page by its folder
        markdown = re.sub(r'^# .*', f'# {Path(uri).stem}', markdown, count=1)
    home = ROOT / _HOMES.get(uri, f'docs/{uri}')

    def linked(match: re.Match[str]) -> str:
        image, text, link = match.groups()
        path, _, anchor = link.partition('#')
        target = (home.parent / path).resolve()
        if not path or '://' in link or not target.exists():
            return match[0]
        place = site_path(target)
        if place is None:
            return text
        relative = os.path.relpath(place, Path(uri).parent)
        return f'{image}[{text}]({relative}{"#" if anchor else ""}{anchor})'

    return _LINK.sub(linked, markdown)


def site_path(target: Path) -> str | None:
    """Return where a file of the repository is on the site; None of what is not there."""
    inside = str(target.relative_to(ROOT))
    notebook = inside.removeprefix('docs/').replace('.ipynb', '.md')
    if inside.startswith('docs/') and target.is_file() and target.suffix != '.py':
        return notebook
    return ELSEWHERE.get(inside, generated.FOLDERS.get(inside))
