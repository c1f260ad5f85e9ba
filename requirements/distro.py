"""Print what pip must install beside a ROS distribution: what setup.py asks for, without ROS."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import setuptools

HEAD = """\
# Beside a ROS distribution, in a virtual environment that sees its packages (README).
# Written by: python requirements/distro.py > requirements/distro.txt
"""


def main() -> int:
    """Print the runtime's requirements and those of training and labelling."""
    given: dict[str, Any] = {}
    setuptools.setup = lambda **options: given.update(options)
    root = Path(__file__).resolve().parents[1]
    os.chdir(root)
    runpy.run_path('setup.py')
    extras = given['extras_require']
    wanted = {*given['install_requires'], *extras['sim'], *extras['train'], *extras['label']}
    print(HEAD + '\n'.join(sorted(wanted)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
