"""What a run tells people: progress bar, log file, TensorBoard, pictures."""

from __future__ import annotations

import logging
import math
import threading
import time
from types import TracebackType

import numpy as np
import numpy.typing as npt
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from sim_perception.visualization import write_picture
from training.engine.config import TrainConfig

logger = logging.getLogger('training')


class _LogFile(logging.FileHandler):
    """A log that a full disk only shortens; the states and TensorBoard's events end the run."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop what cannot be written."""


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    """Say in a line what ended TensorBoard's thread on a full disk; the next event raises it."""
    if args.exc_type is not None and issubclass(args.exc_type, OSError):
        logger.error('cannot write events: %s', args.exc_value)
    else:
        threading.__excepthook__(args)


class RunLog:
    """Writes below the run folder: ``train.log``, ``tensorboard/``, ``pictures/``."""

    def __init__(self, config: TrainConfig, first_step: int, *, enabled: bool) -> None:
        self.run, self.config, self.enabled = config.output, config, enabled
        self._first_step, self._last_time, self._last_step = first_step, 0.0, first_step
        self._data_s, self._step_s = 0.0, 0.0

    def __enter__(self) -> RunLog:
        if not self.enabled:
            return self
        self.run.mkdir(parents=True, exist_ok=True)
        (self.run / 'config.yaml').write_text(self.config.to_yaml())
        self._file = _LogFile(self.run / 'train.log')
        self._hook, threading.excepthook = threading.excepthook, _thread_ended
        self._file.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
        logger.addHandler(self._file)
        logger.setLevel(logging.INFO)
        # events after the resumed step were written by a run that was cut short
        self._board = SummaryWriter(self.run / 'tensorboard', purge_step=self._first_step)
        self._progress = Progress(
            TextColumn('[bold]{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn('{task.fields[note]}'),
            refresh_per_second=2,  # drawing ten times a second costs training time
        )
        self._bar = self._progress.add_task(
            self.config.task, total=self.config.steps, completed=self._first_step, note=''
        )
        self._progress.start()
        self._last_time = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.enabled:
            return
        if error is not None:
            logger.error('training ended by %s: %s', type(error).__name__, error)
        self._progress.stop()
        self._board.close()
        threading.excepthook = self._hook
        logger.removeHandler(self._file)
        self._file.close()

    def tick(self, step: int, data_s: float, step_s: float) -> None:
        """Note a finished step and its seconds: waiting for the loader, and all else."""
        self._data_s += data_s
        self._step_s += step_s
        if self.enabled:
            self._progress.update(self._bar, completed=step)

    def due(self, step: int) -> bool:
        """Return whether to call ``step``: every ``log.scalars_every`` steps and at the end."""
        return step % self.config.log.scalars_every == 0 or step == self.config.steps

    def step(self, step: int, terms: dict[str, Tensor], norm: float, factor: float) -> None:
        """Write a step's scalars. Speeds are means since the last time, of this process."""
        if not self.enabled:
            return
        values = {name: float(value) for name, value in terms.items()}
        now = time.monotonic()
        steps = step - self._last_step
        samples = self.config.batch_size * self.config.accumulate
        rate = samples * steps / max(now - self._last_time, 1e-9)
        data_s, step_s = self._data_s / steps, self._step_s / steps
        self._last_time, self._last_step = now, step
        self._data_s, self._step_s = 0.0, 0.0
        for name, value in values.items():
            self._board.add_scalar(f'train/{name}', value, step)
        self._board.add_scalar('optimizer/gradient_norm', norm, step)
        self._board.add_scalar('optimizer/rate_factor', factor, step)
        self._board.add_scalar('speed/samples_per_s', rate, step)
        self._board.add_scalar('speed/data_s', data_s, step)
        self._board.add_scalar('speed/step_s', step_s, step)
        note = ' '.join(f'{name} {value:.3f}' for name, value in values.items())
        self._progress.update(self._bar, note=f'{note} {rate:.1f} samples/s')
        logger.info('step %d %s norm %.2f %.1f samples/s', step, note, norm, rate)

    def pictures(self, step: int, pictures: dict[str, npt.NDArray[np.uint8]]) -> None:
        """Write RGB pictures to TensorBoard and as PNG."""
        if not self.enabled:
            return
        folder = self.run / 'pictures'
        folder.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            self._board.add_image(name, picture, step, dataformats='HWC')
            write_picture(folder / f'{name}_{step:08d}.png', picture)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers to TensorBoard and to the log."""
        if not self.enabled or not values:
            return
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        text = ' '.join(f'{name} {value:.3g}' for name, value in values.items())
        logger.info('after step %d: %s', step, text)

    def scores(self, step: int, scores: dict[str, float]) -> None:
        """Write validation scores."""
        if not self.enabled or not scores:
            return
        for name, value in scores.items():
            if math.isfinite(value):
                self._board.add_scalar(f'validation/{name}', value, step)
        text = ' '.join(f'{name} {value:.3f}' for name, value in scores.items())
        logger.info('validation after step %d: %s', step, text)
