"""Hidden objects taught by where they reappear: a random walk along the network's memory.

Tokmakov, Jabri, Li and Gaidon, "Object permanence emerges in a random walk along memory" (ICML
2022). The memories of consecutive frames say how likely an object moves from each cell to each
cell near it (section 3.2 there). A walk that starts where an object was last seen goes through
the frames in which it is hidden and must end where the object is seen again (section 3.3); nobody
tells it where the object was meanwhile. Different from there: every sighting starts a new walk,
and the places of a sure walk are what the network's own centre heatmap is taught for hidden
frames, so that the trained network finds hidden objects without walking.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sim_perception.models.permanence import BOX_UNIT, MEMORY_STRIDE, OUTPUT_STRIDE
from training.engine.config import Section
from training.tasks.permatrack.maps import COLUMNS, MIN_SPREAD, SPREAD

#: Cells of the memory around a place that count as the place.
NEAR = 1
_LEAST = 1e-6


class WalkConfig(Section):
    """How walks along the memory are made; for ``data.rules.hidden: random_walk``."""

    channels: int = Field(default=32, ge=1)
    """Of the embedding in which memories are compared."""
    reach: int = Field(default=5, ge=1)
    """Greatest step between two frames, cells of the memory (8 pixels)."""
    temperature: float = Field(default=0.07, gt=0)
    """Of the transition probabilities; embeddings have length 1."""
    sure: float = Field(default=0.5, gt=0, le=1)
    """Share of a walk within a cell of its peak from which it teaches the heatmap."""
    seen_weight: float = Field(default=0.2, ge=0)
    """Weight of walks between neighbouring frames that both see the object."""


class MemoryWalk(nn.Module):
    """Compares memories of consecutive frames and walks along them."""

    def __init__(self, memory_channels: int, config: WalkConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Conv2d(memory_channels, config.channels, 1)

    def forward(self, memory: Tensor) -> Tensor:
        """Return (B, T - 1, N, N) probabilities to go from a cell to one in the next frame.

        Args:
            memory: (B, T, C, h, w) of whole clips; N = h w.
        """
        batch, frames, _, height, width = memory.shape
        places = functional.normalize(self.embed(memory.flatten(0, 1)).flatten(2), dim=1)
        places = places.unflatten(0, (batch, frames))  # B T D N
        alike = torch.einsum('btdi,btdj->btij', places[:, :-1], places[:, 1:])
        far = _farther(height, width, self.config.reach, memory.device)
        return (alike / self.config.temperature).masked_fill(far, -torch.inf).softmax(-1)


def follow(step: Tensor, walks: Tensor) -> Tensor:
    """Return (B, T, K, N) places of walks, zero before they start and after they end.

    Args:
        step: (B, T - 1, N, N) of ``MemoryWalk``.
        walks: (B, K, 4) first frame, first cell, last frame, last cell.
    """
    first, start, last, _ = walks.unbind(-1)
    origin = functional.one_hot(start, step.shape[-1]).to(step.dtype)
    place = torch.zeros_like(origin)
    places = []
    for t in range(step.shape[1] + 1):
        if t:
            place = (place * (t <= last)[..., None]) @ step[:, t - 1]
        place = torch.where((first == t)[..., None], origin, place)
        places.append(place)
    return torch.stack(places, 1)


def walk_loss(
    step: Tensor, places: Tensor, batch: dict[str, Tensor], size: tuple[int, int], seen: float
) -> Tensor:
    """Return the mean negative logarithm of the share of walks that end where they shall.

    Args:
        step: (B, T - 1, N, N) of ``MemoryWalk``.
        places: (B, T, K, N) of ``follow``.
        batch: with ``walks`` and ``steps`` of ``permatrack_maps.clip_walks``.
        size: height and width of the memory.
        seen: weight of steps between frames that both see the object.
    """
    b, k = (batch['walk_weight'] > 0).nonzero(as_tuple=True)
    walks = batch['walks'][b, k]
    ends = places[b, walks[:, 2], k]
    lost = -torch.log(_share_near(ends, walks[:, 3], size) + _LEAST).sum()
    c, j = (batch['step_weight'] > 0).nonzero(as_tuple=True)
    steps = batch['steps'][c, j]
    ends = step[c, steps[:, 0], steps[:, 1]]
    lost = lost - seen * torch.log(_share_near(ends, steps[:, 2], size) + _LEAST).sum()
    return lost / max(len(b) + seen * len(c), 1)


class Walked(NamedTuple):
    """Where sure walks are in the frames between their ends, (B, T, K) each.

    Attributes:
        sure: whether a walk is between its ends and in one place.
        x, y: of that place, cells of the memory.
    """

    sure: Tensor
    x: Tensor
    y: Tensor


def walked_places(
    places: Tensor, batch: dict[str, Tensor], size: tuple[int, int], sure: float
) -> Walked:
    """Return the peaks of walks, to a part of a cell, where they are ``sure``."""
    height, width = size
    walks, weight = batch['walks'], batch['walk_weight']
    frames = torch.arange(places.shape[1], device=places.device)[None, :, None]
    inside = (frames > walks[:, None, :, 0]) & (frames < walks[:, None, :, 2])
    inside &= weight[:, None] > 0
    maps = places.unflatten(-1, size)
    peak = places.argmax(-1)
    rows, columns = peak // width, peak % width
    y = torch.arange(height, device=places.device).view(1, 1, 1, -1, 1)
    x = torch.arange(width, device=places.device).view(1, 1, 1, 1, -1)
    near = ((y - rows[..., None, None]).abs() <= NEAR) & (
        (x - columns[..., None, None]).abs() <= NEAR
    )
    there = maps * near
    share = there.sum((-2, -1))
    mass = share.clamp(min=_LEAST)
    return Walked(
        inside & (share >= sure),
        (there * x).sum((-2, -1)) / mass,
        (there * y).sum((-2, -1)) / mass,
    )


def teach(batch: dict[str, Tensor], walked: Walked, hidden_gain: float) -> dict[str, Tensor]:
    """Return a batch that asks for hidden objects where sure walks are.

    Image box, distance, size and heading are asked for as they change evenly between the two
    sightings. All of it is evidence: no true place of a hidden object is used.

    Args:
        batch: see ``permatrack_data.TrackData.sample``.
        walked: where walks are.
        hidden_gain: weight of the centre of an object that has just vanished.
    """
    height, width = batch['heat'].shape[-2:]
    b, t, k = walked.sure.nonzero(as_tuple=True)
    first, last = batch['walks'][b, k, 0], batch['walks'][b, k, 2]
    part = ((t - first) / (last - first)).unsqueeze(-1).to(batch['values'].dtype)
    ends = batch['walk_values'][b, k]
    values = ends[:, 0] + part * (ends[:, 1] - ends[:, 0])
    ratio = MEMORY_STRIDE / OUTPUT_STRIDE
    centre = torch.stack([walked.x[b, t, k], walked.y[b, t, k]], -1).to(values.dtype)
    centre = (centre + 0.5) * ratio - 0.5
    limit = torch.tensor([width - 1, height - 1], device=centre.device)
    cell = torch.minimum(centre.round().clamp(min=0), limit)
    values[:, COLUMNS['offset']] = centre - cell
    values[:, COLUMNS['visibility']] = 0.0
    fading = batch['walk_fading'][b, k, t]
    column, row = cell.long().unbind(-1)
    thing = batch['walk_thing'][b, k]
    heat, weight = batch['heat'].clone(), batch['heat_weight'].clone()
    # a seen object's centre in the same cell stays
    free = heat[b, t, thing, row, column] < 1
    b, t, thing, row, column = b[free], t[free], thing[free], row[free], column[free]
    values, fading = values[free], fading[free]
    reach = values[:, COLUMNS['box']].exp() * (BOX_UNIT / OUTPUT_STRIDE)
    spread = (SPREAD * (reach[:, :2] + reach[:, 2:])).clamp(min=MIN_SPREAD)
    _splat(heat, b, t, thing, row, column, spread)
    weight[b, t, thing, row, column] = (hidden_gain * fading).to(weight.dtype)
    place = (t * height + row) * width + column
    return {
        **batch,
        'heat': heat,
        'heat_weight': weight,
        **_added(batch, b, place, values, fading),
    }


def _added(
    batch: dict[str, Tensor], b: Tensor, place: Tensor, values: Tensor, fading: Tensor
) -> dict[str, Tensor]:
    """Return the centres of a batch with more of them behind."""
    clips = len(batch['place'])
    order = torch.zeros_like(b)
    for clip in range(clips):
        mine = b == clip
        order[mine] = torch.arange(int(mine.sum()), device=b.device)
    count = int(order.max()) + 1 if len(order) else 0
    new: dict[str, Tensor] = {
        'place': place, 'values': values, 'weight': fading,
        'displacement_weight': torch.zeros_like(fading),
        'hidden': torch.ones_like(b, dtype=torch.bool),
    }  # fmt: skip
    out = {}
    for name, value in new.items():
        old = batch[name]
        room = old.new_zeros(clips, count, *old.shape[2:])
        room[b, order] = value.to(old.dtype)
        out[name] = torch.cat([old, room], 1)
    return out


def _splat(
    heat: Tensor, b: Tensor, t: Tensor, thing: Tensor, row: Tensor, column: Tensor, spread: Tensor
) -> None:
    """Raise heatmaps in place to Gaussians around cells, of (N, 2) spreads in x and y."""
    height, width = heat.shape[-2:]
    y = torch.arange(height, device=heat.device)
    x = torch.arange(width, device=heat.device)
    for n in range(len(b)):
        gauss_y = torch.exp(-(((y - row[n]) / spread[n, 1]) ** 2) / 2)
        gauss_x = torch.exp(-(((x - column[n]) / spread[n, 0]) ** 2) / 2)
        target = heat[b[n], t[n], thing[n]]
        heat[b[n], t[n], thing[n]] = torch.maximum(target, gauss_y[:, None] * gauss_x)


def _share_near(places: Tensor, cell: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (M,) shares of (M, N) places within ``NEAR`` cells of (M,) cells."""
    rows, columns = cell // size[1], cell % size[1]
    y = torch.arange(size[0], device=places.device)[None, :, None]
    x = torch.arange(size[1], device=places.device)[None, None]
    near = (y - rows[:, None, None]).abs() <= NEAR
    near = near & ((x - columns[:, None, None]).abs() <= NEAR)
    return (places.unflatten(-1, size) * near).sum((-2, -1))


def _farther(height: int, width: int, reach: int, device: Any) -> Tensor:
    """Return (N, N) which cells are farther apart than ``reach`` in x or y."""
    cells = torch.arange(height * width, device=device)
    rows, columns = cells // width, cells % width
    away = torch.maximum(
        (rows[:, None] - rows[None]).abs(), (columns[:, None] - columns[None]).abs()
    )
    return away > reach
