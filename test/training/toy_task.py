"""A regression task with dropout and random samples, small enough to train in milliseconds."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from training.engine.config import TrainConfig
from training.engine.task import Task

TOY = str(Path(__file__).resolve())
ENVIRONMENT = {
    **os.environ,
    'PYTHONPATH': str(Path(__file__).resolve().parents[2]),
    'OMP_NUM_THREADS': '1',
}


class ToyData:
    def __len__(self):
        return 13

    def sample(self, index, rng):
        x = torch.from_numpy(rng.normal(size=4).astype('float32')) + index / 13
        return {'x': x, 'y': x.sum().view(1)}


class ToyTask(Task):
    name = 'toy'

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.register_buffer('seen', torch.zeros(()))

    def training_data(self):
        return ToyData()

    def forward(self, batch):
        self.seen += len(batch['x'])
        prediction = self.net(batch['x'])
        loss = (prediction - batch['y']).square().mean()
        return {'loss': loss, 'terms': {'square': loss}, 'outputs': {'y': prediction}}

    def save_checkpoint(self, folder, config, record):
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.state_dict(), folder / 'weights.pt')


class PartlyTrainedTask(ToyTask):
    """Has a head without a loss that is drawn, and one that nothing uses."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)
        self.drawn, self.unused = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, batch):
        result = super().forward(batch)
        result['outputs']['drawn'] = self.drawn(batch['x'])
        return result


def toy_config(output: Path, **changes) -> TrainConfig:
    settings = {
        'task': 'toy',
        'output': output,
        'steps': 12,
        'batch_size': 4,
        'workers': 0,
        'device': 'cpu',
        'precision': '32-true',
        'schedule': {'warmup_steps': 3},
        'checkpoint': {'every_steps': 5},
        'optimizer': {'learning_rate': 0.01},
    }
    return TrainConfig.model_validate({**settings, **changes})


def scalars(run: Path, name: str) -> list[float]:
    """Return what a run logged to TensorBoard under a name."""
    events = EventAccumulator(str(run / 'tensorboard')).Reload()
    return [event.value for event in events.Scalars(name)]


def torchrun(processes: int, *arguments: str) -> None:
    """Run a training script in several processes."""
    command = [
        sys.executable, '-m', 'torch.distributed.run', '--standalone',
        f'--nproc-per-node={processes}', *arguments,
    ]  # fmt: skip
    result = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]


if __name__ == '__main__':  # toy_task.py OUTPUT BATCH_SIZE [STEPS WORKERS PARTLY]; logs to stderr
    from training.engine.loop import fit
    from training.engine.state import list_states

    logging.basicConfig(level=logging.INFO)

    numbers = [int(text) for text in sys.argv[2:]]
    names = ('batch_size', 'steps', 'workers', 'partly')
    changes = dict(zip(names, numbers, strict=False))
    task = PartlyTrainedTask() if changes.pop('partly', 0) else ToyTask(dropout=0.0)
    config = toy_config(Path(sys.argv[1]), log={'scalars_every': 1}, **changes)
    fit(config, task, resume=bool(list_states(config.output)))
