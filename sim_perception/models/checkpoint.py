"""Checkpoint folders: weights, configuration, metrics, card, and a manifest that guards them.

A checkpoint is a folder with

- ``model.safetensors``: the weights (matrices in float16 by default, the rest in float32),
- ``config.yaml``: network name and settings, preprocessing, class list, canonical camera, and
  perhaps the calibration of the network's confidence,
- ``metrics.json``: results with the data and commands that produced them,
- ``README.md``: the card for people,
- ``model.onnx``: optionally, the network exported for ONNX Runtime,
- ``MANIFEST``: format version, then one ``sha256  name`` line per file (``sha256sum -c`` reads
  it).

``load_checkpoint`` verifies all of it; nothing in a checkpoint can execute code.

A test or a node's dummy model needs three lines::

    config = DepthSegmentationConfig(depth_channels=(16, 16), semantic_channels=(16, 16))
    net = DepthSegmentationNet(config)
    save_checkpoint(folder, net, taxonomy=load_taxonomy())
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from sim_perception.files import (
    FileError,
    decode_text,
    mapping,
    parse_json,
    parse_yaml,
    read_bytes,
    read_text,
)
from sim_perception.models.registry import build_model, name_of
from sim_perception.taxonomy import Taxonomy

FORMAT = 'sim_perception checkpoint'
VERSION = 1
WEIGHTS, CONFIG, METRICS, CARD = 'model.safetensors', 'config.yaml', 'metrics.json', 'README.md'
MANIFEST = 'MANIFEST'
ONNX = 'model.onnx'
FILES = (WEIGHTS, CONFIG, METRICS, CARD)
_MOST_BYTES = 8 << 30
RESTORE = 'restore it from its source, or train or export the checkpoint again'


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint in memory.

    Attributes:
        name: the network's registered name.
        net: the network with its weights, float32, on the CPU, in evaluation mode.
        taxonomy: the class list it was trained with.
        preprocess: plain values for ``inference.preprocess.PreprocessConfig``.
        metrics: results, as saved.
        onnx: the exported network, or None if there is none.
        folder: where it came from.
        calibration: plain values for ``inference.calibration.Calibration``; empty if the
            network was never calibrated.
    """

    name: str
    net: nn.Module
    taxonomy: Taxonomy
    preprocess: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    onnx: bytes | None = None
    folder: Path = Path()
    calibration: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    folder: Path | str,
    net: nn.Module,
    *,
    taxonomy: Taxonomy,
    preprocess: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    card: str | None = None,
    half: bool = True,
) -> Path:
    """Write a checkpoint folder; an interrupted save leaves an existing one as it was.

    Args:
        folder: where; an existing checkpoint there is replaced.
        net: a registered network.
        taxonomy: the class list of its semantic head.
        preprocess: ``PreprocessConfig.to_dict()``; empty for the defaults.
        metrics: results, JSON values.
        card: Markdown for ``README.md``; a short one is written when missing.
        half: store matrices as float16 (half the size); vectors always keep float32.

    Raises:
        ValueError: if the network is not registered or its classes differ from the taxonomy's.
    """
    name = name_of(net)
    model = asdict(net.config)  # type: ignore[call-overload]
    if model.get('classes', len(taxonomy)) != len(taxonomy):
        raise ValueError(f'network has {model["classes"]} classes, taxonomy has {len(taxonomy)}')
    config = {
        'format_version': VERSION,
        'network': name,
        'model': {k: list(v) if isinstance(v, tuple) else v for k, v in model.items()},
        'preprocess': dict(preprocess or {}),
        'taxonomy': taxonomy.to_dict(),
    }
    contents = {
        WEIGHTS: save_tensors(_stored(net, half)),
        CONFIG: yaml.safe_dump(config, sort_keys=False).encode(),
        METRICS: (json.dumps(dict(metrics or {}), indent=2) + '\n').encode(),
        CARD: (card or _default_card(name, net)).encode(),
    }
    return _write(Path(folder), contents)


