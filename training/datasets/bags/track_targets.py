"""What the permanence network shall say about a clip: who counts in which frame, and where.

The rules are those of PermaTrack (Tokmakov et al., ICCV 2021, sections 3.2 and 3.3): objects are
asked for once they were clearly seen twice; from then on also when hidden, at the place where
they would be if they had kept their velocity, because their true place cannot be known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from training.datasets.bags.track_clips import (
    Appearances,
    Array,
    ObjectTable,
    appearances,
    viewed_boxes,
)
from training.datasets.views.views import View
from training.engine.config import Section

Hidden = Literal[
    'none', 'true_place', 'constant_velocity_2d', 'constant_velocity_3d', 'random_walk', 'ignored'
]


class RuleConfig(Section):
    """Which objects count, and how hidden ones are taught."""

    hidden: Hidden = 'constant_velocity_3d'
    """Place of hidden objects: ``none`` (they are background), ``true_place``, constant velocity
    in the image or in the world, ``random_walk`` (nowhere said: see ``permatrack_walk``), or
    ``ignored`` (for labels that know visible objects only)."""
    visible: float = Field(default=0.15, gt=0, le=1)
    """Objects with at least this visible fraction are seen..."""
    partly: float = Field(default=0.05, ge=0, le=1)
    """...below this they are hidden, and between both they count only once they were seen."""
    sightings: int = Field(default=2, ge=2)
    """Frames in which an object must have been seen before it is asked for when hidden."""
    min_area: float = Field(default=64.0, ge=0)
    """Objects whose whole image box is smaller are ignored, square pixels."""
    max_depth: float = Field(default=70.0, gt=0)
    """Objects farther away are ignored, metres."""
    border: float = Field(default=32.0, ge=0)
    """Pixels that the centre may lie outside the image; the nearest cell then stands for it."""
    decay_s: float = Field(default=2.0, gt=0)
    """Hidden objects count less by a factor e after this time, seconds."""


class State(IntEnum):
    """What an object is in a frame."""

    ABSENT = 0
    """Nothing is asked for: not there, hidden and never seen, or out of view."""
    IGNORED = 1
    """Right or wrong, the network is not told."""
    SEEN = 2
    """Asked for at its true place."""
    HIDDEN = 3
    """Asked for where it is believed to be."""


@dataclass(frozen=True)
class Targets:
    """What is asked for in a clip: T frames, N objects.

    Attributes:
        state: (T, N) of ``State``.
        places: where objects are believed to appear.
        box: (T, N, 4) amodal image boxes at those places, pixels of the view.
        hidden_for: (T, N) seconds since the object was last seen; 0 while it is seen.
    """

    state: npt.NDArray[np.int8]
    places: Appearances
    box: Array
    hidden_for: Array


def object_states(
    visibility: Array, countable: npt.NDArray[np.bool_], rules: RuleConfig
) -> npt.NDArray[np.int8]:
    """Return the (T, N) states of objects by the visibility rules.

    Args:
        visibility: (T, N) visible fraction, NaN where an object is absent.
        countable: (T, N) whether it is near, large and central enough to be asked for.
        rules: the thresholds.
    """
    states = np.full(visibility.shape, State.ABSENT, np.int8)
    seen = np.zeros(visibility.shape[1], int)
    for t, fraction in enumerate(visibility):
        there = np.isfinite(fraction)
        known = seen >= rules.sightings
        clear = there & (fraction >= rules.visible)
        partly = there & (fraction >= rules.partly) & ~clear
        hidden = there & ~clear & ~partly
        states[t, clear & countable[t]] = State.SEEN
        states[t, clear & ~countable[t]] = State.IGNORED
        states[t, partly & known & countable[t]] = State.SEEN
        states[t, partly & ~(known & countable[t])] = State.IGNORED
        if rules.hidden == 'ignored':
            states[t, hidden] = State.IGNORED
        elif rules.hidden != 'none':
            states[t, hidden & known] = State.HIDDEN
        seen += clear & countable[t]
    return states


def keep_velocity(
    positions: Array, seconds: Array, states: npt.NDArray[np.int8]
) -> tuple[Array, Array]:
    """Move hidden objects on with the velocity between the last two frames that saw them.

    Args:
        positions: (T, N, D) in any space in which velocity is worth keeping.
        seconds: (T,) since any start.
        states: (T, N) of ``State``.

    Returns:
        (T, N, D) positions, changed where the state is hidden, and (T, N) seconds since the
        object was last seen.
    """
    believed, hidden_for = positions.copy(), np.zeros(states.shape)
    for n in range(states.shape[1]):
        seen = np.flatnonzero(states[:, n] == State.SEEN)
        for t in np.flatnonzero(states[:, n] == State.HIDDEN):
            before = seen[seen < t][-2:]
            hidden_for[t, n] = seconds[t] - seconds[before[-1]]
            first, last = before
            velocity = (positions[last, n] - positions[first, n]) / (
                seconds[last] - seconds[first]
            )
            believed[t, n] = positions[last, n] + velocity * hidden_for[t, n]
    return believed, hidden_for


def clip_targets(table: ObjectTable, view: View, rules: RuleConfig) -> Targets:
    """Return what is asked for in a view of a clip."""
    camera = view.camera(table.camera)
    poses, mirror = table.world_T_camera, view.mirror
    true = appearances(table.position, table.forward, poses, camera, mirror)
    box = viewed_boxes(table.box, view)
    inside = _inside(true.centre, view.size, rules.border)
    area = (box[..., 2:] - box[..., :2]).prod(-1)
    with np.errstate(invalid='ignore'):
        countable = inside & (area >= rules.min_area) & (true.depth <= rules.max_depth)
    states = object_states(np.where(np.isfinite(area), table.visibility, np.nan), countable, rules)
    seconds = (table.stamps - table.stamps[0]) / 1e9
    places = true
    believed, hidden_for = keep_velocity(table.position, seconds, states)
    if rules.hidden == 'constant_velocity_3d':
        places = appearances(believed, table.forward, poses, camera, mirror)
    elif rules.hidden == 'constant_velocity_2d':
        moved, _ = keep_velocity(true.centre, seconds, states)
        places = replace(true, centre=moved)
    elif rules.hidden == 'random_walk':
        return _without_hidden_places(states, true, box, hidden_for)
    # the box keeps its true size in metres
    hidden = states == State.HIDDEN
    with np.errstate(invalid='ignore', divide='ignore'):
        scale = (true.depth / places.depth)[..., None]
        moved_box = np.tile(places.centre, 2) + (box - np.tile(true.centre, 2)) * scale
        askable = _inside(places.centre, view.size, 0.0) & (places.depth <= rules.max_depth)
    states[hidden & ~(askable & np.isfinite(moved_box).all(-1))] = State.ABSENT
    return Targets(states, places, np.where(hidden[..., None], moved_box, box), hidden_for)


def _without_hidden_places(
    states: npt.NDArray[np.int8], true: Appearances, box: Array, hidden_for: Array
) -> Targets:
    """Return targets that do not say where hidden objects are."""
    hidden = states == State.HIDDEN
    centre, box = true.centre.copy(), box.copy()
    centre[hidden], box[hidden] = np.nan, np.nan
    depth = np.where(hidden, np.nan, true.depth)
    heading = np.where(hidden, np.nan, true.heading)
    return Targets(states, Appearances(centre, depth, heading), box, hidden_for)


def _inside(centre: Array, size: tuple[int, int], border: float) -> npt.NDArray[np.bool_]:
    with np.errstate(invalid='ignore'):
        return np.asarray(
            (centre >= -0.5 - border).all(-1) & (centre <= np.array(size) - 0.5 + border).all(-1)
        )
