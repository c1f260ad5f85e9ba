"""The benchmark of depth + segmentation: its documented figures are there."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pytest
import torch

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')


@pytest.mark.slow
def test_figures(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only a checkout has the benchmarks.
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    benchmark = importlib.import_module('benchmark.depth_segmentation')
    assert {'640x192', '320x96', '1242x375', '960x540'} <= set(benchmark.SIZES)
    sizes = {'640x192': ((96, 64), 96 * 64), '320x96': ((64, 32), 64 * 32)}
    monkeypatch.setattr(benchmark, 'SIZES', sizes)
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    options = parser.parse_args(['--checkpoint', str(small_checkpoint), '--rounds', '2'])
    threads = torch.get_num_threads()
    try:
        figures = benchmark.run(options)
    finally:
        torch.set_num_threads(threads)
    for size in sizes:
        for name in ('plain_float32', 'torch_float32', 'torch_bfloat16', 'onnxruntime'):
            assert figures[f'{name}_ms_{size}'] > 0
        assert figures[f'hz_{size}'] == pytest.approx(1000 / figures[f'engine_ms_{size}'])
    ratio = figures['plain_float32_ms_640x192'] / figures['engine_ms_640x192']
    assert figures['ratio_vs_plain'] == pytest.approx(ratio)