def update_checkpoint(
    folder: Path | str,
    *,
    metrics: Mapping[str, Any] | None = None,
    card: str | None = None,
    extra: Mapping[str, bytes] | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> Path:
    """Replace parts of a checkpoint, keeping everything else byte for byte.

    Args:
        folder: the checkpoint.
        metrics: new contents of ``metrics.json``.
        card: new contents of ``README.md``.
        extra: more files by name, for example ``model.onnx``.
        calibration: ``Calibration.to_dict()``.

    Raises:
        CheckpointError: if the folder is not an intact checkpoint.
    """
    contents = _read(Path(folder))
    if metrics is not None:
        contents[METRICS] = (json.dumps(dict(metrics), indent=2) + '\n').encode()
    if card is not None:
        contents[CARD] = card.encode()
    contents.update(extra or {})
    if calibration is not None:
        config = _parse_config(Path(folder), contents[CONFIG])
        config['calibration'] = dict(calibration)
        contents[CONFIG] = yaml.safe_dump(config, sort_keys=False).encode()
    return _write(Path(folder), contents)


def load_checkpoint(
    folder: Path | str, *, network: str | None = None, taxonomy: Taxonomy | None = None
) -> Checkpoint:
    """Read and verify a checkpoint folder.

    Args:
        folder: where.
        network: the network the caller can use, or None for any.
        taxonomy: the class list the caller expects, or None for any.

    Raises:
        CheckpointError: for a missing or altered file, another format version, another network,
            another class list, or weights that do not fit.
    """
    folder = Path(folder)
    contents = _read(folder)
    config = _parse_config(folder, contents[CONFIG])
    name = config['network']
    if network is not None and name != network:
        raise CheckpointError(
            f'{folder / CONFIG} holds a {name!r} network, need {network!r}; '
            'give the folder of another checkpoint'
        )
    tensors = _parse_weights(folder, contents[WEIGHTS])
    try:
        classes = Taxonomy.from_dict(config['taxonomy'])
        with torch.device('meta'):  # which allocates nothing
            empty = build_model(name, config['model'])
    except Exception as error:  # a network of any settings: it may raise anything
        raise CheckpointError(f'{folder / CONFIG}: {error}; {RESTORE}') from error
    _check_classes(folder, empty, classes, taxonomy)
    _check_size(folder, empty, tensors)
    net = build_model(name, config['model'])
    _load_weights(folder, net, tensors)
    try:
        text = decode_text(contents[METRICS], folder / METRICS)
        metrics = mapping(parse_json(text, folder / METRICS), folder / METRICS)
    except FileError as error:
        raise CheckpointError(f'{error}; {RESTORE}') from error
    return Checkpoint(
        name,
        net.eval(),
        classes,
        config['preprocess'],
        metrics,
        contents.get(ONNX),
        folder,
        config.get('calibration') or {},
    )


def fingerprint(folder: Path | str) -> str:
    """Return what tells a checkpoint from others that compute something else.

    It stays when its card or its figures change.

    Raises:
        CheckpointError: if the folder has no manifest of a checkpoint.
    """
    hashes = _parse_manifest(Path(folder) / MANIFEST)
    return f'{hashes.get(WEIGHTS, "")}{hashes.get(CONFIG, "")}'


def network_of(folder: Path | str) -> str:
    """Return the name of the network in a checkpoint folder, without reading its weights.

    Raises:
        CheckpointError: for a folder without a checkpoint, or with another format's.
    """
    folder = Path(folder)
    _parse_manifest(folder / MANIFEST)
    try:
        data = read_bytes(folder / CONFIG, _MOST_BYTES)
    except (OSError, FileError) as error:
        raise CheckpointError(f'{folder / CONFIG} cannot be read ({error}); {RESTORE}') from error
    return str(_parse_config(folder, data)['network'])


def _stored(net: nn.Module, half: bool) -> dict[str, Tensor]:
    """Return the weights as they are written; vectors (norms, biases) keep full precision."""
    stored = {}
    for name, value in net.state_dict().items():
        shrink = half and value.is_floating_point() and value.ndim > 1
        value = value.detach().cpu().to(torch.float16) if shrink else value.detach().cpu()
        stored[name] = value.contiguous()
    return stored


def _default_card(name: str, net: nn.Module) -> str:
    count = sum(parameter.numel() for parameter in net.parameters())
    return (
        f'# {name}\n\n{count / 1e6:.2f} M parameters. '
        f'Settings: `{CONFIG}`; results: `{METRICS}`.\n'
    )


def _write(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Write files and manifest to a sibling folder, then swap it in."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise CheckpointError(
            f'{folder} exists and is not a checkpoint (no {MANIFEST}); choose another folder'
        )
    fresh = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
    try:
        fresh.chmod(0o755)
        lines = [f'# {FORMAT} {VERSION}']
        for name, data in contents.items():
            lines.append(f'{hashlib.sha256(data).hexdigest()}  {name}')
            _write_durably(fresh / name, data)
        _write_durably(fresh / MANIFEST, ('\n'.join(lines) + '\n').encode())
        old = fresh.with_name(fresh.name + '.old')
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return folder


def _write_durably(path: Path, data: bytes) -> None:
    with path.open('wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(folder: Path) -> dict[str, bytes]:
    """Return the checkpoint's files after checking them against the manifest."""
    if not folder.is_dir():
        raise CheckpointError(f'{folder} is not a folder; give the folder of a checkpoint')
    expected = _parse_manifest(folder / MANIFEST)
    unlisted = [name for name in FILES if name not in expected]
    if unlisted:
        raise CheckpointError(f'{folder / MANIFEST} does not list {unlisted[0]}; {RESTORE}')
    contents = {}
    for name in expected:
        path = folder / name
        if path.name != name:
            raise CheckpointError(f'{folder / MANIFEST} lists the path {name!r}; {RESTORE}')
        try:
            contents[name] = read_bytes(path, _MOST_BYTES)
        except (OSError, FileError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise CheckpointError(f'{path} cannot be read ({why}); {RESTORE}') from error
        if hashlib.sha256(contents[name]).hexdigest() != expected[name]:
            raise CheckpointError(f'{path} differs from its hash in {MANIFEST}; {RESTORE}')
    return contents


def _parse_manifest(path: Path) -> dict[str, str]:
    try:
        header, *lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise CheckpointError(f'{path} cannot be read ({error}); {RESTORE}') from error
    if not header.startswith(f'# {FORMAT} '):
        raise CheckpointError(f'{path} is not the manifest of a {FORMAT}; {RESTORE}')
    version = header.removeprefix(f'# {FORMAT} ')
    if version != str(VERSION):
        raise CheckpointError(
            f'{path} has format version {version}, this program reads version {VERSION}; '
            'use the program version that wrote it, or export the checkpoint again'
        )
    return {name: digest for digest, _, name in (line.partition('  ') for line in lines)}


def _parse_config(folder: Path, data: bytes) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = parse_yaml(decode_text(data, path), path)
    except FileError as error:
        raise CheckpointError(f'{error}; {RESTORE}') from error
    keys = ('format_version', 'network', 'model', 'preprocess', 'taxonomy')
    missing = [key for key in keys if not isinstance(config, dict) or key not in config]
    if missing:
        raise CheckpointError(f'{path} lacks {", ".join(missing)}; {RESTORE}')
    for key in ('model', 'preprocess', 'taxonomy', 'calibration'):
        if not isinstance(config.get(key) or {}, dict):
            raise CheckpointError(f'{path}: {key} must be a mapping; {RESTORE}')
    if config['format_version'] != VERSION:
        raise CheckpointError(
            f'{path} has format version {config["format_version"]}, this program reads version '
            f'{VERSION}; use the program version that wrote it, or export the checkpoint again'
        )
    return config


def _check_classes(
    folder: Path, net: nn.Module, classes: Taxonomy, expected: Taxonomy | None
) -> None:
    count = getattr(net.config, 'classes', len(classes))
    if count != len(classes):
        raise CheckpointError(
            f'{folder / CONFIG} lists {len(classes)} classes but its network has {count}; '
            f'{RESTORE}'
        )
    if expected is not None and classes.names != expected.names:
        raise CheckpointError(
            f'{folder / CONFIG} has the classes [{", ".join(classes.names)}], need '
            f'[{", ".join(expected.names)}]; use the class list of the checkpoint or train again'
        )


def _parse_weights(folder: Path, data: bytes) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        tensors = load_tensors(data)
    except Exception as error:  # the library raises its own and other types
        raise CheckpointError(f'{path} holds no weights: {error}; {RESTORE}') from error
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise CheckpointError(f'{path}: {name} has values that are not finite; {RESTORE}')
    return tensors


def _check_size(folder: Path, empty: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Refuse a network that is larger than its weights, before it is allocated."""
    wanted = sum(value.numel() for value in empty.state_dict().values())
    there = sum(value.numel() for value in tensors.values())
    if wanted > there:
        raise CheckpointError(
            f'{folder / WEIGHTS} does not fit the network of {CONFIG}: that has {wanted} weights, '
            f'the file {there}; {RESTORE}'
        )


def _load_weights(folder: Path, net: nn.Module, tensors: dict[str, Tensor]) -> None:
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f'{folder / WEIGHTS} does not fit the network of {CONFIG}: {error}; {RESTORE}'
        ) from error
