"""Commands of the tutorials fit the programs: verbs, options, configs, scenarios, launch files."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / 'docs' / 'tutorials').glob('*.md'))
_BLOCK = re.compile(r'^```(\w+)\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_SAVE_AS = re.compile(r'[Ss]ave (?:it )?as `([^`]+)`')
_MAKES = ('--out', '--json', '--pictures')
_READS = ('--checkpoint', '--data')
_READ_BY_NODES = ('bag:=', 'checkpoint:=', 'params_file:=')


def commands(page: Path) -> list[list[str]]:
    """Return the words of every shell command of a page."""
    shell = [text for language, text in _BLOCK.findall(page.read_text()) if language == 'sh']
    lines = '\n'.join(shell).replace('\\\n', ' ').splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def saved_files(page: Path) -> dict[str, str]:
    """Return the files that a page tells to save, by name: each is the block that follows."""
    text = page.read_text()
    return {
        match[1]: _BLOCK.search(text, match.end())[2]  # type: ignore[index]
        for match in _SAVE_AS.finditer(text)
    }


def of_training(page: Path) -> Iterator[list[str]]:
    """Yield what follows ``-m training`` in the page's commands."""
    for words in commands(page):
        if words[0] in ('python', 'torchrun') and 'training' in words:
            yield words[words.index('training') + 1 :]


def parsed(words: list[str]) -> dict[str, object]:
    """Return what a verb would be called with; a wrong word is an error as on the terminal."""
    from typer.main import get_command

    from training.commands.cli import app

    command, context, rest = get_command(app), None, words
    while hasattr(command, 'resolve_command'):
        context = command.make_context('training', rest, parent=context)
        rest = [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, rest)
    context = command.make_context(command.name, rest, parent=context)
    return {'verb': command.name, **context.params}


def spec_path(spec: str) -> str:
    """Return the path of a SPEC such as ``bag:DIR,camera=left``; '' of simulated ones."""
    kind, _, rest = spec.rpartition(':')
    return '' if kind.startswith('sim') else rest.partition(',')[0]


def read_by(words: list[str]) -> list[str]:
    """Return the files and folders that a command reads."""
    found = [spec_path(value) for option, value in pairwise(words) if option in _READS]
    found += [w.partition(':=')[2] for w in words if w.startswith(_READ_BY_NODES)]
    found += [spec_path(spec) for spec in re.findall(r'spec: "([^"]+)"', ' '.join(words))]
    found += [after for verb, after in pairwise(words) if verb in ('inspect', 'label', 'export')]
    return [path for path in found if path]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_commands_of_training_fit_the_real_command_line(page: Path) -> None:
    from training.engine.config import load_config

    for words in of_training(page):
        given = parsed(words)
        if given['verb'] == 'train':
            model = load_config(given['config'] or given['task'], given['overrides'] or ()).model  # type: ignore[arg-type]
            start = yaml.safe_load((ROOT / model['init'] / 'config.yaml').read_text())['model']
            for head in ('uncertainty', 'ego_motion'):
                assert model.get(head, False) == start.get(head, False), f'{head} of model.init'


@pytest.mark.parametrize(
    'line', ['simulate --scenari target --out x', 'train', 'evaluate dept --data sim:clean']
)
def test_a_misspelt_command_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r'(?i)unknown|missing|no such'):
        parsed(shlex.split(line))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_what_a_command_reads_is_there_or_made_before(page: Path) -> None:
    made = set(saved_files(page))
    for words in commands(page):
        for path in read_by(words):
            there = any(path == name or path.startswith(f'{name}/') for name in made)
            assert there or (ROOT / path).exists(), f'{" ".join(words)}: who makes {path}?'
        made |= {value for option, value in pairwise(words) if option in _MAKES}
        made |= {w.partition(':=')[2] for w in words if w.startswith('record:=')}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_scenarios_are_shipped_or_on_the_page_and_valid(page: Path, tmp_path: Path) -> None:
    from sim_perception.simulator.scenario import load_scenario, scenario_names

    named = re.compile(r'(?:--scenario |scenario:=|sim:)([^\s:]+)')
    files = saved_files(page)
    for words in commands(page):
        for name in named.findall(' '.join(words)):
            if name in files:
                (tmp_path / name).write_text(files[name])
                load_scenario(tmp_path / name)
            else:
                assert name in scenario_names(), words


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_launch_files_are_there_and_know_their_arguments(page: Path) -> None:
    for words in commands(page):
        if words[:2] != ['ros2', 'launch']:
            continue
        pytest.importorskip('launch', reason='launch files need ROS 2')
        place = ROOT / 'launch' / words[3]
        description = runpy.run_path(str(place))['generate_launch_description']()
        known = {argument.name for argument in description.get_launch_arguments()}
        assert {word.partition(':=')[0] for word in words[4:]} <= known, words


@pytest.mark.slow
def test_python_of_the_tutorials_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from training.commands.cli import app

    monkeypatch.chdir(tmp_path)
    line = 'simulate --scenario target --duration 0.2 --frame-rate 5 --layers rgb --out my_drive'
    small = ['--set', 'camera.width=208', '--set', 'camera.height=64', '--set', 'lidar=null']
    done = CliRunner().invoke(app, [*line.split(), *small])
    assert done.exit_code == 0, done.output
    names: dict[str, object] = {}
    for page in PAGES:
        for language, text in _BLOCK.findall(page.read_text()):
            if language == 'python':
                exec(compile(text, str(page), 'exec'), names)
    assert (tmp_path / 'pictures' / '0000.jpg').stat().st_size > 1000
    assert [track.id for track in names['tracks'].seen] == [1]  # type: ignore[attr-defined]
