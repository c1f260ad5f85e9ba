"""The pieces that streets are built from, for who learns from them or builds with them."""

from __future__ import annotations

from functools import cache

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.inventory import Kinds, kinds
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import (
    MeshBuilder,
    grid_faces,
    vertex_normals,
)
from sim_perception.simulator.content.meshes.vehicle import FAMILIES, car_mesh, wheel_places
from sim_perception.simulator.content.textures import SIZE as TEXTURE_SIZE
from sim_perception.simulator.light.mipmaps import LINEAR
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.street.motion import Motion, Paths
from sim_perception.simulator.world.assembly import Assembly
from sim_perception.simulator.world.fleet import Model, build_fleet
from sim_perception.simulator.world.population import Population
from sim_perception.simulator.world.posing import Poser

__all__ = [
    'FAMILIES',
    'LINEAR',
    'TEXTURE_SIZE',
    'Mesh',
    'Model',
    'Slot',
    'car_mesh',
    'contents',
    'fleet',
    'grid_faces',
    'person',
    'vehicles',
    'vertex_normals',
    'wheel_places',
]  # fmt: skip


def contents() -> tuple[Kinds, ...]:
    """Return the kinds of content of streets."""
    return tuple(kinds())


@cache
def fleet() -> tuple[Model, ...]:
    """Return the vehicles of three clean scenes: some of every family."""
    return tuple(model for seed in range(3) for model in vehicles('clean', seed))


def vehicles(scenario: str, seed: int) -> list[Model]:
    """Return the vehicles of a scene of a shipped scenario."""
    return build_fleet(load_scenario(scenario, seed=seed))


def person(category: str, seed: int, speed: float = 0.0) -> Mesh:
    """Return a person or a rider with all limbs as one mesh, on the ground and looking along x.

    Args:
        category: 'pedestrian' or 'cyclist'.
        seed: chooses among people, and the moment of their step.
        speed: in m/s, by which they stride out.
    """
    scenario = load_scenario('clean', seed=seed % 7)
    assembly = Assembly()
    population = Population(scenario, assembly, [])
    rng = np.random.default_rng(seed)
    if category == 'pedestrian':
        population.add_walker(rng, 0)
    else:
        population.add_rider(rng, 0)
    line = np.array([[0.0, 0, 0], [5.0, 0, 0]])
    place = rng.uniform(0.2, 1.8) if speed > 0 else 0.2
    motion = Motion(
        0.0, 1.0, np.full((2, 1), place), np.full((2, 1), float(speed)), np.zeros((2, 1))
    )
    state = Poser(assembly, Paths([line]), np.zeros(1, np.int64), motion).state(0.0)
    builder = MeshBuilder()
    for part, pose in zip(assembly.parts, state.world_T_instance, strict=True):
        builder.add_mesh(assembly.meshes[part.mesh], pose)
    return builder.build()
