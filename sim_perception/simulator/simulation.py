"""The simulator's front: a scenario in, states, images, clouds and truth out."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from sim_perception.compile_ahead import compile_ahead
from sim_perception.simulator.common.scene import Objects, Scene, WorldState
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.sensors.camera import LAYERS, CameraSample, Renderer
from sim_perception.simulator.sensors.lidar import Lidar, LidarScan, LidarSpec
from sim_perception.simulator.street.draws import draw_camera, lidar_pose
from sim_perception.simulator.truth.annotations import ObjectTruth, object_truth
from sim_perception.simulator.world.replay import ReplayWorld
from sim_perception.simulator.world.world import World
from sim_perception.types import Camera

__all__ = ['CameraSample', 'Lidar', 'LidarScan', 'ObjectTruth', 'Simulation', 'WorldState']

F64 = npt.NDArray[np.float64]


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
        camera: intrinsics drawn for this seed.
        base_T_camera: 4x4, maps optical-frame points to ``base_link``.
        base_T_lidar: 4x4, maps LiDAR-frame points to ``base_link``.
        lidar_spec: the LiDAR's beams, or None without a LiDAR.
        objects: static facts of all labelled objects.
        frame_period: seconds between camera frames.
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
        self.camera: Camera
        self.camera, self.base_T_camera = draw_camera(scenario)
        self.base_T_lidar = lidar_pose(scenario)
        self.lidar_spec = _lidar_spec(scenario)
        self.frame_period = 1.0 / scenario.frame_rate_hz

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.scene, self.camera, self._threads)

    @cached_property
    def _lidar(self) -> Lidar:
        if self.lidar_spec is None:
            raise ValueError(
                f'scenario {self.scenario.name!r} has no LiDAR; set its `lidar` field'
            )
        return Lidar(self.scene, self.lidar_spec, self._threads)

    def state(self, t: float) -> WorldState:
        """Return where everything is at ``t`` seconds, -frame_period <= t <= duration.

        Raises:
            ValueError: for a time outside the scenario.
        """
        return self._world.state(t)

    def camera_frame(self, t: float, layers: frozenset[str] = LAYERS) -> CameraSample:
        """Render the camera at ``t``; flow points to the frame one period earlier."""
        previous = self.state(t - self.frame_period) if 'flow' in layers else None
        return self._renderer.render(
            self.state(t), self.base_T_camera, layers=layers, previous=previous
        )

    def lidar_scan(self, t: float) -> LidarScan:
        """Measure one LiDAR turn that starts at ``t``.

        Raises:
            ValueError: if the scenario has no LiDAR.
        """
        # Every turn draws its own noise; microseconds tell turns apart.
        seed = np.random.SeedSequence([self.scenario.seed, round(t * 1e6) & 0xFFFFFFFF])
        return self._lidar.scan(self.state(t), self.base_T_lidar, int(seed.generate_state(1)[0]))

    def warm_up(self) -> None:
        """Compile everything that frames and scans need; takes long where it never ran before."""
        self.camera_frame(0.0)
        if self.lidar_spec is not None:
            self.lidar_scan(0.0)

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


def _lidar_spec(scenario: Scenario) -> LidarSpec | None:
    mount = scenario.lidar
    if mount is None:
        return None
    return LidarSpec(
        rings=mount.rings,
        columns=mount.columns,
        rate_hz=mount.rate_hz,
        fov_up_deg=mount.fov_up_deg,
        fov_down_deg=mount.fov_down_deg,
        max_range=mount.max_range_m,
        range_noise=mount.range_noise_m,
    )
