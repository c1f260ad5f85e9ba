"""Print a pip constraints file: exact versions of what is in this environment.

For another Python, ``lock.py 3.12 EXTRAS``, they are resolved instead by uv, which needs neither
that Python nor an installation: the versions of this environment's own lock, where they will do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory

FOLDER = Path(__file__).parent
OWN = {'sim_perception', 'sim-perception', 'ros2_pip', 'ros2-pip', 'pip', 'setuptools', 'wheel'}
# what PyTorch brings for GPUs: not on machines that have its build for CPUs
GPU = ('nvidia-', 'cuda-', 'triton')


def main() -> int:
    """Print one ``name==version`` line for every distribution."""
    pins = resolved(*sys.argv[1:]) if sys.argv[1:] else installed()
    for name in sorted(pins, key=str.lower):
        if name not in OWN and not name.startswith(GPU):
            print(f'{name}=={pins[name]}')
    return 0


def installed() -> dict[str, str]:
    """Return the versions of what pip installed here, by name."""
    return {
        distribution.metadata['Name']: distribution.version.split('+')[0]
        for distribution in distributions()
        # the ROS wheels carry a second set of metadata that pip knows nothing of
        if (distribution.read_text('INSTALLER') or '').strip() == 'pip'
    }


def resolved(python: str, extras: str) -> dict[str, str]:
    """Return the versions that another Python would get, by name.

    Args:
        python: its version, such as ``3.12``.
        extras: of setup.py, comma-separated.
    """
    uv = shutil.which('uv')
    if uv is None:
        raise SystemExit('locks for other Pythons need uv; install it with: pip install uv')
    words = [word for name in extras.split(',') for word in ('--extra', name)]
    everything = [str(FOLDER.parent / 'setup.py'), *words]
    readers = [str(FOLDER / 'readers.txt'), '--no-deps']  # as the Makefile installs them
    near = FOLDER / 'lock-py{}.{}.txt'.format(*sys.version_info)
    pins: dict[str, str] = {}
    for what in (readers, [str(FOLDER.parent / 'ros2_pip' / 'setup.py')], everything):
        with TemporaryDirectory() as folder:
            lock = Path(folder) / 'lock.txt'
            shutil.copy(near, lock)  # uv keeps what is pinned in its output file
            command = [uv, 'pip', 'compile', *what, '--quiet', '--no-annotate', '--no-header']
            command += ['--python-version', python, '--python', sys.executable]
            subprocess.run([*command, '--output-file', lock], check=True, stdout=sys.stderr)
            pins |= dict(line.split('==') for line in lock.read_text().splitlines() if line)
    return pins


if __name__ == '__main__':
    sys.exit(main())
