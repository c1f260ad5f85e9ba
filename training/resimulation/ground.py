"""The ground of a recording: a height field with a picture from above."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter

from sim_perception.geometry.cameras import project, unproject
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.simulator.catalogue import LINEAR, Mesh, grid_faces
from sim_perception.simulator.catalogue import TEXTURE_SIZE as SIZE
from sim_perception.simulator.drive import TEXTURED, DrivePart
from training.resimulation.surroundings import StandingView

Array = npt.NDArray[np.floating]
F32 = npt.NDArray[np.float32]

_CELL = 2.0
_AROUND, _LARGEST_TILE, _MOST_TILES = 70.0, 200.0, 9
_REACH, _AGREE = 35.0, 0.15
_MOST_POINTS = 6000


class HeightField:
    """Heights of the ground on a grid, metres.

    Args:
        views: whose ground pixels are measured.
        bases: (N, 4, 4) poses of the base, which stands on the ground.
    """

    def __init__(self, views: Sequence[StandingView], bases: Array) -> None:
        places = bases[:, :2, 3]
        self.low = np.floor((places.min(0) - _AROUND) / _CELL) * _CELL
        shape = np.ceil((places.max(0) + _AROUND - self.low) / _CELL).astype(int) + 1
        points = np.concatenate([bases[:, :3, 3], *(_ground_points(view) for view in views)])
        cells = np.rint((points[:, :2] - self.low) / _CELL).astype(int)
        inside = ((cells >= 0) & (cells < shape)).all(1)
        flat = cells[inside, 0] * shape[1] + cells[inside, 1]
        self.values = _smooth(_medians(flat, points[inside, 2], int(shape.prod())).reshape(shape))

    def at(self, xy: Array) -> Array:
        """Return (N,) heights at (N, 2) places, bilinear; beyond the grid its border's."""
        spot = np.clip((xy - self.low) / _CELL, 0, np.array(self.values.shape) - 1.001)
        i, j = spot.astype(int).T
        u, v = (spot - np.stack([i, j], 1)).T
        h = self.values
        return (
            (1 - u) * ((1 - v) * h[i, j] + v * h[i, j + 1])
            + u * ((1 - v) * h[i + 1, j] + v * h[i + 1, j + 1])
        )  # fmt: skip


def ground_parts(
    field: HeightField, views: Sequence[StandingView], road: int
) -> tuple[list[DrivePart], list[npt.NDArray[np.uint8]]]:
    """Return square tiles of the ground and their textures, brightness as in the images.

    Args:
        field: the heights.
        views: whose ground pixels are projected down.
        road: class id of ground that no view sees.
    """
    extent = (np.array(field.values.shape) - 1) * _CELL
    tile = float(np.ceil(np.sqrt(extent.prod() / _MOST_TILES) / _CELL) * _CELL)
    tile = min(max(tile, 20.0), _LARGEST_TILE)
    counts = np.ceil(extent / tile).astype(int)
    parts: list[DrivePart] = []
    textures: list[npt.NDArray[np.uint8]] = []
    for i in range(counts[0]):
        for j in range(counts[1]):
            corner = field.low + tile * np.array([i, j])
            colors, classes = _from_above(field, views, corner, tile, road)
            parts.append(_tile(field, corner, tile, classes, len(textures)))
            textures.append(colors)
    return parts, textures


