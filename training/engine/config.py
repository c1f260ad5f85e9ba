"""Training configuration: typed, validated, read from YAML with ``key=value`` overrides.

The fields below are the documentation of the YAML files in ``training/configs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sim_perception.files import FileError, parse_yaml, read_yaml
from sim_perception.simulator.scenario import merge_settings
from sim_perception.suggestions import unknown, unknown_key

CONFIG_FOLDER = Path(__file__).parents[1] / 'configs'


S = TypeVar('S', bound=BaseModel)


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says which key and why."""


class Section(BaseModel):
    """Base of every section: unknown keys and infinite numbers are errors; it never changes."""

    model_config = ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)


class OptimizerConfig(Section):
    """AdamW with a smaller step for the pretrained encoder."""

    learning_rate: float = Field(default=1e-3, gt=0)
    encoder_factor: float = Field(default=0.1, ge=0)
    """Learning rate of the encoder relative to the rest."""
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient of all parameters."""


class ScheduleConfig(Section):
    """Learning rate over the steps: linear warm-up, then a decay to ``final_factor``."""

    kind: Literal['cosine', 'poly', 'constant'] = 'cosine'
    warmup_steps: int = Field(default=100, ge=0)
    final_factor: float = Field(default=0.01, ge=0, le=1)
    power: float = Field(default=0.9, gt=0)
    """Exponent of the polynomial decay."""


class CheckpointConfig(Section):
    """When to save the training state. The state is also saved at the end and on Ctrl-C."""

    every_steps: int = Field(default=500, ge=1)
    every_minutes: float = Field(default=10.0, gt=0)
    keep: int = Field(default=2, ge=1)
    """Number of newest states kept."""


class LogConfig(Section):
    """TensorBoard and log file."""

    scalars_every: int = Field(default=20, ge=1)
    pictures_every: int = Field(default=250, ge=1)


class ValidationConfig(Section):
    """Data scored during training with the averaged weights."""

    every_steps: int = Field(default=1000, ge=1)
    data: dict[str, str] = Field(default_factory=dict)
    """Name -> evaluation SPEC, for example ``target: sim:target:100-101``."""
    limit: int = Field(default=20, ge=1)
    """Frames per data set."""
    best: dict[str, float] = Field(default_factory=dict)
    """``name/score`` -> weight, e.g. ``{drive/abs_rel: -1, camvid/miou: 0.5}``. The averaged
    weights with the greatest weighted sum are kept in ``OUTPUT/best``."""


class TrainConfig(Section):
    """One training run."""

    task: str = 'depth_segmentation'
    output: Path = Path('runs/depth_segmentation')
    """Folder of the run: states, TensorBoard, log, and at the end the checkpoint folder."""
    seed: int = Field(default=0, ge=0)
    notes: str = ''
    """What a reader of the checkpoint's card should know besides these settings."""
    steps: int = Field(default=10_000, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=8, ge=1)
    """Samples per process and micro-batch."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches per optimizer step."""
    precision: Literal['auto', '32-true', 'bf16-mixed', '16-mixed'] = 'auto'
    """``auto``: bf16 on GPUs that have it, otherwise single precision."""
    device: Literal['auto', 'cpu', 'cuda'] = 'auto'
    """``auto`` is a GPU where there is one. Which of several is CUDA_VISIBLE_DEVICES' affair."""
    workers: int = Field(default=2, ge=0)
    """Loader processes; the samples do not depend on it."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the exponential moving average of the weights; 0 keeps the plain weights."""
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()
    validation: ValidationConfig = ValidationConfig()
    data: dict[str, Any] = Field(default_factory=dict)
    """Settings of the task's training data."""
    model: dict[str, Any] = Field(default_factory=dict)
    """Fields of the task's model config."""
    loss: dict[str, Any] = Field(default_factory=dict)
    """Settings of the task's losses."""

    def to_yaml(self) -> str:
        """Return the YAML form; ``load_config`` reads it back."""
        return yaml.safe_dump(self.model_dump(mode='json'), sort_keys=False)


def find_config(name: str | Path, folder: Path = CONFIG_FOLDER) -> Path:
    """Return the file of a config given by path or by the name of one shipped in a folder.

    Raises:
        ConfigError: listing the shipped names if there is no such file.
    """
    for path in (Path(name), folder / f'{name}.yaml'):
        if path.is_file():
            return path
    shipped = sorted(p.stem for p in folder.glob('*.yaml'))
    what = folder.name.removesuffix('s')
    raise ConfigError(f'{unknown(what, str(name), shipped)}; or give a YAML file')


def load_section(section: type[S], name: str | Path, folder: Path) -> S:
    """Read a section that has a file of its own; see ``find_config``.

    Raises:
        ConfigError: for a missing file, bad YAML, an unknown key or a bad value.
    """
    path = find_config(name, folder)
    try:
        values = read_yaml(path) or {}
    except FileError as error:
        raise ConfigError(str(error)) from error
    return validated(section, values, str(path))


def _override(data: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition('=')
    if not equals or not key:
        raise ConfigError(f'override {assignment!r} must read key=value, e.g. steps=200')
    *parents, last = key.split('.')
    node = data
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(f'override {assignment!r}: {parent!r} is not a section')
    try:
        node[last] = parse_yaml(text, f'the value of override {assignment!r}')
    except FileError as error:
        raise ConfigError(str(error)) from error


def validated(section: type[S], data: Any, where: str) -> S:
    """Return ``section(**data)``; every problem goes into one readable ``ConfigError``."""
    try:
        return section.model_validate(data)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = '.'.join(str(part) for part in problem['loc'])
            if problem['type'] == 'extra_forbidden':
                lines.append(f'{key}: {unknown_key("key", section, problem["loc"])}')
            else:
                lines.append(f'{key}: {problem["msg"]}, got {problem["input"]!r}')
        raise ConfigError(f'bad configuration in {where}:\n  ' + '\n  '.join(lines)) from error


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the settings of a file over those of its ``base``."""
    if path in above:
        raise ConfigError(f'{path} is its own base')
    try:
        data = read_yaml(path) or {}
    except FileError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(data, dict):
        raise ConfigError(f'{path} must hold a mapping of settings')
    base = data.pop('base', None)
    return data if base is None else merge_settings(_read(find_config(base), (*above, path)), data)


def load_config(name: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a config by file or shipped name and apply ``section.key=value`` overrides.

    A config may build on another: ``base: NAME``. Its own keys then win, section by section.

    Raises:
        ConfigError: for a missing file, bad YAML, an unknown key or a bad value.
    """
    path = find_config(name)
    data = _read(path)
    for assignment in overrides:
        _override(data, assignment)
    return validated(TrainConfig, data, str(path))
