"""Light of lamps that switch, added to what is shaded."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.common.scene import F32, F64
from sim_perception.simulator.light.sky import FOG
from sim_perception.simulator.surfaces.surface import Surface


def add_glow(light: F32, rays: F64, surface: Surface, glow: F32, sky: F64) -> None:
    """Add to samples what the lamps that they see emit, dimmed by the air.

    Args:
        light: (S, 3) radiance of the samples, changed in place.
        rays: (S, 2) slopes of the viewing rays.
        surface: what the samples see.
        glow: (N, 3) radiance of the instances.
        sky: the table of the sky's light.
    """
    # The sky's instance, -1, picks the last entry.
    shines = np.append(glow.any(1), False)
    seen = np.flatnonzero(shines[surface.instance])
    if not len(seen):
        return
    length = np.sqrt((rays[seen] ** 2).sum(1) + 1.0)
    clear = np.exp(-sky[FOG] * surface.depth[seen] * length)
    light[seen] += glow[surface.instance[seen]] * clear[:, None].astype(np.float32)
