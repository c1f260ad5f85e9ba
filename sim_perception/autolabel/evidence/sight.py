"""What an image says about an object, made ready for fitting: pixels, depths, first states."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.fit.kernels import Weights
from sim_perception.autolabel.fit.refine import evenly
from sim_perception.autolabel.fit.seen_kernels import Seen
from sim_perception.autolabel.fit.upright_pose import basins, centres_on_rays, yaws
from sim_perception.geometry.transforms import invert
from sim_perception.geometry.windows import cell_places
from sim_perception.inference.surface_coordinates import SurfaceCrop
from sim_perception.models.shape import SIZE
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]

_HALF_REACH = 0.55
_LEAST_ODDS = 1e-3
_OWN_SIDE = 1.5
"""Metres beside the camera's axis, towards oncoming traffic, up to which cars head as it does."""
_FLOW = 0.5
"""Logarithm of the odds of a heading along the traffic against one across it."""


@dataclass(frozen=True)
class SightConfig:
    """How much is believed of what an image says. Lengths are metres, angles radians.

    Attributes:
        least_pixels: fewer cells of the network's map on an object, and it is not seen.
        most_pixels: more are thinned evenly to so many.
        pixel_count: all pixels together count as so many: neighbours err alike.
        likely: least probability of a cell that is taken to show the object.
        share_error: least deviation of coordinates, shares of the box.
        pixel_error: of a place in the image, pixels.
        depth_error: of the scale of an object's predicted depth map, as a logarithm.
        distance_error: least deviation of the distance by apparent size, as a logarithm.
        size_error: of the network's log size.
        latent_error: of its latent.
        angle_error: of a heading from the right bin.
        scanned: yaws that are tried.
        hypotheses: first states that are fitted.
    """

    least_pixels: int = 12
    most_pixels: int = 150
    pixel_count: float = 12.0
    likely: float = 0.5
    share_error: float = 0.02
    pixel_error: float = 0.7
    depth_error: float = 0.12
    distance_error: float = 0.1
    size_error: float = 0.08
    latent_error: float = 0.6
    angle_error: float = 0.2
    scanned: int = 72
    hypotheses: int = 4


@dataclass(frozen=True)
class Sight:
    """One object as the image shows it.

    Attributes:
        seen: for the fit.
        crop: the network's answer.
        cells: how many cells of its map show the object.
        ahead: heading of the line of sight in the level frame.
        flow: heading of the traffic where the object stands; NaN where not known.
    """

    seen: Seen
    crop: SurfaceCrop
    cells: int
    ahead: float
    flow: float = np.nan


def look(
    crop: SurfaceCrop, box: F64, camera: Camera, camera_T_level: F64,
    depth: npt.NDArray[np.floating] | None, config: SightConfig, traffic: str = '',
) -> Sight:  # fmt: skip
    """Make a network's answer ready for fitting.

    Args:
        crop: the answer for the box.
        box: (4,) of the image.
        camera: an ideal pinhole.
        camera_T_level: (4, 4).
        depth: (H, W) metres of the whole image, its scale put right; or None.
        config: what to believe.
        traffic: see ``LabelConfig``.
    """
    rows, columns = crop.visible.shape
    places = cell_places(crop.window, columns, rows)
    limit = np.array([camera.width, camera.height]) - 0.5
    inside = ((places > -0.5) & (places < limit)).all(-1)
    shown = (crop.visible > config.likely) & inside
    shown &= (np.abs(crop.coordinates) < _HALF_REACH).all(-1)
    chosen = np.flatnonzero(shown)
    cells = len(chosen)
    chosen = chosen[evenly(cells, config.most_pixels)]
    pixels = places.reshape(-1, 2)[chosen]
    slopes = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    spread = np.maximum(
        1.4 * crop.error.reshape(-1)[chosen].astype(np.float64), config.share_error
    )
    metres = spread * np.linalg.norm(crop.size) / np.sqrt(3)
    focal = np.sqrt(camera.fx * camera.fy)
    weight = 1 / ((metres / crop.distance) ** 2 + (config.pixel_error / focal) ** 2)
    depths = np.zeros(4)
    if depth is not None and len(chosen):
        column, row = np.rint(pixels).astype(int).T
        column, row = np.clip(column, 0, camera.width - 1), np.clip(row, 0, camera.height - 1)
        found = depth[row, column]
        found = found[np.isfinite(found) & (found > 0)]
        if len(found) >= len(chosen) / 2:
            depths[:2] = np.log(np.median(found)), config.depth_error
    depths[2] = np.log(crop.distance)
    depths[3] = max(1.4 * crop.distance_error, config.distance_error)
    middle = 0.5 * (box[:2] + box[2:])
    ray = np.array([(middle[0] - camera.cx) / camera.fx, (middle[1] - camera.cy) / camera.fy, 1.0])
    level = camera_T_level[:3, :3].T @ ray
    seen = Seen(
        np.ascontiguousarray(slopes),
        np.ascontiguousarray(crop.coordinates.reshape(-1, 3)[chosen].astype(np.float64)),
        np.ascontiguousarray(weight),
        min(1.0, config.pixel_count / max(len(chosen), 1)),
        depths,
    )
    ahead = float(np.arctan2(level[1], level[0]))
    return Sight(
        seen, crop, cells, ahead, flow_at(crop.distance * ray[0], camera_T_level, traffic)
    )


