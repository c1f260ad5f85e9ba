"""Puts groups on the sidewalks: people who stay, parked bicycles."""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np

from sim_perception.simulator.content.groups import GROUPS, Body, Group
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CURB_HEIGHT
from sim_perception.simulator.world.assembly import ObjectSpec, planar_pose
from sim_perception.simulator.world.palette import tinted
from sim_perception.simulator.world.placing import Placer

_VARIANTS = 5


class Groups(Placer):
    """Places what ``scenario.people`` and ``scenario.cycles`` ask for; nothing by default."""

    def dress(self) -> None:
        """Place everything."""
        for field in dict.fromkeys(g.field for g in GROUPS.values()):
            section, name = field
            span = getattr(getattr(self.scenario, section), name)
            kinds = [k for k, g in GROUPS.items() if g.field == field]
            share = np.array([GROUPS[k].share for k in kinds])
            for side in (-1, 1) if span[1] > 0 else ():
                for a, b in self.layout.blocks(side):
                    rng = stream(self.scenario, f'{section} {name} {side} {a:.1f}')
                    # One number is for both sides of the street.
                    count = rng.poisson(draw(rng, span) * (b - a) / 2000)
                    for _ in range(int(count)):
                        kind = kinds[int(rng.choice(len(kinds), p=share / share.sum()))]
                        self._place(kind, side, float(rng.uniform(a + 1, b - 1)), rng)

    def _place(self, kind: str, side: int, s: float, rng: np.random.Generator) -> None:
        variant = int(rng.integers(_VARIANTS))
        bodies = self._bodies(kind, variant)
        d = side * (self.section.half(side) + self._distance(GROUPS[kind], bodies, rng))
        x, y = self.layout.place(s, d)
        yaw = float(self.layout.heading(s)) + self._facing(side)
        frame = planar_pose(float(x), float(y), CURB_HEIGHT, yaw)
        for n, item in enumerate(bodies):
            self._add(item, (kind, variant, n), frame @ item.pose, rng)

    def _distance(self, group: Group, bodies: list[Body], rng: np.random.Generator) -> float:
        """Return how far from the curb a group's origin lies."""
        walk = self.section.sidewalk
        reach = [
            (b.pose[1, 3] - 0.5 * max(b.size[:2]), b.pose[1, 3] + 0.5 * max(b.size[:2]))
            for b in bodies
        ]
        near, far = min(r[0] for r in reach), max(r[1] for r in reach)
        first, last = 0.15 - near, max(walk - far, 0.15 - near)
        if group.where == 'curb':
            return min(first + float(rng.uniform(0, 0.3)), last)
        if group.where == 'middle':
            return first + (last - first) * float(rng.uniform(0.3, 1.0))
        return last if group.where == 'back' else max(walk - 0.1, first)

    @cached_property
    def _made(self) -> dict[tuple[str, int], list[Body]]:
        return {}

    def _bodies(self, kind: str, variant: int) -> list[Body]:
        """Return a variant of a group, made on first use."""
        key = (kind, variant)
        if key not in self._made:
            shape = np.random.default_rng([self._seed, 59, list(GROUPS).index(kind), variant])
            self._made[key] = GROUPS[kind].make(shape)
        return self._made[key]

    def _add(
        self, item: Body, key: tuple[str, int, int], pose: np.ndarray, rng: np.random.Generator
    ) -> None:
        row = -1
        if item.category:
            size = item.size
            spec = ObjectSpec(class_id(item.category), item.family, size, item.mass, size[2] / 2,
                              pose)  # fmt: skip
            row = self.assembly.add_object(spec)
        for n, part in enumerate(item.parts):
            mesh = self.assembly.mesh((*key, n), partial(getattr, part, 'mesh'))
            tint = tinted(part.tint, rng)
            if row < 0:
                self.assembly.place(mesh, pose, tint)
            else:
                self.assembly.attach(row, mesh, tint=tint)
