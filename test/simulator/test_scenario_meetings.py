"""Where vehicles meet crossings: the same as by comparing every vehicle with every crossing."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.street import traffic
from sim_perception.simulator.street.traffic_kernel import WALKER
from sim_perception.simulator.world.world import World


def test_meetings_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    meetings = traffic._meetings
    monkeypatch.setattr(
        traffic, '_meetings', lambda *a: seen.append((a, meetings(*a))) or seen[-1][1]
    )
    World(load_scenario('target', seed=3))
    (agents, paths, interval, walker), (hits, first) = seen[0]
    assert len(hits)
    points, start, count = paths.table
    for c, (low, high) in enumerate(interval):
        s = np.arange(low, high + 0.25, 0.5)
        zero = np.zeros_like(s)
        way = paths.evaluate(np.full(len(s), walker[c]), s, zero, zero).position[:, :2]
        met = {}
        for i in [i for i, a in enumerate(agents) if a.kind != WALKER]:
            table = points[start[i] : start[i] + count[i], :2]
            gap = ((way[:, None] - table) ** 2).sum(-1)
            if gap.min() < 0.5:
                met[i] = gap.min()
        mine = hits[first[c] : first[c + 1]]
        assert mine[:, 2].tolist() == sorted(met)
        for _, along, vehicle, reached in mine:
            place = points[start[int(vehicle)] + round(reached / traffic.SPACING), :2]
            gap = ((way[np.searchsorted(s, along)] - place) ** 2).sum()
            assert gap == pytest.approx(met[int(vehicle)])
