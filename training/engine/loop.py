"""The training loop: one page, used by every task."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from training.config import TrainConfig
from training.engine.ema import Ema
from training.engine.run_log import RunLog
from training.engine.sampler import StreamSampler, make_loader
from training.engine.schedule import learning_rate_factor
from training.engine.state import StateError, list_states, load_state, save_state
from training.engine.stopping import StopRequest
from training.tasks.base import Task

logger = logging.getLogger('training')


def make_fabric(config: TrainConfig) -> Fabric:
    """Return the Fabric: one process, or DDP over the processes that ``torchrun`` started."""
    import os

    world_size = int(os.environ.get('WORLD_SIZE', '1'))
    on_gpu = torch.cuda.is_available() if config.device == 'auto' else config.device == 'cuda'
    precision = config.precision
    if precision == 'auto':
        precision = 'bf16-mixed' if on_gpu and torch.cuda.is_bf16_supported() else '32-true'
    per_node = int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
    fabric = Fabric(
        accelerator='cuda' if on_gpu else 'cpu',
        devices=per_node,
        num_nodes=world_size // per_node,
        strategy=DDPStrategy(find_unused_parameters=False) if world_size > 1 else 'auto',
        precision=precision,
    )
    fabric.launch()
    return fabric


def _seed_step(seed: int, step: int, rank: int) -> None:
    """Make random numbers (dropout, ...) a function of the step, so that resume is exact."""
    torch.manual_seed(int(np.random.SeedSequence([seed, 2, step, rank]).generate_state(1)[0]))


def fit(
    config: TrainConfig,
    task: Task,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    command: str = '',
) -> Path:
    """Train a task and write its checkpoint folder.

    Args:
        config: the run; its output folder keeps states, log and TensorBoard events.
        task: network, losses and data.
        resume: go on from the newest state, if there is one. A resumed run ends with the same
            weights, bit for bit, as one that was never interrupted.
        max_minutes: stop (resumable) after this time.
        command: kept in the checkpoint's record.

    Returns:
        The run's checkpoint folder, written from the averaged weights.

    Raises:
        StateError: if the output folder has states but ``resume`` is off, or the state is
            damaged or of another model.
        FloatingPointError: if the gradient stops being finite.
    """
    run = config.output
    if list_states(run) and not resume:
        raise StateError(f'{run} already holds a run: use --resume, or another output=FOLDER')
    fabric = make_fabric(config)
    data = task.training_data()
    raw_optimizer = torch.optim.AdamW(
        task.parameter_groups(config.optimizer), betas=config.optimizer.betas
    )
    base_rates = [group['lr'] for group in raw_optimizer.param_groups]
    module, optimizer = fabric.setup(task, raw_optimizer)
    ema = Ema(task, config.ema_decay)
    first_step = _restore(run, task, raw_optimizer, ema, fabric)
    sampler = StreamSampler(
        len(data),
        config.batch_size,
        config.seed,
        first_batch=first_step * config.accumulate,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    loader = make_loader(
        data, sampler, workers=config.workers, pin_memory=fabric.device.type == 'cuda'
    )
    batches = iter(loader)
    log = RunLog(run, config, first_step, enabled=fabric.is_global_zero)
    stop = StopRequest(max_minutes)
    last_saved, step = time.monotonic(), first_step
    with log, stop:
        logger.info(
            'training %s on %d samples, steps %d to %d, %d process(es) on %s, %s',
            config.task,
            len(data),
            first_step,
            config.steps,
            fabric.world_size,
            fabric.device,
            fabric._precision.precision,
        )
        while step < config.steps:
            _seed_step(config.seed, step, fabric.global_rank)
            factor = learning_rate_factor(config.schedule, step, config.steps)
            for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
                group['lr'] = rate * factor
            # The batch of a step is `accumulate` micro-batches; gradients are averaged over
            # them here and over processes by DDP, which syncs on the last one only.
            terms: dict[str, Tensor] = {}
            for micro in range(config.accumulate):
                batch = fabric.to_device(next(batches))
                last = micro == config.accumulate - 1
                with fabric.no_backward_sync(module, enabled=not last):
                    result = module(batch)
                    fabric.backward(result['loss'] / config.accumulate)
                for name, value in {'loss': result['loss'], **result['terms']}.items():
                    share = value.detach() / config.accumulate
                    terms[name] = terms[name] + share if name in terms else share
            norm = fabric.clip_gradients(
                module, optimizer, max_norm=config.optimizer.clip_norm, error_if_nonfinite=False
            )
            if config.precision != '16-mixed' and not bool(torch.isfinite(norm)):
                raise FloatingPointError(
                    f'the gradient at step {step} is not finite (loss terms: '
                    f'{ {k: float(v) for k, v in terms.items()} }); lower the learning rate or '
                    'look at the data with `python -m training inspect`'
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            ema.update(task, step)
            step += 1
            log.step(step, terms, float(norm), factor, config.batch_size * config.accumulate)
            if step % config.log.pictures_every == 0 and fabric.is_global_zero:
                log.pictures(step, task.pictures(batch, result['outputs']))
            if step % config.validation.every_steps == 0 and config.validation.data:
                _validate(config, task, ema, log, step, fabric)
            stopping = fabric.broadcast(stop.reason())
            minutes = (time.monotonic() - last_saved) / 60
            due = step % config.checkpoint.every_steps == 0
            due = due or fabric.broadcast(minutes >= config.checkpoint.every_minutes)
            if due or stopping or step == config.steps:
                if fabric.is_global_zero:
                    _save(run, step, task, ema, raw_optimizer, config)
                fabric.barrier()
                last_saved = time.monotonic()
            if stopping:
                logger.info('stopped after step %d: %s; go on with --resume', step, stopping)
                break
    folder = run / 'checkpoint'
    if fabric.is_global_zero:
        record = {'command': command, 'step': step, 'steps': config.steps, 'samples': len(data)}
        with ema.applied(task):
            task.save_checkpoint(folder, config, record)
    fabric.barrier()
    return folder


def _restore(
    run: Path, task: Task, optimizer: torch.optim.Optimizer, ema: Ema, fabric: Fabric
) -> int:
    """Load the newest state, if any; return the number of steps already done."""
    states = list_states(run)
    if not states:
        return 0
    state = load_state(states[-1])
    try:
        task.load_state_dict(state['model'])
        optimizer.load_state_dict(state['optimizer'])
        ema.load_state_dict(state['ema'])
    except (RuntimeError, ValueError) as error:
        raise StateError(
            f'{states[-1]} does not fit the configured model: {error}; '
            'resume with the config the run was started with'
        ) from error
    if state['world_size'] != fabric.world_size:
        raise StateError(
            f'{states[-1]} was written by {state["world_size"]} process(es), '
            f'now there are {fabric.world_size}; the samples would not be the same'
        )
    return int(state['step'])


def _save(
    run: Path,
    step: int,
    task: Task,
    ema: Ema,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
) -> None:
    import os

    folder = save_state(
        run,
        step,
        model=task.state_dict(),
        ema=ema.state_dict(),
        optimizer=optimizer.state_dict(),
        extra={
            'config': config.model_dump(mode='json'),
            'world_size': int(os.environ.get('WORLD_SIZE', '1')),
        },
        keep=config.checkpoint.keep,
    )
    logger.info('saved %s', folder)


def _validate(
    config: TrainConfig, task: Task, ema: Ema, log: RunLog, step: int, fabric: Fabric
) -> None:
    """Score the averaged weights; the random state of training is not touched."""
    if fabric.is_global_zero:
        with ema.applied(task), torch.random.fork_rng(devices=[]):
            scores = task.validate(config.validation.data, config.validation.limit)
        log.scores(step, scores)
    fabric.barrier()
