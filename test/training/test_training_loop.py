"""The loop: exact resume, accumulation, averaging, schedules, stops, damaged states, DDP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_task import (
    ENVIRONMENT,
    TOY,
    ToyData,
    ToyTask,
    scalars,
    torchrun,
    toy_config,
)

from training.datasets.sample import DatasetError
from training.engine.config import ConfigError, ScheduleConfig
from training.engine.ema import Ema
from training.engine.loop import fit
from training.engine.sampler import StreamSampler
from training.engine.schedule import learning_rate_factor
from training.engine.state import StateError, list_states, load_state
from training.engine.stopping import StopRequest


def tensors_of(run: Path) -> dict[str, torch.Tensor]:
    state = load_state(list_states(run)[-1])
    moments = {
        f'optimizer.{index}.{key}': value
        for index, entry in state['optimizer']['state'].items()
        for key, value in entry.items()
    }
    averages = {f'ema.{key}': value for key, value in state['ema'].items()}
    return {**state['model'], **averages, **moments}


def assert_same_bits(a: Path, b: Path) -> None:
    first, second = tensors_of(a), tensors_of(b)
    assert first.keys() == second.keys()
    assert len(first) > 10
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


class Interrupted(Exception):
    pass


class CrashingTask(ToyTask):
    """Fails in the middle of a step, as a power cut would."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.calls, self.at = 0, at

    def forward(self, batch):
        self.calls += 1
        if self.calls > self.at:
            raise Interrupted
        return super().forward(batch)


@pytest.mark.parametrize(('accumulate', 'workers'), [(1, 0), (2, 0), (1, 1)])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path, accumulate, workers):
    straight = toy_config(tmp_path / 'straight', accumulate=accumulate)
    fit(straight, ToyTask())
    broken = toy_config(tmp_path / 'broken', accumulate=accumulate, workers=workers)
    with pytest.raises(Interrupted):
        fit(broken, CrashingTask(at=8 * accumulate))
    assert [folder.name for folder in list_states(broken.output)] == ['step_00000005']
    fit(broken, ToyTask(), resume=True)
    assert_same_bits(straight.output, broken.output)


def test_a_stop_request_saves_and_resumes_exactly(tmp_path):
    straight = toy_config(tmp_path / 'straight')
    fit(straight, ToyTask())
    parts = toy_config(tmp_path / 'parts')
    fit(parts, ToyTask(), max_minutes=0)
    assert list_states(parts.output)[-1].name == 'step_00000001'
    fit(parts, ToyTask(), resume=True)
    assert_same_bits(straight.output, parts.output)
    assert 'minutes are over' in (parts.output / 'train.log').read_text()


def test_signals_ask_for_a_stop():
    with StopRequest() as stop:
        assert stop.reason() == ''
        os.kill(os.getpid(), signal.SIGTERM)
        assert 'SIGTERM' in stop.reason()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_two_micro_batches_equal_one_large_batch(tmp_path):
    whole = toy_config(tmp_path / 'whole', batch_size=8)
    halves = toy_config(tmp_path / 'halves', batch_size=4, accumulate=2)
    fit(whole, ToyTask(dropout=0.0))
    fit(halves, ToyTask(dropout=0.0))
    first, second = tensors_of(whole.output), tensors_of(halves.output)
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-4, atol=1e-6)


def test_it_learns_and_logs(tmp_path):
    config = toy_config(
        tmp_path / 'run', steps=300, log={'scalars_every': 10}, checkpoint={'every_steps': 300}
    )
    folder = fit(config, ToyTask(dropout=0.0), command='the command')
    lines = [
        line for line in (config.output / 'train.log').read_text().splitlines() if 'loss' in line
    ]
    losses = [float(line.split('loss ')[1].split()[0]) for line in lines]
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
    assert list((config.output / 'tensorboard').glob('events*'))
    assert (folder / 'weights.pt').exists()


class ScoredTask(ToyTask):
    """Scores best at its second validation."""

    scores = iter(())

    def validate(self, data, limit):
        return {'near/error': next(self.scores), 'near/hits': 0.0}


