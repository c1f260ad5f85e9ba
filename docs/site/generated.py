"""Pages that are made from the code: commands, scenarios and their fields, networks, notebooks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

from nbconvert import MarkdownExporter
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sim_perception.resources import share_path
from sim_perception.simulator.scenario import Scenario, scenario_names

ROOT = Path(__file__).resolve().parents[2]
_SIGNS = {'ge': 'from', 'gt': 'more than', 'le': 'to', 'lt': 'less than'}
#: Pages that stand for folders of the repository.
FOLDERS = {'config/scenarios': 'scenarios.md', 'models': 'networks.md'}


def pages() -> dict[str, str | bytes]:
    """Return the content of every page and picture, by its place on the site."""
    return {
        'cli.md': command_line(),
        'scenario_fields.md': scenario_fields(),
        'scenarios.md': shipped_scenarios(),
        'networks.md': shipped_networks(),
        **notebooks(),
    }


def command_line() -> str:
    """Return the page of all verbs and options, as Typer writes it."""
    command = [sys.executable, '-m', 'typer', 'training.commands.cli', 'utils', 'docs']
    title = ['--name', 'sim-perception', '--title', 'Command line']
    done = subprocess.run([*command, *title], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'no page of the command line: {done.stderr}')
    page = re.sub(r'^(#+ )`sim-perception ([^`]+)`', r'\1\2', done.stdout, flags=re.MULTILINE)
    return _whole_sentences(page)


def _whole_sentences(page: str) -> str:
    """Give lists of verbs the first line of each verb's section; Typer cuts it off."""
    said = dict(re.findall(r'^##+ (.+)\n\n(.+)$', page, flags=re.MULTILINE))
    lines, above = [], ''
    for line in page.splitlines():
        if heading := re.fullmatch(r'##+ (.+)', line):
            above = f'{heading[1]} '
        verb = re.fullmatch(r'\* `([^`]+)`: .*\.\.\.', line)
        lines.append(f'* `{verb[1]}`: {said[above + verb[1]]}' if verb else line)
    return '\n'.join(lines) + '\n'


def scenario_fields() -> str:
    """Return the page of a scenario's sections and fields."""
    parts = [
        '# Fields of a scenario',
        'A scenario is a YAML file with a seed. `python -m training simulate --set '
        'weather.fog_density=0.03` changes a field, a file says the rest. Where a number may be '
        'a range, `[low, high]` draws it once per scene; a lone number fixes it. Misspelt fields '
        'and values out of bounds are refused by name. [Scenarios that are shipped](scenarios.md) '
        'are examples.',
        '## At the top',
        _table({n: f for n, f in Scenario.model_fields.items() if _section(f) is None}),
    ]
    for name, field in Scenario.model_fields.items():
        section = _section(field)
        if section is not None:
            parts += [f'## {name}', _prose(section), _table(section.model_fields)]
    return '\n\n'.join(parts) + '\n'


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section, or a list of sections, of its own."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _prose(section: type[BaseModel]) -> str:
    """Return a section's docstring as Markdown."""
    lines = [line.strip() for line in (section.__doc__ or '').splitlines()]
    return '\n'.join(lines).replace('``', '`')


def _table(fields: dict[str, FieldInfo]) -> str:
    rows = ['| field | default | allowed |', '|---|---|---|']
    for name, field in fields.items():
        value = 'required' if field.is_required() else f'`{_plain(field.default)}`'
        rows.append(f'| `{name}` | {value} | {_allowed(field)} |')
    return '\n'.join(rows)


def _plain(value: Any) -> str:
    """Write a default as YAML has it; a range of no width as its number."""
    if isinstance(value, tuple):
        if len(value) == 2 and value[0] == value[1]:
            return _plain(value[0])
        return f'[{", ".join(map(_plain, value))}]'
    if isinstance(value, bool) or value is None:
        return {True: 'true', False: 'false', None: 'none'}[value]
    return f'{value:g}' if isinstance(value, float) else str(value) or "''"


def _allowed(field: FieldInfo) -> str:
    """Say what values a field takes, from its annotation and validators."""
    for rule in field.metadata:
        bounds = getattr(rule, 'func', None)
        if hasattr(bounds, 'low'):
            return f'{bounds.low:g} to {bounds.high:g}, or a range'
    words = [w for w in _literals(field.annotation) if w not in (True, False)]
    if words:
        return ', '.join(f'`{word}`' for word in words)
    limits = {}
    for rule in field.metadata:
        limits |= {sign: getattr(rule, sign) for sign in _SIGNS if hasattr(rule, sign)}
    said = ' '.join(f'{_SIGNS[sign]} {_plain(limits[sign])}' for sign in _SIGNS if sign in limits)
    return said or ('`true`, `false`' if field.annotation is bool else '')


def _literals(annotation: Any) -> list[Any]:
    """Return the words of a Literal, wherever it stands in an annotation."""
    found: list[Any] = []
    for part in get_args(annotation):
        found += [part] if isinstance(part, str | int) else _literals(part)
    return found


def shipped_scenarios() -> str:
    """Return the page that shows every file of ``config/scenarios``."""
    parts = ['# Scenarios that are shipped', 'What each [field](scenario_fields.md) means.']
    for name in scenario_names():
        text = share_path('config', 'scenarios').joinpath(f'{name}.yaml').read_text()
        head, rest = re.fullmatch(r'((?:#[^\n]*\n)*)(.*)', text, re.DOTALL).groups()  # type: ignore[union-attr]
        said = ' '.join(line.lstrip('# ') for line in head.splitlines())
        parts.append(f'## {name}\n\n{said}\n\n```yaml\n{rest.strip()}\n```')
    return '\n\n'.join(parts) + '\n'


def shipped_networks() -> str:
    """Return the page that lists the cards of ``models``."""
    parts = ['# Networks that are shipped', '| name | what its card says |', '|---|---|']
    for card in sorted((ROOT / 'models').glob('*/README.md')):
        blocks = card.read_text().split('\n\n')
        first = next(block for block in blocks if block[0].isalnum()).replace('\n', ' ')
        parts.append(f'| [{card.parent.name}](models/{card.parent.name}.md) | {first} |')
    return parts[0] + '\n\n' + '\n'.join(parts[1:]) + '\n'


def notebooks() -> dict[str, str | bytes]:
    """Return the notebooks of ``docs/notebooks`` as Markdown, and their pictures."""
    made: dict[str, str | bytes] = {}
    for path in sorted((ROOT / 'docs' / 'notebooks').glob('*.ipynb')):
        text, kept = MarkdownExporter().from_filename(str(path), {'unique_key': path.stem})
        made[f'notebooks/{path.stem}.md'] = text
        made.update({f'notebooks/{name}': data for name, data in kept['outputs'].items()})
    return made
