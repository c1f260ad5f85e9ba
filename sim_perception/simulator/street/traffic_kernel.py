"""The traffic model's inner loops: car following, giving way, waiting at curbs (numba)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import inlined, kernel

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

VEHICLE, CYCLIST, WALKER = 0, 1, 2

#: Hardest braking of any agent, m/s^2.
MAX_BRAKING = 7.0
#: Seconds after a traffic light's green in which nobody has green, and how many are yellow.
CLEARANCE, YELLOW = 3.5, 3.0
#: Braking at which a driver still stops for a light that turns yellow, m/s^2.
_YELLOW_BRAKING = 3.0
#: What a traffic light shows.
RED, AMBER, GREEN = 0, 1, 2

_LATERAL = 2.2
_SAMPLE = 1.0
#: Steps for which an agent's list of others near it holds, the most that anyone gains in speed,
#: m/s^2, and what paths' samples may lie farther apart than they should.
_LIST_STEPS, _MAX_GAIN, _SLACK = 10, 2.0, 1.2


@inlined
def _point(points: F64, start: int, count: int, spacing: float, s: float) -> tuple:
    """Return x, y and the unit tangent of a path at s, straight on beyond its ends."""
    k = min(max(int(s / spacing), 0), count - 2)
    i = start + k
    tx = (points[i + 1, 0] - points[i, 0]) / spacing
    ty = (points[i + 1, 1] - points[i, 1]) / spacing
    r = s - k * spacing
    return points[i, 0] + r * tx, points[i, 1] + r * ty, tx, ty


@kernel
def _gap_ahead(
    i: int, points: F64, start: I64, count: I64, spacing: float, s: F64, v: F64,
    place: F64, half: F64, kind: I64, reach: float, near: I64,
) -> tuple:  # fmt: skip
    """Return the free way along agent i's path before the nearest other agent, and its speed.

    ``near`` are the agents that it can meet, in ascending order.
    """
    best, speed = 1e9, 0.0
    wide = half[i, 1] + (0.35 if kind[i] != WALKER else 0.12)
    for j in near:
        dx, dy = place[j, 0] - place[i, 0], place[j, 1] - place[i, 1]
        far = reach + half[i, 0] + half[j, 0]
        if dx * dx + dy * dy > far * far or dx * place[i, 2] + dy * place[i, 3] < -half[j, 0]:
            continue
        facing = place[i, 2] * place[j, 2] + place[i, 3] * place[j, 3]
        if kind[i] == WALKER and kind[j] == WALKER and facing < -0.2:
            # Two who wait for each other would block the road for ever.
            continue
        step = _SAMPLE if kind[i] != WALKER else 0.3
        ahead = half[i, 0]
        while ahead < half[i, 0] + reach and ahead - half[i, 0] < best:
            x, y, tx, ty = _point(points, start[i], count[i], spacing, s[i] + ahead)
            ex, ey = x - place[j, 0], y - place[j, 1]
            along = ex * place[j, 2] + ey * place[j, 3]
            across = ey * place[j, 2] - ex * place[j, 3]
            # How far j's box reaches sideways as seen along i's path.
            cosine = abs(tx * place[j, 2] + ty * place[j, 3])
            grow_long = wide * np.sqrt(max(0.0, 1 - cosine * cosine))
            grow_wide = wide * cosine
            if abs(along) < half[j, 0] + grow_long and abs(across) < half[j, 1] + grow_wide:
                free = ahead - half[i, 0] - step
                if free < best:
                    best = free
                    speed = max(0.0, v[j] * (tx * place[j, 2] + ty * place[j, 3]))
                break
            ahead += step
    return best, speed


@inlined
def _reach(kind: int, v: float) -> float:
    """Return how far ahead an agent looks for others, metres."""
    return 2.0 if kind == WALKER else 12.0 + v * 1.5 + v * v / 3.0


@kernel
def _find_near(
    v: F64, place: F64, half: F64, kind: I64, seconds: float, near: I64, found: I64
) -> None:  # fmt: skip
    """Write who can come within each agent's reach in the next seconds.

    Args:
        v, place, half, kind: of the N agents.
        seconds: how long it shall hold.
        near: (N, N) whose rows begin with the others in ascending order.
        found: (N,) how many they are.
    """
    for i in range(len(v)):
        found[i] = 0
        fastest = v[i] + _MAX_GAIN * seconds
        for j in range(len(v)):
            dx, dy = place[j, 0] - place[i, 0], place[j, 1] - place[i, 1]
            approach = seconds * (fastest + v[j] + _MAX_GAIN * seconds) * _SLACK
            far = _reach(kind[i], fastest) + half[i, 0] + half[j, 0] + approach
            if j != i and dx * dx + dy * dy <= far * far:
                near[i, found[i]] = j
                found[i] += 1


@inlined
def _bend_speed(
    i: int, curvature: F64, start: I64, count: I64, spacing: float, s: float, v: float
) -> float:
    """Return the speed at which agent i can still take the bends ahead."""
    allowed = 1e9
    reach = 4.0 + v * v / 3.0
    ahead = 0.0
    while ahead < reach:
        k = min(max(int((s + ahead) / spacing), 0), count[i] - 1)
        bend = abs(curvature[start[i] + k])
        if bend > 1e-4:
            limit = _LATERAL / bend + 2 * 1.5 * ahead
            allowed = min(allowed, limit)
        ahead += 2.0
    return np.sqrt(allowed)


@inlined
def _idm(
    v: float, desired: float, gap: float, other: float, a_max: float, standstill: float
) -> float:
    """Return the Intelligent Driver Model's acceleration (Treiber et al. 2000)."""
    comfort, headway = 2.2, 1.2
    free = 1.0 - (v / max(desired, 0.1)) ** 4
    if v > desired:
        free = max(free, -2.0)
    wished = standstill + max(0.0, v * headway + v * (v - other) / (2 * np.sqrt(a_max * comfort)))
    pull = (wished / max(gap, 0.1)) ** 2 if gap < 1e8 else 0.0
    return min(max(a_max * (free - pull), -MAX_BRAKING), a_max)


