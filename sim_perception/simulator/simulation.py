"""The simulator's front: a scenario in, states, images, clouds and truth out."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sim_perception.compile_ahead import compile_ahead
from sim_perception.simulator.common.scene import Objects, Scene, WorldState
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.sensors.camera import LAYERS, CameraSample, Renderer
from sim_perception.simulator.sensors.lidar import Lidar, LidarScan
from sim_perception.simulator.sensors.lidar_models import lidar_spec
from sim_perception.simulator.sensors.onward import BodyView
from sim_perception.simulator.street.carried import (
    CarriedCamera,
    CarriedLidar,
    carried_cameras,
    carried_lidars,
)
from sim_perception.simulator.street.draws import lidar_pose
from sim_perception.simulator.truth.annotations import (
    LightTruth,
    ObjectTruth,
    light_truth,
    object_truth,
)
from sim_perception.simulator.world.fleet import ego_body
from sim_perception.simulator.world.replay import ReplayWorld
from sim_perception.simulator.world.world import World
from sim_perception.types import Camera

__all__ = [
    'CameraSample', 'Lidar', 'LidarScan', 'LightTruth', 'ObjectTruth', 'Simulation', 'WorldState',
]  # fmt: skip

F64 = npt.NDArray[np.float64]
Carried = TypeVar('Carried', CarriedCamera, CarriedLidar)

_KEPT_STATES = 8


class Simulation:
    """One scene with its sensors; every output is a pure function of scenario and time.

    ``base_link`` lies on the ground under the ego vehicle's centre, x forward. ``map``,
    ``odom`` and the world are the same frame.

    Args:
        scenario: what to simulate.
        threads: for rendering; None takes the engine's default. Outputs do not depend on it.

    Attributes:
        scenario: as given.
        scene: meshes, materials, instances, objects, light.
        cameras, lidars: the vehicle's sensors by name, the first one first.
        camera: intrinsics of the first camera.
        base_T_camera: 4x4, maps its optical-frame points to ``base_link``.
        base_T_lidar: 4x4, maps points of the first LiDAR to ``base_link``.
        lidar_spec: the first LiDAR's beams, or None without a LiDAR.
        objects: static facts of all labelled objects.
        frame_period: seconds between frames of the scenario.
    """

    def __init__(self, scenario: Scenario, threads: int | None = None) -> None:
        compile_ahead(__package__)
        self.scenario = scenario
        self._threads = threads
        self._world: World | ReplayWorld = (
            World(scenario) if scenario.replay is None else ReplayWorld(scenario)
        )
        self.scene: Scene = self._world.scene
        self.objects: Objects = self.scene.objects
        self.cameras = {c.stream.name: c for c in carried_cameras(scenario)}
        self.lidars = {item.stream.name: item for item in carried_lidars(scenario)}
        first = next(iter(self.cameras.values()))
        self.camera: Camera = first.camera
        self.base_T_camera = first.base_T_camera
        lidar = next(iter(self.lidars.values()), None)
        self.base_T_lidar = lidar_pose(scenario) if lidar is None else lidar.base_T_lidar
        self.lidar_spec = None if lidar is None else lidar_spec(lidar.mount, lidar.model)
        self.frame_period = 1.0 / scenario.frame_rate_hz
        self._states: dict[float, WorldState] = {}
        self._renderers: dict[str, Renderer] = {}
        self._scanners: dict[str, Lidar] = {}

    def state(self, t: float) -> WorldState:
        """Return where everything is at ``t`` seconds, -frame_period <= t <= duration.

        Raises:
            ValueError: for a time outside the scenario.
        """
        known = self._states.get(t)
        if known is None:
            # A frame, its flow, its truth and the next frame's flow ask for the same moments.
            while len(self._states) >= _KEPT_STATES:
                del self._states[next(iter(self._states))]
            known = self._states[t] = self._world.state(t)
        return known

    def base_pose(self, t: float) -> F64:
        """Return ``world_T_base`` of the state at ``t`` seconds, without the cost of the rest."""
        known = self._states.get(t)
        return self._world.base(t) if known is None else known.world_T_base

    def camera_frame(
        self, t: float, layers: frozenset[str] = LAYERS, camera: str | None = None
    ) -> CameraSample:
        """Render a camera at ``t``; flow points to its frame one period earlier.

        Args:
            t: seconds.
            layers: names out of ``LAYERS``.
            camera: name of one of ``cameras``; None is the first.

        Raises:
            ValueError: for a camera that the vehicle does not have.
        """
        carried = _named('camera', camera, self.cameras)
        previous = None
        # Stamps are whole nanoseconds: this is the very time of the frame before.
        before = round((t - carried.stream.period) * 1e9) * 1e-9
        # The first image of a camera that is slower than the scenario has none before it.
        if 'flow' in layers and before >= -self.frame_period - 1e-9:
            previous = self.state(before)
        return self._renderer(carried).render(
            self.state(t),
            carried.base_T_camera,
            layers=layers,
            previous=previous,
            states=self.state,
        )

    def _renderer(self, carried: CarriedCamera) -> Renderer:
        name = carried.stream.name
        if name not in self._renderers:
            scene = self.scene
            if self.scenario.sensors:
                scene = replace(scene, sensor=carried.sensor)
            self._renderers[name] = Renderer(scene, carried.camera, self._threads, carried.seed)
        return self._renderers[name]

    def lidar_scan(self, t: float, lidar: str | None = None) -> LidarScan:
        """Measure one turn of a LiDAR that starts at ``t``.

        Args:
            t: seconds.
            lidar: name of one of ``lidars``; None is the first.

        Raises:
            ValueError: if the vehicle has none, or none of that name.
        """
        if not self.lidars:
            raise ValueError(
                f'scenario {self.scenario.name!r} has no LiDAR; set its `lidar` field'
            )
        carried = _named('lidar', lidar, self.lidars)
        # Every turn draws its own noise; microseconds tell turns apart.
        key = [self.scenario.seed, round(t * 1e6) & 0xFFFFFFFF]
        seed = np.random.SeedSequence([*key, carried.seed] if carried.seed else key)
        return self._scanner(carried).scan(
            self.state(t), carried.base_T_lidar, int(seed.generate_state(1)[0])
        )

    def _scanner(self, carried: CarriedLidar) -> Lidar:
        name = carried.stream.name
        if name not in self._scanners:
            spec, body = lidar_spec(carried.mount, carried.model), None
            if carried.mount.ego_body:
                body = BodyView(ego_body(self.scenario, self.scene), carried.base_T_lidar)
            self._scanners[name] = Lidar(self.scene, spec, self._threads, body)
        return self._scanners[name]

    def warm_up(self) -> None:
        """Compile everything that frames and scans need; takes long where it never ran before."""
        for name in self.cameras:
            self.camera_frame(0.0, camera=name)
        for name in self.lidars:
            self.lidar_scan(0.0, lidar=name)

    def object_truth(self, state: WorldState, sample: CameraSample) -> ObjectTruth:
        """Return the truth of every object within the scenario's range, hidden or not."""
        return object_truth(
            self.objects,
            state,
            self.scenario.truth_range_m,
            visibility=sample.visibility,
            box_amodal=sample.box_amodal,
            box_visible=sample.box_visible,
            coverage=sample.coverage,
        )

    def light_truth(self, state: WorldState) -> LightTruth | None:
        """Return every traffic light's truth in range; None in scenarios without ``signals``."""
        if self.scene.lights is None:
            return None
        return light_truth(self.scene.lights, state, self.scenario.truth_range_m)


def _named(kind: str, name: str | None, carried: dict[str, Carried]) -> Carried:
    """Return the sensor of a name, the first one without."""
    if name is None:
        return next(iter(carried.values()))
    if name not in carried:
        raise ValueError(f'the vehicle has no {kind} {name!r}; it has {", ".join(carried)}')
    return carried[name]
