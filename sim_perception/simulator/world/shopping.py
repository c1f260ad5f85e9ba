"""Puts shops on the ground floors of town blocks, and bills on the walls between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from sim_perception.simulator.content.shops import SHOP_PARTS
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.world.palette import wall_color
from sim_perception.simulator.world.placing import Placer

_VARIANTS = 4
_WIDTHS, _HEIGHTS = (4.0, 5.5, 7.0), (3.2, 3.6)
#: Farther from the sidewalk there are no shops, metres.
_NEAR = 4.0


@dataclass(frozen=True)
class Front:
    """The street side of a building.

    Attributes:
        side: of the street.
        s: of its middle.
        width: metres.
        gap: from the sidewalk's back.
    """

    side: int
    s: float
    width: float
    gap: float


class Shops(Placer):
    """Places what ``roadside.shops`` and ``roadside.posters`` ask for; nothing by default."""

    def furnish(self, fronts: Iterable[Front]) -> None:
        """Give shops or bills to a share of the fronts."""
        roadside = self.scenario.roadside
        rng = stream(self.scenario, 'shops')
        shops, bills = draw(rng, roadside.shops), draw(rng, roadside.posters)
        for front in fronts if shops + bills > 0 else ():
            if front.gap > _NEAR:
                continue
            if rng.random() < shops:
                self._row(front, rng)
            elif rng.random() < bills:
                self._fix('posters', _WIDTHS[0], 3.0, front, front.s, rng)

    def _row(self, front: Front, rng: np.random.Generator) -> None:
        """Fill a front with shops of one height."""
        height = float(rng.choice(_HEIGHTS))
        room, widths = front.width, []
        while room >= _WIDTHS[0]:
            fitting = [w for w in _WIDTHS if w <= room]
            widths.append(fitting[int(rng.integers(len(fitting)))])
            room -= widths[-1]
        s = front.s - sum(widths) / 2
        for width in widths:
            middle = s + width / 2
            self._fix('shop_front', width, height, front, middle, rng)
            if rng.random() < 0.45:
                self._fix('awning', width, height, front, middle, rng)
            if rng.random() < 0.3:
                self._fix('projecting_sign', width, height, front, middle, rng)
            s += width

    def _fix(
        self,
        part: str,
        width: float,
        height: float,
        front: Front,
        s: float,
        rng: np.random.Generator,
    ) -> None:
        variant = int(rng.integers(_VARIANTS))
        shape = np.random.default_rng([self._seed, 61, variant, round(10 * width), len(part)])
        mesh = self.assembly.mesh(
            (part, width, height, variant), partial(SHOP_PARTS[part], width, height, shape)
        )
        edge = self.section.half(front.side) + self.section.sidewalk + front.gap
        # Cornices and pilasters stand up to 0.15 m before the wall.
        d = front.side * (edge - 0.12)
        self._put(mesh, s, d, self._facing(front.side), tint=wall_color(rng))
