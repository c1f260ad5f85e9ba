"""The ``demo`` verb: run the live pipeline for a while, then show and score what it did."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from sim_perception.files import write_json
from sim_perception.viewer.output import program
from sim_perception.viewer.sdk import INSTALL, is_installed
from training.demo.report import report
from training.viewing.view import View, view

START_LIMIT_S = 240.0
"""The first start ever compiles the renderer, so it may take minutes on a slow machine."""


class DemoError(ValueError):
    """The live pipeline did not run; the message says where to look."""


def demo(
    out: Path,
    *,
    scenario: str = 'demo',
    seed: int = 0,
    seconds: float = 20.0,
    device: str = 'auto',
) -> None:
    """Run simulator and nodes live on topics, record them, and leave pictures and figures.

    Leaves in ``out``: ``bag/`` (every input and output topic, playable by ``ros2 bag play``),
    ``frame_*.png`` and ``demo.mp4`` (camera, depth, classes, objects), ``metrics.json`` and
    ``launch.log``; where the viewer is installed ``demo.rrd``, too.

    Args:
        out: the folder; results of an earlier demo in it are replaced.
        scenario: shipped scenario name or YAML file.
        seed: of the scenario.
        seconds: of simulated time, at real-time speed.
        device: what the nodes' networks run on.

    Raises:
        DemoError: if the pipeline cannot be started or records nothing.
    """
    console = Console()
    bag = out / 'bag'
    names = ('demo.mp4', 'demo.rrd', 'metrics.json')
    for old in (bag, *out.glob('frame_*.png'), *(out / name for name in names)):
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    arguments = {'scenario': scenario, 'seed': seed, 'duration': seconds, 'device': device}
    run_pipeline(bag, out / 'launch.log', arguments, console)
    metrics: dict[str, str | float] = {
        'scenario': scenario,
        'seed': seed,
        'seconds': seconds,
        **report(bag, out, console),
    }
    write_json(out / 'metrics.json', metrics)
    table = Table('figure', 'value', title="live pipeline against the simulator's truth")
    for key, value in metrics.items():
        table.add_row(key, f'{value:.3f}' if isinstance(value, float) else str(value))
    console.print(table)
    console.print(f'pictures, video, bag and metrics.json are in [bold]{out}/[/]')
    keep_view(bag, out / 'demo.rrd', console)


def keep_view(bag: Path, file: Path, console: Console) -> None:
    """Write a file for the viewer if it is installed, and say how to look at the recording."""
    again = f'{program("python")} -m training view {bag}'
    if is_installed():
        view(View(bag, out=file), console).close()
        lines = [f'{program("rerun")} {file}', again]
    else:
        lines = [f'{again}    (needs the viewer; {INSTALL})']
    console.print('look into it with:')
    for line in (*lines, f'ros2 bag play {bag}    (and rviz2 or Foxglove: docs/viewer.md)'):
        console.print(f'  {line}', soft_wrap=True, highlight=False, markup=False)


def run_pipeline(bag: Path, log: Path, arguments: dict[str, Any], console: Console) -> None:
    """Launch the pipeline, recording into ``bag``, and wait until the scenario is over.

    Args:
        bag: new.
        log: gets what the nodes say.
        arguments: of the launch file; ``duration`` is that of the scenario.
        console: for the progress.

    Raises:
        DemoError: if it does not start, fails or does not end.
    """
    prefix = Path(sys.executable).parent
    ros2 = shutil.which('ros2', path=f'{prefix}{os.pathsep}{os.environ.get("PATH", "")}')
    if ros2 is None:
        raise DemoError('the ros2 command is missing: run `make setup`, or source your ROS distro')
    environment = {
        **os.environ,
        'PATH': f'{prefix}{os.pathsep}{os.environ.get("PATH", "")}',
        # A demo should not talk to the whole network.
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'PYTHONUNBUFFERED': '1',
    }
    command = [
        ros2, 'launch', 'sim_perception', 'pipeline.launch.py', 'source:=simulator',
        f'record:={bag}', *(f'{name}:={value}' for name, value in arguments.items()),
    ]  # fmt: skip
    with log.open('w') as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            _watch(process, bag, arguments['duration'], console)
        finally:
            _stop(process)
    if process.returncode != 0 or not list(bag.glob('*')):
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
        raise DemoError(
            f'the pipeline failed (status {process.returncode}); the end of {log}:\n{tail}'
        )


def _watch(process: subprocess.Popen[bytes], bag: Path, seconds: float, console: Console) -> None:
    """Show progress until the process ends or runs far beyond its time."""
    columns = (SpinnerColumn(), TextColumn('{task.description}'), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task('starting nodes', total=None)
        started: float | None = None
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            try:
                process.wait(0.25)
                return
            except subprocess.TimeoutExpired:
                pass
            if started is None and _size(bag) > 100_000:
                started = time.monotonic()
                deadline = started + 3 * seconds + 60
                progress.update(bar, description='live on topics', total=seconds)
            elif started is not None:
                progress.update(bar, completed=min(time.monotonic() - started, seconds))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob('*')) if folder.is_dir() else 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the whole launch as Ctrl-C would, then insist."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            continue
