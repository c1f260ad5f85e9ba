"""The verb ``curriculum``: a network labels another domain's recordings and learns from that.

SDFLabel's loop (Zakharov et al., CVPR 2020, section 3.4): label recordings without truth, keep
what the quality check accepts, crop it, train the coordinates network further on it beside the
simulated crops it began with, label again. Every round's figures go into one table. Rounds that
are finished are not made again. A control, which trains as long on the simulated crops alone,
tells what the labels bring from what more steps bring.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sim_perception.files import write_json
from sim_perception.inference.backend import choose_device
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.surface_coordinates import SurfaceCoordinatesNet
from training.datasets.bags.open_bags import expand_each
from training.datasets.objects.crops import CropFolder
from training.engine.command import command_line
from training.engine.state import newest_step
from training.evaluation.autolabel.evaluate import evaluate_autolabel
from training.evaluation.surface_coordinates.scores import score_crops
from training.labelling.crops import CropJob, crops
from training.labelling.frames import LabelJob
from training.labelling.label import label
from training.tasks.train import train

LABEL_KEYS = (
    'objects', 'acceptance', 'median_iou_3d', 'median_iou_3d_all', 'precision_bev_50',
    'recall_bev_50', 'median_translation_m', 'median_yaw_deg', 'confidence_rank_correlation',
)  # fmt: skip
CROP_KEYS = ('coordinates_m', 'mask_iou', 'angle_deg', 'angle_15', 'size', 'distance')
_CROPS_SCORED = 200


@dataclass(frozen=True)
class CurriculumJob:
    """What the loop works on.

    Attributes:
        start: checkpoint of the coordinates network before the first round.
        bags: recordings to label: bags, folders of bags or patterns.
        crops: folders of simulated crops that are learnt from as well.
        out: folder of the rounds.
        mode: how the recordings are labelled: ``mono`` or ``fused``.
        rounds: how often.
        steps: of training per round.
        config: of the training.
        validation: folder of crops with truth to score on, or ''.
        data: SPEC that labels from images are scored on, or ''; see ``evaluation.autolabel``.
        limit: greatest number of its frames, None for all.
        shape: checkpoint of the shape space.
        control: whether every round is also trained without any label.
        device: what networks run on, ``auto``, ``cpu`` or ``cuda``.
    """

    start: str
    bags: tuple[str, ...]
    crops: tuple[str, ...]
    out: str
    mode: str = 'fused'
    rounds: int = 2
    steps: int = 300
    config: str = 'surface_coordinates'
    validation: str = ''
    data: str = ''
    limit: int | None = None
    shape: str = 'models/shape_car'
    control: bool = False
    device: str = 'auto'

    def __post_init__(self) -> None:
        if self.mode not in ('mono', 'fused'):
            raise ValueError(
                f'mode must be mono or fused, got {self.mode!r}: lidar learns nothing'
            )
        if self.rounds < 1 or self.steps < 1:
            raise ValueError('rounds and steps must be positive')

    def checkpoint(self, number: int, run: str = 'run') -> Path:
        """Return the network after so many rounds, of the ``run`` or its ``control``."""
        return Path(self.start) if number == 0 else self.folder(number) / run / 'checkpoint'

    def folder(self, number: int) -> Path:
        """Return the folder of a round, from 1."""
        return Path(self.out) / f'round_{number}'


def curriculum(
    job: CurriculumJob, *, json_file: Path | None = None, console: Console | None = None
) -> dict[str, Any]:
    """Run the loop and return its table.

    Args:
        job: what to do.
        json_file: where the table is written after every round, or None.
        console: for the table.

    Returns:
        ``rounds``: a list of figures: ``round`` (0 is the start), ``crops`` by name, ``labels`` by
        name, and of all but the first ``labelled``, ``accepted``, ``learnt_from``, and with a
        control ``control``: the same figures of it.

    Raises:
        DatasetError, BagError, CheckpointError, ConfigError: for unusable inputs.
        ValueError: for a device that is not there.
    """
    choose_device(job.device)
    report: dict[str, Any] = {
        'task': 'curriculum',
        'command': command_line(),
        'bags': [path.name for path, _ in expand_each(job.bags)],
        'mode': job.mode,
        'rounds': [],
    }
    for number in range(job.rounds + 1):
        row: dict[str, Any] = {'round': number}
        if number:
            row.update(run_round(job, number))
        row.update(score_network(job, job.checkpoint(number)))
        if number and job.control:
            learnt = learn(job, number, job.crops, run='control')
            scores = score_network(job, job.checkpoint(number, 'control'))
            row['control'] = {'learnt_from': learnt, **scores}
        report['rounds'].append(row)
        if json_file is not None:
            write_json(json_file, report)
    print_rounds(report['rounds'], console or Console())
    return report


def run_round(job: CurriculumJob, number: int) -> dict[str, Any]:
    """Label with the last network, crop what was accepted, train; return the counts."""
    folder, network = job.folder(number), job.checkpoint(number - 1)
    labelled = accepted = 0
    made = []
    for bag, sensors in expand_each(job.bags):
        out = folder / 'labels' / bag.name
        summary = label(
            LabelJob(
                bag=str(bag), out=str(out), mode=job.mode, shape=job.shape,
                camera=sensors.camera, lidar=sensors.lidar,
                coordinates=str(network), mirrors=True, formats=(), device=job.device,
            )
        )  # fmt: skip
        labelled, accepted = labelled + summary['labels'], accepted + summary['accepted']
        made.append(str(out))
    crops(CropJob(out=str(folder / 'crops'), labels=tuple(made), shape=job.shape))
    learnt = learn(job, number, (*job.crops, str(folder / 'crops')))
    return {'labelled': labelled, 'accepted': accepted, 'learnt_from': learnt}


def learn(job: CurriculumJob, number: int, folders: Sequence[str], run: str = 'run') -> int:
    """Train a round's network further on folders of crops, unless done; return how many crops.

    Args:
        job: what to do.
        number: of the round, from 1.
        folders: of crops.
        run: see ``CurriculumJob.checkpoint``.
    """
    output = job.folder(number) / run
    stopped = 0 < newest_step(output) < job.steps
    if stopped or not job.checkpoint(number, run).is_dir():
        validation = {'truth': job.validation} if job.validation else {}
        train(
            'surface_coordinates',
            job.config,
            [
                f'output={output}',
                f'device={job.device}',
                f'steps={job.steps}',
                f'data.crops={json.dumps(list(folders))}',
                f'model.init={json.dumps(str(job.checkpoint(number - 1, run)))}',
                f'validation.every_steps={job.steps}',
                f'validation.data={json.dumps(validation)}',
            ],
            resume=(output / 'states').is_dir(),
        )
    return len(CropFolder(list(folders)))


def score_network(job: CurriculumJob, folder: Path) -> dict[str, Any]:
    """Score a coordinates network on crops with truth, and the labels it leads to."""
    row: dict[str, Any] = {}
    if job.validation:
        loaded = load_checkpoint(folder, network='surface_coordinates')
        assert isinstance(loaded.net, SurfaceCoordinatesNet)
        preprocess = PreprocessConfig.from_dict(loaded.preprocess)
        net = loaded.net.to(choose_device(job.device))
        found = score_crops(net, CropFolder([job.validation]), preprocess, _CROPS_SCORED)
        row['crops'] = {key: found[key] for key in CROP_KEYS}
    if job.data:
        scores = evaluate_autolabel(
            job.data,
            checkpoint=Path(job.shape),
            mode='mono',
            coordinates=folder,
            limit=job.limit,
            device=job.device,
        )
        row['labels'] = {
            key: None if math.isnan(scores[key]) else scores[key] for key in LABEL_KEYS
        }
    return row


def print_rounds(rounds: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the rounds' figures as a table, each control behind its round."""
    columns: dict[str, dict[str, Any]] = {}
    for row in rounds:
        columns[str(row['round'])] = row
        if 'control' in row:
            columns[f'{row["round"]}, no labels'] = row['control']
    keys = [
        *(('crops', key) for key in CROP_KEYS if 'crops' in rounds[0]),
        *(('labels', key) for key in LABEL_KEYS if 'labels' in rounds[0]),
    ]
    table = Table('', *columns, title='rounds')
    for name in ('labelled', 'accepted', 'learnt_from'):
        table.add_row(name, *(str(row.get(name, '')) for row in columns.values()))
    for part, key in keys:
        values = [row[part][key] for row in columns.values()]
        table.add_row(key, *('' if value is None else f'{value:.3g}' for value in values))
    console.print(table)
