"""Where ways cross and bodies touch: inner loops over all pairs of agents (numba)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import inlined, kernel

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

#: Steps of time that are looked at together where agents are far from each other.
_WINDOW = 16


@inlined
def _apart(points: F64, first: I64, p: int, q: int) -> bool:
    """Whether two passages have points and begin in different lanes."""
    if first[p] == first[p + 1] or first[q] == first[q + 1]:
        return False
    dx = points[first[q], 0] - points[first[p], 0]
    dy = points[first[q], 1] - points[first[p], 1]
    return dx * dx + dy * dy >= 1.2


@inlined
def _meet(points: F64, first: I64, p: int, q: int, nearest: float) -> bool:
    """Whether two passages come nearer than a distance, which is given squared."""
    for a in range(first[p], first[p + 1]):
        for b in range(first[q], first[q + 1]):
            dx, dy = points[a, 0] - points[b, 0], points[a, 1] - points[b, 1]
            if dx * dx + dy * dy < nearest:
                return True
    return False


@kernel
def crossing(points: F64, first: I64, junction: F64, half: F64, conflict: npt.NDArray) -> None:
    """Set which passages through one junction come too near each other; lane mates do not count.

    Args:
        points: (S, 2) of all passages, one after the other.
        first: (P + 1,) where each begins, and the end of the last.
        junction: (P,) number of their junction.
        half: (P,) half width of who passes.
        conflict: (P, P) bool, changed in place.
    """
    count = len(junction)
    low, high = np.zeros((count, 2)), np.zeros((count, 2))
    for p in range(count):
        for k in range(2):
            if first[p] < first[p + 1]:
                low[p, k] = points[first[p] : first[p + 1], k].min()
                high[p, k] = points[first[p] : first[p + 1], k].max()
    for p in range(count):
        for q in range(p + 1, count):
            if junction[p] != junction[q] or not _apart(points, first, p, q):
                continue
            reach = half[p] + half[q] + 0.5
            away = max(
                max(low[q, 0] - high[p, 0], low[p, 0] - high[q, 0]),
                max(low[q, 1] - high[p, 1], low[p, 1] - high[q, 1]),
            )
            if away < reach and _meet(points, first, p, q, reach * reach):
                conflict[p, q] = conflict[q, p] = True


@kernel
def overlap(ax: F64, bx: F64, ah: F64, bh: F64) -> bool:
    """Return whether two boxes (x, y, cos, sin; half length, half width) overlap."""
    dx, dy = bx[0] - ax[0], bx[1] - ax[1]
    for turn in range(2):
        p, ph, q, qh = (ax, ah, bx, bh) if turn == 0 else (bx, bh, ax, ah)
        cosine = abs(p[2] * q[2] + p[3] * q[3])
        sine = abs(p[2] * q[3] - p[3] * q[2])
        along = abs(dx * p[2] + dy * p[3])
        across = abs(dy * p[2] - dx * p[3])
        if along > ph[0] + qh[0] * cosine + qh[1] * sine:
            return False
        if across > ph[1] + qh[0] * sine + qh[1] * cosine:
            return False
    return True


@inlined
def _touch(a: F64, b: F64, a_half: F64, b_half: F64, far: float) -> bool:
    """Whether boxes on two (T, 4) tracks ever overlap; farther apart than ``far`` none does."""
    for t in range(len(a)):
        dx, dy = a[t, 0] - b[t, 0], a[t, 1] - b[t, 1]
        if dx * dx + dy * dy <= far * far and overlap(a[t], b[t], a_half, b_half):
            return True
    return False


@kernel
def _extents(place: F64, low: F64, high: F64) -> None:
    """Write between which x and y agents are during each window of time; both (W, N, 2)."""
    for w in range(len(low)):
        for i in range(place.shape[1]):
            for k in range(2):
                path = place[w * _WINDOW : (w + 1) * _WINDOW, i, k]
                low[w, i, k], high[w, i, k] = path.min(), path.max()


@kernel
def colliding(place: F64, half: F64, keep: npt.NDArray, protected: int) -> None:
    """Clear ``keep`` of agents whose boxes ever touch one that is kept.

    Args:
        place: (T, N, 4) x, y, cos, sin over time.
        half: (N, 2) half length and width.
        keep: (N,) bool, changed in place.
        protected: agent that is never removed.
    """
    steps, n = place.shape[0], place.shape[1]
    windows = (steps + _WINDOW - 1) // _WINDOW
    low, high = np.zeros((windows, n, 2)), np.zeros((windows, n, 2))
    _extents(place, low, high)
    for i in range(n):
        for j in range(i + 1, n):
            far = half[i, 0] + half[i, 1] + half[j, 0] + half[j, 1]
            for w in range(windows):
                if not (keep[i] and keep[j]):
                    break
                if (
                    low[w, i, 0] - high[w, j, 0] > far or low[w, j, 0] - high[w, i, 0] > far
                    or low[w, i, 1] - high[w, j, 1] > far or low[w, j, 1] - high[w, i, 1] > far
                ):  # fmt: skip
                    continue
                end = min(steps, (w + 1) * _WINDOW)
                if _touch(place[w * _WINDOW : end, i], place[w * _WINDOW : end, j], half[i],
                          half[j], far):  # fmt: skip
                    keep[i if j == protected else j] = False
