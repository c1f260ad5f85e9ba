"""Prune: which tracks have been lost for too long, given what is known about their places."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.tables import EMPTY, OCCLUDED, OUTSIDE, Rows


def surviving(
    tracks: Rows, classes: Rows, config: TrackerConfig, stamp: int
) -> npt.NDArray[np.bool_]:
    """Return which tracks live on at a stamp.

    A tentative track dies after ``tentative_life``; a confirmed one after its class's life, which
    is ``hidden_life_factor`` longer while it is known to be occluded or out of view. One whose
    place has been seen empty for ``empty_life`` dies then.
    """
    lost = 1e-9 * (stamp - tracks['seen'])
    life = classes['life'][tracks['kind']]
    hidden = (tracks['place'] == OCCLUDED) | (tracks['place'] == OUTSIDE)
    life = np.where(hidden, life * config.hidden_life_factor, life)
    life = np.where(tracks['confirmed'], life, config.tentative_life)
    empty = 1e-9 * (stamp - tracks['empty_since'])
    return (lost <= life) & ~((tracks['place'] == EMPTY) & (empty >= config.empty_life))


def within(tracks: Rows, most: int) -> npt.NDArray[np.bool_]:
    """Return which tracks live on if there may be so many.

    Those seen last do; of equals the confirmed ones, and then the oldest.
    """
    alive = np.zeros(len(tracks), bool)
    order = np.lexsort((tracks['id'], ~tracks['confirmed'], -tracks['seen']))
    alive[order[:most]] = True
    return alive
