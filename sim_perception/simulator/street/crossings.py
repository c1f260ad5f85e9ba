"""Where people cross the street, and what marks these places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import Layout

#: Stripes along the road, stripes between edge lines, two dashed or solid lines across, a coloured
#: or a cobbled band, a cobbled band on a speed table.
Kind = Literal['zebra', 'ladder', 'dashed', 'lines', 'coloured', 'cobbled', 'table']
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Crossing:
    """A marked crossing of the main street.

    Attributes:
        s: its middle.
        width: along the street, metres.
        kind: how it is marked.
    """

    s: float
    width: float
    kind: Kind


def crossing_gaps(scenario: Scenario, layout: Layout) -> list[float]:
    """Return s where people cross: zebra crossings and places between parked vehicles."""
    rng = stream(scenario, 'gaps')
    gaps = [j.s + end * (j.reach() + 2.1) for j in layout.junctions for end in (-1, 1)]
    s = layout.start + float(rng.uniform(10, 30))
    while s < layout.end - 20:
        if not layout.near_junction(s, 8.0):
            gaps.append(s)
        s += float(rng.uniform(14, 36))
    return sorted(float(g) for g in gaps)


def draw_crossings(scenario: Scenario, layout: Layout) -> tuple[Crossing, ...]:
    """Return the marked crossings between junctions, in order of s; none by default."""
    rng = stream(scenario, 'crossings')
    rate = draw(rng, scenario.ground.crossings_per_km)
    gaps = [g for g in crossing_gaps(scenario, layout) if not layout.near_junction(g, 9.0)]
    if rate == 0 or not gaps:
        return ()
    wanted = min(int(rng.poisson(rate * (layout.end - layout.start) / 1000)), len(gaps))
    chosen = np.sort(rng.choice(len(gaps), wanted, replace=False))
    return tuple(
        Crossing(gaps[k], float(rng.uniform(2.4, 4.5)), KINDS[int(rng.integers(len(KINDS)))])
        for k in chosen
    )


def lowered_curbs(scenario: Scenario, layout: Layout) -> tuple[float, ...]:
    """Return s of the crossings where the curbs are lowered; none by default."""
    rng = stream(scenario, 'lowered curbs')
    share = draw(rng, scenario.ground.lowered_curbs)
    places = [j.s + end * (j.reach() + 2.1) for j in layout.junctions for end in (-1, 1)]
    places += [c.s for c in draw_crossings(scenario, layout)]
    return tuple(sorted(s for s in places if rng.random() < share))
