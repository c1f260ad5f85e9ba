"""Targets of a clip as the losses want them: heatmaps, and values at the cells of centres."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sim_perception.models.permanence import BOX_UNIT, MEMORY_STRIDE, OUTPUT_STRIDE
from training.datasets.bags.track_clips import Array, ObjectTable
from training.datasets.bags.track_targets import RuleConfig, State, Targets

#: Objects of a clip that can be asked for: sum over its frames.
MAX_CENTRES = 384
#: Walks of a clip through frames in which an object is hidden, and single steps of seen ones.
MAX_WALKS, MAX_STEPS = 24, 128
#: Standard deviation of a heatmap's peak relative to the image box, and at least, in cells.
SPREAD, MIN_SPREAD = 0.06, 0.6
#: Columns of ``values``.
COLUMNS = {
    'offset': slice(0, 2), 'box': slice(2, 6), 'displacement': slice(6, 8),
    'visibility': slice(8, 9), 'log_depth': slice(9, 10), 'log_size': slice(10, 13),
    'heading': slice(13, 15),
}  # fmt: skip
WIDTH = 15


def clip_maps(
    table: ObjectTable,
    targets: Targets,
    size: tuple[int, int],
    things: int,
    rules: RuleConfig,
    hidden_gain: float,
) -> dict[str, Any]:
    """Return the tensors of a clip of T frames.

    Args:
        table: its objects.
        targets: what is asked for.
        size: width and height of the view.
        things: number of classes.
        rules: of the targets; ``decay_s`` is used here.
        hidden_gain: weight of a hidden object's centre just after it vanished.

    Returns:
        ``heat`` and ``heat_weight`` (T, things, h, w); for K = ``MAX_CENTRES`` centres, the rest
        padded with weight 0: ``place`` (K,) flat index into (T, h, w), ``values`` (K, WIDTH) by
        ``COLUMNS``, not a number where nothing is known, ``weight`` (K,),
        ``displacement_weight`` (K,), ``hidden`` (K,) bool; with the rule ``random_walk`` those of
        ``clip_walks``, too.
    """
    frames = len(table.stamps)
    width, height = size[0] // OUTPUT_STRIDE, size[1] // OUTPUT_STRIDE
    heat = np.zeros((frames, things, height, width), np.float32)
    weight = np.ones_like(heat)
    found: dict[int, tuple[Array, float, float, bool]] = {}
    position = (targets.places.centre + 0.5) / OUTPUT_STRIDE - 0.5
    with np.errstate(invalid='ignore'):
        cells = position.round().clip(0, [width - 1, height - 1])
    for t in range(frames):
        ignored = np.flatnonzero(targets.state[t] == State.IGNORED)
        for n in ignored:
            _ignore(weight[t, table.thing[n]], targets.box[t, n])
        asked = np.flatnonzero(targets.state[t] >= State.SEEN)
        asked = asked[np.isfinite(targets.box[t, asked]).all(-1)]
        # nearer and seen objects last: where two share a cell they win
        depth = targets.places.depth[t, asked]
        for n in asked[np.lexsort((-depth, targets.state[t, asked] == State.SEEN))]:
            column, row = (int(v) for v in cells[t, n])
            box = targets.box[t, n]
            spread = np.maximum(SPREAD * (box[2:] - box[:2]) / OUTPUT_STRIDE, MIN_SPREAD)
            splat(heat[t, table.thing[n]], column, row, spread)
            hidden = targets.state[t, n] == State.HIDDEN
            fading = float(np.exp(-targets.hidden_for[t, n] / rules.decay_s))
            weight[t, table.thing[n], row, column] = hidden_gain * fading if hidden else 1.0
            values, moved = _values(table, targets, position, cells, t, n)
            place = (t * height + row) * width + column
            found[place] = (values, fading, moved, bool(hidden))
    walks = {}
    if rules.hidden == 'random_walk':
        walks = clip_walks(table, targets, size, rules)
    return (
        padded(found)
        | walks
        | {
            'heat': torch.from_numpy(heat),
            'heat_weight': torch.from_numpy(weight),
        }
    )


def image_values(position: Array, cell: Array, centre: Array, box: Array) -> Array:
    """Return the ``values`` of a centre that an image alone tells: where exactly, and its box.

    Args:
        position: (2,) of the centre, cells.
        cell: (2,) in which it is.
        centre: (2,) in pixels.
        box: (4,) x1 y1 x2 y2, pixels.
    """
    values = np.full(WIDTH, np.nan)
    values[COLUMNS['offset']] = position - cell
    reach = np.concatenate([centre - box[:2], box[2:] - centre])
    values[COLUMNS['box']] = np.log(np.maximum(reach, 0.5) / BOX_UNIT)
    return values


def clip_walks(
    table: ObjectTable, targets: Targets, size: tuple[int, int], rules: RuleConfig
) -> dict[str, Any]:
    """Return from where to where objects go from one sighting to the next.

    Args:
        table: the clip's objects.
        targets: of the rule ``random_walk``.
        size: width and height of the view.
        rules: ``decay_s`` is used here.

    Returns:
        For up to ``MAX_WALKS`` walks of objects that are not seen meanwhile, the rest padded with
        weight 0: ``walks`` (K, 4) first frame, first cell, last frame and last cell (flat, at the
        memory's stride), ``walk_thing`` (K,), ``walk_values`` (K, 2, WIDTH) at both ends,
        ``walk_fading`` (K, T) and ``walk_weight`` (K,). For up to ``MAX_STEPS`` objects that are
        seen in neighbouring frames ``steps`` (J, 3) frame, cell, next cell and ``step_weight``.
    """
    width, height = size[0] // MEMORY_STRIDE, size[1] // MEMORY_STRIDE
    position = (targets.places.centre + 0.5) / OUTPUT_STRIDE - 0.5
    coarse = (targets.places.centre + 0.5) / MEMORY_STRIDE - 0.5
    seconds = (table.stamps - table.stamps[0]) / 1e9
    walks, steps = [], []
    for n in range(targets.state.shape[1]):
        seen = np.flatnonzero(targets.state[:, n] == State.SEEN)
        cells = coarse[seen, n].round().clip(0, [width - 1, height - 1]).astype(int)
        flat = (cells[:, 1] * width + cells[:, 0]).tolist()
        for k, (a, b) in enumerate(itertools.pairwise(seen.tolist())):
            if b == a + 1:
                steps.append((a, flat[k], flat[k + 1]))
            else:
                walks.append((n, (a, flat[k], b, flat[k + 1])))
    fine = position.round()
    out: dict[str, npt.NDArray[Any]] = {
        'walks': np.zeros((MAX_WALKS, 4), np.int64),
        'walk_thing': np.zeros(MAX_WALKS, np.int64),
        'walk_values': np.zeros((MAX_WALKS, 2, WIDTH), np.float32),
        'walk_fading': np.zeros((MAX_WALKS, len(seconds)), np.float32),
        'walk_weight': np.zeros(MAX_WALKS, np.float32),
        'steps': np.zeros((MAX_STEPS, 3), np.int64),
        'step_weight': np.zeros(MAX_STEPS, np.float32),
    }
    for k, (n, walk) in enumerate(walks[:MAX_WALKS]):
        out['walks'][k] = walk
        a, _, b, _ = walk
        out['walk_thing'][k] = table.thing[n]
        out['walk_values'][k] = [_values(table, targets, position, fine, t, n)[0] for t in (a, b)]
        passed = np.maximum(seconds - seconds[a], 0.0)
        out['walk_fading'][k] = np.exp(-passed / rules.decay_s)
        out['walk_weight'][k] = 1.0
    count = min(len(steps), MAX_STEPS)
    if count:
        out['steps'][:count] = steps[:count]
        out['step_weight'][:count] = 1.0
    return {name: torch.from_numpy(value) for name, value in out.items()}


def _ignore(weight: npt.NDArray[np.float32], box: Array) -> None:
    """Set the weight to 0 inside an image box, unless a centre is there."""
    if not np.isfinite(box).all():
        return
    x1, y1, x2, y2 = ((box + 0.5) / OUTPUT_STRIDE - 0.5).round().clip(-1, 10**6).astype(int)
    weight[max(y1, 0) : y2 + 1, max(x1, 0) : x2 + 1] = 0.0


def splat(heat: npt.NDArray[np.float32], column: int, row: int, spread: Array) -> None:
    """Raise a (h, w) heatmap to a Gaussian around a cell, ``spread`` cells wide in x and y."""
    reach = np.ceil(3 * spread).astype(int)
    height, width = heat.shape
    x = np.arange(max(0, column - reach[0]), min(width, column + reach[0] + 1))
    y = np.arange(max(0, row - reach[1]), min(height, row + reach[1] + 1))
    gauss_x = np.exp(-(((x - column) / spread[0]) ** 2) / 2)
    gauss_y = np.exp(-(((y - row) / spread[1]) ** 2) / 2)
    part = heat[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
    np.maximum(part, gauss_y[:, None] * gauss_x, out=part, casting='same_kind')


def _values(
    table: ObjectTable, targets: Targets, position: Array, cells: Array, t: int, n: int
) -> tuple[Array, float]:
    """Return what the heads shall say at a centre, and the weight of its displacement."""
    values = image_values(
        position[t, n], cells[t, n], targets.places.centre[t, n], targets.box[t, n]
    )
    values[COLUMNS['displacement']] = 0.0
    values[COLUMNS['visibility']] = table.visibility[t, n]
    values[COLUMNS['log_depth']] = np.log(targets.places.depth[t, n])
    values[COLUMNS['log_size']] = np.log(np.maximum(table.size[n], 0.05))
    heading = targets.places.heading[t, n]
    values[COLUMNS['heading']] = np.sin(heading), np.cos(heading)
    if t == 0 or targets.state[t - 1, n] < State.SEEN or not np.isfinite(position[t - 1, n]).all():
        return values, 0.0
    values[COLUMNS['displacement']] = position[t - 1, n] - position[t, n]
    back = targets.state[t, n] == State.SEEN and targets.state[t - 1, n] == State.HIDDEN
    # seen again after an occlusion: rare and important (PermaTrack's 5 per hidden frame + 1)
    lost = np.flatnonzero(targets.state[:t, n] == State.SEEN)
    return values, 1.0 + 5.0 * float(t - 1 - lost[-1]) if back and len(lost) else 1.0


def padded(found: dict[int, tuple[Array, float, float, bool]]) -> dict[str, Any]:
    """Return centres as the tensors of ``clip_maps`` beside its heatmaps, of one length.

    Args:
        found: of each centre by its place: values, weight, that of its displacement relative to
            it, and whether it is hidden.
    """
    count = min(len(found), MAX_CENTRES)
    place = np.zeros(MAX_CENTRES, np.int64)
    values = np.zeros((MAX_CENTRES, WIDTH), np.float32)
    weight = np.zeros(MAX_CENTRES, np.float32)
    moved = np.zeros(MAX_CENTRES, np.float32)
    hidden = np.zeros(MAX_CENTRES, bool)
    if count:
        chosen = list(found.items())[:count]
        place[:count] = [key for key, _ in chosen]
        values[:count] = [value[0] for _, value in chosen]
        weight[:count] = [value[1] for _, value in chosen]
        moved[:count] = [value[1] * value[2] for _, value in chosen]
        hidden[:count] = [value[3] for _, value in chosen]
    return {
        'place': torch.from_numpy(place),
        'values': torch.from_numpy(values),
        'weight': torch.from_numpy(weight),
        'displacement_weight': torch.from_numpy(moved),
        'hidden': torch.from_numpy(hidden),
    }
