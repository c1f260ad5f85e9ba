"""The training loop, used by every task."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer
from torch import Tensor

from sim_perception.files import mapping, read_json, write_json
from sim_perception.inference.backend import choose_device, has_fast_bfloat16
from training.engine.config import ConfigError, TrainConfig
from training.engine.detached import LossOnly
from training.engine.ema import Ema
from training.engine.run_log import RunLog
from training.engine.sampler import StreamSampler, TrainingData, make_loader
from training.engine.schedule import learning_rate_factor
from training.engine.state import StateError, list_states, load_state, save_state
from training.engine.stopping import StopRequest
from training.engine.task import Batch, Task
from training.engine.timing import Timed

logger = logging.getLogger('training')


def fit(
    config: TrainConfig,
    task: Task,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    stop: StopRequest | None = None,
    command: str = '',
) -> Path:
    """Train a task and write its checkpoint folder.

    Args:
        config: the run; its output folder keeps states, log and TensorBoard events.
        task: network, losses and data.
        resume: go on from the newest state, if there is one. A resumed run ends with the same
            weights, bit for bit, as one that was never interrupted.
        max_minutes: stop (resumable) after this time.
        stop: in place of ``max_minutes``, for who wants to know why it ended.
        command: kept in the checkpoint's record.

    Returns:
        The run's checkpoint folder, written from the averaged weights.

    Raises:
        StateError: if the output folder has states but ``resume`` is off, or the state is
            damaged or of another model.
        FloatingPointError: if the gradient stops being finite.
    """
    if list_states(config.output) and not resume:
        raise StateError(
            f'{config.output} already holds a run: use --resume, or another output=FOLDER'
        )
    fabric = make_fabric(config)
    if config.steps >= config.validation.every_steps:
        task.check_validation(config.validation.data)
    data = task.training_data()
    run = _Run.begin(config, task, fabric, len(data), command)
    batches = Timed(_batches(config, data, fabric, run.step))
    stop = stop or StopRequest(max_minutes)
    with RunLog(config, run.step, enabled=fabric.is_global_zero) as log, stop:
        logger.info(
            '%s: %d samples, steps %d to %d, %d process(es) on %s, %s',
            *(config.task, len(data), run.step, config.steps, fabric.world_size, fabric.device),
            fabric._precision.precision,
        )
        last_saved = time.monotonic()
        while run.step < config.steps:
            began = time.perf_counter()
            # Random numbers and the learning rate are functions of the step: resume is exact.
            seed = np.random.SeedSequence([config.seed, 2, run.step, fabric.global_rank])
            torch.manual_seed(int(seed.generate_state(1)[0]))
            factor = run.set_learning_rate()

            terms, batch, outputs = run.backward(batches)
            norm = run.clip(terms)
            run.optimizer.step()
            run.optimizer.zero_grad(set_to_none=True)
            run.ema.update(run.step)
            run.step += 1

            waited = batches.take_seconds()
            log.tick(run.step, waited, time.perf_counter() - began - waited)
            if log.due(run.step):
                log.step(run.step, run.over_processes(terms), norm, factor)
            if run.step % config.log.pictures_every == 0 and fabric.is_global_zero:
                log.pictures(run.step, task.pictures(batch, outputs))
                with fabric.autocast():
                    log.scalars(run.step, task.diagnose(batch))
            if run.step % config.validation.every_steps == 0:
                run.validate(log)
            reason = fabric.broadcast(stop.reason())
            minutes = fabric.broadcast((time.monotonic() - last_saved) / 60)
            due = run.step % config.checkpoint.every_steps == 0
            if due or reason or minutes >= config.checkpoint.every_minutes:
                run.save()
                run.ship()
                last_saved = time.monotonic()
            if reason:
                logger.info('stopping after step %d: %s; --resume goes on', run.step, reason)
                break
        run.save()
    return run.ship()


def make_fabric(config: TrainConfig) -> Fabric:
    """Return the Fabric: one process, or DDP over the processes that ``torchrun`` started."""
    world_size = int(os.environ.get('WORLD_SIZE', '1'))
    per_node = int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
    on_gpu = choose_device(config.device).type == 'cuda'
    precision = config.precision
    if precision == 'auto':
        fast = torch.cuda.is_bf16_supported() if on_gpu else has_fast_bfloat16()
        precision = 'bf16-mixed' if fast else '32-true'
    fabric = Fabric(
        accelerator='cuda' if on_gpu else 'cpu',
        devices=per_node,
        num_nodes=world_size // per_node,
        # settings decide which heads have a loss: those without must not be waited for
        strategy=DDPStrategy(find_unused_parameters=True) if world_size > 1 else 'auto',
        precision=precision,
    )
    fabric.launch()
    return fabric


def _batches(
    config: TrainConfig, data: TrainingData, fabric: Fabric, step: int
) -> Iterator[Batch]:
    """Return the endless micro-batches from a step on."""
    sampler = StreamSampler(
        len(data),
        config.batch_size,
        config.seed,
        first_batch=step * config.accumulate,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    pin = fabric.device.type == 'cuda'
    return iter(make_loader(data, sampler, workers=config.workers, pin_memory=pin))


@dataclass
class _Run:
    """What changes while training."""

    config: TrainConfig
    fabric: Fabric
    task: Task
    module: _FabricModule
    optimizer: _FabricOptimizer
    base_rates: list[float]
    ema: Ema
    step: int
    samples: int
    command: str

    @classmethod
    def begin(
        cls, config: TrainConfig, task: Task, fabric: Fabric, samples: int, command: str
    ) -> _Run:
        """Set up, and restore the newest state if there is one."""
        # Not fused: on a CPU the fused step takes a restored channels_last state for another one.
        optimizer = torch.optim.AdamW(
            task.parameter_groups(config.optimizer), betas=config.optimizer.betas
        )
        task.train()  # modules know parts that stay in evaluation mode, such as frozen norms
        base_rates = [group['lr'] for group in optimizer.param_groups]
        module, wrapped = fabric.setup(LossOnly(task), optimizer)
        ema = Ema(task, config.ema_decay)
        states = list_states(config.output)
        step = 0
        if states:
            state = load_state(states[-1])
            for name, now in (('world_size', fabric.world_size), ('samples', samples)):
                if state[name] != now:
                    raise StateError(
                        f'{states[-1]} was written with {name} {state[name]}, now it is {now}: '
                        'the order of the samples would change; restore it, or start a new run'
                    )
            try:
                task.load_state_dict(state['model'])
                optimizer.load_state_dict(state['optimizer'])
                ema.load_state_dict(state['ema'])
            except (RuntimeError, ValueError) as error:
                raise StateError(
                    f'{states[-1]} does not fit the configured model: {error}; '
                    'resume with the config the run was started with'
                ) from error
            step = int(state['step'])
        return cls(config, fabric, task, module, wrapped, base_rates, ema, step, samples, command)

    def set_learning_rate(self) -> float:
        """Set this step's learning rate; return its factor on the base rates."""
        factor = learning_rate_factor(self.config.schedule, self.step, self.config.steps)
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group['lr'] = rate * factor
        return factor

    def backward(
        self, batches: Iterator[Batch]
    ) -> tuple[dict[str, Tensor], Batch, dict[str, Tensor]]:
        """Sum the gradients of the step's micro-batches; return mean terms and the last batch.

        Gradients are averaged over micro-batches here and over processes by DDP, which
        synchronises at the last micro-batch only.
        """
        count = self.config.accumulate
        terms: dict[str, Tensor] = {}
        for micro in range(count):
            batch: Batch = self.fabric.to_device(next(batches))
            with self.fabric.no_backward_sync(self.module, enabled=micro < count - 1):
                result: dict[str, Any] = self.module(batch)
                self.fabric.backward(result['loss'] / count)
            for name, value in {'loss': result['loss'], **result['terms']}.items():
                terms[name] = terms.get(name, 0.0) + value.detach() / count
        return terms, batch, result['outputs']

    def over_processes(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the means over the processes, each of which sees its part of the batch."""
        means = self.fabric.all_reduce(
            torch.stack([t.float() for t in terms.values()]), reduce_op='mean'
        )
        return dict(zip(terms, means, strict=True))

    def clip(self, terms: dict[str, Tensor]) -> float:
        """Bound the gradient's norm; return what it was.

        Raises:
            FloatingPointError: if it is not finite (float16 scaling skips such steps itself).
        """
        norm = self.fabric.clip_gradients(
            self.module,
            self.optimizer,
            max_norm=self.config.optimizer.clip_norm,
            error_if_nonfinite=False,
        )
        assert norm is not None
        if self.config.precision != '16-mixed' and not bool(torch.isfinite(norm)):
            values = ', '.join(f'{name} {float(value):.4g}' for name, value in terms.items())
            raise FloatingPointError(
                f'the gradient of step {self.step} is not finite ({values}); lower '
                'optimizer.learning_rate, or look for bad data with `python -m training inspect`'
            )
        return float(norm)

    def validate(self, log: RunLog) -> None:
        """Score the averaged weights; training's random state is not touched."""
        settings = self.config.validation
        if settings.data and self.fabric.is_global_zero:
            with self.ema.applied(), torch.random.fork_rng(devices=[]):
                scores = self.task.validate(settings.data, settings.limit)
            log.scores(self.step, scores)
            if settings.best:
                self._keep_best(scores)
        self.fabric.barrier()

    def _keep_best(self, scores: dict[str, float]) -> None:
        """Write the weights to ``best/`` if no earlier ones scored as well."""
        wanted = self.config.validation.best
        absent = sorted(set(wanted) - set(scores))
        if absent:
            raise ConfigError(
                f'validation.best: no score {absent[0]!r}; there are {", ".join(sorted(scores))}'
            )
        value = sum(weight * scores[name] for name, weight in wanted.items())
        file = self.config.output / 'best.json'
        # a run that was cut short comes by the same step again: its score is not its own rival
        if file.exists() and mapping(read_json(file), file)['value'] >= value:
            return
        self._write_weights(self.config.output / 'best')
        write_json(file, {'step': self.step, 'value': value, 'scores': scores})
        logger.info('best so far: step %d, %.4f', self.step, value)

    def save(self) -> None:
        """Write the training state unless this step's is there already."""
        name = f'step_{self.step:08d}'
        done = any(folder.name == name for folder in list_states(self.config.output))
        self.fabric.barrier()
        if not done and self.fabric.is_global_zero:
            folder = save_state(
                self.config.output,
                self.step,
                model=self.task.state_dict(),
                ema=self.ema.state_dict(),
                optimizer=self.optimizer.state_dict(),
                extra={
                    'config': self.config.model_dump(mode='json'),
                    'world_size': self.fabric.world_size,
                    'samples': self.samples,
                },
                keep=self.config.checkpoint.keep,
            )
            logger.info('saved %s', folder)
        self.fabric.barrier()

    def ship(self) -> Path:
        """Write the deployable checkpoint folder from the averaged weights.

        It is there, ever newer, while training goes on.
        """
        folder = self.config.output / 'checkpoint'
        if self.fabric.is_global_zero:
            self._write_weights(folder)
        self.fabric.barrier()
        return folder

    def _write_weights(self, folder: Path) -> None:
        record = {'command': self.command, 'step': self.step, 'samples': self.samples}
        with self.ema.applied():
            self.task.save_checkpoint(folder, self.config, record)
