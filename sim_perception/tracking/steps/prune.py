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
    place has been seen empty for ``empty_life`` dies then. Of more than ``max_tracks`` those seen
    last live on.
    """
    lost = 1e-9 * (stamp - tracks['seen'])
    life = classes['life'][tracks['kind']]
    hidden = (tracks['place'] == OCCLUDED) | (tracks['place'] == OUTSIDE)
    life = np.where(hidden, life * config.hidden_life_factor, life)
    life = np.where(tracks['confirmed'], life, config.tentative_life)
    empty = 1e-9 * (stamp - tracks['empty_since'])
    alive = (lost <= life) & ~((tracks['place'] == EMPTY) & (empty >= config.empty_life))
    if alive.sum() > config.max_tracks:
        order = np.lexsort((tracks['id'], -lost, alive))
        alive[order[: -config.max_tracks]] = False
    return alive
