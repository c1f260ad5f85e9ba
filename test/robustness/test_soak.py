"""Every node with more than it can take, for minutes: fresh, flat, and every drop counted."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')

pytestmark = [pytest.mark.ros, pytest.mark.soak]


def test_nodes_stay_fresh_and_flat_under_overload(tmp_path):
    result = tmp_path / 'soak.json'
    command = [
        sys.executable, '-m', 'benchmark', 'soak',
        '--minutes', os.environ.get('SOAK_MINUTES', '10'), '--json', str(result),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(result.read_text())
    failed = [name for name, value in figures.items() if value is False and name != 'passed']
    assert not failed, f'{failed}\n{done.stdout}'
    assert figures['passed']
