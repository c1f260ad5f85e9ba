"""Importing any of our packages first keeps OpenMP's threads from spinning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def policy_after(code: str, **settings: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != 'OMP_WAIT_POLICY'} | settings
    result = subprocess.run(
        [sys.executable, '-c', f'import os, sys; {code}; print(os.environ["OMP_WAIT_POLICY"])'],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


@pytest.mark.parametrize('package', ['sim_perception', 'training', 'benchmark'])
def test_packages_set_it_before_torch_is_loaded(package):
    code = f'import {package}; assert "torch" not in sys.modules'
    assert policy_after(code) == 'PASSIVE'


def test_the_users_setting_stays():
    assert policy_after('import sim_perception', OMP_WAIT_POLICY='ACTIVE') == 'ACTIVE'
