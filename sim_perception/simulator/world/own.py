"""Puts the user's own meshes beside the road, on it, and where the scenario says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Material
from sim_perception.simulator.content.meshes.strips import verge_strips
from sim_perception.simulator.content.own import read_own
from sim_perception.simulator.own_mesh import OwnMesh
from sim_perception.simulator.scenario import Scenario, ScenarioError
from sim_perception.simulator.street.agents import Agent
from sim_perception.simulator.street.draws import stream
from sim_perception.simulator.street.layout import CURB_HEIGHT, Layout
from sim_perception.simulator.street.vehicles import Footprint, street_agent
from sim_perception.simulator.world.assembly import Assembly, ObjectSpec, planar_pose
from sim_perception.suggestions import unknown
from sim_perception.taxonomy import load_taxonomy

F64 = npt.NDArray[np.float64]

_BEHIND_M = 2.0
"""How far behind the pavement those at the roadside begin at most."""


class OwnMeshes:
    """The meshes of ``scenario.meshes``, read once; nothing by default.

    Args:
        scenario: which, and where.
        layout: of the street.
        assembly: takes them.
        first: index of the first material that is free.

    Attributes:
        materials: those of all meshes.

    Raises:
        ScenarioError: for a mesh that cannot be read, also without trimesh, or a wrong class.
    """

    def __init__(self, scenario: Scenario, layout: Layout, assembly: Assembly, first: int) -> None:
        self._scenario, self._layout, self._assembly = scenario, layout, assembly
        self.materials: list[Material] = []
        self._mesh: dict[str, int] = {}
        self._class: dict[str, int] = {}
        for own in scenario.meshes:
            try:
                self._class[own.name] = _class_of(own)
                start = first + len(self.materials)
                mesh, materials = read_own(own, self._class[own.name], start)
            except (ValueError, ImportError) as error:
                raise ScenarioError(
                    f'scenario {scenario.name!r}: meshes.{own.name}: {error}'
                ) from error
            self.materials += materials
            self._mesh[own.name] = assembly.add_mesh(mesh)

    def _size(self, own: OwnMesh) -> tuple[float, float, float]:
        spread = np.ptp(self._assembly.meshes[self._mesh[own.name]].vertices, axis=0)
        return float(spread[0]), float(spread[1]), float(spread[2])

    def agents(self) -> list[tuple[Agent, int]]:
        """Return those that drive, with their place in ``scenario.meshes``."""
        found, layout = [], self._layout
        for k, own in enumerate(self._scenario.meshes):
            if own.where != 'road':
                continue
            rng = stream(self._scenario, f'own mesh {own.name}')
            length, width, _ = self._size(own)
            footprint = Footprint('own', (length / 2, width / 2))
            for _ in range(int(rng.poisson(own.per_km * (layout.end - layout.start) / 1000))):
                direction = 1 if rng.random() < 0.5 else -1
                lane = int(rng.integers(layout.section.lanes))
                d = layout.section.lane(direction, lane) + float(rng.normal(0, 0.07))
                s = float(rng.uniform(layout.start + 8, layout.end))
                agent = street_agent(layout, direction, d, s, footprint, own.speed_kmh / 3.6)
                found.append((agent, k))
        return found

    def add_agents(self, agents: Sequence[Agent], meshes: Mapping[int, int]) -> None:
        """Give those that drive their bodies; ``meshes`` maps agents' ids to the scenario's."""
        for mover, agent in enumerate(agents):
            if id(agent) in meshes:
                self._add(self._scenario.meshes[meshes[id(agent)]], np.eye(4), mover)

    def dress(self, start: F64) -> None:
        """Place those that stand.

        Args:
            start: 4x4 pose of the vehicle at the beginning, on the plan.
        """
        for own in self._scenario.meshes:
            for ahead, left, turn in own.at:
                pose = start @ planar_pose(ahead, left, 0.0, float(np.deg2rad(turn)))
                pose[2, 3] = _height(self._layout, pose[None, :2, 3])
                self._add(own, pose)
            if own.where != 'road' and own.per_km:
                for side in (-1, 1):
                    for a, b in self._layout.blocks(side):
                        self._along(own, side, a, b)

    def _along(self, own: OwnMesh, side: int, a: float, b: float) -> None:
        rng = stream(self._scenario, f'own mesh {own.name} {side} {a:.1f}')
        section = self._layout.section
        # One number is for both sides of the street.
        for _ in range(int(rng.poisson(own.per_km * (b - a) / 2000))):
            s, share = float(rng.uniform(a, b)), float(rng.uniform(0.3, 0.7))
            d = section.half(side) + share * section.sidewalk
            if own.where == 'roadside':
                d = section.half(side) + section.sidewalk + share * _BEHIND_M
                d += self._size(own)[1] / 2
            x, y = self._layout.place(s, side * d)
            yaw = float(self._layout.heading(s)) + np.pi * int(rng.integers(2))
            height = _height(self._layout, np.array([[x, y]]))
            self._add(own, planar_pose(float(x), float(y), height, yaw))

    def _add(self, own: OwnMesh, pose: F64, mover: int = -1) -> None:
        mesh = self._mesh[own.name]
        if own.kind == 'occluder':
            self._assembly.place(mesh, pose)
            return
        size, number = self._size(own), self._class[own.name]
        spec = ObjectSpec(number, own.name, size, own.mass_kg, size[2] / 2, pose, mover)
        self._assembly.attach(self._assembly.add_object(spec), mesh)


def _class_of(own: OwnMesh) -> int:
    taxonomy = load_taxonomy()
    things = [taxonomy.names[k] for k in taxonomy.thing_ids]
    if own.category not in taxonomy.names:
        raise ValueError(f'category: {unknown("class", own.category, taxonomy.names)}')
    if own.kind == 'object' and own.category not in things:
        raise ValueError(
            f'category: objects need a countable class, got {own.category!r}; '
            f'these are: {", ".join(things)}; or set kind: occluder'
        )
    return taxonomy.id_of(own.category)


def _height(layout: Layout, point: F64) -> float:
    """Return the plan's height at a (1, 2) point: road, verge or pavement."""
    s, d = (float(v[0]) for v in layout.locate(point))
    side = 1 if d > 0 else -1
    beyond = abs(d) - layout.section.half(side)
    if beyond <= 0 or (layout.near_junction(s, 0.0, side) and layout.clearance(point)[0] <= 0):
        return 0.0
    strips = verge_strips(layout, side)
    edges, heights = zip(*(p for e0, e1, z0, z1, *_ in strips for p in ((e0, z0), (e1, z1))),
                         strict=True)  # fmt: skip
    return float(np.clip(np.interp(beyond, edges, heights), 0.0, CURB_HEIGHT))
