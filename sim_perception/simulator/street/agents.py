"""What moves on a street, before it moves: agents with their paths."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

#: Seconds simulated before the scenario begins.
WARM_UP = 6.0


@dataclass
class Agent:
    """One mover before the simulation.

    Attributes:
        kind: VEHICLE, CYCLIST or WALKER of the kernel.
        path: (K, 3) dense polyline.
        start: arc length at the beginning.
        speed: free speed, m/s.
        half: half length and half width of its box, metres.
        passages: junction passages as (s stop, s clear, junction, main, gives way).
        crossings: walkers' (s curb, s curb) intervals on the road.
        tag: what the world makes of it: of a footprint, or 'cyclist', 'walker' or 'ego';
            'own' for the user's meshes.
        initial_speed: m/s at the beginning; None for nearly the free speed.
        standstill: gap to the one ahead at rest, metres, as the model of car following sees it.
        halts: (s, seconds) where it stops for a while.
        indications: (s, s, side) intervals on which it indicates, side +1 to the left.
        roadward: +1 if the road lies left of a walker's path, -1 if right of it.
        followers: who goes along its path with it: (metres to the left, metres behind).
        ahead: how far before the middle of its box its own body is, metres, where it tows.
        leader: whom it follows.
    """

    kind: int
    path: F64
    start: float
    speed: float
    half: tuple[float, float]
    tag: str
    passages: list[tuple[float, float, int, int, int]] = field(default_factory=list)
    crossings: list[tuple[float, float]] = field(default_factory=list)
    initial_speed: float | None = None
    standstill: float = 2.0
    halts: list[tuple[float, float]] = field(default_factory=list)
    indications: list[tuple[float, float, int]] = field(default_factory=list)
    roadward: int = 0
    followers: list[tuple[float, float]] = field(default_factory=list)
    ahead: float = 0.0
    leader: Agent | None = None


def arc_length(path: F64) -> F64:
    """Return (K,) arc length of a polyline."""
    step = np.sqrt((np.diff(path, axis=0) ** 2).sum(1))
    return np.concatenate([[0.0], np.cumsum(step)])


def fillet(a: F64, corner: F64, b: F64, radius: float) -> F64:
    """Return a dense polyline a - corner - b with its corner rounded."""
    to_a, to_b = a - corner, b - corner
    la, lb = np.sqrt((to_a**2).sum()), np.sqrt((to_b**2).sum())
    ua, ub = to_a / la, to_b / lb
    # Quadratic Bezier over 1.4 radii: curvature peaks near 1 / radius, smooth at its ends.
    cut = min(1.4 * radius, 0.95 * la, 0.95 * lb)
    p, q = corner + cut * ua, corner + cut * ub
    t = np.linspace(0, 1, 80)[:, None]
    bend = (1 - t) ** 2 * p + 2 * t * (1 - t) * corner + t**2 * q
    first = a + (p - a) * np.linspace(0, 1, max(2, int((la - cut) / 0.25)))[:-1, None]
    last = q + (b - q) * np.linspace(0, 1, max(2, int((lb - cut) / 0.25)))[1:, None]
    return np.concatenate([first, bend, last])
