"""The training engine against a bare PyTorch loop, and the loader against the step.

Network, losses, number type and batches are those of a shipped config (``--config``, changed by
``--set KEY=VALUE``). Keys:

- ``bare_ms``, ``fit_ms``: CPU milliseconds of the process per step, over all its threads, which a
  busy machine disturbs little. Bare: forward, backward, clipped gradient, AdamW. ``fit`` is
  ``training.engine.loop.fit``, which adds a loader, the averaged weights, schedule, random seeds,
  progress bar and logs; nothing is saved, validated or drawn meanwhile. Both train on the same
  batch, drawn beforehand. Medians of interleaved rounds;
- ``overhead_ms``: the median over the rounds of their difference; ``overhead_percent``: of the
  bare step;
- ``loader_ms``: CPU milliseconds in which one loader process makes one batch;
  ``loader_to_step``: that over ``fit_ms``, the share of a core that a core's training needs.
  Below 1, one loader process keeps up with one training thread;
- ``wait_ms``, ``step_ms``: wall time per step as a run logs it (``speed/data_s`` and
  ``speed/step_s``) with one loader process; ``wait_percent``: the share that is waited.

Examples:
  python -m benchmark training_loop --rounds 3
  python -m benchmark training_loop --config guda --set batch_size=4
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import default_collate

from training.engine.config import TrainConfig, load_config
from training.engine.loop import fit, make_fabric
from training.engine.sampler import StreamSampler, TrainingData, make_loader
from training.engine.task import Batch, Task
from training.simulation.plans import plan_bags
from training.simulation.write import write_bag
from training.tasks import build_task

NEVER = 10**9
# Steps at the start of a run that do not count: libraries choose their kernels.
WARM_UP = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument('--config', default='depth_segmentation', help='shipped name or file')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='changes of the config; without a change of data.bags a bag is simulated',
    )
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=20, help='per round')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; see the module's docstring."""
    torch.set_num_threads(options.threads)
    logging.getLogger('training').propagate = False
    with tempfile.TemporaryDirectory(prefix='training_loop_') as folder:
        config = _config(options, Path(folder))
        data = build_task(config).training_data()
        count = config.batch_size
        samples = [data.sample(i % len(data), np.random.default_rng(i)) for i in range(count)]
        bare, fitted = [], []
        for number in range(options.rounds):
            bare.append(_bare_ms(config, samples))
            fitted.append(_fit_ms(config, samples, Path(folder) / f'round_{number}'))
        loader_ms = _loader_ms(config, data)
        waited, step = _logged_seconds(config, Path(folder) / 'logged')
    overhead = statistics.median(b - a for a, b in zip(bare, fitted, strict=True))
    return {
        'config': options.config,
        'precision': make_fabric(config)._precision.precision,
        'batch': config.batch_size,
        'threads': options.threads,
        'bare_ms': statistics.median(bare),
        'fit_ms': statistics.median(fitted),
        'overhead_ms': overhead,
        'overhead_percent': 100 * overhead / statistics.median(bare),
        'loader_ms': loader_ms,
        'loader_to_step': loader_ms / statistics.median(fitted),
        'wait_ms': 1e3 * waited,
        'step_ms': 1e3 * step,
        'wait_percent': 100 * waited / (waited + step),
    }


def _config(options: argparse.Namespace, folder: Path) -> TrainConfig:
    """Return the config of short runs that do nothing but step."""
    changes = list(options.set)
    if not any(change.startswith('data.bags=') for change in changes):
        with Console().status('simulating a bag ...'):
            plan = plan_bags('clean', 0, folder / 'bag', duration=2.0, frame_rate=10.0)[0]
            write_bag(plan, None, lambda: None)
        changes.append(f'data.bags=["{folder / "bag"}"]')
    fixed = [
        *(f'steps={options.steps + WARM_UP}', 'workers=0', 'accumulate=1', 'device=cpu'),
        *(f'checkpoint.every_steps={NEVER}', f'checkpoint.every_minutes={NEVER}'),
        *(f'validation.every_steps={NEVER}', f'log.pictures_every={NEVER}'),
    ]
    return load_config(options.config, [*changes, *fixed])


class _Drawn:
    """Samples drawn beforehand as training data."""

    def __init__(self, samples: list[dict[str, Any]]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return self._samples[index]


def _clocked(task: Task) -> Callable[[], float]:
    """Return a function that tells the mean CPU milliseconds from one forward to the next."""
    stamps: list[float] = []
    task.register_forward_pre_hook(lambda *_: stamps.append(time.process_time()))

    def mean_ms() -> float:
        kept = stamps[WARM_UP:]
        return 1e3 * (kept[-1] - kept[0]) / (len(kept) - 1)

    return mean_ms


def _bare_ms(config: TrainConfig, samples: list[dict[str, Any]]) -> float:
    """Train as one would without the engine."""
    task = build_task(config).train()
    mean_ms = _clocked(task)
    optimizer = torch.optim.AdamW(
        task.parameter_groups(config.optimizer), betas=config.optimizer.betas
    )
    bfloat16 = make_fabric(config)._precision.precision == 'bf16-mixed'
    batch: Batch = default_collate(samples)
    for _ in range(config.steps):
        with torch.autocast('cpu', torch.bfloat16, enabled=bfloat16):
            result = task(_copied(batch))
        result['loss'].backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), config.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return mean_ms()


def _copied(batch: Batch) -> Batch:
    """Return a batch whose entries a task may replace, as tasks that mix images do."""
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in batch.items()}


def _fit_ms(config: TrainConfig, samples: list[dict[str, Any]], output: Path) -> float:
    """Train the same with the engine."""
    task = build_task(config)
    mean_ms = _clocked(task)
    with mock.patch.object(task, 'training_data', return_value=_Drawn(samples)):
        fit(config.model_copy(update={'output': output}), task)
    return mean_ms()


def _loader_ms(config: TrainConfig, data: TrainingData) -> float:
    """Return the CPU milliseconds of one loader process per batch."""
    sampler = StreamSampler(len(data), config.batch_size, config.seed)
    batches = iter(make_loader(data, sampler, workers=0, pin_memory=False))
    next(batches)
    times = []
    for _ in range(10):
        began = time.process_time()
        next(batches)
        times.append(time.process_time() - began)
    return 1e3 * statistics.mean(times)


def _logged_seconds(config: TrainConfig, output: Path) -> tuple[float, float]:
    """Return seconds per step of waiting and of the rest, as a run with one loader logs them.

    Without the first steps, which wait for the loader process to start.
    """
    log = config.log.model_copy(update={'scalars_every': 1})
    fit(config.model_copy(update={'output': output, 'workers': 1, 'log': log}), build_task(config))
    events = EventAccumulator(str(output / 'tensorboard')).Reload()
    waited, step = (
        [event.value for event in events.Scalars(f'speed/{name}')][WARM_UP:]
        for name in ('data_s', 'step_s')
    )
    return statistics.mean(waited), statistics.mean(step)