@inlined
def _green(time: float, light: F64, main: bool, needed: float) -> bool:
    """Return whether a light shows green for at least ``needed`` more seconds."""
    phase = (time + light[0]) % light[1]
    if main:
        return phase < light[2] - needed
    begin, end = light[2] + CLEARANCE, light[1] - CLEARANCE
    return begin < phase < end - needed


@kernel
def shown(time: float, light: F64, main: bool) -> int:
    """Return what a light shows, RED, AMBER or GREEN, to a street: the main one or the other.

    Args:
        time: seconds.
        light: row of ``street.lights.draw_lights``.
        main: the main street's light, not the cross street's.
    """
    if _green(time, light, main, 0.0):
        return GREEN
    return AMBER if _green(time - YELLOW, light, main, 0.0) else RED


@kernel
def _grant(
    time: float, s: F64, v: F64, half: F64, passage: F64, owner: I64, conflict: npt.NDArray,
    lights: F64, obey: bool, state: npt.NDArray,
) -> None:  # fmt: skip
    """Update who may enter which junction; state is 0 away, 1 granted, 2 gone.

    Passage columns: s of the stop line, s where clear, junction, on the main street (1/0),
    gives way (1/0). With ``obey`` who can still stop loses the grant when the green ends.
    """
    count = len(owner)
    for p in range(count):
        i = owner[p]
        if state[p] == 1 and s[i] - half[i, 0] > passage[p, 1]:
            state[p] = 2
        junction = int(passage[p, 2])
        if obey and state[p] == 1 and lights[junction, 0] >= 0:
            to_line = passage[p, 0] - (s[i] + half[i, 0])
            stoppable = to_line > v[i] * v[i] / (2 * _YELLOW_BRAKING)
            if stoppable and not _green(time, lights[junction], passage[p, 3] > 0, 0.0):
                state[p] = 0
    for priority in range(2):
        for p in range(count):
            i = owner[p]
            if state[p] != 0 or int(passage[p, 4]) != priority:
                continue
            to_line = passage[p, 0] - (s[i] + half[i, 0])
            notice = 10.0 + v[i] * v[i] / 3.0 if priority == 0 else 4.0
            if to_line > notice or to_line < -half[i, 0] * 2:
                if to_line < -half[i, 0] * 2:
                    state[p] = 2
                continue
            junction = int(passage[p, 2])
            if lights[junction, 0] >= 0 and to_line > -1.0:
                needed = 1.0 + max(to_line, 0.0) / max(v[i], 3.0)
                if not _green(time, lights[junction], passage[p, 3] > 0, needed):
                    continue
            free = True
            for q in range(count):
                if q != p and conflict[p, q]:
                    k = owner[q]
                    if state[q] == 1:
                        free = False
                        break
                    if priority == 1 and state[q] == 0 and passage[q, 4] == 0:
                        away = passage[q, 0] - (s[k] + half[k, 0])
                        waits = lights[junction, 0] >= 0 and not _green(
                            time, lights[junction], passage[q, 3] > 0, 0.0
                        )
                        if -2.0 < away < 6.5 * max(v[k], 1.0) and not waits:
                            free = False
                            break
            if free:
                state[p] = 1


@kernel
def _may_cross(w: int, s: F64, v: F64, half: F64, hits: F64, first: int, last: int) -> bool:
    """Return whether every vehicle that meets this crossing can comfortably stop or is past.

    Hit columns: interval, walker's s, vehicle, vehicle's s.
    """
    for h in range(first, last):
        j = int(hits[h, 2])
        away = hits[h, 3] - (s[j] + half[j, 0])
        if away < -2 * half[j, 0] - 1.0:
            continue
        if away < 2.0 + 0.7 * v[j] + v[j] * v[j] / 5.0:
            return False
    return True


