"""Which lamps are lit at a time: brake lights, indicators, traffic lights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import (
    BRAKE,
    F32,
    F64,
    LEFT,
    LIGHT_NAMES,
    RIGHT,
    TrafficLights,
)
from sim_perception.simulator.content.meshes.furniture import LIGHT_HEAD, light_heads
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.traffic import TrafficResult
from sim_perception.simulator.world.assembly import Assembly, Color, Lamp, planar_pose

_SHOWN = {kernel.RED: 'red', kernel.AMBER: 'yellow', kernel.GREEN: 'green'}

_AMBER: Color = (2.8, 0.9, 0.02)
#: Lamps of vehicles by name.
VEHICLE_LAMPS = {
    'brake': Lamp((2.4, 0.03, 0.02), 'brake'),
    'left': Lamp(_AMBER, 'left'),
    'right': Lamp(_AMBER, 'right'),
}
#: Lamps of traffic lights from above, by what they show.
LIGHT_GLOW: dict[str, Color] = {
    'red': (3.0, 0.08, 0.03), 'yellow': (3.0, 1.2, 0.04), 'green': (0.10, 2.6, 1.4),
}  # fmt: skip

#: Deceleration that needs the brake, m/s^2; speed below which a vehicle is held by it, m/s.
_BRAKING, _HELD = 0.6, 0.3
#: Who stands this close before the end of its way has arrived and let go of the brake, metres.
_ARRIVED = 3.5
#: Rows of the motion for which a brake light stays lit.
_AFTERGLOW = 3
#: Blinks per second.
_BLINKING = 1.5


def collect_lights(assembly: Assembly, poles: list[tuple[int, float]]) -> TrafficLights:
    """Return the heads of traffic lights as facts.

    Args:
        assembly: the scene.
        poles: rows of the instances with the poles and the lengths of their arms.
    """
    heads = [(row, y, z) for row, arm in poles for y, z in light_heads(arm)]
    pose = [planar_pose(-0.12, y, z + 0.45) for _, y, z in heads]
    return TrafficLights(
        id=np.arange(1, len(heads) + 1, dtype=np.uint16),
        instance=np.array([row for row, _, _ in heads], np.int32),
        instance_T_head=np.array(pose, np.float64).reshape(-1, 4, 4),
        size=np.tile(np.array(LIGHT_HEAD, np.float32), (len(heads), 1)),
    )


class Signals:
    """The lamps of a scene over time.

    Args:
        assembly: the finished scene.
        traffic: who moves.
        timing: of the junctions' lights, see ``draw_lights``.
        heads: the traffic lights' heads, whose instances carry the lamps' junctions.
    """

    def __init__(
        self, assembly: Assembly, traffic: TrafficResult, timing: F64, heads: TrafficLights
    ) -> None:
        self._traffic, self._timing = traffic, timing
        self._mover = np.array([o.mover for o in assembly.objects], np.int64)
        self._parts = [
            (k, p.object, p.lamp) for k, p in enumerate(assembly.parts) if p.lamp is not None
        ]
        self._count = len(assembly.parts)
        self._braking = _braking(traffic)
        rows = [(i, *span) for i, a in enumerate(traffic.agents) for span in a.indications]
        self._spans = np.array(rows, float).reshape(-1, 4)
        self._heeded = [assembly.parts[k].lamp for k in heads.instance]

    def lamps(self, time: float) -> npt.NDArray[np.uint8]:
        """Return (M,) bits of what every object's lamps say."""
        motion = self._traffic.motion
        way = motion.at(time)[0]
        bits = np.where(self._braking[motion.row(time)], BRAKE, 0).astype(np.uint8)
        for agent, first, last, side in self._spans:
            if first <= way[int(agent)] <= last:
                bits[int(agent)] |= LEFT if side > 0 else RIGHT
        none = np.uint8(0)
        return np.where(self._mover >= 0, bits[self._mover], none).astype(np.uint8)

    def lights(self, time: float) -> npt.NDArray[np.uint8]:
        """Return (L,) what every head shows, an index of ``LIGHT_NAMES``."""
        shown = [LIGHT_NAMES.index(self._shown(time, lamp)) for lamp in self._heeded if lamp]
        return np.array(shown, np.uint8)

    def glow(self, time: float, lamps: npt.NDArray[np.uint8]) -> F32:
        """Return (N, 3) radiance of the instances' lamps; ``lamps`` are those of the time."""
        glow = np.zeros((self._count, 3), np.float32)
        bit = {'brake': BRAKE, 'left': LEFT, 'right': RIGHT}
        for part, owner, lamp in self._parts:
            if lamp.junction >= 0:
                lit = self._shown(time, lamp) == lamp.name
            else:
                lit = bool(lamps[owner] & bit[lamp.name])
                if lamp.name != 'brake':
                    # Vehicles blink out of step.
                    lit &= (time * _BLINKING + 0.37 * owner) % 1.0 < 0.5
            if lit:
                glow[part] = lamp.glow
        return glow

    def _shown(self, time: float, lamp: Lamp) -> str:
        return _SHOWN[kernel.shown(time, self._timing[lamp.junction], lamp.main)]


def _braking(traffic: TrafficResult) -> npt.NDArray[np.bool_]:
    """Return (T, N) whether each agent's brake lights are on."""
    motion = traffic.motion
    half = np.array([a.half[0] for a in traffic.agents])
    parked = (motion.v < 0.01) & (traffic.paths.length - motion.s - half < _ARRIVED)
    held = (motion.v < _HELD) & (motion.a < 0.2) & ~parked
    braking = (motion.a < -_BRAKING) | held
    lit = braking.copy()
    for rows in range(1, _AFTERGLOW + 1):
        lit[rows:] |= braking[:-rows]
    return lit
