"""Signed distances of the simulator's objects, to learn shape spaces from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from sim_perception.models.shape import ShapeConfig, Surface
from sim_perception.simulator.catalogue import car_mesh, wheel_places

F64 = npt.NDArray[np.float64]

MIRRORS = {'mirror_scale': 0.93, 'mirror_offset': 0.33}
"""Fields of ``ShapeConfig``: what the simulator's mirrors add to the body."""
_VOXEL = 0.04
_LONG = 5.7  # longer than any car of the simulator, shorter than any lorry
# So many that no voxel on a car's surface is missed, and for longer objects.
_SAMPLES, _SAMPLES_PER_VOXEL = 400_000, 20
_THINNED, _COARSE = 0.02, 0.06
_WHEEL_WIDTH = 0.2
_NEAR_SPREAD = (0.02, 0.1)


@dataclass(frozen=True)
class ShapeSample:
    """An object, a car without mirrors, its tight box centred at the origin.

    Attributes:
        family: of the simulator.
        surface: the outside in metres, x forward, y left, z up.
        size: length, width, height of the box.
        shell: by which the surface is thickened, metres, for what is thinner than a grid's cells;
            the box is that of the thick surface.
    """

    family: str
    surface: Surface
    size: F64
    shell: float = 0.0


def car_sample(family: str, seed: int) -> ShapeSample:
    """Return the simulator's car of a family and seed."""
    mesh, shape = car_mesh(family, seed=seed)
    surface = without_mirrors(Surface(mesh.vertices, mesh.faces), 0.5 * shape.width + 0.02)
    backs = [
        wheel_back(x, y - np.sign(y) * _WHEEL_WIDTH / 2, shape.wheel_radius)
        for x, y, _ in wheel_places(shape)
    ]
    return centred(family, joined([surface, *backs]))


def centred(family: str, surface: Surface, shell: float = 0.0) -> ShapeSample:
    """Return a mesh moved so that its tight box is about the origin; see ``ShapeSample``."""
    used = surface.vertices[np.unique(surface.faces)].astype(np.float64)
    low, high = used.min(0), used.max(0)
    vertices = (surface.vertices - 0.5 * (low + high)).astype(np.float32)
    return ShapeSample(family, Surface(vertices, surface.faces), high - low + 2 * shell, shell)


def wheel_back(x: float, y: float, radius: float) -> Surface:
    """Return a disc that closes the open back of a wheel, so that wheels are no bowls."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rim = np.stack([radius * np.sin(angle), np.zeros(24), radius * np.cos(angle)], 1)
    vertices = np.vstack([np.zeros(3), rim]) + np.array([x, y, radius])
    after = np.roll(np.arange(24), -1)
    faces = np.stack([np.zeros(24, int), np.arange(24) + 1, after + 1], 1)
    # Seen from the car's middle line.
    faces = faces if y > 0 else faces[:, ::-1]
    return Surface(vertices.astype(np.float32), faces.astype(np.int32))


def joined(parts: list[Surface]) -> Surface:
    """Return several meshes as one."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return Surface(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([p.faces + s for p, s in zip(parts, starts, strict=True)]).astype(np.int32),
    )


def without_mirrors(surface: Surface, half_width: float) -> Surface:
    """Return a mesh without the connected pieces that reach beyond a half width."""
    _, merged = np.unique(np.round(surface.vertices, 5), axis=0, return_inverse=True)
    faces = merged.reshape(-1)[surface.faces]
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    count = int(merged.max()) + 1
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    pieces, label = connected_components(graph, directed=False)
    reach = np.zeros(pieces)
    np.maximum.at(reach, label[merged.reshape(-1)], np.abs(surface.vertices[:, 1]))
    return Surface(surface.vertices, surface.faces[(reach <= half_width)[label[faces[:, 0]]]])


