"""The training state on disk: a folder of safetensors and JSON, written atomically.

``RUN/states/step_00001000/`` holds ``model``, ``ema`` and ``optimizer`` ``.safetensors`` and
``state.json``. Sampler position and random numbers are functions of the step and the seed, so
the step restores them. A folder counts only once it has its final name.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sim_perception.files import mapping, read_json

FORMAT_VERSION = 1


class StateError(ValueError):
    """A training state that cannot be used; the message says what to do."""


def flatten_optimizer(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimizer's ``state_dict`` into named tensors and plain JSON values."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state['state'].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f'{index}.{key}'] = value
            else:
                scalars.setdefault(str(index), {})[key] = value
    return tensors, {'param_groups': state['param_groups'], 'scalars': scalars}


def unflatten_optimizer(tensors: dict[str, Tensor], plain: dict[str, Any]) -> dict[str, Any]:
    """Inverse of ``flatten_optimizer``."""
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split('.', 1)
        state.setdefault(int(index), {})[key] = tensor
    for index, entries in plain['scalars'].items():
        state.setdefault(int(index), {}).update(entries)
    return {'state': state, 'param_groups': plain['param_groups']}


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    # safetensors refuses views that share memory, and wants them contiguous
    save_file({k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, path)


def _flush_to_disk(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def save_state(
    run: Path,
    step: int,
    *,
    model: dict[str, Tensor],
    ema: dict[str, Tensor],
    optimizer: dict[str, Any],
    extra: dict[str, Any],
    keep: int,
) -> Path:
    """Write the state after ``step`` finished steps and remove all but the newest ``keep``.

    Raises:
        StateError: for a full disk and the like; earlier states are then still there.
    """
    states = run / 'states'
    final, partial = states / f'step_{step:08d}', states / f'.partial_{step:08d}'
    for abandoned in states.glob('.partial_*'):  # by a process that was killed while saving
        shutil.rmtree(abandoned)
    tensors, plain = flatten_optimizer(optimizer)
    record = {'version': FORMAT_VERSION, 'step': step, 'optimizer': plain, **extra}
    try:
        partial.mkdir(parents=True)
        _save_tensors(model, partial / 'model.safetensors')
        _save_tensors(ema, partial / 'ema.safetensors')
        _save_tensors(tensors, partial / 'optimizer.safetensors')
        (partial / 'state.json').write_text(json.dumps(record, indent=1))
        _flush_to_disk(partial)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StateError(
            f'{final} cannot be written: {error}; earlier states are kept, resume when this is '
            'mended'
        ) from error
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in list_states(run)[:-keep]:
        shutil.rmtree(old)
    return final


def list_states(run: Path) -> list[Path]:
    """Return the complete state folders of a run, oldest first."""
    return sorted((run / 'states').glob('step_*'))


def load_state(folder: Path, device: torch.device | str = 'cpu') -> dict[str, Any]:
    """Read a state folder: ``model``, ``ema``, ``optimizer`` and the JSON record's keys.

    Raises:
        StateError: if a file is missing, damaged or of another version.
    """
    try:
        record: dict[str, Any] = mapping(read_json(folder / 'state.json'), folder)
        if record.get('version') != FORMAT_VERSION:
            raise StateError(
                f'{folder} has format version {record.get("version")}, this program reads '
                f'{FORMAT_VERSION}; train from scratch or use the program that wrote it'
            )
        files = {
            name: load_file(folder / f'{name}.safetensors', device=str(device))
            for name in ('model', 'ema', 'optimizer')
        }
        optimizer = unflatten_optimizer(files['optimizer'], record['optimizer'])
    except StateError:
        raise
    except Exception as error:  # safetensors raises its own type for damaged files
        raise StateError(
            f'cannot read the training state {folder}: {error}; '
            'remove this folder to resume from the one before'
        ) from error
    return {**record, 'model': files['model'], 'ema': files['ema'], 'optimizer': optimizer}


def newest_step(run: Path) -> int:
    """Return the step of a run's newest state, 0 if it has none."""
    states = list_states(run)
    return int(states[-1].name.removeprefix('step_')) if states else 0
