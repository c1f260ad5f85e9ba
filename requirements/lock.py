"""Print a pip constraints file with the exact versions in this environment."""

from __future__ import annotations

import sys
from importlib.metadata import distributions

OWN = {'sim_perception', 'sim-perception', 'ros2_pip', 'ros2-pip', 'pip', 'setuptools', 'wheel'}


def main() -> int:
    """Print one ``name==version`` line for every distribution that pip installed."""
    pins = {
        distribution.metadata['Name']: distribution.version.split('+')[0]
        for distribution in distributions()
        # the ROS wheels carry a second set of metadata that pip knows nothing of
        if (distribution.read_text('INSTALLER') or '').strip() == 'pip'
    }
    for name in sorted(pins, key=str.lower):
        if name not in OWN:
            print(f'{name}=={pins[name]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
