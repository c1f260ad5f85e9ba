"""The rows that the tracker works on: one structured array of tracks, one of detections."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]

VISIBLE, UNKNOWN, OCCLUDED, OUTSIDE, EMPTY = range(5)
"""What is known about the place of a track: seen, nothing, hidden, out of view, seen empty."""

#: Boxes are ``x y z yaw length width height``; image boxes use x, y as the centre in pixels,
#: length and width as width and height in pixels, and leave the rest zero.
DETECTION_DTYPE = np.dtype(
    [
        ('index', np.int64),  # place in the caller's list
        ('kind', np.int64),  # row of the class table
        ('logit', float),  # score as log-odds
        ('sensor', float, (7,)),  # box in the sensor's level frame
        ('box', float, (7,)),  # the same in the tracking frame
        ('sensor_noise', float, (3,)),  # xx xy yy of the centre's covariance, sensor's frame
        ('noise', float, (3,)),  # the same in the tracking frame
        ('scale', float),  # metres per unit: 1, or the height of an image box
        ('visibility', float),  # visible fraction, as far as the detector knows it
    ]
)


def track_dtype(classes: int) -> np.dtype[np.void]:
    """Return the dtype of a track that has probabilities for so many classes."""
    return np.dtype(
        [
            ('id', np.int64),
            ('kind', np.int64),  # most probable class, row of the class table
            ('votes', float, (classes,)),  # log-probabilities of the classes, up to a constant
            ('mean', float, (4,)),  # x y vx vy
            ('cov', float, (4, 4)),
            ('yaw', float, (2,)),  # heading and its rate
            ('yaw_cov', float, (3,)),  # aa ab bb
            ('flip', float),  # balance of detections that point the other way
            ('z', float, (2,)),  # height of the centre and its variance
            ('size', float, (3,)),
            ('scale', float),
            ('logit', float),  # mean score, weighed towards the present
            ('hits', np.int64),
            ('confirmed', np.bool_),
            ('born', np.int64),  # stamps, nanoseconds
            ('seen', np.int64),
            ('place', np.int64),  # VISIBLE ... EMPTY
            ('visibility', float),
            ('empty_since', np.int64),  # stamp, or -1
            ('source', np.int64),  # the sensor that said so
            ('detection', np.int64),  # index of this frame's detection, or -1
        ]
    )


def logit(score: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the log-odds of scores; 0 and 1 give about -20 and 20."""
    p = np.clip(np.asarray(score, float), 2e-9, 1 - 2e-9)
    return np.log(p / (1 - p))


def sigmoid(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the scores of log-odds."""
    return 1 / (1 + np.exp(-np.clip(np.asarray(value, float), -50, 50)))


def track_boxes(tracks: Rows) -> npt.NDArray[np.float64]:
    """Return (N, 7) boxes ``x y z yaw length width height`` of tracks."""
    boxes = np.empty((len(tracks), 7))
    boxes[:, :2] = tracks['mean'][:, :2]
    boxes[:, 2] = tracks['z'][:, 0]
    boxes[:, 3] = tracks['yaw'][:, 0]
    boxes[:, 4:] = tracks['size']
    return boxes
