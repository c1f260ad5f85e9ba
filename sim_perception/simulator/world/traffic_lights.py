"""Traffic lights that switch, at the corners of the junctions that have lights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from sim_perception.simulator.common.scene import TrafficLights
from sim_perception.simulator.content.meshes.furniture import light_lamp, traffic_light
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import stream
from sim_perception.simulator.street.layout import CURB_HEIGHT, Junction, Layout
from sim_perception.simulator.world.assembly import Assembly, Lamp, planar_pose
from sim_perception.simulator.world.signals import LIGHT_GLOW, collect_lights


def place_light_poles(
    scenario: Scenario, layout: Layout, assembly: Assembly
) -> list[tuple[int, float]]:
    """Place a pole without lamps for every way into every junction with lights.

    Returns:
        The rows of the poles' instances and the lengths of their arms, as meshes have them.
    """
    poles: list[tuple[int, float]] = []
    for index, junction in enumerate(layout.junctions):
        if not junction.lights:
            continue
        rng = stream(scenario, f'traffic lights {junction.s:.1f}')
        kind = int(rng.integers(2**31))
        frame = layout.frame(junction)
        for x, y, turn, main in _corners(layout, junction):
            # Arms reach over the road, which lies left of the poles in right-hand traffic.
            reach = float(rng.uniform(2.5, 4.5)) if rng.random() < 0.5 else 0.0
            arm = -layout.section.hand * reach
            pose = frame @ planar_pose(x, y, CURB_HEIGHT, turn)
            make = partial(traffic_light, np.random.default_rng(kind), -1, arm)
            row = assembly.place(
                assembly.mesh(('switching light', kind, arm), make), pose, stance='upright'
            )
            poles.append((row, arm))
            # The pole says which light its heads show, its lamps when they are lit.
            assembly.parts[row].lamp = Lamp((0.0, 0.0, 0.0), '', index, main)
    return poles


def hang_lamps(assembly: Assembly, poles: list[tuple[int, float]]) -> TrafficLights:
    """Add the lamps of poles where these have come to stand, and return their heads."""
    for row, arm in poles:
        pole = assembly.parts[row]
        assert pole.lamp is not None
        for k, (name, glow) in enumerate(LIGHT_GLOW.items()):
            mesh = assembly.mesh(('switching lamp', k, arm), partial(light_lamp, k, arm))
            lamp = replace(pole.lamp, glow=glow, name=name)
            assembly.place(mesh, pole.local, lamp=lamp)
    return collect_lights(assembly, poles)


def _corners(layout: Layout, junction: Junction) -> Iterator[tuple[float, float, float, bool]]:
    """Yield x, y and turn in the junction's frame, and whether it is the main street's."""
    section = layout.section
    for end in (-1, 1):
        # Traffic along +x comes from end -1 and keeps to side -hand.
        side = end * section.hand
        y = side * (section.half(side) + 0.6)
        yield end * (junction.reach() + 0.4), y, 0.0 if end < 0 else np.pi, True
    for side in junction.sides:
        x = -section.hand * side * (junction.half + 0.6)
        y = side * (section.half(side) + junction.radius + 0.4)
        yield x, y, -side * np.pi / 2, False
