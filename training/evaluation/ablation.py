"""``ablate``: trains and scores the rows of a table, one config each, and writes the table."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field
from rich.console import Console

from sim_perception.files import read_json, read_yaml, safe_name, write_json
from sim_perception.resources import share_path
from sim_perception.simulator.scenario import merge_settings
from training.datasets.bags.open_bags import expand
from training.engine.command import run_verb
from training.engine.config import (
    CONFIG_FOLDER,
    ConfigError,
    Section,
    load_config,
    load_section,
)
from training.simulation.translate import translate

ABLATION_FOLDER = CONFIG_FOLDER / 'ablations'


def _as_it_is(name: str) -> str:
    if name != safe_name(name):
        raise ValueError('must be usable as the name of a file')
    return name


FileName = Annotated[str, AfterValidator(_as_it_is)]


class Row(Section):
    """One training of the table."""

    name: FileName
    """Name in the table and of the run's folder."""
    config: str = ''
    """Shipped config or file; empty: the row is scored without training, see ``checkpoint``."""
    overrides: list[str] = Field(default_factory=list)
    """Changes of the config as ``key=value``."""
    checkpoint: Path | None = None
    """Score this checkpoint instead of training one."""
    scenario: dict[str, Any] | None = None
    """Changes of the table's scenario, on which the row then trains; None: as configured."""
    translator: FileName | None = None
    """An earlier row, of task ``spigan``, whose translator first rewrites this row's bags."""


class Ablation(Section):
    """A table of trainings that differ in one thing each."""

    title: str
    about: str = ''
    overrides: list[str] = Field(default_factory=list)
    """Changes for all rows, before the row's own."""
    seeds: list[int] = Field(default_factory=list)
    """Every row is trained with each of them, and the table has means and deviations."""
    scenario: str | None = None
    """Shipped scenario (its file's name) that rows with a ``scenario`` change."""
    simulate: list[str] = Field(default_factory=list)
    """Options of ``python -m training simulate`` for those rows."""
    data: dict[FileName, str] = Field(default_factory=dict)
    """Column group -> evaluation SPEC. Groups called ``odometry...`` are scored as visual
    odometry, ``tracking...`` as tracking by the network, ``permanence...`` as what the network
    finds by itself, ``translation...`` as images made by the row's translator if it has one,
    others as depth and segmentation."""
    judge: Path | None = None
    """Checkpoint that looks at the translated images."""
    real: str | None = None
    """SPEC of the images that translation shall come near to."""
    scores: dict[str, list[str]] = Field(default_factory=dict)
    """Column group -> keys of the scores to show."""
    rows: list[Row] = Field(min_length=1)

    def runs(self, row: Row) -> list[tuple[str, list[str]]]:
        """Return the folder within the runs' and the changes of each training of a row."""
        if row.checkpoint is not None or not self.seeds:
            return [(row.name, row.overrides)]
        return [
            (f'{row.name}/seed_{seed}', [*row.overrides, f'seed={seed}']) for seed in self.seeds
        ]


def load_ablation(name: str) -> Ablation:
    """Read a shipped ablation by name, or a YAML file.

    Raises:
        ConfigError: if there is none, or it is malformed.
    """
    return load_section(Ablation, name, ABLATION_FOLDER)


def ablate(
    name: str,
    runs: Path,
    table: Path | None,
    only: list[str] | None = None,
    device: str | None = None,
) -> None:
    """Train and score all rows, then write the table as Markdown and JSON.

    What is finished is not done again: trainings resume, scores are kept beside the runs.

    Args:
        name: shipped ablation or YAML file.
        runs: folder for one run folder per row, or per row and seed.
        table: Markdown file to write (and the same name with ``.json``), or None to print only.
        only: names of the rows to do; None for all. The table shows all that have scores.
        device: of trainings, in place of their configs' own, and of evaluations.

    Raises:
        ConfigError: for a bad ablation or an unknown row.
        VerbError: if a training or an evaluation fails; its output says why.
    """
    ablation = load_ablation(name)
    known = [row.name for row in ablation.rows]
    unknown = set(only or ()) - set(known)
    if unknown:
        raise ConfigError(f'unknown rows {sorted(unknown)}; {name} has {", ".join(known)}')
    results: dict[str, dict[str, Any]] = {}
    for row in ablation.rows:
        for run, changes in ablation.runs(row):
            folder = runs / run
            if only is None or row.name in only:
                this = row.model_copy(update={'overrides': changes})
                checkpoint = _train(ablation, this, folder, device)
                for group, spec in ablation.data.items():
                    _evaluate(ablation, checkpoint, spec, folder / f'{group}.json', device)
            results[run] = {
                group: read_json(file)
                for group in ablation.data
                if (file := folder / f'{group}.json').exists()
            }
    text = markdown(ablation, results, f'python -m training ablate {name}')
    Console().print(text, markup=False, highlight=False)
    if table is not None:
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(text)
        write_json(table.with_suffix('.json'), results)


