"""What stands beside the road, roughly: depth images of a few places as textured meshes.

Every key view's depth becomes a sheet that is cut where depth jumps. Later views come nearer and
know better: a piece of an earlier sheet is dropped where a later view sees it or sees through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from sim_perception.geometry.cameras import pixel_rays, project
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.simulator.drive import TEXTURED, DrivePart
from sim_perception.simulator.meshes.builder import grid_faces
from sim_perception.simulator.scene import Mesh
from sim_perception.simulator.textures import SIZE
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

_COLUMNS = 220
"""Cells of a sheet across the image."""
_JUMP = 0.25
"""Neighbours whose depths differ by a greater share are not joined."""
_AGREE = 0.15
_FARTHEST = 150.0
_UP = 0.7


@dataclass(frozen=True)
class StandingView:
    """A view without what moves.

    Attributes:
        image: (H, W, 3) RGB.
        camera: an ideal pinhole.
        world_T_camera: 4x4.
        depth: (H, W) metres; inf in the sky, NaN where unknown.
        semantic: (H, W) class ids.
        ground: (H, W) whether a pixel shows the ground.
        measured: (H, W) metres, NaN where not measured: the LiDAR's, else ``depth`` itself.
    """

    image: npt.NDArray[np.uint8]
    camera: Camera
    world_T_camera: Array
    depth: npt.NDArray[np.float32]
    semantic: npt.NDArray[np.uint8]
    ground: Mask
    measured: npt.NDArray[np.float32]


def standing_view(
    image: npt.NDArray[np.uint8],
    camera: Camera,
    world_T_camera: Array,
    depth: npt.NDArray[np.float32],
    semantic: npt.NDArray[np.uint8],
    moving: Mask,
    ground_ids: Sequence[int],
    lidar: npt.NDArray[np.float32] | None = None,
) -> StandingView:
    """Return a view whose moving things are painted over by what is beside and behind them."""
    sky = semantic == load_taxonomy().id_of('sky')
    depth = np.where(sky, np.inf, depth).astype(np.float32)
    ground = np.isin(semantic, ground_ids) & ~moving
    unknown = moving | np.isnan(depth)
    # The ground is a mesh of its own; in the holes it hides what is painted too low.
    source = ~unknown & ~ground
    if source.any() and unknown.any():
        rows, columns = distance_transform_edt(
            ~source, return_distances=False, return_indices=True
        )
        hole = unknown & ~ground
        spots = rows[hole], columns[hole]
        depth, semantic, image = depth.copy(), semantic.copy(), image.copy()
        depth[hole], semantic[hole], image[hole] = depth[spots], semantic[spots], image[spots]
    scanned = lidar is not None and np.isfinite(lidar).any()
    measured = lidar if scanned and lidar is not None else depth
    return StandingView(image, camera, world_T_camera, depth, semantic, ground, measured)


def surroundings(
    views: Sequence[StandingView],
) -> tuple[list[DrivePart], list[npt.NDArray[np.uint8]]]:
    """Return one part per view, in order, and their textures; views that add nothing have none.

    Textures are the views' own images: what light did to them is for the caller to take out.
    """
    parts: list[DrivePart] = []
    textures: list[npt.NDArray[np.uint8]] = []
    for k, view in enumerate(views):
        mesh = sheet(view, views[k + 1 :])
        if mesh is None:
            continue
        origin = mesh.vertices.mean(0).astype(np.float64)
        # Contact shadows and sky openness are looked up about a mesh's frame.
        vertices = mesh.vertices - origin.astype(np.float32)
        moved = Mesh(**{**vars(mesh), 'vertices': vertices})
        x, y, z = (float(v) for v in origin)
        parts.append(DrivePart((x, y, z), moved, len(textures)))
        textures.append(cv2.resize(view.image, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return parts, textures


def sheet(view: StandingView, later: Sequence[StandingView]) -> Mesh | None:
    """Return a view's mesh in the world, without what later views know better; None if empty."""
    height, width = view.depth.shape
    step = max(2, round(width / _COLUMNS))
    columns = np.append(np.arange(0, width - 1, step), width - 1)
    rows = np.append(np.arange(0, height - 1, step), height - 1)
    at = np.ix_(rows, columns)
    depth = view.depth[at]
    usable = np.isfinite(depth) & (depth < _FARTHEST) & ~view.ground[at]
    rays = pixel_rays(view.camera)[at]
    with np.errstate(invalid='ignore'):
        points = transform_points(view.world_T_camera, rays * depth[..., None])
    faces = grid_faces(len(rows), len(columns)).reshape(-1, 3)
    # The winding of a grid seen by its camera: rows go down, so the front is the other side.
    faces = faces[:, ::-1]
    corners = depth.ravel()[faces]
    with np.errstate(invalid='ignore', divide='ignore'):
        joined = corners.max(1) < (1 + _JUMP) * corners.min(1)
    good = usable.ravel()[faces].all(1) & joined
    places = points.reshape(-1, 3)
    middles = places[faces].mean(1)
    for other in later:
        good[good] &= ~_known_better(other, middles[good])
    faces = faces[good]
    if not len(faces):
        return None
    used, corner = np.unique(faces, return_inverse=True)
    triangles = np.ascontiguousarray(corner.reshape(-1, 3), np.int32)
    places = places[used]
    u, v = np.meshgrid((columns + 0.5) / width, (rows + 0.5) / height)
    uv = np.stack([u, v], -1).reshape(-1, 2)[used]
    semantic = view.semantic[at].ravel()[used[triangles[:, 0]]]
    return Mesh(
        vertices=places.astype(np.float32),
        faces=triangles,
        normals=_towards(view.world_T_camera[:3, 3], places).astype(np.float32),
        uv=uv.astype(np.float32),
        material=np.full(len(triangles), TEXTURED, np.int32),
        semantic=semantic.astype(np.uint8),
        occlusion=np.ones(len(places), np.float32),
    )


def _known_better(view: StandingView, points: Array) -> Mask:
    """Return which points a view sees itself, or sees through."""
    seen = transform_points(invert(view.world_T_camera), points)
    uv, depth = project(view.camera, seen)
    pixel = np.rint(np.nan_to_num(uv, nan=-1.0)).astype(int)
    size = np.array([view.camera.width, view.camera.height])
    inside = ((pixel >= 0) & (pixel < size)).all(1) & (depth > 0.5)
    known = np.full(len(points), np.nan)
    known[inside] = view.depth[pixel[inside, 1], pixel[inside, 0]]
    with np.errstate(invalid='ignore'):
        return depth < known * (1 + _AGREE)


def _towards(place: Array, points: Array) -> Array:
    """Return (N, 3) unit normals that look at a place, and up a little.

    The sheets are too rough for normals of their own: their images hold the shading.
    """
    way = place[:2] - points[:, :2]
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
    normals = np.concatenate([way, np.full((len(way), 1), _UP)], 1)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)
