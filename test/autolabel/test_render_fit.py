"""Fits by rendering: their losses, and that they find a known car again."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from lidar_scenes import CAMERA, CAMERA_T_LEVEL, CHECKPOINT, MadeScene, car_state, made_scene
from lidar_scenes import shape_model as cars

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.evidence.initialise import find_candidates
from sim_perception.autolabel.fit.kernels import Evidence
from sim_perception.autolabel.fit.photometric import (
    PhotometricRefiner,
    colour_loss,
    depth_loss,
    mask_loss,
    paint,
)
from sim_perception.autolabel.fit.posed_shape import sample
from sim_perception.autolabel.fit.refine import box_size, make_view
from sim_perception.autolabel.fit.refiners import make_refiner
from sim_perception.autolabel.fit.render_fit import Descent, Picture, RenderRefiner
from sim_perception.autolabel.fit.sdf_fit import SdfRefiner
from sim_perception.autolabel.fit.sdflabel import SdfLabelRefiner, coordinates_loss
from sim_perception.autolabel.labeler import load_labeler
from sim_perception.autolabel.modes.lidar import gather
from sim_perception.autolabel.modes.rendered import RenderLabeler
from sim_perception.autolabel.rendering import Rendering, crop_pixels, render
from sim_perception.geometry.boxes import iou_upright
from sim_perception.geometry.lidar_frame import PreparedFrame
from sim_perception.geometry.transforms import from_euler
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.shape_sdf import ShapeSdf
from sim_perception.types import Box3D

QUICK = Descent(first=4, rest=20, kept=1, width=20, height=12)


def rendering(hit: torch.Tensor, **values: torch.Tensor) -> Rendering:
    """Return a rendering with zeros where nothing is given."""
    parts = {
        'silhouette': hit.float(),
        'depth': torch.zeros(hit.shape),
        'normals': torch.zeros(*hit.shape, 3),
        'coordinates': torch.zeros(*hit.shape, 3),
    }
    return Rendering(hit, **{**parts, **values})


@cache
def scene() -> tuple[MadeScene, Evidence, np.ndarray]:
    """A car, the evidence of it, and its state."""
    config, state = LabelConfig(), car_state(3)
    made = made_scene(state)
    prepared = PreparedFrame(made.frame, config.max_range)
    found = find_candidates(prepared, made.box2d, config)
    ground = prepared.ground_near(state[:3])
    evidence = gather(prepared, made.box2d, found.candidates[0], found.around, ground, config)
    return made, evidence, state


def starts(state: np.ndarray) -> np.ndarray:
    """The mean car .3 m and 8 degrees off, and turned round."""
    near = state.copy()
    near[4:] = cars().prior_mean.numpy()
    near[:4] += [0.25, -0.15, 0.0, 0.14]
    back = near.copy()
    back[3] += np.pi
    return np.stack([back, near])


def overlap(state: np.ndarray, truth: Box3D) -> float:
    """3D IoU of a state's box with the truth."""
    size = box_size(state, cars(), mirrors=False)
    return float(iou_upright(Box3D(from_euler(0, 0, state[3], state[:3]), size), truth)[1])


@cache
def painted() -> Picture:
    """The car of ``scene`` in an image: brighter ahead, its depth and coordinates exact."""
    _, evidence, state = scene()
    refiner = RenderRefiner(cars(), LabelConfig(), QUICK)
    target = refiner.target(evidence, make_view(CAMERA, CAMERA_T_LEVEL), Picture())
    shapes = refiner.shapes(torch.as_tensor(state[None], dtype=torch.float32), target)
    whole = torch.tensor([[-0.5, -0.5, CAMERA.width - 0.5, CAMERA.height - 0.5]])
    pixels = crop_pixels(whole, CAMERA.width, CAMERA.height)
    with torch.no_grad():
        seen = render(lambda p, z: cars().sdf(p, z)[0], shapes, CAMERA, pixels)
    hit = seen.hit[0].numpy()
    coordinates = np.where(hit[..., None], seen.coordinates[0].numpy(), np.nan)
    shade = np.where(hit, 120 + 200 * np.nan_to_num(coordinates[..., 0]), 60)
    image = np.repeat(shade[..., None], 3, -1).astype(np.uint8)
    depth = np.where(hit, seen.depth[0].numpy(), np.nan)
    return Picture(image, hit.astype(np.float32), depth, coordinates)


def test_overlap_of_masks() -> None:
    mask = torch.zeros(4, 6)
    mask[:2] = 1
    other = torch.stack([mask, 1 - mask, torch.ones(4, 6)])
    torch.testing.assert_close(mask_loss(other, mask), torch.tensor([0.0, 1.0, 0.5]))


def test_depths_are_compared_by_their_ratio_where_all_are_known() -> None:
    hit = torch.ones(2, 3, 4, dtype=torch.bool)
    hit[1] = False
    depth, mask = torch.full((3, 4), 10.0), torch.ones(3, 4)
    depth[0, 0], mask[2, 3] = torch.nan, 0.0
    seen = rendering(hit, depth=torch.full((2, 3, 4), 20.0))
    found = depth_loss(seen, depth, mask)
    assert float(found[0]) == pytest.approx(np.log(2), abs=1e-5)
    assert float(found[1]) == 1.0  # an object that is not there is no good fit


