"""What stands beside the road, roughly: depth images of a few places as textured meshes.

Every key view's depth becomes a sheet that is cut where depth jumps. Of a thing that several
views see only the last one's piece stays, for that view was the nearest. All views vote on every
piece: it is dropped if more of them see through it than see it. So one view's wrong sky or wrong
depth makes no hole, and vehicles without a label stay if they stood.
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
from sim_perception.simulator.catalogue import TEXTURE_SIZE, Mesh, grid_faces
from sim_perception.simulator.drive import TEXTURED, DrivePart
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

_COLUMNS = 300
"""Cells of a sheet across the image."""
_JUMP = 0.25
"""Neighbours whose depths differ by a greater share are not joined."""
_AGREE = 0.25
_WINDOW, _LEAST_CELLS = 5, 30
_FARTHEST = 150.0
_MIXED = 1
"""Width of the rim of the sky whose colours are mixed with others', pixels."""
_UP = 0.7
_REACH = 0.12
"""What is hidden is painted with what is at most so far beside it, in widths of the image."""
_BEFORE = 0.9
"""What is painted is no nearer than this share of the depth of what hides it."""
VEHICLES = ('car', 'truck')
"""Things that may have stood: a view alone does not prove it."""


@dataclass(frozen=True)
class StandingView:
    """A view without what moves.

    Attributes:
        image: (H, W, 3) RGB.
        camera: an ideal pinhole.
        world_T_camera: 4x4.
        depth: (H, W) metres; inf in the sky, NaN where unknown.
        seen: (H, W) whether ``depth`` was seen, not painted over something.
        semantic: (H, W) class ids.
        ground: (H, W) whether a pixel shows the ground.
        measured: (H, W) metres, NaN where not measured: the LiDAR's, else ``depth`` itself.
    """

    image: npt.NDArray[np.uint8]
    camera: Camera
    world_T_camera: Array
    depth: npt.NDArray[np.float32]
    seen: Mask
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
    """Return a view whose moving things are painted over by what is beside and behind them.

    Where nothing near is behind them, what they hide stays unknown.
    """
    sky = semantic == load_taxonomy().id_of('sky')
    depth = np.where(sky, np.inf, depth).astype(np.float32)
    # Above the horizon there is no ground, whatever a network says.
    falling = (pixel_rays(camera) @ world_T_camera[:3, :3].T)[..., 2] < 0
    ground = np.isin(semantic, ground_ids) & ~moving & falling
    unknown = moving | np.isnan(depth)
    # The ground is a mesh of its own; in the holes it hides what is painted too low.
    source = ~unknown & ~ground
    if source.any() and unknown.any():
        way, (rows, columns) = distance_transform_edt(~source, return_indices=True)
        hole = unknown & ~ground
        spots = rows[hole], columns[hole]
        hidden_by = np.where(np.isnan(depth[hole]), 0.0, depth[hole])
        usable = (way[hole] < _REACH * camera.width) & (depth[spots] > _BEFORE * hidden_by)
        depth, semantic, image = depth.copy(), semantic.copy(), image.copy()
        depth[hole] = np.where(usable, depth[spots], np.nan)
        semantic[hole], image[hole] = semantic[spots], image[spots]
    scanned = lidar is not None and np.isfinite(lidar).any()
    measured = lidar if scanned and lidar is not None else depth
    return StandingView(image, camera, world_T_camera, depth, ~unknown, semantic, ground, measured)