@kernel
def simulate(
    points: F64, curvature: F64, start: I64, count: I64, spacing: float,
    s0: F64, v0: F64, desired: F64, half: F64, kind: I64, a_max: F64, standstill: F64,
    passage: F64, owner: I64, conflict: npt.NDArray, lights: F64, obey: bool,
    halt: F64, halting: I64,
    interval: F64, walker: I64, hits: F64, first_hit: I64,
    first_time: float, step: float, steps: int,
) -> tuple:  # fmt: skip
    """Run the model.

    Args:
        points, start, count, spacing: table of the paths, one per agent.
        curvature: of the paths' samples.
        s0, v0: (N,) state at ``first_time``.
        desired: (N,) free speed.
        half: (N, 2) half length and half width.
        kind: (N,) VEHICLE, CYCLIST or WALKER.
        a_max: (N,) acceleration.
        standstill: (N,) gap to the one ahead at rest, metres.
        passage, owner, conflict, lights, obey: junctions, see ``_grant``.
        halt, halting: (H, 2) s where an agent's middle stops for a while and for how many
            seconds, and (H,) whose it is.
        interval: (I, 2) s of curb to curb of walkers' crossings, walker: (I,) whose.
        hits, first_hit: where vehicles meet crossings, grouped by interval.
        first_time, step, steps: time axis.

    Returns:
        (steps, N) arrays s, v, a.
    """
    n = len(s0)
    out_s, out_v, out_a = np.zeros((steps, n)), np.zeros((steps, n)), np.zeros((steps, n))
    s, v = s0.copy(), v0.copy()
    granted = np.zeros(len(owner), np.int64)
    crossing = np.zeros(len(walker), np.int64)
    rest = halt[:, 1].copy()
    place = np.zeros((n, 4))
    near, found = np.zeros((n, n), np.int64), np.zeros(n, np.int64)
    for row in range(steps):
        time = first_time + row * step
        for i in range(n):
            place[i, 0], place[i, 1], place[i, 2], place[i, 3] = _point(
                points, start[i], count[i], spacing, s[i]
            )
        if row % _LIST_STEPS == 0:
            _find_near(v, place, half, kind, _LIST_STEPS * step, near, found)
        _grant(time, s, v, half, passage, owner, conflict, lights, obey, granted)
        for c in range(len(walker)):
            i = walker[c]
            if crossing[c] == 0 and interval[c, 0] - 0.9 < s[i] < interval[c, 0] + 0.2:
                if _may_cross(i, s, v, half, hits, first_hit[c], first_hit[c + 1]):
                    crossing[c] = 1
            elif crossing[c] == 1 and s[i] > interval[c, 1]:
                crossing[c] = 2
        stop = np.full(n, 1e9)
        for p in range(len(owner)):
            i = owner[p]
            if granted[p] == 0:
                away = passage[p, 0] - (s[i] + half[i, 0])
                if away > -1.0:
                    stop[i] = min(stop[i], max(away, 0.05))
        for h in range(len(halting)):
            i = halting[h]
            away = halt[h, 0] - s[i]
            if rest[h] > 0 and away > -1.0:
                stop[i] = min(stop[i], max(away, 0.05))
                if v[i] < 0.2 and away < 1.5:
                    rest[h] -= step
        for c in range(len(walker)):
            i = walker[c]
            if crossing[c] == 0 and s[i] < interval[c, 0] + 0.2:
                stop[i] = min(stop[i], max(interval[c, 0] - s[i] - 0.3, 0.0))
            if crossing[c] == 1:
                for h in range(first_hit[c], first_hit[c + 1]):
                    j = int(hits[h, 2])
                    away = hits[h, 3] - (s[j] + half[j, 0])
                    if away > -0.5 and s[i] < hits[h, 1] + half[j, 1] + 0.9:
                        stop[j] = min(stop[j], max(away - 1.0, 0.05))
        for i in range(n):
            length = (count[i] - 1) * spacing
            gap, other = _gap_ahead(i, points, start, count, spacing, s, v, place, half, kind,
                                    _reach(kind[i], v[i]), near[i, :found[i]])  # fmt: skip
            if kind[i] == WALKER:
                room = min(gap, stop[i], length - s[i] - 0.2)
                target = desired[i] if room > 1.0 else max(0.0, desired[i] * (room - 0.15))
                if gap < 1.0:
                    target = min(target, other)
                a = min(max((target - v[i]) / 0.35, -3.0), 1.5)
            else:
                bend = _bend_speed(i, curvature, start, count, spacing, s[i], v[i])
                wish = min(desired[i], bend)
                a = _idm(v[i], wish, gap, other, a_max[i], standstill[i])
                hold = min(stop[i] + 1.2, length - s[i] - half[i, 0])
                a = min(a, _idm(v[i], wish, hold, 0.0, a_max[i], 2.0))
            if v[i] <= 0 and a < 0:
                a = 0.0
            out_s[row, i], out_v[row, i], out_a[row, i] = s[i], v[i], a
            if v[i] + a * step < 0:
                s[i] += v[i] * v[i] / (-2 * a)
                v[i] = 0.0
            else:
                s[i] += v[i] * step + 0.5 * a * step * step
                v[i] += a * step
    return out_s, out_v, out_a
