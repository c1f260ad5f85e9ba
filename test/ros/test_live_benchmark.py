"""The live benchmark: two node processes and a third that measures, on a small scene."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import yaml

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_images_cross_processes_without_loss(dummy_checkpoint, tmp_path):
    scenario = tmp_path / 'small.yaml'
    scenario.write_text(yaml.safe_dump({'truth_range_m': 50.0, 'frame_rate_hz': 4.0}))
    result = tmp_path / 'live.json'
    arguments = {
        'checkpoint': dummy_checkpoint, 'scenario': scenario, 'seconds': 4, 'warm-up': 1,
        'domain': os.environ['ROS_DOMAIN_ID'], 'json': result,
    }  # fmt: skip
    options = [part for key, value in arguments.items() for part in (f'--{key}', str(value))]
    command = [sys.executable, '-m', 'benchmark', 'live', *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr
    figures = json.loads(result.read_text())
    assert figures['frames'] >= 4
    assert figures['lost'] == 0
    assert figures['lost_reported_by_dds'] == 0
    assert 0 < figures['bare_inference_ms'] < figures['age_p50_ms'] < 5000
    assert figures['age_p50_ms'] <= figures['age_p95_ms']
    ratio = (figures['age_p50_ms'] - figures['bare_inference_ms']) / figures['bare_inference_ms']
    assert figures['overhead_ratio'] == pytest.approx(ratio)