def _ground_points(view: StandingView) -> Array:
    """Return (N, 3) points of a view's ground in the world."""
    with np.errstate(invalid='ignore'):
        good = view.ground & (view.measured < _REACH)
    points = unproject(view.camera, np.where(good, view.measured, 0.0))[good]
    points = points[:: max(1, len(points) // _MOST_POINTS)]
    return np.asarray(transform_points(view.world_T_camera, points), np.float64)


def _medians(keys: npt.NDArray[np.integer], values: Array, count: int) -> Array:
    """Return (count,) medians of values by key, NaN without any."""
    order = np.lexsort((values, keys))
    keys, values = keys[order], values[order]
    starts = np.searchsorted(keys, np.arange(count))
    ends = np.searchsorted(keys, np.arange(count), side='right')
    medians = np.full(count, np.nan)
    some = ends > starts
    medians[some] = values[(starts[some] + ends[some] - 1) // 2]
    return medians


def _smooth(heights: Array) -> Array:
    """Return heights without holes: smoothed where known, the nearest's elsewhere."""
    known = np.isfinite(heights)
    mass = gaussian_filter(known.astype(float), 1.5)
    mean = gaussian_filter(np.where(known, heights, 0.0), 1.5) / np.maximum(mass, 1e-9)
    rows, columns = distance_transform_edt(
        ~(known | (mass > 0.2)), return_distances=False, return_indices=True
    )
    return gaussian_filter(mean[rows, columns], 1.0)


def _from_above(
    field: HeightField, views: Sequence[StandingView], corner: Array, tile: float, road: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the (SIZE, SIZE, 3) colours and (SIZE, SIZE) classes of a tile; rows are y."""
    axis = (np.arange(SIZE) + 0.5) / SIZE * tile
    x, y = np.meshgrid(corner[0] + axis, corner[1] + axis)
    places = np.stack([x.ravel(), y.ravel()], 1)
    points = np.concatenate([places, field.at(places)[:, None]], 1)
    total, mass = np.zeros((len(points), 3), np.float32), np.zeros(len(points), np.float32)
    best = np.zeros(len(points), np.float32)
    classes = np.full(len(points), road, np.uint8)
    for view in views:
        seen = transform_points(invert(view.world_T_camera), points)
        near = np.flatnonzero((seen[:, 2] > 1.0) & (seen[:, 2] < _REACH))
        uv, depth = project(view.camera, seen[near])
        size = np.array([view.camera.width, view.camera.height])
        pixel = np.rint(uv).astype(int)
        inside = ((pixel >= 0) & (pixel < size)).all(1)
        near, pixel, depth = near[inside], pixel[inside], depth[inside]
        column, row = pixel.T
        fits = np.abs(view.depth[row, column] / depth - 1) < _AGREE
        fits &= view.ground[row, column]
        near, row, column, depth = near[fits], row[fits], column[fits], depth[fits]
        weight = (1 / depth**3).astype(np.float32)
        total[near] += LINEAR[view.image[row, column]] * weight[:, None]
        mass[near] += weight
        better = weight > best[near]
        best[near[better]] = weight[better]
        classes[near[better]] = view.semantic[row[better], column[better]]
    return _filled(total, mass), classes.reshape(SIZE, SIZE)


def _filled(total: F32, mass: F32) -> npt.NDArray[np.uint8]:
    """Return (SIZE, SIZE, 3) sRGB of weighted sums, holes filled ever more blurred."""
    color, weight = total.reshape(SIZE, SIZE, 3), mass.reshape(SIZE, SIZE)
    seen = weight > 0
    if not seen.any():
        return np.full((SIZE, SIZE, 3), 100, np.uint8)
    mean = color / np.maximum(weight, 1e-12)[..., None]
    result = np.where(seen[..., None], mean, mean[seen].mean(0))
    sharp = np.where(seen[..., None], mean, 0.0).astype(np.float32)
    present = seen.astype(np.float32)
    for scale in (48.0, 12.0, 3.0):
        spread = cv2.GaussianBlur(present, (0, 0), scale)
        blurred = cv2.GaussianBlur(sharp, (0, 0), scale) / np.maximum(spread, 1e-6)[..., None]
        share = np.clip(spread * 20, 0, 1)[..., None]
        hole = ~seen[..., None]
        result = np.where(hole, share * blurred + (1 - share) * result, result)
    return to_srgb(result)


def to_srgb(linear: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return the nearest sRGB bytes of linear values; those outside [0, 1] are clipped."""
    return np.searchsorted((LINEAR[1:] + LINEAR[:-1]) / 2, linear).astype(np.uint8)


def _tile(
    field: HeightField, corner: Array, tile: float, classes: npt.NDArray[np.uint8], texture: int
) -> DrivePart:
    """Return the mesh of a tile."""
    count = int(np.ceil(tile / _CELL))
    axis = np.arange(count + 1) / count
    u, v = np.meshgrid(axis, axis)
    places = np.stack([corner[0] + tile * u, corner[1] + tile * v], -1).reshape(-1, 2)
    heights = field.at(places)
    middle = (corner[0] + tile / 2, corner[1] + tile / 2, float(heights.mean()))
    vertices = np.concatenate([places, heights[:, None]], 1) - middle
    rise = np.gradient(heights.reshape(count + 1, count + 1), tile / count)
    normals = np.stack([-rise[1], -rise[0], np.ones_like(rise[0])], -1).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    faces = grid_faces(count + 1, count + 1)
    spot = (np.stack([u, v], -1).reshape(-1, 2)[faces].mean(1) * SIZE).astype(int)
    mesh = Mesh(
        vertices=vertices.astype(np.float32),
        faces=faces,
        normals=normals.astype(np.float32),
        uv=np.stack([u, v], -1).reshape(-1, 2).astype(np.float32),
        material=np.full(len(faces), TEXTURED, np.int32),
        semantic=classes[spot[:, 1], spot[:, 0]],
        occlusion=np.ones(len(vertices), np.float32),
    )
    return DrivePart(middle, mesh, texture)
