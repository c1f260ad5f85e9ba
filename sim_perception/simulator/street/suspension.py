"""How a vehicle's body moves over its wheels: springs and dampers between it and the ground.

Each of heave, pitch and roll is a damped second-order system (Gillespie, Fundamentals of Vehicle
Dynamics, 1992, chapter 5): it follows the ground under the wheels, and the accelerations of
braking and turning push it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.signal import StateSpace, lsim

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.motion import Motion, Paths
from sim_perception.simulator.street.relief import Relief
from sim_perception.simulator.street.stance import Stance, Support, stance

F64 = npt.NDArray[np.float64]

#: Natural frequency and damping ratio of a passenger car's body.
_FREQUENCY, _DAMPING = 1.4, 0.35
_STEP = 0.01
#: Seconds before the scene in which the body comes to rest on its springs.
_SETTLE = 4.0
_GRAVITY = 9.81
#: Road shakes come between these frequencies, Hz.
_SHAKE = (0.8, 6.0)


@dataclass(frozen=True)
class _Systems:
    """The body's answers to the ground and to forces."""

    ground: StateSpace
    force: StateSpace


class Suspension:
    """Heave, pitch and roll of the ego's body over time.

    Args:
        scenario: says how soft it is.
        paths: of the movers, the ego last.
        motion: of the movers.
        relief: the ground, None where it is flat.
        support: where the ego's wheels stand.
    """

    def __init__(
        self,
        scenario: Scenario,
        paths: Paths,
        motion: Motion,
        relief: Relief | None,
        support: Support,
    ) -> None:
        rng = stream(scenario, 'suspension')
        ego = scenario.ego
        dive, lean, shake = (
            float(np.deg2rad(draw(rng, span)))
            for span in (ego.dive_deg_per_g, ego.lean_deg_per_g, ego.shake_deg)
        )
        period = 1 / scenario.frame_rate_hz
        times = np.arange(-_SETTLE - period, scenario.duration_s + 0.2, _STEP)
        ego_motion = Motion(
            motion.start, motion.step, motion.s[:, -1:], motion.v[:, -1:], motion.a[:, -1:]
        )
        s, v, a = np.array([ego_motion.at(float(t)) for t in times])[:, :, 0].T
        pose = paths.evaluate(np.full(len(s), len(paths.length) - 1), s, v, a)
        ground = stance(relief, pose.position, pose.yaw, support.repeated(len(s)))
        systems = _systems()
        pushed = np.stack([a * dive, v * v * pose.curvature * lean], -1) / _GRAVITY
        body = [_answer(systems.ground, times, x) for x in (ground.z, ground.pitch, ground.roll)]
        speed = np.clip(v / 10, 0, 2)
        for k in range(2):
            body[k + 1] = body[k + 1] + _answer(systems.force, times, pushed[:, k])
            body[k + 1] = body[k + 1] + shake * speed * _noise(len(times), rng)
        self._body = CubicSpline(times, np.stack(body, -1))

    def at(self, time: float) -> Stance:
        """Return height, pitch and roll of the body at a time, arrays of one."""
        z, pitch, roll = self._body(np.array([time])).T
        return Stance(z, pitch, roll)


def make_suspension(
    scenario: Scenario, paths: Paths, motion: Motion, relief: Relief | None, support: Support
) -> Suspension | None:
    """Return the ego's suspension, or None where the scenario makes it rigid."""
    ego = scenario.ego
    soft = max(ego.dive_deg_per_g[1], ego.lean_deg_per_g[1], ego.shake_deg[1]) > 0
    return Suspension(scenario, paths, motion, relief, support) if soft else None


def _systems() -> _Systems:
    w = 2 * np.pi * _FREQUENCY
    rate = 2 * _DAMPING * w
    dynamics = np.array([[0.0, 1.0], [-w * w, -rate]])
    # The damper feels the ground's speed, forces act on the body alone.
    ground = StateSpace(dynamics, [[0.0], [1.0]], [[w * w, rate]], [[0.0]])
    return _Systems(ground, StateSpace(dynamics, [[0.0], [1.0]], [[w * w, 0.0]], [[0.0]]))


def _answer(system: StateSpace, times: F64, push: F64) -> F64:
    """Return the system's output; before the first time it was at rest with that push."""
    w2 = -system.A[1, 0]
    _, out, _ = lsim(system, push, times - times[0], [push[0] / w2, 0.0])
    return np.asarray(out)


def _noise(count: int, rng: np.random.Generator) -> F64:
    """Return smooth noise of unit variance within the band of road shakes."""
    spectrum = rng.normal(size=(count // 2 + 1, 2)) @ np.array([1, 1j])
    frequency = np.fft.rfftfreq(count, _STEP)
    band = (frequency > _SHAKE[0]) & (frequency < _SHAKE[1])
    values = np.fft.irfft(np.where(band, spectrum / np.maximum(frequency, 0.1), 0), count)
    return np.asarray(values / values.std())
