"""The tracker's rows as the frozen values that cross the room's border."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import make_transform
from sim_perception.tracking.tables import OCCLUDED, OUTSIDE, Rows, sigmoid
from sim_perception.types import Box3D, Track


def to_tracks(
    rows: Rows, class_ids: npt.NDArray[np.int64], stamp: int, *, image: bool = False
) -> list[Track]:
    """Return a ``Track`` per row.

    Args:
        rows: of ``tables.track_dtype``.
        class_ids: (C,) ids of the class table's rows, ``Tracker.class_ids``.
        stamp: of the rows, nanoseconds.
        image: whether the rows are image boxes.
    """
    probabilities = np.exp(rows['votes'])
    probabilities[np.arange(len(rows)), rows['kind']] = 1.0
    probabilities /= probabilities.sum(1, keepdims=True)
    scores = sigmoid(rows['logit'])
    poses = _poses(rows)
    velocity, covariance = _motion(rows)
    ids = class_ids.tolist()
    # As lists: column by column of a structured array is ten times faster than row by row.
    columns = zip(
        *(rows[name].tolist() for name in ('id', 'visibility', 'detection', 'place')),
        *(rows[name].tolist() for name in ('born', 'seen', 'size', 'mean')),
        *(scores.tolist(), probabilities.tolist()),
        strict=True,
    )
    tracks = []
    for n, (
        number,
        visibility,
        detection,
        place,
        born,
        seen,
        size,
        mean,
        score,
        shares,
    ) in enumerate(columns):
        length, width, height = size
        x, y = mean[:2]
        tracks.append(
            Track(
                id=number,
                stamp=stamp,
                class_probabilities=dict(zip(ids, shares, strict=True)),
                score=score,
                visibility=visibility,
                detected=detection >= 0,
                occluded=place in (OCCLUDED, OUTSIDE),
                age=1e-9 * (stamp - born),
                lost_for=1e-9 * (stamp - seen),
                box3d=None if image else Box3D(poses[n], (length, width, height)),
                box2d=(x - length / 2, y - width / 2, x + length / 2, y + width / 2)
                if image
                else None,
                velocity=velocity[n],
                covariance=covariance[n],
            )
        )
    return tracks


def _poses(rows: Rows) -> npt.NDArray[np.floating]:
    """Return (N, 4, 4) poses of the boxes."""
    yaw = rows['yaw'][:, 0]
    c, s = np.cos(yaw), np.sin(yaw)
    rotation = np.zeros((len(rows), 3, 3))
    rotation[:, 0, 0], rotation[:, 0, 1] = c, -s
    rotation[:, 1, 0], rotation[:, 1, 1] = s, c
    rotation[:, 2, 2] = 1.0
    return make_transform(rotation, np.column_stack([rows['mean'][:, :2], rows['z'][:, 0]]))


def _motion(rows: Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (N, 3) velocities and (N, 6, 6) covariances of position and velocity."""
    velocity = np.zeros((len(rows), 3))
    velocity[:, :2] = rows['mean'][:, 2:]
    covariance = np.zeros((len(rows), 6, 6))
    planar = [0, 1, 3, 4]
    covariance[np.ix_(range(len(rows)), planar, planar)] = rows['cov']
    covariance[:, 2, 2] = rows['z'][:, 1]
    return velocity, covariance
