"""Learn perception from simulation, run it on robots.

From Python, without ROS::

    from sim_perception import load

    net = load('depth_segmentation')
    out = net(image, camera)  # out.depth in metres, out.segmentation, out.names

``help(load)`` says what else can be loaded; ``docs/python.md`` shows all of it.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim_perception.api.loading import available, load
    from sim_perception.types import Box3D, Camera, Detection

__all__ = ['Box3D', 'Camera', 'Detection', 'available', 'load']

# OpenMP threads (PyTorch's) wait for each other by spinning. Where simulator, network and others
# share few cores that costs ten times the CPU time and latency of sleeping. OpenMP reads this
# when it is loaded, so it is set before torch is imported; a user's own setting stays.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

_HOMES = {
    'available': 'api.loading', 'load': 'api.loading', 'Box3D': 'types', 'Camera': 'types',
    'Detection': 'types',
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for: everything below pays for itself alone."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
