"""The camera: a scene and a world state become an image and its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import invert
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32, Scene, Sensor, WorldState
from sim_perception.simulator.light.painter import Painter
from sim_perception.simulator.sensors.dirty_lens import DirtyLens
from sim_perception.simulator.sensors.glare import add_glare
from sim_perception.simulator.sensors.isp import develop
from sim_perception.simulator.sensors.metering import Meter
from sim_perception.simulator.sensors.shutter import MOMENT, roll, smear
from sim_perception.simulator.surfaces.frustum import camera_poses
from sim_perception.simulator.surfaces.lens import make_lens
from sim_perception.simulator.surfaces.packing import pack_instances, packed_meshes
from sim_perception.simulator.surfaces.raster import Rasterizer
from sim_perception.simulator.surfaces.surface import Surface, compute_surface
from sim_perception.simulator.truth.flow import backward_flow
from sim_perception.simulator.truth.visibility import measure_visibility
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

#: Everything that can be asked for; visibility is always computed.
LAYERS = frozenset({'rgb', 'depth', 'semantic', 'instance', 'normals', 'flow'})

#: Width of the images that auto-exposure reads.
_METER_WIDTH = 64


@dataclass(frozen=True)
class CameraSample:
    """One rendered frame; layers that were not asked for are None.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 metres along the optical axis, NaN in the sky.
        semantic: (H, W) uint8 class ids of the taxonomy.
        instance: (H, W) uint16 object ids, 0 where there is no object.
        normals: (H, W, 3) float32 unit vectors in the optical frame, towards the camera; 0 in
            the sky.
        flow: (H, W, 3) float32 u, v, valid: from this frame's pixel to the place of the same
            surface point in the previous frame. Valid is 1 where that place was inside the
            image and not hidden.
        visibility: (M,) float32 seen fraction of every object's coverage in the image, 0 when
            outside or hidden.
        coverage: (M,) int32 pixels of every object if nothing hid it.
        box_amodal: (M, 4) float32 x1 y1 x2 y2 of the whole projected object, even beyond the
            image; NaN when behind the camera.
        box_visible: (M, 4) float32 of the seen pixels' centres; NaN when there are none.
    """

    rgb: npt.NDArray[np.uint8] | None
    depth: F32 | None
    semantic: npt.NDArray[np.uint8] | None
    instance: npt.NDArray[np.uint16] | None
    normals: F32 | None
    flow: F32 | None
    visibility: F32
    coverage: I32
    box_amodal: F32
    box_visible: F32


class Renderer:
    """Renders one scene through one camera.

    The same scene, state and camera give the same bytes for any number of threads and
    whatever was rendered before. One renderer must not be used from two threads at once.
    """

    def __init__(
        self, scene: Scene, camera: Camera, threads: int | None = None, seed: int = 0
    ) -> None:
        """Prepare buffers.

        Args:
            scene: what to render.
            camera: its size, intrinsics and distortion.
            threads: how many to use; None for all usable cores.
            seed: of the noise, beside the time.

        Raises:
            ValueError: for a scene with indices out of range or textures of a wrong shape.
        """
        self.scene, self.camera, self._seed = scene, camera, seed
        self._workers = Workers(threads)
        self._meshes = packed_meshes(scene.assets)
        self._instances = pack_instances(scene, self._meshes)
        self._lens = make_lens(camera, self._sub_samples(scene))
        self._rasterizer = Rasterizer(
            self._meshes, self._instances, self._lens.grid, self._lens.step,
            self._lens.weights(), self._workers,
        )  # fmt: skip
        self._painter = Painter(scene, self._meshes, self._instances, self._lens, self._workers)
        self._sky_id = load_taxonomy().id_of('sky')
        self._last: tuple[F64, F32] | None = None
        self._last_state: WorldState | None = None
        self._last_base_T_camera = np.zeros((4, 4))
        self._metering: Meter | None = None
        self._dirt: DirtyLens | None = None
        self._object_ids = np.append(scene.objects.id, 0).astype(np.uint16)

    def render(
        self,
        state: WorldState,
        base_T_camera: F64,
        *,
        layers: frozenset[str] = LAYERS,
        previous: WorldState | None = None,
        states: Callable[[float], WorldState] | None = None,
    ) -> CameraSample:
        """Render one frame.

        Args:
            state: where everything is.
            base_T_camera: (4, 4) pose of the optical frame in ``base_link``.
            layers: names out of ``LAYERS`` to compute.
            previous: the state of the previous frame, for flow; without it no flow is valid.
            states: where everything is at other times, seconds; motion blur, a rolling shutter
                and auto-exposure need it and are left out without it.

        Raises:
            ValueError: for an unknown layer or a state that does not fit the scene.
        """
        self._check(state, layers)
        world_T_camera = state.world_T_base @ base_T_camera
        poses = camera_poses(world_T_camera, state.world_T_instance)
        flow_base = self._previous_depth(previous, base_T_camera) if 'flow' in layers else None
        drawing = self._rasterizer.draw(poses)
        self._last = (poses, drawing.inverse_depth.copy())
        self._last_state, self._last_base_T_camera = state, base_T_camera.copy()
        sub_numbers = self._lens.take(drawing.numbers)
        factor = self._lens.factor
        numbers = np.ascontiguousarray(sub_numbers[::factor, ::factor]).reshape(-1)
        surface = Surface.empty(len(numbers))
        compute_surface(
            self._meshes, self._instances, poses, self._lens.rays, numbers, surface, self._workers
        )
        height, width = self.camera.height, self.camera.width
        owner = np.append(self._instances.object, -1)[surface.instance].astype(np.int32)
        counted = measure_visibility(
            self._meshes, self._instances, self._lens, poses, owner.reshape(height, width),
            drawing.coverage,
        )  # fmt: skip
        rgb = None
        if 'rgb' in layers:
            light = self._painter.paint(state, world_T_camera, poses, surface, sub_numbers)
            rgb = self._expose(light, state, base_T_camera, poses, surface, states)
        flow = None
        if 'flow' in layers:
            flow = self._flow(poses, world_T_camera, previous, base_T_camera, flow_base, surface)
        return CameraSample(
            rgb=rgb,
            depth=surface.depth.reshape(height, width) if 'depth' in layers else None,
            semantic=self._semantic(surface) if 'semantic' in layers else None,
            instance=(
                self._object_ids[owner].reshape(height, width) if 'instance' in layers else None
            ),
            normals=surface.normal.reshape(height, width, 3) if 'normals' in layers else None,
            flow=flow,
            visibility=counted.fraction,
            coverage=counted.coverage,
            box_amodal=counted.box_amodal,
            box_visible=counted.box_visible,
        )

    def radiance(self, state: WorldState, base_T_camera: F64) -> F32:
        """Return the (H, W, 3) linear radiance of a frame, before all that the sensor does."""
        world_T_camera = state.world_T_base @ base_T_camera
        poses = camera_poses(world_T_camera, state.world_T_instance)
        sub_numbers = self._lens.take(self._rasterizer.draw(poses).numbers)
        factor = self._lens.factor
        numbers = np.ascontiguousarray(sub_numbers[::factor, ::factor]).reshape(-1)
        surface = Surface.empty(len(numbers))
        compute_surface(
            self._meshes, self._instances, poses, self._lens.rays, numbers, surface, self._workers
        )
        return self._painter.paint(state, world_T_camera, poses, surface, sub_numbers)

    def _expose(
        self,
        light: F32,
        state: WorldState,
        base_T_camera: F64,
        poses: F64,
        surface: Surface,
        states: Callable[[float], WorldState] | None,
    ) -> npt.NDArray[np.uint8]:
        """Return the image that the sensor makes of the light."""
        sensor, gain = self.scene.sensor, 1.0
        if states is not None and (sensor.shutter or sensor.readout):
            earlier = states(state.time - MOMENT)
            velocity = self._velocity(state, earlier, base_T_camera, poses, surface)
            depth = np.nan_to_num(surface.depth, nan=np.inf).reshape(light.shape[:2])
            nearness = (1 / depth).astype(np.float32)
            if sensor.readout:
                light, velocity, nearness = roll(light, velocity, nearness, sensor.readout)
            if sensor.shutter:
                light = smear(light, velocity, nearness, sensor.shutter, self._workers)
        if states is not None and sensor.auto_exposure:
            gain = self._meter(states, base_T_camera).gain(state.time)
        if sensor.dirt or sensor.drops:
            light = self._dirty_lens().apply(light, state.time)
        if sensor.bloom or sensor.flare:
            light = add_glare(
                light, self.camera, sensor.exposure * gain, sensor.bloom, sensor.flare
            )
        seed = self._seed + round(state.time * 1e6)
        return develop(light, sensor, seed, self._workers, gain)

    def _velocity(
        self,
        state: WorldState,
        earlier: WorldState,
        base_T_camera: F64,
        poses: F64,
        surface: Surface,
    ) -> F32:
        """Return (H, W, 2) how fast what pixels show moves in the image, pixels per second."""
        old_T_world = invert(earlier.world_T_base @ base_T_camera)
        old_poses = camera_poses(earlier.world_T_base @ base_T_camera, earlier.world_T_instance)
        everything = np.zeros((1, 1), np.float32)
        flow = backward_flow(
            self._lens, surface, poses, old_poses,
            old_T_world @ state.world_T_base @ base_T_camera, everything, self._workers,
        )  # fmt: skip
        shape = (self.camera.height, self.camera.width, 2)
        elapsed = np.float32(earlier.time - state.time)
        return np.ascontiguousarray(flow[:, :2] / elapsed).reshape(shape)

    def _meter(self, states: Callable[[float], WorldState], base_T_camera: F64) -> Meter:
        if self._metering is None:
            camera = self.camera
            shrink = min(1.0, _METER_WIDTH / camera.width)
            width, height = round(camera.width * shrink), max(8, round(camera.height * shrink))
            small = Camera(
                width, height, camera.fx * shrink, camera.fy * shrink,
                (camera.cx + 0.5) * shrink - 0.5, (camera.cy + 0.5) * shrink - 0.5,
            )  # fmt: skip
            scene = replace(self.scene, sensor=Sensor())
            renderer = Renderer(scene, small, self._workers.threads)
            sensor = self.scene.sensor
            self._metering = Meter(
                lambda time: renderer.radiance(states(time), base_T_camera),
                sensor.auto_exposure, sensor.metering,
            )  # fmt: skip
        return self._metering

    def _dirty_lens(self) -> DirtyLens:
        if self._dirt is None:
            sensor = self.scene.sensor
            self._dirt = DirtyLens(
                self.camera.width, self.camera.height, sensor.dirt, sensor.drops, sensor.lens_seed
            )
        return self._dirt

    @staticmethod
    def _sub_samples(scene: Scene) -> int:
        factor = scene.sensor.supersampling
        if factor not in (1, 2):
            raise ValueError(f'sensor.supersampling must be 1 or 2, got {factor}')
        return factor

    def _check(self, state: WorldState, layers: frozenset[str]) -> None:
        unknown = set(layers) - LAYERS
        if unknown:
            raise ValueError(f'unknown layers {sorted(unknown)}; known: {sorted(LAYERS)}')
        expected = (len(self._instances.mesh), 4, 4)
        if state.world_T_instance.shape != expected:
            raise ValueError(
                f'state.world_T_instance has shape {state.world_T_instance.shape}, the scene '
                f'needs {expected}; was the state made by another scene?'
            )

    def _previous_depth(
        self, previous: WorldState | None, base_T_camera: F64
    ) -> tuple[F64, F32] | None:
        """Return the previous frame's poses and inverse depth, drawn anew if not at hand."""
        if previous is None:
            return None
        same_place = np.array_equal(base_T_camera, self._last_base_T_camera)
        if previous is self._last_state and same_place:
            return self._last
        world_T_camera = previous.world_T_base @ base_T_camera
        poses = camera_poses(world_T_camera, previous.world_T_instance)
        if self._last is None or not np.array_equal(self._last[0], poses):
            return poses, self._rasterizer.draw(poses).inverse_depth.copy()
        return self._last

    def _flow(
        self,
        poses: F64,
        world_T_camera: F64,
        previous: WorldState | None,
        base_T_camera: F64,
        base: tuple[F64, F32] | None,
        surface: Surface,
    ) -> F32:
        height, width = self.camera.height, self.camera.width
        if previous is None or base is None:
            return np.zeros((height, width, 3), np.float32)
        previous_T_camera = invert(previous.world_T_base @ base_T_camera) @ world_T_camera
        flow = backward_flow(
            self._lens, surface, poses, base[0], previous_T_camera, base[1], self._workers
        )
        return flow.reshape(height, width, 3)

    def _semantic(self, surface: Surface) -> npt.NDArray[np.uint8]:
        # Face -1 of the sky picks the last entry.
        table = np.append(self._meshes.semantic, np.uint8(self._sky_id))
        return table[surface.face].reshape(self.camera.height, self.camera.width)
