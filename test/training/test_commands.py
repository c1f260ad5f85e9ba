"""The command line: every verb is there, and none makes the others wait for what it imports."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.text import Text
from typer.main import get_command
from typer.testing import CliRunner

from training.commands import cli, evaluate
from training.commands.verb import Verb
from training.engine.config import CONFIG_FOLDER, ConfigError, load_config
from training.engine.jobs import in_pool, in_processes
from training.tasks import task_class, task_names

FOLDER = Path(cli.__file__).parent


def test_help_imports_neither_torch_nor_the_simulator() -> None:
    code = (
        'import sys, training.commands.cli\n'
        'heavy = {"torch", "numba", "scipy", "rclpy"} & set(sys.modules)\n'
        'sys.exit(", ".join(heavy) or 0)'
    )
    found = subprocess.run(
        [sys.executable, '-c', code], cwd=FOLDER.parents[1], capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (0, '')


@pytest.mark.parametrize(
    ('app', 'folder', 'beside'),
    [
        (cli.app, FOLDER, {'cli', 'complete', 'options', 'script', 'telling', 'verb'}),
        (evaluate.app, FOLDER / 'evaluate', set()),
    ],
)
def test_every_file_is_a_verb_with_help(app, folder: Path, beside: set[str]) -> None:
    files = {path.stem for path in folder.iterdir() if path.suffix == '.py'} - {'__init__'}
    folders = {path.parent.name for path in folder.glob('*/__init__.py')}
    verbs = get_command(app).commands
    assert set(verbs) == (files | folders) - beside
    for verb in verbs:
        result = CliRunner().invoke(app, [verb, '--help'])
        assert result.exit_code == 0
        assert verbs[verb].help


def verbs(group: Any) -> Iterator[Verb]:
    """Yield all verbs, those of groups too."""
    for command in group.commands.values():
        yield from verbs(command) if hasattr(command, 'commands') else (command,)


def test_help_shows_every_word() -> None:
    """Rich takes ``[word]`` for a style and leaves it out."""
    for verb in verbs(get_command(cli.app)):
        for text in (verb.help, *(getattr(param, 'help', '') for param in verb.params)):
            assert Text.from_markup(text or '').plain == (text or ''), f'{verb.name}: {text}'


def test_verbs_stand_in_panels() -> None:
    shown = CliRunner().invoke(cli.app, ['--help']).output
    assert all(f'─ {panel} ─' in shown for panel in ('Look', 'Simulate', 'Train', 'Label'))
    panels = {info.rich_help_panel for info in cli.app.registered_commands}
    assert None not in panels


def test_every_help_ends_with_examples_that_the_program_understands() -> None:
    top = get_command(cli.app)
    for verb in verbs(top):
        assert verb.examples, verb.name
        assert 'Examples' not in verb.help
        for example in verb.examples:
            program, *words = shlex.split(example)
            assert program == cli.PROGRAM
            group = top
            while hasattr(group, 'commands'):
                group, words = group.commands[words[0]], words[1:]
            group.make_context('example', words)  # exits where options are wrong


@pytest.mark.parametrize(
    ('words', 'meant'),
    [
        (['simulat'], "unknown verb 'simulat'; did you mean 'simulate'"),
        (['evaluate', 'flickr'], "did you mean 'flicker'?"),
        (
            ['simulate', '--scenari', 'demo'],
            "unknown option '--scenari'; did you mean '--scenario'",
        ),
        (['label', 'bag', '--detection=x'], "did you mean '--detections'"),
    ],
)
def test_misspelt_words_are_told_what_was_meant(words: list[str], meant: str) -> None:
    result = CliRunner().invoke(cli.app, words, terminal_width=500)
    assert result.exit_code == 2
    assert meant in ' '.join(result.stderr.replace('│', '').split())


def parsed(*words: str) -> dict[str, Any]:
    verb = get_command(cli.app).commands[words[0]]
    return verb.make_context(words[0], list(words[1:])).params


def test_former_words_of_options_are_understood() -> None:
    assert parsed('export', 'net', '--output', 'net.onnx') == {
        'checkpoint': Path('net'), 'out': Path('net.onnx')
    }  # fmt: skip
    assert parsed('recipe', 'depth', '--runs=r')['out'] == Path('r')
    assert parsed('calibrate', 'net', '--data', 'sim:x')['checkpoint'] == Path('net')
    options = ['--crops', 'c', '--out', 'o']
    assert parsed('curriculum', 'bags', '--start', 's', *options)['checkpoint'] == Path('s')


def test_one_word_for_one_thing() -> None:
    """Checkpoints, data, output, device and JSON are not asked for by other words."""
    others = {'--output', '--output-dir', '--model', '--weights', '--dataset', '--gpu', '--save'}
    for verb in verbs(get_command(cli.app)):
        names = {name for one in verb.params for name in one.opts}
        assert not names & others, verb.name


WITHOUT_NETWORK = {
    'inspect', 'view', 'sizes', 'simulate', 'average', 'export', 'shape', 'crops', 'convert',
}  # fmt: skip


def test_what_runs_a_network_is_told_on_what_in_the_same_words() -> None:
    devices = {}
    for verb in verbs(get_command(cli.app)):
        for option in verb.params:
            if '--device' in option.opts:
                devices.setdefault(option.help, set()).add(verb.name)
    assert len(devices) == 1
    everything = {verb.name for verb in verbs(get_command(cli.app))}
    assert everything - next(iter(devices.values())) == WITHOUT_NETWORK


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
@pytest.mark.parametrize(
    'line',
    [
        'label nowhere --out OUT',
        'calibrate --checkpoint models/surface_coordinates --data sim:clean:0',
        'resimulate nowhere --out OUT.yaml',
        'curriculum nowhere --checkpoint models/surface_coordinates --crops x --out OUT',
        'evaluate autolabel --data sim:clean:0 --mode mono',
        'evaluate surface_coordinates --data nowhere',
    ],
)
def test_a_device_that_is_not_there_is_said_before_work_begins(line: str, tmp_path: Path) -> None:
    words = line.replace('OUT', str(tmp_path / 'out')).split()
    result = CliRunner().invoke(cli.app, [*words, '--device', 'cuda'])
    assert "device 'cuda' asked for, but CUDA is not available" in str(result.exception)
    assert not list(tmp_path.iterdir())


def completed(*words: str) -> list[str]:
    code = "import sys; sys.argv[0] = 'sim-perception'; from training.__main__ import main; main()"
    environment = {
        **os.environ, '_SIM_PERCEPTION_COMPLETE': 'complete_bash',
        'COMP_WORDS': shlex.join(words), 'COMP_CWORD': str(len(words) - 1),
    }  # fmt: skip
    command = [sys.executable, '-c', code]
    found = subprocess.run(
        command, env=environment, cwd=FOLDER.parents[1], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def test_shells_complete_verbs_and_shipped_names() -> None:
    assert sorted(completed(cli.PROGRAM, 'si')) == ['simulate', 'sizes']
    assert 'training_city' in completed(cli.PROGRAM, 'simulate', '--scenario', 'training_')


def test_every_method_has_its_task_and_every_config_a_task() -> None:
    assert {name: task_class(name).name for name in task_names()} == {
        name: name for name in task_names()
    }
    configs = {load_config(path.stem).task for path in CONFIG_FOLDER.glob('*.yaml')}
    assert configs == set(task_names())
    with pytest.raises(ConfigError, match=r'unknown task .*known: depth_segmentation, detector3d'):
        task_class('shape_pca')


@pytest.mark.slow
def test_ctrl_c_ends_a_verb_and_its_processes_with_a_sentence(tmp_path: Path) -> None:
    """The signal goes to the whole process group, as a terminal sends it."""
    words = ['simulate', '--scenario', 'clean', '--count', '3', '--workers', '2']
    command = [sys.executable, '-u', '-m', 'training', *words, '--out', str(tmp_path / 'bags')]
    with subprocess.Popen(
        command, cwd=FOLDER.parents[1], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == 'simulate: loading ...\n'
            os.killpg(process.pid, signal.SIGINT)
            told = process.stderr.read()
        finally:
            process.kill()
    # a second status is what shells call 130
    assert process.returncode in (130, -signal.SIGINT)
    assert 'Traceback' not in told
    assert told.endswith('stopped: what is done is kept, and the same command goes on\n')


def test_processes_of_a_pool_are_deaf_to_ctrl_c_and_end_with_it() -> None:
    handlers = list(in_processes(handler_of_interrupts, [1, 2], workers=2))
    assert {found for _, found in handlers} == {int(signal.SIG_IGN)}
    with pytest.raises(KeyboardInterrupt), in_pool(time.sleep, [600, 600], 2):
        raise KeyboardInterrupt
    assert multiprocessing.active_children() == []


def handler_of_interrupts(_part: int) -> int:
    return int(signal.getsignal(signal.SIGINT))  # type: ignore[arg-type]
