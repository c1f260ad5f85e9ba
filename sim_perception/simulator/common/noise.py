# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Random numbers by hashing places: the same for any order of work and any thread count."""

from __future__ import annotations

import numpy as np

from sim_perception.kernels import inlined
from sim_perception.simulator.common.scene import F32

#: Normal deviates, to be picked by a hash.
NORMAL: F32 = np.random.default_rng(20240229).standard_normal(65536).astype(np.float32)


@inlined
def hash32(value):
    """Return a well mixed 32-bit integer (the finaliser of MurmurHash3)."""
    h = np.uint32(value)
    h ^= h >> np.uint32(16)
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h ^= h >> np.uint32(13)
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    h ^= h >> np.uint32(16)
    return h


@inlined
def uniform(value):
    """Return a number in [0, 1) from an integer."""
    return float(hash32(value) >> np.uint32(8)) * (1.0 / 16777216.0)


@inlined
def normal(value, table):
    """Return a standard normal deviate out of ``NORMAL`` from an integer."""
    return float(table[hash32(value) & np.uint32(65535)])


def salt(seed: int) -> np.uint32:
    """Spread a seed over 32 bits, to be combined with places by exclusive or."""
    return np.uint32((seed * 2654435761 + 0x9E3779B9) % 2**32)
