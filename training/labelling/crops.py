"""The verb ``crops``: data sets of crops for the coordinates network, resumable.

From simulated scenes with their exact truth, or from a recording's accepted labels. A file per
scene or recording appears when it is complete, so the same command goes on where a killed run
stopped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from sim_perception.models.checkpoint import MANIFEST, load_checkpoint
from sim_perception.models.shape import ShapePca
from sim_perception.simulator.simulation import Simulation
from training.datasets.objects.crops import SETTINGS, SUFFIX, write_crops
from training.datasets.simulated.rendered import parse_seeds, scenarios_of
from training.engine.jobs import claim, in_processes, job_bar
from training.labelling.crop_labels import crops_of_labels
from training.labelling.crop_scenes import SceneCrops


@dataclass(frozen=True)
class CropJob:
    """What is cropped, and how; plain values, so that any process can do a part.

    Attributes:
        out: the data set's folder.
        scenarios: shipped names or YAML files.
        seeds: of each scenario, for example ``0-99``.
        frames: of each scene, spread over its duration.
        labels: folders of the verb ``label`` whose accepted labels are cropped.
        shape: checkpoint of the shape space.
        max_range: metres from the camera.
        occluded: greatest share of a simulated object that others hide.
    """

    out: str
    scenarios: tuple[str, ...] = ()
    seeds: str = '0-9'
    frames: int = 8
    labels: tuple[str, ...] = ()
    shape: str = 'models/shape_car'
    max_range: float = 60.0
    occluded: float = 0.85

    def __post_init__(self) -> None:
        if not self.scenarios and not self.labels:
            raise ValueError('nothing to crop: name scenarios or folders of labels')
        if self.frames < 1 or self.max_range <= 0:
            raise ValueError('frames and max_range must be positive')

    @property
    def fingerprint(self) -> str:
        """A hash of all that determines a scene's crops; more seeds may join later."""
        facts = {**asdict(self), 'out': '', 'seeds': '', 'scenarios': '', 'labels': ''}
        manifest = Path(self.shape) / MANIFEST
        facts['shape'] = manifest.read_text() if manifest.is_file() else ''
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def parts(self) -> list[tuple[str, str]]:
        """Return what files are made from: scenario and seed, or ``labels`` and a folder."""
        seeds = parse_seeds(self.seeds)
        made = [(name, str(seed)) for seed in seeds for name in self.scenarios]
        return made + [('labels', folder) for folder in self.labels]

    def path(self, part: tuple[str, str]) -> Path:
        """Return a part's file."""
        return Path(self.out) / f'{Path(part[0]).stem}_{Path(part[1]).name}{SUFFIX}'


def crops(job: CropJob, *, workers: int = 1, console: Console | None = None) -> dict[str, int]:
    """Make a crop data set.

    Args:
        job: what to do.
        workers: processes.
        console: for the progress bar.

    Returns:
        Counts: ``files``, ``crops``, ``skipped`` (files that were there).

    Raises:
        FileExistsError: if the folder has crops that were made with other settings.
        DatasetError, CheckpointError, RecordError: for unusable inputs.
    """
    for name in job.scenarios:
        scenarios_of(name, '0')
    claim(Path(job.out) / SETTINGS, job, 'crops')
    parts = job.parts()
    todo = [part for part in parts if not job.path(part).exists()]
    total = 0
    with job_bar(console) as bar:
        done = len(parts) - len(todo)
        task = bar.add_task('scenes', total=len(parts), completed=done, note='')
        for _, count in in_processes(partial(crop_part, job), todo, workers):
            total += count
            bar.update(task, advance=1, note=f'{total} crops')
    return {'files': len(parts), 'crops': total, 'skipped': len(parts) - len(todo)}


def crop_part(job: CropJob, part: tuple[str, str]) -> int:
    """Make one file; return how many crops it holds."""
    loaded = load_checkpoint(job.shape, network='shape_pca').net
    assert isinstance(loaded, ShapePca)
    kind, name = part
    if kind == 'labels':
        found = list(crops_of_labels(Path(name), loaded))
        write_crops(job.path(part), found, {'source': f'labels {Path(name).name}'})
        return len(found)
    (scenario,) = scenarios_of(kind, name)
    scene = SceneCrops(Simulation(scenario), loaded, job.max_range)
    times = scenario.duration_s * (np.arange(job.frames) + 0.5) / job.frames
    found = [c for t in times for c in scene.at(float(t)) if c['occluded'] <= job.occluded]
    about = {'source': f'{scenario.name} {name}', 'domain': str(scenario.domain)}
    write_crops(job.path(part), found, about)
    return len(found)
