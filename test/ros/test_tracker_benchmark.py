"""The tracker's benchmark: what the node costs beside its network, and its bounded state."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import torch

from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.permanence import PermanenceConfig, PermanenceNet
from sim_perception.taxonomy import load_taxonomy


def run(result, *flags, **arguments):
    options = [part for key, value in arguments.items() for part in (f'--{key}', str(value))]
    command = [
        sys.executable,
        '-m',
        'benchmark',
        'tracking',
        *flags,
        *options,
        '--json',
        str(result),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(result.read_text())


def test_the_state_is_bounded_over_a_while_of_clutter(tmp_path):
    figures = run(tmp_path / 'clutter.json', clutter=60)
    assert 0 < figures['clutter_tracks_max'] < 400
    assert figures['clutter_growth_mib'] < 20


@pytest.mark.ros
@pytest.mark.slow
def test_the_node_is_measured_beside_its_network(tmp_path):
    torch.manual_seed(0)
    net = PermanenceNet(
        PermanenceConfig(channels=(16, 16, 16, 16), memory_channels=8, head_channels=8)
    )
    settings = PreprocessConfig(pixels=96 * 64).to_dict()
    folder = save_checkpoint(
        tmp_path / 'small', net, taxonomy=load_taxonomy(), preprocess=settings
    )
    figures = run(
        tmp_path / 'node.json',
        '--node',
        **{'checkpoint': folder, 'node-frames': 8},
        domain=int(os.environ['ROS_DOMAIN_ID']),
    )
    assert figures['tracker_node_frames'] >= 8
    total, network = figures['tracker_node_ms'], figures['tracker_network_ms']
    assert 0 < network < total
    ratio = figures['tracker_node_overhead_ratio']
    assert ratio == pytest.approx(total / network - 1)
