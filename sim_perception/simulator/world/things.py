"""Puts the labelled things that a scenario asks for on the sidewalks."""

from __future__ import annotations

from functools import partial

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.things import THINGS
from sim_perception.simulator.scenario import ScenarioError
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CURB_HEIGHT
from sim_perception.simulator.world.assembly import ObjectSpec, planar_pose
from sim_perception.simulator.world.palette import cloth_color
from sim_perception.simulator.world.placing import Placer

_VARIANTS = 4


class Things(Placer):
    """Places what ``scenario.things`` asks for; nothing by default."""

    def dress(self) -> None:
        """Place everything.

        Raises:
            ScenarioError: for a thing that is not known.
        """
        for name in self.scenario.things:
            if name not in THINGS:
                raise ScenarioError(
                    f'scenario {self.scenario.name!r}: things.{name}: unknown; '
                    f'known: {", ".join(THINGS)}'
                )
            for side in (-1, 1):
                for a, b in self.layout.blocks(side):
                    self._place(name, side, a, b)

    def _place(self, name: str, side: int, a: float, b: float) -> None:
        rng = stream(self.scenario, f'thing {name} {side} {a:.1f}')
        rate = draw(rng, self.scenario.things[name])
        # One number is for both sides of the street.
        for _ in range(int(rng.poisson(rate * (b - a) / 2000))):
            s, share = float(rng.uniform(a, b)), float(rng.uniform(0.3, 0.7))
            d = side * (self.section.half(side) + share * self.section.sidewalk)
            x, y = self.layout.place(s, d)
            turn = np.pi * int(rng.integers(2)) + float(rng.normal(0, 0.3))
            yaw = float(self.layout.heading(s)) + turn
            pose = planar_pose(float(x), float(y), CURB_HEIGHT, yaw)
            self._add(name, int(rng.integers(_VARIANTS)), pose, rng)

    def _add(self, name: str, variant: int, pose: np.ndarray, rng: np.random.Generator) -> None:
        thing = THINGS[name]
        shape = np.random.default_rng([self._seed, 53, variant])
        mesh = self.assembly.mesh((name, variant), partial(thing.make, shape))
        size = _size(self.assembly.meshes[mesh])
        spec = ObjectSpec(class_id(thing.category), name, size, thing.mass, size[2] / 2, pose)
        row = self.assembly.add_object(spec)
        self.assembly.attach(row, mesh, tint=cloth_color(rng))


def _size(mesh: Mesh) -> tuple[float, float, float]:
    """Return the box of a mesh that is centred over the origin."""
    reach = np.abs(mesh.vertices).max(0)
    return 2 * float(reach[0]), 2 * float(reach[1]), float(reach[2])
