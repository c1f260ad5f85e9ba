"""AB3DMOT's logic (Weng et al., IROS 2020), written anew: the 3D peer of the tracker.

State x y z yaw l w h and the velocity per frame, constant velocity, optimal assignment by 3D
GIoU, noise as published (unit measurement noise, initial variance 10 and 10,000 for
velocities). Unlike the published one it keeps lost tracks for ``life`` frames, silently.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from sim_perception.geometry.rectangle_overlap import intersection
from sim_perception.kernels import kernel

Array = npt.NDArray[np.float64]

LEAST_GIOU = -0.4
REACH = 10.0
_F = np.eye(10)
_F[:3, 7:] = np.eye(3)
_Q = np.diag([1.0] * 7 + [0.01] * 3)


class _Track:
    def __init__(self, identity: int, box: Array) -> None:
        self.id = identity
        self.mean = np.concatenate([box, np.zeros(3)])
        self.cov = np.diag([10.0] * 7 + [10_000.0] * 3)
        self.hits, self.lost = 1, 0

    def predict(self) -> None:
        self.mean, self.cov = _F @ self.mean, _F @ self.cov @ _F.T + _Q
        self.lost += 1

    def update(self, box: Array) -> None:
        miss = box - self.mean[:7]
        miss[3] = (miss[3] + np.pi / 2) % np.pi - np.pi / 2
        gain = self.cov[:, :7] @ np.linalg.inv(self.cov[:7, :7] + np.eye(7))
        self.mean = self.mean + gain @ miss
        self.cov = self.cov - gain @ self.cov[:7]
        self.hits, self.lost = self.hits + 1, 0


class Ab3dmot:
    """Tracks boxes ``x y z yaw length width height`` of one class, frame by frame."""

    def __init__(self, life: int = 30, min_hits: int = 3) -> None:
        self.life, self.min_hits = life, min_hits
        self.tracks: list[_Track] = []
        self.frames, self.next_id = 0, 1

    def step(self, boxes: Array) -> tuple[npt.NDArray[np.int64], Array, npt.NDArray[np.int64]]:
        """Return ids, (N, 7) boxes and the detections' rows of the tracks that are seen now."""
        for track in self.tracks:
            track.predict()
        seen = {}
        if self.tracks and len(boxes):
            giou = _giou(np.array([t.mean[:7] for t in self.tracks]), boxes)
            for row, column in zip(*linear_sum_assignment(-giou), strict=True):
                if giou[row, column] >= LEAST_GIOU:
                    self.tracks[row].update(boxes[column].copy())
                    seen[self.tracks[row].id] = int(column)
        for column in sorted(set(range(len(boxes))) - set(seen.values())):
            self.tracks.append(_Track(self.next_id, boxes[column]))
            seen[self.next_id] = column
            self.next_id += 1
        self.tracks = [track for track in self.tracks if track.lost <= self.life]
        self.frames += 1
        shown = [
            t
            for t in self.tracks
            if t.lost == 0 and (t.hits >= self.min_hits or self.frames <= self.min_hits)
        ]
        means = np.array([t.mean[:7] for t in shown]).reshape(-1, 7)
        ids = np.array([t.id for t in shown], np.int64)
        return ids, means, np.array([seen[t.id] for t in shown], np.int64)


@kernel
def _giou(a: Array, b: Array) -> Array:
    """Generalised 3D IoU; the enclosing volume is that of the common upright bounding box."""
    out = np.full((len(a), len(b)), -1.0)
    for i in range(len(a)):
        for j in range(len(b)):
            p, q = a[i], b[j]
            if abs(p[0] - q[0]) > REACH or abs(p[1] - q[1]) > REACH:
                continue
            low, high = np.empty(3), np.empty(3)
            c, s = abs(np.cos(p[3])), abs(np.sin(p[3]))
            e, f = abs(np.cos(q[3])), abs(np.sin(q[3]))
            half_p = ((c * p[4] + s * p[5]) / 2, (s * p[4] + c * p[5]) / 2, p[6] / 2)
            half_q = ((e * q[4] + f * q[5]) / 2, (f * q[4] + e * q[5]) / 2, q[6] / 2)
            for n in range(3):
                low[n] = min(p[n] - half_p[n], q[n] - half_q[n])
                high[n] = max(p[n] + half_p[n], q[n] + half_q[n])
            tall = min(p[2] + half_p[2], q[2] + half_q[2]) - max(
                p[2] - half_p[2], q[2] - half_q[2]
            )
            shared = intersection(p, q) * max(tall, 0.0)
            union = p[4] * p[5] * p[6] + q[4] * q[5] * q[6] - shared
            hull = (high - low).prod()
            out[i, j] = shared / union - (hull - union) / hull
    return out
