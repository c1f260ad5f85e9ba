"""Depth + segmentation on one camera image: the engine against the same network run plainly.

Milliseconds from an uint8 image to depth and classes of its size: the median of interleaved
rounds, so that a busy machine slows all rows alike. ``--clock cpu`` takes the process's CPU time
instead: on a busy machine and with one thread, about what a quiet core would need. Keys, for every
image SIZE (``320x96`` runs the network at 320x96, all others near 640x192 pixels):

- ``plain_float32_ms_SIZE``: what a user would write: numpy, the same layers in eager PyTorch
  (default memory layout, norms not folded), upsampling and argmax of everything at full size;
- ``plain_bfloat16_ms_SIZE``: the same under bfloat16 autocast;
- ``torch_float32_ms_SIZE``, ``torch_bfloat16_ms_SIZE``: the engine's two precisions on the CPU;
- ``onnxruntime_ms_SIZE``: the engine on the exported network, float32;
- ``engine_ms_SIZE``: the engine's automatic choice; ``hz_SIZE``: its images per second;
- ``ratio_vs_plain_SIZE``: how many times faster that is than ``plain_float32``;
  ``ratio_vs_plain``: at 640x192.

The floor that ``hz_640x192`` has to pass, 15, is meant for ``--threads 2`` on two quiet cores.

Examples:
  python -m benchmark depth_segmentation --threads 2
  python -m benchmark depth_segmentation --checkpoint runs/mine/best --json speed.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from sim_perception.extras import skipped
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
from sim_perception.models.depth_segmentation import DepthSegmentationNet
from sim_perception.resources import share_path
from sim_perception.types import Frame
from training.engine.export import to_onnx

# Image (width, height) and the network's area in pixels.
SIZES = {
    '640x192': ((640, 192), 640 * 192),
    '320x96': ((320, 96), 320 * 96),
    '1242x375': ((1242, 375), 640 * 192),
    '960x540': ((960, 540), 640 * 192),
}
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}
Runner = Callable[[Frame], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument('--checkpoint', type=Path, help='folder; default: the shipped one')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default: 1)')
    parser.add_argument('--clock', choices=CLOCKS, default='wall')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every way of running the network at several image sizes."""
    torch.set_num_threads(options.threads)
    folder = options.checkpoint or share_path('models', 'depth_segmentation')
    loaded = load_checkpoint(folder, network='depth_segmentation')
    net = cast(DepthSegmentationNet, loaded.net).eval()
    left_out = skipped('onnxruntime', 'onnx', 'onnxscript', 'onnxruntime')
    onnx = None
    if not left_out:
        with Console().status('exporting to ONNX ...'):
            onnx = OnnxBackend(to_onnx(net.for_inference()), options.threads)
    device = choose_device('auto')
    figures: dict[str, Any] = {
        'checkpoint': folder.name,
        'threads': options.threads,
        'clock': options.clock,
        'device': str(device),
        'precision': str(choose_precision('auto', device)).removeprefix('torch.'),
    }
    generator = np.random.default_rng(0)
    for label, ((width, height), pixels) in SIZES.items():
        image = generator.integers(0, 256, (height, width, 3), np.uint8)
        image = cv2.GaussianBlur(image, (0, 0), 8)  # labels with areas, as in real images
        config = replace(PreprocessConfig.from_dict(loaded.preprocess), pixels=pixels, size=None)
        runners = _runners(loaded, net, onnx, config)
        times = _measure(runners, Frame(0, np.asarray(image, np.uint8)), options, label)
        figures.update({f'{name}_ms_{label}': ms for name, ms in times.items()})
        figures[f'hz_{label}'] = 1000 / times['engine']
        figures[f'ratio_vs_plain_{label}'] = times['plain_float32'] / times['engine']
    figures['ratio_vs_plain'] = figures['ratio_vs_plain_640x192']
    return figures | left_out


def _runners(
    loaded: Checkpoint,
    net: DepthSegmentationNet,
    onnx: OnnxBackend | None,
    config: PreprocessConfig,
) -> dict[str, Runner]:
    def engine(**settings: Any) -> Runner:
        return DepthSegmentationEngine(net, loaded.taxonomy, config, **settings).infer

    runners = {
        'plain_float32': lambda frame: _plain(net, frame, config),
        'plain_bfloat16': lambda frame: _plain(net, frame, config, autocast=True),
        'torch_float32': engine(device='cpu', precision='float32'),
        'torch_bfloat16': engine(device='cpu', precision='bfloat16'),
        'engine': engine(),
    }
    return runners if onnx is None else {**runners, 'onnxruntime': engine(backend=onnx)}


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
    runners: dict[str, Runner], frame: Frame, options: argparse.Namespace, label: str
) -> dict[str, float]:
    clock = CLOCKS[options.clock]
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(2):
        for infer in runners.values():
            infer(frame)
    for _ in track(range(options.rounds), description=label):
        for name, infer in runners.items():
            start = clock()
            infer(frame)
            times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}
