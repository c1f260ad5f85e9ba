"""Crops of simulated cars with their exact truth."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.geometry.windows import cell_places, cut_window, window_about
from sim_perception.models.shape import ShapePca, Surface
from sim_perception.simulator.simulation import CameraSample, Simulation, WorldState
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera
from training.datasets.objects.crops import CELL, CONTEXT, HEIGHT, WIDTH, Crop, encode_coordinates
from training.datasets.objects.label_scenes import cut_box
from training.datasets.objects.shapes import joined, sample_surface

F64 = npt.NDArray[np.float64]
Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.uint8]

_LAYERS = frozenset({'rgb', 'depth', 'instance'})
_LEAST_SIDE = 10.0
_LEAST_SEEN, _LEAST_VISIBILITY, _MOST_TRUNCATED = 40, 0.15, 0.6
_SURFACE_POINTS, _SURFACE_SIGMA, _DEEP = 1500, 0.04, -0.12
_SUB_BITS = 4


class SceneCrops:
    """Crops of one simulation's objects of a category.

    Args:
        simulation: the scene.
        model: the shape space that latents are of; its category is cropped.
        max_range: metres from the camera up to which objects are cropped.
    """

    def __init__(self, simulation: Simulation, model: ShapePca, max_range: float = 60.0) -> None:
        self.simulation, self.model, self.max_range = simulation, model, max_range
        self._class_id = load_taxonomy().id_of(model.config.category)
        self._surfaces: dict[int, Surface] = {}
        self._latents: dict[int, npt.NDArray[np.float32]] = {}

    def at(self, time: float) -> Iterator[Crop]:
        """Yield the crops of one moment."""
        simulation = self.simulation
        state = simulation.state(time)
        sample = simulation.camera_frame(time, _LAYERS)
        truth = simulation.object_truth(state, sample)
        world_T_camera = state.world_T_base @ simulation.base_T_camera
        for k in range(len(truth)):
            seen = truth.visibility[k] * truth.coverage[k]
            if truth.class_id[k] != self._class_id or truth.visibility[k] < _LEAST_VISIBILITY:
                continue
            if seen < _LEAST_SEEN or not np.isfinite(truth.box_amodal[k]).all():
                continue
            camera_T_box = invert(world_T_camera) @ truth.world_T_object[k]
            camera = simulation.camera
            box, truncated = cut_box(truth.box_amodal[k], camera.width, camera.height)
            small = (box[2:] - box[:2]).min() < _LEAST_SIDE
            if small or truncated > _MOST_TRUNCATED or camera_T_box[2, 3] > self.max_range:
                continue
            yield self._crop(state, sample, int(truth.row[k]), camera_T_box, box, {
                'size': truth.size[k].astype(np.float32),
                'occluded': np.float32(1 - truth.visibility[k]),
                'truncated': np.float32(truncated),
                'weight': np.float32(1),
            })  # fmt: skip

    def _crop(
        self,
        state: WorldState,
        sample: CameraSample,
        row: int,
        camera_T_box: F64,
        box: F64,
        facts: dict[str, np.ndarray | np.floating],
    ) -> Crop:
        camera, simulation = self.simulation.camera, self.simulation
        assert sample.rgb is not None
        assert sample.instance is not None
        assert sample.depth is not None
        body = body_size(facts['size'], self.model)
        window = window_about(box, WIDTH / HEIGHT, CONTEXT)
        raster = (WIDTH // CELL, HEIGHT // CELL)
        own = (sample.instance == simulation.objects.id[row]).astype(np.uint8)
        visible = cut_window(own, window, *raster, smooth=False, beyond=0)
        depth = cut_window(sample.depth, window, *raster, smooth=False, beyond=np.nan)
        shares = object_shares(camera, invert(camera_T_box), window, depth) / body
        camera_T_base = invert(simulation.base_T_camera)
        if row not in self._surfaces:
            self._surfaces[row] = self._surface(state, row)
            self._latents[row] = nearest_latent(self.model, self._surfaces[row], body, row)
        vertices = transform_points(camera_T_box, self._surfaces[row].vertices.astype(np.float64))
        amodal = silhouette_mask(camera, vertices, self._surfaces[row].faces, window, *raster)
        return {
            'image': cut_window(sample.rgb, window, WIDTH, HEIGHT),
            'visible': visible,
            'amodal': amodal | visible,
            'coordinates': encode_coordinates(np.where(visible[..., None] > 0, shares, 0)),
            'window': window.astype(np.float32),
            'box': box.astype(np.float32),
            'intrinsics': np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32),
            'camera_T_box': camera_T_box.astype(np.float32),
            'body_size': body.astype(np.float32),
            'angle': np.float32(observation_angle(camera_T_box, camera_T_base)),
            'latent': self._latents[row],
            **{name: np.asarray(value) for name, value in facts.items()},
        }

    def _surface(self, state: WorldState, row: int) -> Surface:
        """Return an object's mesh in its box's frame."""
        scene = self.simulation.scene
        box_T_world = invert(state.world_T_object[row])
        parts = []
        for number in np.flatnonzero(scene.instances.object == row):
            mesh = scene.assets.meshes[scene.instances.mesh[number]]
            pose = box_T_world @ state.world_T_instance[number]
            vertices = transform_points(pose, mesh.vertices.astype(np.float64))
            parts.append(Surface(vertices.astype(np.float32), mesh.faces))
        return joined(parts)


def body_size(size: npt.ArrayLike, model: ShapePca) -> F64:
    """Return length, width, height without mirrors of a box with them."""
    config = model.config
    length, width, height = np.asarray(size, np.float64)
    return np.array([length, (width - config.mirror_offset) / config.mirror_scale, height])


def observation_angle(camera_T_box: Array, camera_T_level: Array) -> float:
    """Return the angle from the line of sight to the x axis, to the right seen from above.

    Args:
        camera_T_box: pose in the optical frame.
        camera_T_level: of a frame with z up.
    """
    level_T_box = invert(camera_T_level) @ camera_T_box
    sight = level_T_box[:2, 3] - invert(camera_T_level)[:2, 3]
    turn = np.arctan2(sight[1], sight[0]) - np.arctan2(level_T_box[1, 0], level_T_box[0, 0])
    return float((turn + np.pi) % (2 * np.pi) - np.pi)


def object_shares(
    camera: Camera, box_T_camera: Array, window: F64, depth: npt.NDArray[np.floating]
) -> Array:
    """Return the (h, w, 3) places in a box's frame, metres, of a raster of depths."""
    places = cell_places(window, depth.shape[1], depth.shape[0])
    # The nearest pixel's depth belongs to that pixel's ray.
    rays = (np.rint(places) - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    points = np.concatenate([rays, np.ones_like(rays[..., :1])], -1) * depth[..., None]
    return transform_points(box_T_camera, points)


def silhouette_mask(
    camera: Camera, vertices: Array, faces: npt.NDArray[np.int32], window: F64, width: int,
    height: int,
) -> Mask:  # fmt: skip
    """Return the (height, width) mask of a mesh over a window, whatever hides it.

    Args:
        camera: an ideal pinhole.
        vertices: (V, 3) in the optical frame; faces with one nearer than .2 m are left out.
        faces: (F, 3).
        window: of the image.
        width, height: of the mask.
    """
    mask = np.zeros((height, width), np.uint8)
    ahead = vertices[:, 2] > 0.2
    depth = np.where(ahead, vertices[:, 2], 1.0)[:, None]
    pixels = vertices[:, :2] / depth * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    cell = np.array([(window[2] - window[0]) / width, (window[3] - window[1]) / height])
    cells = (pixels - window[:2]) / cell - 0.5
    shown = faces[ahead[faces].all(1)]
    corners = np.rint(np.clip(cells, -1e4, 1e4) * (1 << _SUB_BITS)).astype(np.int32)[shown]
    for triangle in corners:
        cv2.fillConvexPoly(mask, triangle, 1, shift=_SUB_BITS)
    return mask


def nearest_latent(
    model: ShapePca, surface: Surface, size: F64, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Return the (K,) latent whose surface is nearest to a mesh.

    Robust least squares of the distances at points of the mesh, which vanish on the surface;
    what lies deep inside (seats, sheets) or apart (mirrors) does not count.

    Args:
        model: the shape space.
        surface: in the box frame, metres.
        size: (3,) of the body.
        seed: of the points.
    """
    points, _ = sample_surface(surface, _SURFACE_POINTS, np.random.default_rng(seed))
    places = points * (np.array(model.config.mean_size) / size)
    value, slope = model.jacobian(places, np.zeros(model.config.components))
    latent = np.zeros(slope.shape[1])
    for _ in range(6):
        residual = value + slope @ latent
        weight = 1 / (1 + (residual / _SURFACE_SIGMA) ** 2) ** 2 * (residual > _DEEP)
        normal = slope.T @ (weight[:, None] * slope) + _SURFACE_SIGMA**2 * np.eye(len(latent))
        latent = np.linalg.solve(normal, -slope.T @ (weight * value))
    return np.clip(latent, -3, 3).astype(np.float32)
