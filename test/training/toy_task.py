"""A regression task with dropout and random samples, small enough to train in milliseconds."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from training.config import TrainConfig
from training.tasks.base import Task


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


if __name__ == '__main__':  # toy_task.py OUTPUT BATCH_SIZE [STEPS WORKERS]
    from training.engine.loop import fit

    numbers = [int(text) for text in sys.argv[2:]]
    names = ('batch_size', 'steps', 'workers')
    changes = dict(zip(names, numbers, strict=False))
    fit(toy_config(Path(sys.argv[1]), **changes), ToyTask(dropout=0.0))