def test_coordinates_look_for_their_partner_among_neighbours() -> None:
    wanted = torch.rand(8, 9, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    hit = torch.ones(3, 8, 9, dtype=torch.bool)
    moved = torch.stack([wanted, wanted.roll(1, 1), wanted + torch.tensor([3.0, 0, 0])])
    wanted_with_hole = wanted.clone()
    wanted_with_hole[3:5, 3:5] = torch.nan
    same, shifted, off = coordinates_loss(rendering(hit, coordinates=moved), wanted_with_hole)
    assert float(same) < 0.05
    assert float(shifted) < 0.1
    assert float(off) > 2
    nothing = coordinates_loss(rendering(hit, coordinates=moved), torch.full((8, 9, 3), torch.nan))
    torch.testing.assert_close(nothing, torch.ones(3))


def test_paint_is_the_same_on_both_sides_and_follows_the_texture() -> None:
    place = torch.tensor([[[[0.4, 0.3, 0.0], [0.4, -0.3, 0.0], [-0.4, 0.3, 0.0]]]])
    seen = rendering(torch.ones(1, 1, 3, dtype=torch.bool), coordinates=place)
    texture = torch.zeros(1, 3, 2, 2, 5)
    texture[..., 3:] = 1.0  # the front is white
    colour = paint(seen, texture)[0, 0]
    torch.testing.assert_close(colour[0], colour[1])
    assert colour[0].min() > 0.5 > colour[2].max()
    image = colour[None].clone()
    assert float(colour_loss(seen, texture, image, torch.ones(1, 3))) == pytest.approx(0, abs=1e-6)
    assert float(colour_loss(seen, 1 - texture, image, torch.ones(1, 3))) > 0.5


@pytest.mark.parametrize('coordinates', [True, False])
def test_sdflabel_finds_a_car_from_points_and_coordinates_or_box(coordinates: bool) -> None:
    made, evidence, state = scene()
    refiner = SdfLabelRefiner(cars(), LabelConfig(), QUICK)
    if coordinates:
        refiner.picture = Picture(coordinates=painted().coordinates)
    first = starts(state)
    fit = refiner.refine(first, evidence, make_view(CAMERA, CAMERA_T_LEVEL))
    assert overlap(fit.state, made.box) > max(0.75, overlap(first[1], made.box) + 0.1)
    assert np.cos(fit.state[3] - state[3]) > 0.98
    assert (np.linalg.eigvalsh(fit.hessian) > 0).all()


def test_photometric_finds_a_car_without_points() -> None:
    made, evidence, state = scene()
    blind = evidence._replace(points=np.zeros((0, 3)), rays=np.zeros((0, 3)))
    refiner = PhotometricRefiner(cars(), LabelConfig(), QUICK)
    refiner.picture = painted()
    first = starts(state)[1:]
    fit = refiner.refine(first, blind, make_view(CAMERA, CAMERA_T_LEVEL))
    assert overlap(fit.state, made.box) > max(0.7, overlap(first[0], made.box) + 0.05)


def test_a_photometric_fit_without_a_picture_and_unknown_ways_are_refused() -> None:
    _, evidence, state = scene()
    refiner = make_refiner('photometric', cars(), LabelConfig())
    with pytest.raises(ValueError, match='give it a picture'):
        refiner.refine(starts(state), evidence, make_view(CAMERA, CAMERA_T_LEVEL))
    with pytest.raises(ValueError, match="unknown refinement 'newton'; known: fit, sdflabel"):
        make_refiner('newton', cars(), LabelConfig())
    with pytest.raises(ValueError, match="'photometric' does not work in mode 'lidar', but in"):
        load_labeler('lidar', CHECKPOINT, refine='photometric')
    labeler = load_labeler('lidar', CHECKPOINT, refine='sdflabel')
    assert isinstance(labeler, RenderLabeler)


@pytest.mark.slow
def test_the_second_order_fit_works_in_the_shipped_networks_space() -> None:
    model = load_checkpoint(CHECKPOINT.parent / 'shape_car_sdf', network='shape_sdf').net
    assert isinstance(model, ShapeSdf)
    made, evidence, state = scene()
    refiner = make_refiner('fit', model, LabelConfig())
    assert isinstance(refiner, SdfRefiner)
    first = starts(state)
    first[:, 4:] = model.prior_mean.numpy()
    fit = refiner.refine(first, evidence, make_view(CAMERA, CAMERA_T_LEVEL))
    assert overlap(fit.state, made.box) > 0.85
    # Near the member that was found, the tangent's distances are the network's.
    points = np.random.default_rng(0).uniform(-1, 1, (200, 3)) * [2.2, 0.9, 0.75]
    exact, _ = model.jacobian(points, fit.state[7:])
    space = refiner.space_about(fit.state)
    slope, basis = np.empty(3), np.empty(5)
    tangent = [
        sample(space.grid, space.spacing, point, fit.state[7:], slope, basis) for point in points
    ]
    assert np.median(np.abs(np.array(tangent) - exact)) < 0.02
