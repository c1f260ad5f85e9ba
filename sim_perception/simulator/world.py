"""A scenario's world: built once from its seed, then a pure function of time."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.assembly import Assembly, ObjectSpec, planar_pose
from sim_perception.simulator.materials import Look, Slot, build_materials
from sim_perception.simulator.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.motion import Motion, Paths
from sim_perception.simulator.posing import Poser
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.scene import Assets, Mesh, Scene, WorldState
from sim_perception.simulator.sensors import draw, draw_environment, draw_sensor, stream
from sim_perception.taxonomy import load_taxonomy


class World:
    """Content and motion of one scenario.

    Attributes:
        scene: everything that does not change.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._period = 1.0 / scenario.frame_rate_hz
        self._duration = scenario.duration_s
        environment = draw_environment(scenario)
        rng = stream(scenario, 'look')
        season = scenario.weather.season[int(rng.integers(len(scenario.weather.season)))]
        look = Look(
            scenario.domain,
            season,
            scenario.randomisation.color,
            scenario.randomisation.texture,
            environment.lamps > 0.3,
        )
        materials, textures = build_materials(look, rng)
        assembly = Assembly()
        paths, motion = _street(scenario, assembly)
        self.scene = Scene(
            Assets(tuple(assembly.meshes), materials, textures),
            assembly.instances(),
            assembly.object_facts(),
            environment,
            draw_sensor(scenario),
        )
        self._poser = Poser(assembly, paths, np.arange(motion.s.shape[1]), motion)

    def state(self, t: float) -> WorldState:
        """Return where everything is at ``t`` seconds.

        Raises:
            ValueError: for a time before -frame_period or after the duration.
        """
        tolerance = 1e-6
        if not -self._period - tolerance <= t <= self._duration + tolerance:
            raise ValueError(
                f'time {t:g} s lies outside the scenario; it lasts from {-self._period:g} '
                f'to {self._duration:g} s'
            )
        return self._poser.state(t)


def _plane(builder: MeshBuilder, x0, x1, y0, y1, z, slot, name, texel=4.0) -> None:  # type: ignore[no-untyped-def]
    taxonomy = load_taxonomy()
    x, y = np.meshgrid(np.linspace(x0, x1, 2), np.linspace(y0, y1, 2), indexing='ij')
    v = np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3)
    builder.add(v, grid_faces(2, 2)[:, ::-1], slot, uv=v[:, :2] / texel,
                normals=np.tile([0, 0, 1.0], (4, 1)), semantic=taxonomy.id_of(name))


def _car() -> Mesh:
    b = MeshBuilder(load_taxonomy().id_of('car'))
    b.box((0, 0, 0.6), (4.4, 1.8, 0.7), Slot.PAINT, bottom=True)
    b.box((-0.3, 0, 1.2), (2.4, 1.6, 0.5), Slot.GLASS)
    b.box((-0.3, 0, 1.46), (2.2, 1.5, 0.04), Slot.PAINT)
    return b.build()


def _wheel() -> Mesh:
    b = MeshBuilder(load_taxonomy().id_of('car'))
    b.tube(np.array([[0, -0.1, 0], [0, 0.1, 0]]), 0.32, Slot.TYRE, sides=16)
    return b.build()


def _street(scenario: Scenario, assembly: Assembly) -> tuple[Paths, Motion]:
    taxonomy = load_taxonomy()
    rng = stream(scenario, 'street')
    ids = taxonomy.id_of
    for k in range(12):
        b = MeshBuilder()
        x0, x1 = -60 + 30 * k, -30 + 30 * k
        _plane(b, x0, x1, -6, 6, 0, Slot.ASPHALT, 'road')
        for x in np.arange(x0, x1, 6.0):
            _plane(b, x, x + 3, -0.07, 0.07, 0.005, Slot.MARKING, 'road')
        for s in (-1, 1):
            _plane(b, x0, x1, *sorted((s * 6, s * 9)), 0.14, Slot.SIDEWALK, 'sidewalk')
            _plane(b, x0, x1, *sorted((s * 9, s * 60)), 0.1, Slot.GRASS, 'terrain')
            b.box(((x0 + x1) / 2, s * 6.1, 0.07), (30, 0.2, 0.15), Slot.CURB, semantic=ids('sidewalk'))
            w, h = rng.uniform(12, 26), rng.choice([6.0, 9.0, 12.0, 15.0])
            b.box(((x0 + x1) / 2, s * (11 + 6), h / 2), (w, 12, h), Slot.FACADE_0 + int(rng.integers(12)),
                  texel=12.0, semantic=ids('building'))
            b.tube(np.array([[x0 + 5, s * 6.6, 0.1], [x0 + 5, s * 6.6, 7.0]]), 0.08, Slot.METAL, semantic=ids('pole'))
            b.tube(np.array([[x0 + 15, s * 7, 0.1], [x0 + 15, s * 7, 3.5]]), 0.15, Slot.BARK_0, semantic=ids('vegetation'))
            b.box((x0 + 15, s * 7, 4.5), (3, 3, 3), Slot.LEAF_0, semantic=ids('vegetation'), bottom=True)
        assembly.place(assembly.add_mesh(b.build()), np.eye(4))
    car, wheel = assembly.mesh('car', _car), assembly.mesh('wheel', _wheel)
    lines, start, speed = [], [], []
    for k in range(14):
        moving, side = k % 2 == 0, -1 if k % 4 < 2 else 1
        x = 12 + 9.0 * k
        spec = ObjectSpec(ids('car'), 'sedan', (4.4, 1.8, 1.23), 1400.0, 0.25 + 1.23 / 2,
                          planar_pose(x, side * 4.8, 0, 0 if side < 0 else np.pi))
        if moving:
            spec.mover = len(lines)
            line = np.array([[-60.0, side * 1.8, 0], [2000.0, side * 1.8, 0]])
            if side > 0:
                line = line[::-1]
            line = np.stack([np.linspace(line[0, i], line[1, i], 8000) for i in range(3)], -1)
            lines.append(line)
            start.append(x + 60 if side < 0 else 2000 - x)
            speed.append(8.0 if side < 0 else 10.0)
        row = assembly.add_object(spec)
        tint = rng.uniform(0.05, 0.7, 3)
        assembly.attach(row, car, tint=(float(tint[0]), float(tint[1]), float(tint[2])))
        for wx in (-1.35, 1.35):
            for wy in (-0.8, 0.8):
                assembly.attach(row, wheel, planar_pose(wx, wy, 0.32), joint='steered' if wx > 0 else 'wheel', parameter=0.32)
    lines.append(np.stack([np.linspace(-60, 2000, 8000), np.full(8000, -1.8), np.zeros(8000)], -1))
    start.append(60.0)
    speed.append(draw(stream(scenario, 'ego'), scenario.ego.speed_kmh) / 3.6)
    v = np.array(speed)
    n = int((scenario.duration_s + 3) / 0.1) + 2
    t = -2 + 0.1 * np.arange(n)
    s = np.array(start) + t[:, None] * v
    return Paths(lines), Motion(-2.0, 0.1, s, np.tile(v, (n, 1)), np.zeros_like(s))