def surroundings(
    views: Sequence[StandingView], witnesses: Sequence[StandingView] = ()
) -> tuple[list[DrivePart], list[npt.NDArray[np.uint8]]]:
    """Return one part per view, in order, and their textures; views that add nothing have none.

    ``witnesses`` are further views that vote on what the others saw.

    Textures are the views' own images: what light did to them is for the caller to take out.
    """
    parts: list[DrivePart] = []
    textures: list[npt.NDArray[np.uint8]] = []
    for k, view in enumerate(views):
        mesh = sheet(view, views[k + 1 :], [*views[:k], *witnesses])
        if mesh is None:
            continue
        origin = mesh.vertices.mean(0).astype(np.float64)
        # Contact shadows and sky openness are looked up about a mesh's frame.
        vertices = mesh.vertices - origin.astype(np.float32)
        moved = Mesh(**{**vars(mesh), 'vertices': vertices})
        x, y, z = (float(v) for v in origin)
        parts.append(DrivePart((x, y, z), moved, len(textures)))
        picture = without_sky(view)
        textures.append(
            cv2.resize(picture, (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_AREA)
        )
    return parts, textures


def without_sky(view: StandingView) -> npt.NDArray[np.uint8]:
    """Return a view's image with what is before the sky drawn on over it.

    Else the edges of trees and roofs would have a bright rim, a mixture with the sky.
    """
    rim = np.ones((2 * _MIXED + 1, 2 * _MIXED + 1), np.uint8)
    sky = cv2.dilate(np.isinf(view.depth).astype(np.uint8), rim).astype(bool)
    if sky.all() or not sky.any():
        return view.image
    rows, columns = distance_transform_edt(sky, return_distances=False, return_indices=True)
    return view.image[rows, columns]


def sheet(
    view: StandingView,
    later: Sequence[StandingView],
    witnesses: Sequence[StandingView] = (),
) -> Mesh | None:
    """Return a view's mesh in the world, without what others know better; None if empty.

    Args:
        view: what is drawn.
        later: views whose own sheets show what they see, and which vote.
        witnesses: others that only vote; those from the view's own place have no say.
    """
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
    vehicles = [load_taxonomy().id_of(name) for name in VEHICLES]
    doubtful = np.isin(view.semantic[at].ravel()[faces[:, 0]], vehicles)
    shown = np.zeros(len(faces), bool)
    votes = np.zeros(len(faces), np.float32)
    for other in later:
        judged = _judged(other, middles[good])
        shown[good] |= judged > 0
        votes[good] += judged
    for other in witnesses:
        if not np.array_equal(other.world_T_camera, view.world_T_camera):
            votes[good] += _judged(other, middles[good])
    cells = (len(rows) - 1, len(columns) - 1, 2)
    good = _agreed(votes.reshape(cells), good.reshape(cells), doubtful.reshape(cells)).ravel()
    good &= ~shown
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


def _agreed(votes: npt.NDArray[np.float32], good: Mask, doubtful: Mask) -> Mask:
    """Return which triangles stay, of a grid of cells with two each.

    Votes are averaged over the cells around, and what then stands alone is dropped: single
    triangles in the air are no surroundings.

    Args:
        votes: (R, C, 2) those who see a triangle less those who see through it.
        good: (R, C, 2) triangles that can be drawn.
        doubtful: (R, C, 2) triangles that need one confirmer more than doubters.
    """
    total, count = (
        cv2.boxFilter(values.sum(-1, dtype=np.float32), -1, (_WINDOW, _WINDOW), normalize=False)
        for values in (votes * good, good)
    )
    mean = (total / np.maximum(count, 1))[..., None]
    kept = good & (mean >= np.where(doubtful, 0.5, 0.0))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(kept.any(-1).astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= _LEAST_CELLS
    return np.asarray(kept & large[labels][..., None], bool)


def _judged(view: StandingView, points: Array) -> npt.NDArray[np.int8]:
    """Return 1 for points that a view sees, -1 if it sees through them, 0 if it cannot tell."""
    away = transform_points(invert(view.world_T_camera), points)
    uv, depth = project(view.camera, away)
    pixel = np.rint(np.nan_to_num(uv, nan=-1.0)).astype(int)
    size = np.array([view.camera.width, view.camera.height])
    inside = ((pixel >= 0) & (pixel < size)).all(1) & (depth > 0.5)
    found = np.full(len(points), np.nan)
    column, row = pixel[inside].T
    found[inside] = np.where(view.seen[row, column], view.depth[row, column], np.nan)
    with np.errstate(invalid='ignore'):
        through = depth < found * (1 - _AGREE)
        same = ~through & (depth < found * (1 + _AGREE))
    return same.astype(np.int8) - through.astype(np.int8)


def _towards(place: Array, points: Array) -> Array:
    """Return (N, 3) unit normals that look at a place, and up a little.

    The sheets are too rough for normals of their own: their images hold the shading.
    """
    way = place[:2] - points[:, :2]
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
    normals = np.concatenate([way, np.full((len(way), 1), _UP)], 1)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)