def test_the_best_weights_are_kept_and_a_resumed_run_knows_them(tmp_path):
    validation = {'every_steps': 3, 'data': {'near': 'sim:clean'}, 'best': {'near/error': -1.0}}
    config = toy_config(tmp_path / 'run', steps=12, validation=validation, ema_decay=0.0)
    task = ScoredTask()
    task.scores = iter([0.5, 0.2])
    fit(config.model_copy(update={'steps': 6}), task)
    second = torch.load(tmp_path / 'run' / 'best' / 'weights.pt', weights_only=True)
    resumed = ScoredTask()
    resumed.scores = iter([0.4, 0.3])
    fit(config, resumed, resume=True)
    kept = torch.load(tmp_path / 'run' / 'best' / 'weights.pt', weights_only=True)
    last = torch.load(tmp_path / 'run' / 'checkpoint' / 'weights.pt', weights_only=True)
    assert all(torch.equal(kept[name], second[name]) for name in kept)
    assert any(not torch.equal(kept[name], last[name]) for name in kept)
    note = json.loads((tmp_path / 'run' / 'best.json').read_text())
    assert (note['step'], note['value']) == (6, -0.2)


def test_a_best_score_that_does_not_exist_is_an_error(tmp_path):
    validation = {'every_steps': 1, 'data': {'near': 'sim:clean'}, 'best': {'near/eror': -1.0}}
    task = ScoredTask()
    task.scores = iter([0.5])
    with pytest.raises(ConfigError, match="no score 'near/eror'; there are near/error, near/hits"):
        fit(toy_config(tmp_path / 'run', validation=validation), task)


def test_unusable_validation_data_end_a_run_before_its_first_step(tmp_path):
    class Picky(ToyTask):
        def check_validation(self, data):
            raise DatasetError(f'there is no {data["far"]}')

    validation = {'every_steps': 5, 'data': {'far': 'bag:away'}}
    with pytest.raises(DatasetError, match='there is no bag:away'):
        fit(toy_config(tmp_path / 'run', validation=validation), Picky())
    assert not list_states(tmp_path / 'run')
    fit(toy_config(tmp_path / 'short', validation=validation, steps=4), Picky())


def test_the_average_is_its_formula():
    net = torch.nn.Linear(2, 1)
    ema = Ema(net, decay=0.9)
    expected = net.weight.detach().clone().double()
    for step in range(20):
        with torch.no_grad():
            net.weight.add_(torch.randn_like(net.weight))
        ema.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach().double()
    average = ema.state_dict()['weight']
    torch.testing.assert_close(average.double(), expected, rtol=1e-5, atol=1e-6)
    plain = net.weight.detach().clone()
    with ema.applied():
        assert torch.equal(net.weight, average)
    assert torch.equal(net.weight, plain)


def test_the_average_leaves_frozen_weights_alone():
    net = torch.nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    ema = Ema(net, decay=0.9)
    with torch.no_grad():
        net.bias.add_(1.0)
    bias = net.bias.detach().clone()
    ema.update(0)
    assert list(ema.state_dict()) == ['weight']
    with ema.applied():
        assert torch.equal(net.bias, bias)
    assert torch.equal(net.bias, bias)


@given(st.sampled_from(['cosine', 'poly', 'constant']), st.integers(0, 20))
def test_schedules_warm_up_and_decay(kind, warmup):
    config = ScheduleConfig(kind=kind, warmup_steps=warmup, final_factor=0.1)
    factors = [learning_rate_factor(config, step, 100) for step in range(100)]
    rising, falling = factors[: warmup + 1], factors[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert max(factors) == pytest.approx(1)
    assert factors[-1] == pytest.approx(1 if kind == 'constant' else 0.1, abs=0.03)


def test_every_sample_comes_once_a_pass_on_all_processes():
    streams = [iter(StreamSampler(12, 2, seed=5, rank=r, world_size=3)) for r in range(3)]
    for _ in range(4):
        items = [item for _ in range(2) for stream in streams for item in next(stream)]
        assert sorted(index for _, index in items) == list(range(12))
    later = next(iter(StreamSampler(12, 2, seed=5, first_batch=8, rank=1, world_size=3)))
    assert later == next(streams[1])
    with pytest.raises(ValueError, match='no training samples'):
        StreamSampler(0, 1, seed=0)


def test_a_used_folder_needs_resume_and_a_damaged_state_is_refused(tmp_path):
    config = toy_config(tmp_path / 'run')
    fit(config, ToyTask())
    with pytest.raises(StateError, match='--resume'):
        fit(config, ToyTask())
    state = list_states(config.output)[-1]
    weights = state / 'model.safetensors'
    weights.write_bytes(weights.read_bytes()[:40])
    with pytest.raises(StateError, match='remove this folder'):
        fit(config, ToyTask(), resume=True)
    record = json.loads((state / 'state.json').read_text())
    (state / 'state.json').write_text(json.dumps({**record, 'version': 99}))
    with pytest.raises(StateError, match='format version 99'):
        load_state(state)


def test_a_state_of_another_model_is_refused(tmp_path):
    config = toy_config(tmp_path / 'run')
    fit(config, ToyTask())
    other = ToyTask()
    other.net[0] = torch.nn.Linear(4, 6)
    with pytest.raises(StateError, match='does not fit'):
        fit(config, other, resume=True)


def test_a_gradient_that_is_not_finite_is_reported(tmp_path):
    class Broken(ToyTask):
        def forward(self, batch):
            result = super().forward(batch)
            return {**result, 'loss': result['loss'] * float('nan')}

    with pytest.raises(FloatingPointError, match='step 0 is not finite'):
        fit(toy_config(tmp_path / 'run'), Broken())


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    torchrun(2, TOY, str(tmp_path / 'two'), '4')
    one = toy_config(tmp_path / 'one', batch_size=8, log={'scalars_every': 1})
    fit(one, ToyTask(dropout=0.0))
    losses = scalars(tmp_path / 'two', 'train/loss')
    assert len(losses) == 12
    assert losses == pytest.approx(scalars(one.output, 'train/loss'), rel=1e-4)
    first, second = tensors_of(one.output), tensors_of(tmp_path / 'two')
    for name, value in first.items():
        if not name.endswith('seen'):  # counts the samples of its own process
            torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-6)