def flow_at(beside: float, camera_T_level: F64, traffic: str) -> float:
    """Return how traffic heads at a place in a street that the camera looks along.

    Args:
        beside: metres to the right of the camera's axis.
        camera_T_level: (4, 4).
        traffic: see ``LabelConfig``.

    Returns:
        The heading in the level frame, NaN where the side of the traffic is not known.
    """
    if not traffic:
        return float('nan')
    own = beside > -_OWN_SIDE if traffic == 'right' else beside < _OWN_SIDE
    forward = camera_T_level[2, :2] if own else -camera_T_level[2, :2]
    return float(np.arctan2(forward[1], forward[0]))


def turned_round(sight: Sight) -> Sight:
    """Return what is seen with all places on the object turned by half a turn about its middle."""
    shares = np.ascontiguousarray(sight.seen.shares * [-1.0, -1.0, 1.0])
    return replace(sight, seen=sight.seen._replace(shares=shares))


def first_states(
    sight: Sight, ground: F64, ground_sigma: float, camera_T_level: F64, config: SightConfig
) -> F64:
    """Return (H, 7 + K) first states: yaws where coordinates, ground and heading agree best.

    Args:
        sight: of the object.
        ground: (3,) a, b, c of its height ``a x + b y + c``.
        ground_sigma: its deviation.
        camera_T_level: (4, 4).
        config: how many.
    """
    crop, seen = sight.crop, sight.seen
    yaw = yaws(config.scanned)
    row = np.array([-ground[0], -ground[1], 1.0])
    pulls = [(row, float(ground[2] + crop.size[2] / 2), ground_sigma)]
    ahead, shift = camera_T_level[2, :3], float(camera_T_level[2, 3])
    for value, sigma in ((seen.depth[0], seen.depth[1]), (seen.depth[2], seen.depth[3])):
        if sigma > 0:
            distance = float(np.exp(value))
            pulls.append((ahead, distance - shift, distance * float(sigma)))
    centre, cost = centres_on_rays(
        seen.shares, seen.slopes, seen.share * seen.weight, crop.size, yaw, camera_T_level, pulls
    )
    cost = cost - np.log(angle_odds(sight, yaw, config.angle_error))
    chosen = basins(yaw, cost, config.hypotheses)
    rest = np.concatenate([np.log(crop.size), crop.latent])
    return np.array([[*centre[k], yaw[k], *rest] for k in chosen])


def angle_odds(sight: Sight, yaw: F64, spread: float) -> F64:
    """Return the (Y,) likelihoods of yaws by the network's headings and the traffic, at most 1."""
    expected = sight.ahead - sight.crop.angles
    off = (yaw[:, None] - expected + np.pi) % (2 * np.pi) - np.pi
    likely = (sight.crop.odds * np.exp(-0.5 * (off / spread) ** 2)).sum(1)
    odds = np.asarray(np.minimum(likely, 1.0) + _LEAST_ODDS)
    if np.isnan(sight.flow):
        return odds
    return odds * np.exp(_FLOW * (np.cos(yaw - sight.flow) - 1))


def with_size(weights: Weights, crop: SurfaceCrop, config: SightConfig) -> Weights:
    """Return weights whose prior also knows the network's size and latent."""
    told = np.concatenate([np.log(crop.size), crop.latent])
    deviation = np.full(len(told), config.latent_error)
    deviation[:SIZE] = config.size_error
    precision = weights.precision + np.diag(1 / deviation**2)
    pulled = weights.precision @ weights.prior + told / deviation**2
    return weights._replace(prior=np.linalg.solve(precision, pulled), precision=precision)


def camera_place(camera_T_level: npt.NDArray[np.floating]) -> F64:
    """Return the (3,) place of the camera in the level frame."""
    return np.asarray(invert(np.asarray(camera_T_level, np.float64))[:3, 3])