def sample_surface(surface: Surface, count: int, rng: np.random.Generator) -> tuple[F64, F64]:
    """Return (N, 3) points spread evenly over a mesh and the (N, 3) unit normals there."""
    a, b, c = (surface.vertices[surface.faces[:, k]].astype(np.float64) for k in range(3))
    cross = np.cross(b - a, c - a)
    double_area = np.linalg.norm(cross, axis=1)
    face = rng.choice(len(cross), count, p=double_area / double_area.sum())
    u, v = rng.random((2, count, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    points = a[face] + u * (b - a)[face] + v * (c - a)[face]
    return points, cross[face] / np.maximum(double_area[face], 1e-12)[:, None]


def surface_area(surface: Surface) -> float:
    """Return the area of a mesh, square metres."""
    a, b, c = (surface.vertices[surface.faces[:, k]].astype(np.float64) for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


class Solid:
    """A mesh as a solid body: what outside air cannot reach is inside.

    Needs no watertight mesh: bodies, wheels and trims may overlap and hide sheets inside, as
    long as gaps are narrower than a voxel: 4 cm, of objects that are longer than cars 8 cm.

    Args:
        sample: the object.
        seed: of the points spread over the surface.

    Attributes:
        points, normals: (N, 3) evenly over the outside, metres.
        size: of the tight box.
    """

    def __init__(self, sample: ShapeSample, seed: int = 0) -> None:
        self.size, self._shell_width = sample.size, sample.shell
        long = sample.size[0] > _LONG
        self._voxel = 2 * _VOXEL if long else _VOXEL
        area = surface_area(sample.surface) if long else 0.0
        samples = max(_SAMPLES, int(_SAMPLES_PER_VOXEL * area / self._voxel**2))
        rng = np.random.default_rng(seed)
        points, normals = sample_surface(sample.surface, samples, rng)
        self._low = points.min(0) - 4.5 * self._voxel
        shape = np.ceil((points.max(0) - self._low) / self._voxel).astype(int) + 4
        voxel = self._voxels(points)
        shell = np.zeros(shape, bool)
        shell[tuple(voxel.T)] = True
        regions, _ = ndimage.label(~shell)
        self._air = regions == regions[0, 0, 0]
        self._shell = shell
        near_air = ndimage.binary_dilation(self._air, np.ones((3, 3, 3), bool))
        outer = near_air[tuple(voxel.T)]
        points, normals = points[outer], normals[outer]
        kept = self._thinned(points, _THINNED)
        self.points, self.normals = points[kept], normals[kept]

    def distance(self, points: F64, mean_size: F64) -> F64:
        """Return signed distances after stretching the body to another box.

        Args:
            points: (N, 3) in the stretched frame.
            mean_size: the box that it is stretched to.

        Returns:
            (N,) metres of the stretched frame, positive outside.
        """
        stretch = mean_size / self.size
        surface = self.points * stretch
        # Far away few points do; a fine search from there would be slow.
        distance, _ = cKDTree(surface[self._thinned(self.points, _COARSE)]).query(points)
        close = np.flatnonzero(distance < 4 * _COARSE)
        nearby, nearest = cKDTree(surface).query(points[close], k=3)
        distance[close] = nearby[:, 0]
        voxel = self._voxels(points / stretch)
        known = ((voxel >= 0) & (voxel < self._air.shape)).all(1)
        voxel = np.where(known[:, None], voxel, 0)
        outside = self._air[tuple(voxel.T)] | ~known
        # A voxel that the surface passes through is neither: the nearest normals decide.
        offset = points[close, None] - surface[nearest]
        along = (offset * (self.normals / stretch)[nearest]).sum(-1).sum(1)
        unsure = (self._shell[tuple(voxel.T)] & known)[close]
        outside[close[unsure]] = along[unsure] > 0
        return np.where(outside, 1.0, -1.0) * distance - self._shell_width

    def _thinned(self, points: F64, spacing: float) -> npt.NDArray[np.int64]:
        """Return the rows of one point in every cube that holds any."""
        cube = np.floor((points - self._low) / spacing).astype(np.int64)
        return np.unique(cube @ [1 << 40, 1 << 20, 1], return_index=True)[1]

    def _voxels(self, points: F64) -> npt.NDArray[np.int64]:
        return np.floor((points - self._low) / self._voxel).astype(np.int64)


def distance_samples(
    car: ShapeSample, config: ShapeConfig, count: int, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return places about a car and their signed distances, normalised frame.

    Two fifths each are near the surface with deviations of 2 and 10 cm, the rest anywhere in the
    grid's region; compare DeepSDF, section 5.1.

    Args:
        car: stretched to the mean box.
        config: of the shape space.
        count: how many places.
        seed: of the places.

    Returns:
        (N, 3) and (N,), metres.
    """
    rng = np.random.default_rng(seed)
    solid, mean = Solid(car), np.array(config.mean_size)
    reach = 0.5 * (np.array(config.nodes) - 1) * config.spacing
    near = 2 * count // 5
    spread = np.repeat(_NEAR_SPREAD, near)[:, None]
    surface = solid.points[rng.integers(len(solid.points), size=2 * near)] * (mean / car.size)
    close = surface + spread * rng.normal(size=surface.shape)
    anywhere = rng.uniform(-reach, reach, (count - 2 * near, 3))
    points = np.clip(np.concatenate([close, anywhere]), -reach, reach)
    distance = solid.distance(points, mean)
    return points.astype(np.float32), distance.astype(np.float32)
