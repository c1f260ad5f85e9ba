"""The mean of two checkpoints: weights before and after a training.

Wortsman et al., "Robust fine-tuning of zero-shot models" (CVPR 2022), section 3: on the line
between them a network often keeps what it knew and has what it learned.
"""

from __future__ import annotations

from pathlib import Path

import torch

from sim_perception.models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.cards.writer import write_card


def average_checkpoints(first: Path, second: Path, out: Path, share: float = 0.5) -> Path:
    """Write the weighted mean of two networks; settings and history are the second's.

    Scores and calibration are left out, since they were of other weights.

    Args:
        first: checkpoint folder, the one that the second was trained from.
        second: checkpoint folder.
        out: checkpoint folder to write.
        share: the second's, in [0, 1].

    Raises:
        CheckpointError: if a folder is unusable, or the networks are not of one shape.
    """
    before = load_checkpoint(first)
    after = load_checkpoint(second, network=before.name, taxonomy=before.taxonomy)
    old, new = before.net.state_dict(), after.net.state_dict()
    if {k: v.shape for k, v in old.items()} != {k: v.shape for k, v in new.items()}:
        raise CheckpointError(f'{first} and {second} are networks of different shapes')
    for name, value in new.items():
        if value.is_floating_point():
            torch.lerp(old[name], value, share, out=value)
    after.net.load_state_dict(new)
    training = dict(after.metrics.get('training', {}))
    config = dict(training.get('config', {}))
    note = (
        f'After this run: python -m training average {first} {second} --share {share:g}; '
        'the weights are that mean.'
    )
    config['notes'] = ' '.join(filter(None, [str(config.get('notes', '')), note]))
    metrics = {'training': {**training, 'config': config}}
    return save_checkpoint(
        out,
        after.net,
        taxonomy=after.taxonomy,
        preprocess=after.preprocess,
        metrics=metrics,
        card=write_card(after.name, metrics),
    )
