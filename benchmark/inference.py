"""Depth + segmentation on one camera image: the engine against the same network run plainly.

Every figure is milliseconds from an uint8 image to depth and labels of its size (median of
interleaved rounds, so that a busy machine slows all rows alike):

- ``plain_float32``: what a user would write: numpy, the network in eager PyTorch, upsampling and
  argmax of everything at full size;
- ``plain_autocast``: the same under bfloat16 autocast;
- ``engine_float32``, ``engine_bfloat16``: the engine's two precisions on the CPU;
- ``engine_onnxruntime``: the engine on the exported network;
- ``engine``: the engine's automatic choice.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from sim_perception.inference.backend import OnnxBackend, choose_device, choose_precision
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.preprocess import (
    PreprocessConfig,
    default_camera,
    focal_length,
    network_size,
)
from sim_perception.models.checkpoint import Checkpoint, load_checkpoint
from sim_perception.models.decoders import upsample
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Frame
from training.export import to_onnx

SIZES = {'640x192': (640, 192), '1242x375': (1242, 375), '960x540': (960, 540)}
Runner = Callable[[Frame], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument(
        '--checkpoint', type=Path, help='folder; default: random weights of the same network'
    )
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default: 1)')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every way of running the network at several image sizes."""
    torch.set_num_threads(options.threads)
    loaded = _network(options.checkpoint)
    with Console().status('exporting to ONNX ...'):
        runners = _runners(loaded, options.threads)
    figures: dict[str, Any] = {
        'threads': options.threads,
        'device': str(choose_device('auto')),
        'precision': str(choose_precision('auto', choose_device('auto'))).removeprefix('torch.'),
    }
    generator = np.random.default_rng(0)
    for label, (width, height) in SIZES.items():
        image = generator.integers(0, 256, (height, width, 3), np.uint8)
        image = cv2.GaussianBlur(image, (0, 0), 8)  # labels with areas, as in real images
        times = _measure(runners, Frame(0, np.asarray(image, np.uint8)), options.rounds, label)
        figures.update({f'{name}_ms_{label}': ms for name, ms in times.items()})
        figures[f'engine_hz_{label}'] = 1000 / times['engine']
        figures[f'ratio_vs_plain_float32_{label}'] = times['plain_float32'] / times['engine']
    return figures


def _network(folder: Path | None) -> Checkpoint:
    if folder is not None:
        return load_checkpoint(folder, network='depth_segmentation')
    torch.manual_seed(0)
    net = DepthSegmentationNet(DepthSegmentationConfig()).eval()
    return Checkpoint('depth_segmentation', net, load_taxonomy())


def _runners(loaded: Checkpoint, threads: int) -> dict[str, Runner]:
    net = cast(DepthSegmentationNet, loaded.net)
    config = PreprocessConfig.from_dict(loaded.preprocess)
    plain = net.eval()

    def engine(device: str = 'auto', precision: str = 'auto') -> Runner:
        return DepthSegmentationEngine(
            net, loaded.taxonomy, config, device=device, precision=precision
        ).infer

    onnx = OnnxBackend(to_onnx(net.for_inference()), threads)
    onnx_engine = DepthSegmentationEngine(net, loaded.taxonomy, config, backend=onnx)
    return {
        'plain_float32': lambda frame: _plain(plain, frame, config),
        'plain_autocast': lambda frame: _plain(plain, frame, config, autocast=True),
        'engine_float32': engine('cpu', 'float32'),
        'engine_bfloat16': engine('cpu', 'bfloat16'),
        'engine_onnxruntime': onnx_engine.infer,
        'engine': engine(),
    }


@torch.inference_mode()
def _plain(
    net: DepthSegmentationNet, frame: Frame, config: PreprocessConfig, autocast: bool = False
) -> object:
    """Run the network as one would without the engine."""
    height, width = frame.image.shape[:2]
    size = network_size(width, height, config)
    resized = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
    normalized = (resized.astype(np.float32) - config.mean) / config.std
    tensor = torch.from_numpy(normalized.astype(np.float32)).permute(2, 0, 1)[None].contiguous()
    focal = focal_length(default_camera(width, height, config)) * size[0] / width
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        log_depth, logits, _ = net(tensor, torch.tensor([focal]))
    depth = upsample(log_depth.exp(), (height, width))[0, 0].numpy()
    labels = upsample(logits, (height, width)).argmax(1)[0].byte().numpy()
    return depth, labels


def _measure(
    runners: dict[str, Runner], frame: Frame, rounds: int, label: str
) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(2):
        for infer in runners.values():
            infer(frame)
    for _ in track(range(rounds), description=label):
        for name, infer in runners.items():
            start = time.perf_counter()
            infer(frame)
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}