def test_the_waiting_for_data_is_logged_apart_from_the_step(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, 'perf_counter', lambda: clock[0])

    class SlowData(ToyData):
        def sample(self, index, rng):
            clock[0] += 0.25
            return super().sample(index, rng)

    class SlowTask(ToyTask):
        def training_data(self):
            return SlowData()

        def forward(self, batch):
            clock[0] += 3.0
            return super().forward(batch)

    config = toy_config(tmp_path / 'run', accumulate=2, log={'scalars_every': 5})
    fit(config, SlowTask())
    assert scalars(config.output, 'speed/data_s') == pytest.approx([2 * 4 * 0.25] * 3)
    assert scalars(config.output, 'speed/step_s') == pytest.approx([2 * 3.0] * 3)


@contextmanager
def toy_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A training in a process group of its own, killed at the end or if it hangs."""
    process = subprocess.Popen(
        [sys.executable, TOY, *arguments],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    watchdog = threading.Timer(300, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    assert process.stderr is not None
    try:
        yield process
    finally:
        watchdog.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read the log of a process up to a line with the text."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return
    raise AssertionError(f'no {text!r} in:\n' + ''.join(lines))


def read_rest(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a process; return the rest of its log."""
    assert process.stderr is not None
    messages = process.stderr.read()
    process.wait()
    return messages


class StoppingTask(ToyTask):
    """Asks the loop to stop after some steps."""

    def __init__(self, after: int) -> None:
        super().__init__(dropout=0.0)
        self.left = after

    def forward(self, batch):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(batch)


@pytest.mark.slow
def test_a_killed_process_resumes_bit_for_bit(tmp_path):
    steps, output = 1_000_000, tmp_path / 'killed'
    for line in (':step 8 ', 'saved '):  # within a step; while tidying up after saving
        with toy_process(str(output), '4', str(steps), '1') as process:
            read_until(process, line)
            os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    partial = output / 'states' / '.partial_00000001'  # as of a kill while saving
    partial.mkdir()
    saved = int(list_states(output)[-1].name.removeprefix('step_'))
    assert saved >= 10
    fit(toy_config(output, steps=steps), StoppingTask(7), resume=True)
    straight = toy_config(tmp_path / 'straight', steps=steps)
    fit(straight, StoppingTask(saved + 7))
    assert_same_bits(straight.output, output)
    assert not partial.exists()


@pytest.mark.slow
def test_a_signal_to_the_whole_process_group_ends_in_a_saved_state(tmp_path):
    output = tmp_path / 'run'
    with toy_process(str(output), '4', '1000000', '1') as process:
        read_until(process, 'saved ')
        os.killpg(process.pid, signal.SIGINT)
        messages = read_rest(process)
    assert process.returncode == 0, messages[-2000:]
    log = (output / 'train.log').read_text()
    assert 'received SIGINT' in log
    step = int(log.rsplit('stopping after step ')[1].split(':')[0])
    assert list_states(output)[-1].name == f'step_{step:08d}'


@pytest.mark.slow
def test_processes_do_not_wait_for_parameters_without_a_loss(tmp_path):
    torchrun(2, TOY, str(tmp_path / 'two'), '4', '12', '0', '1')
    assert list_states(tmp_path / 'two')[-1].name == 'step_00000012'


def test_samples_depend_on_position_only():
    data = ToyData()
    a = data.sample(3, np.random.default_rng([0, 1, 7]))
    b = data.sample(3, np.random.default_rng([0, 1, 7]))
    assert torch.equal(a['x'], b['x'])