def _train(ablation: Ablation, row: Row, folder: Path, device: str | None) -> Path:
    """Train a row unless it is finished; return its checkpoint."""
    if row.checkpoint is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return row.checkpoint
    finished = folder / 'finished'
    if not finished.exists():
        changes = [*ablation.overrides, *row.overrides, f'output={folder}']
        if row.scenario is not None:
            changes.append(f'data.bags=[{_simulate(ablation, row.scenario, folder)}]')
        if row.translator is not None:
            bags = load_config(row.config, [*ablation.overrides, *row.overrides]).data['bags']
            translator = folder.parent / row.translator / 'translator'
            made = _translate(bags, translator, folder, device)
            changes.append(f'data.bags=[{made}]')
        task = load_config(row.config).task
        on = _on(device)
        run_verb('train', task, '--config', row.config, '--resume', *on, *changes)
        finished.touch()
    return folder / 'checkpoint'


def _simulate(ablation: Ablation, change: Mapping[str, Any], folder: Path) -> Path:
    """Simulate a row's own bags; return their folder. What is there is not made again."""
    if ablation.scenario is None:
        raise ConfigError('rows with a scenario need the scenario of the table that they change')
    base = share_path('config', 'scenarios', ablation.scenario)
    scenario = merge_settings(read_yaml(base), change)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / 'scenario.yaml'
    file.write_text(yaml.safe_dump(scenario, sort_keys=False))
    bags = folder / 'bags'
    run_verb('simulate', '--scenario', str(file), '--out', str(bags), *ablation.simulate)
    return bags


def _on(device: str | None) -> list[str]:
    return [] if device is None else ['--device', device]


def _translate(
    patterns: Sequence[str], translator: Path, folder: Path, device: str | None
) -> Path:
    """Translate a row's bags; return their folder. What is there is not made again."""
    bags = folder / 'bags'
    for bag in expand(patterns):
        target, unfinished = bags / bag.name, folder / 'unfinished'
        if not target.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            translate(bag, translator, unfinished, device or 'auto')
            bags.mkdir(parents=True, exist_ok=True)
            unfinished.rename(target)
    return bags


def _evaluate(
    ablation: Ablation, checkpoint: Path, spec: str, file: Path, device: str | None
) -> None:
    """Score a checkpoint unless that is done."""
    kinds = {name: name for name in ('tracking', 'permanence', 'translation')}
    kinds['odometry'] = 'visual_odometry'
    kind = kinds.get(file.stem.split('_')[0], 'depth_segmentation')
    if kind == 'translation':
        checkpoint = checkpoint.parent / 'translator'
        if not checkpoint.exists():
            return
    if not file.exists():
        options = ['--checkpoint', str(checkpoint), '--data', spec, '--json', str(file)]
        if kind == 'translation':
            options += ['--judge', str(ablation.judge)]
            options += ['--real', ablation.real] if ablation.real else []
        if kind == 'tracking':
            options += ['--source', 'network', '--classes', 'car,truck,pedestrian,cyclist']
        run_verb('evaluate', kind, *options, *_on(device))


def markdown(ablation: Ablation, results: Mapping[str, Mapping[str, Any]], command: str) -> str:
    """Return the table, one line per row that has scores.

    Args:
        ablation: what was compared.
        results: scores by the run's folder and column group.
        command: that made them.
    """
    columns = [(group, key) for group, keys in ablation.scores.items() for key in keys]
    lines = [
        f'# {ablation.title}',
        '',
        *([ablation.about.strip(), ''] if ablation.about else []),
        f'Made by `{command}`.',
        '',
        '| row | ' + ' | '.join(f'{group} {key}' for group, key in columns) + ' |',
        '|---' * (len(columns) + 1) + '|',
    ]
    for row in ablation.rows:
        runs = [groups for run, _ in ablation.runs(row) if (groups := results.get(run))]
        if runs:
            cells = [_cell([r.get(group, {}).get(key) for r in runs]) for group, key in columns]
            lines.append(f'| {row.name} | ' + ' | '.join(cells) + ' |')
    lines += ['', *(f'`{group}` is `{spec}`.  ' for group, spec in ablation.data.items()), '']
    return '\n'.join(lines)


def _cell(values: Sequence[float | None]) -> str:
    """Return a score, or the mean and sample deviation of several runs."""
    known = [value for value in values if value is not None]
    if not known:
        return ''
    spread = f' ± {stdev(known):.3f}' if len(known) > 1 else ''
    return f'{fmean(known):.3f}{spread}'
