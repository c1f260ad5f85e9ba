"""When the traffic lights of a street switch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.agents import WARM_UP
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import Layout

F64 = npt.NDArray[np.float64]

#: Share of a cycle in which the main street has green.
_MAIN_SHARE = 17.0 / 32.0
#: Least and greatest green of the main street, seconds, in cycles of other lengths than 32 s.
_GREEN = (8.0, 45.0)


def draw_lights(scenario: Scenario, layout: Layout) -> F64:
    """Return the junctions' lights.

    Returns:
        (J, 3) offset, period, green of the main street, seconds: the main street has green while
        (time + offset) % period < green. The offset is -1 where there are no lights; a street
        without junctions has one such row.
    """
    rng = stream(scenario, 'lights')
    period = draw(stream(scenario, 'light cycle'), scenario.traffic.light_cycle_s)
    green = 17.0 if period == 32.0 else float(np.clip(_MAIN_SHARE * period, *_GREEN))
    lights = np.array(
        [(rng.uniform(0, period) if j.lights else -1.0, period, green) for j in layout.junctions]
        or [(-1.0, period, green)]
    )
    queue = layout.queue
    if queue is not None:
        # Red from before the beginning until the queue may go.
        lasts = max(period, green + WARM_UP + queue.wait + kernel.CLEARANCE)
        lights[queue.junction] = lasts - queue.wait, lasts, green
    return lights
