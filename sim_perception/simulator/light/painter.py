"""From surfaces to an image in linear light: samples, shadows, mirrors, shading, outlines."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32, Scene, WorldState
from sim_perception.simulator.light.ambient import AmbientGrid, bake_ambient
from sim_perception.simulator.light.antialias import Antialiasing
from sim_perception.simulator.light.contact import ContactMap
from sim_perception.simulator.light.glow import add_glow
from sim_perception.simulator.light.lamps import LampMap
from sim_perception.simulator.light.look import make_look
from sim_perception.simulator.light.reflections import Mirrors
from sim_perception.simulator.light.shading import Surroundings, shade_samples
from sim_perception.simulator.light.shadows import Sunlight
from sim_perception.simulator.light.sky import HORIZON
from sim_perception.simulator.light.table import TINTED, TRANSLUCENCY
from sim_perception.simulator.light.weather import DROPS, add_rain, add_streaks
from sim_perception.simulator.surfaces.lens import Lens
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.surfaces.surface import Surface, compute_surface
from sim_perception.simulator.surfaces.tracing import make_tracer

#: How far ahead of the camera the contact map's middle lies, metres.
_AHEAD = 40.0


class Painter:
    """Paints one scene through one lens."""

    def __init__(
        self,
        scene: Scene,
        meshes: PackedMeshes,
        instances: PackedInstances,
        lens: Lens,
        workers: Workers,
    ) -> None:
        self._meshes, self._instances, self._lens = meshes, instances, lens
        self._workers = workers
        look = self._look = make_look(scene)
        self._tracer = make_tracer(meshes, instances, workers, motion=False)
        self._sunlight = Sunlight(look, meshes.material, scene.environment.sun_softness, workers)
        self._mirrors = Mirrors(
            meshes, instances, look.materials, look.mean_color, look.materials[:, TINTED].copy(),
            look.tint, look.light, look.clouds, workers,
        )  # fmt: skip
        self._contact = ContactMap(meshes, instances)
        environment = scene.environment
        self._lamps = LampMap(
            meshes, instances, look.materials, environment.lamps, environment.headlights
        )
        self._shutter = scene.sensor.shutter
        leafy = look.materials[:, TRANSLUCENCY].copy()
        self._antialiasing = Antialiasing(meshes, instances, leafy, workers)
        self._rain = scene.environment.rain
        self._ambient: tuple[F64, AmbientGrid] | None = None

    def paint(
        self,
        state: WorldState,
        world_T_camera: F64,
        camera_T_instance: F64,
        surface: Surface,
        numbers: I32,
    ) -> F32:
        """Return the (H, W, 3) float32 linear radiance of the image.

        Args:
            state: where everything is.
            world_T_camera: the camera's pose.
            camera_T_instance: (N, 3, 4) poses in the optical frame.
            surface: what the pixels see; it has room for further samples behind them.
            numbers: face numbers of the sub-samples.
        """
        camera = self._lens.camera
        pixels = camera.height * camera.width
        rays, plan = self._lens.rays, None
        if self._lens.factor > 1:
            plan = self._antialiasing.plan(numbers)
            rays = np.concatenate([rays, self._lens.sub_rays[plan.shaded]])
            extra = numbers.reshape(-1)[plan.shaded]
            surface = self._extend(surface, pixels, rays, extra, camera_T_instance)
        else:
            surface = surface.part(0, pixels)
        poses = np.ascontiguousarray(state.world_T_instance, np.float64)
        self._tracer.pose(poses)
        surroundings = self._surroundings(state, poses, world_T_camera, rays, surface)
        light = shade_samples(
            rays, surface, surroundings, world_T_camera, camera.fx, self._look, self._meshes,
            self._workers,
        )  # fmt: skip
        if state.glow is not None:
            add_glow(light, rays, surface, state.glow, self._look.light)
        if plan is None:
            image = light.reshape(camera.height, camera.width, 3)
        else:
            image = self._antialiasing.resolve(plan, light)
        sky = self._look.light[HORIZON : HORIZON + 3]
        seed = round(state.time * 1e6)
        if self._shutter:
            falling = world_T_camera[:3, :3].T @ (DROPS - state.base_velocity)
            add_streaks(image, self._rain, camera, falling, self._shutter, sky, seed)
        else:
            add_rain(image, self._rain, camera.fx, sky, seed)
        return image

    def _extend(
        self, surface: Surface, pixels: int, rays: F64, numbers: I32, camera_T_instance: F64
    ) -> Surface:
        """Return the surface of the pixels and of additional samples behind them."""
        longer = surface
        if len(surface.depth) < len(rays):
            longer = Surface.empty(len(rays))
            longer.copy_from(surface, pixels)
        longer = longer.part(0, len(rays))
        compute_surface(
            self._meshes, self._instances, camera_T_instance, rays[pixels:], numbers,
            longer.part(pixels, len(rays)), self._workers,
        )  # fmt: skip
        return longer

    def _surroundings(
        self, state: WorldState, poses: F64, world_T_camera: F64, rays: F64, surface: Surface
    ) -> Surroundings:
        size = (self._lens.camera.height, self._lens.camera.width)
        if self._look.sun_is_up:
            lit = self._sunlight.cast(rays, surface, world_T_camera, size, self._tracer)
        else:
            lit = np.zeros(len(rays), np.float32)
        ahead = world_T_camera[:2, 3] + _AHEAD * world_T_camera[:2, 2]
        contact, origin = self._contact.draw(poses, ahead)
        mirrored = self._mirrors.cast(rays, surface, world_T_camera, poses, self._tracer)
        pools = self._lamps.draw(poses, origin, state.world_T_base)
        return Surroundings(lit, mirrored, self._baked(poses), contact, origin, pools)

    def _baked(self, poses: F64) -> AmbientGrid:
        """Return the ambient grid, measured anew only if the background has changed."""
        background = poses[self._instances.object < 0]
        if self._ambient is None or not np.array_equal(self._ambient[0], background):
            grid = bake_ambient(self._meshes, self._instances, poses, self._tracer)
            self._ambient = (background, grid)
        return self._ambient[1]
