"""Labels from images: derivatives, poses from places seen, whole labels from known coordinates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lidar_scenes import CAMERA, CAMERA_T_LEVEL, car_state, made_scene, shape_model

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.evidence.image_ground import ground_of_image
from sim_perception.autolabel.evidence.sight import SightConfig, angle_odds, flow_at, look
from sim_perception.autolabel.fit.refine import make_view
from sim_perception.autolabel.fit.seen_kernels import Seen, seen_terms
from sim_perception.autolabel.fit.upright_pose import (
    basins,
    centres_on_points,
    centres_on_rays,
    turned,
    yaws,
)
from sim_perception.autolabel.modes.fused import FusedLabeler, masked
from sim_perception.autolabel.modes.mono import MonoLabeler
from sim_perception.autolabel.rendering import PosedShapes, crop_pixels, render
from sim_perception.geometry.boxes import iou_upright
from sim_perception.geometry.lidar_frame import FrameError
from sim_perception.geometry.transforms import from_euler, invert, make_transform, transform_points
from sim_perception.geometry.windows import window_about
from sim_perception.inference.surface_coordinates import SurfaceCrop
from sim_perception.models.surface_coordinates import SurfaceCoordinatesConfig
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import DepthSegmentation

VIEW = make_view(CAMERA, CAMERA_T_LEVEL)
IMAGE = np.full((CAMERA.height, CAMERA.width, 3), 127, np.uint8)
COLUMNS, ROWS = 32, 24


def places_seen(state: np.ndarray, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return places on a car, shares of its box, and the slopes of the rays that show them."""
    rng = np.random.default_rng(0)
    shares = rng.uniform(-0.5, 0.5, (count, 3))
    points = turned(shares, np.exp(state[4:7]), state[3:4])[0] + state[:3]
    optical = points @ CAMERA_T_LEVEL[:3, :3].T + CAMERA_T_LEVEL[:3, 3]
    return shares, optical[:, :2] / optical[:, 2:]


class KnownCar:
    """Stands for the coordinates network: tells the truth about one car."""

    def __init__(self, state: np.ndarray, error: float = 0.02) -> None:
        model = shape_model().config
        self.config = SurfaceCoordinatesConfig(
            components=model.components, mean_size=model.mean_size
        )
        self._state, self._error = state, error
        self.asked = 0

    def infer(self, image, camera, boxes) -> list[SurfaceCrop]:  # type: ignore[no-untyped-def]
        return list(self.stream(image, camera, boxes))

    def stream(self, image, camera, boxes, batch=None):  # type: ignore[no-untyped-def]
        for box in boxes:
            self.asked += 1
            yield self._crop(np.asarray(box))

    def _crop(self, box: np.ndarray) -> SurfaceCrop:
        state, model = self._state, shape_model()
        window = window_about(box, COLUMNS / ROWS, 1.2)
        c, s = np.cos(state[3]), np.sin(state[3])
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        pose = CAMERA_T_LEVEL @ make_transform(turn, state[:3])
        shapes = PosedShapes(
            rotation=torch.tensor(pose[None, :3, :3], dtype=torch.float32),
            translation=torch.tensor(pose[None, :3, 3], dtype=torch.float32),
            size=torch.tensor(np.exp(state[None, 4:7]), dtype=torch.float32),
            latent=torch.tensor(state[None, 7:], dtype=torch.float32),
            mean_size=torch.tensor(model.config.mean_size),
        )
        pixels = crop_pixels(torch.tensor(window[None], dtype=torch.float32), COLUMNS, ROWS)
        with torch.no_grad():
            drawn = render(lambda p, z: model.sdf(p, z)[0], shapes, CAMERA, pixels)
        place = -CAMERA_T_LEVEL[:3, :3].T @ CAMERA_T_LEVEL[:3, 3]
        sight = np.arctan2(state[1] - place[1], state[0] - place[0])
        angle = (sight - state[3] + np.pi) % (2 * np.pi) - np.pi
        mask = drawn.hit[0].numpy().astype(np.float32)
        return SurfaceCrop(
            window=window,
            visible=mask,
            amodal=mask,
            coordinates=drawn.coordinates[0].numpy(),
            error=np.full_like(mask, self._error),
            angles=np.array([angle, angle + np.pi]),
            odds=np.array([0.8, 0.2]),
            size=np.exp(state[4:7]),
            latent=state[7:],
            distance=float(pose[2, 3]),
            distance_error=0.05,
        )


def labeler(
    kind: type[MonoLabeler],
    state: np.ndarray,
    network: type[KnownCar] = KnownCar,
    config: LabelConfig | None = None,
    **options: float,
) -> MonoLabeler:
    known, class_id = network(state, **options), load_taxonomy().id_of('car')
    return kind(shape_model(), class_id, known, None, config or LabelConfig())  # type: ignore[arg-type]


def test_derivatives_of_what_is_seen() -> None:
    state = car_state(1)
    shares, slopes = places_seen(car_state(1, place=(11.8, 1.4), yaw=0.65), 12)
    depth = np.array([np.log(12.5), 0.1, np.log(12.2), 0.08])
    seen = Seen(slopes, shares, np.full(len(slopes), 400.0), 0.5, depth)
    size = len(state)

    def cost(at: np.ndarray) -> float:
        return float(seen_terms(VIEW, seen, at, np.zeros((size, size)), np.zeros(size)))

    # Weights of robust losses are held fixed: only for small residuals are slopes exact.
    slope = np.zeros(size)
    seen_terms(VIEW, seen, state, np.zeros((size, size)), slope)
    for k in range(7):
        change = np.zeros(size)
        change[k] = 1e-5
        numeric = (cost(state + change) - cost(state - change)) / 2e-5
        assert slope[k] == pytest.approx(numeric, rel=2e-3, abs=2e-3)


def test_pose_from_rays_and_from_points_is_exact_without_noise() -> None:
    state = car_state(4, place=(14.0, -3.0), yaw=-np.pi + 2 * np.pi * 17 / 72)
    shares, slopes = places_seen(state)
    size, yaw = np.exp(state[4:7]), yaws(72)
    weight = np.full(len(shares), 1e6)
    centre, cost = centres_on_rays(shares, slopes, weight, size, yaw, CAMERA_T_LEVEL)
    best = int(cost.argmin())
    assert yaw[best] == pytest.approx(state[3])
    np.testing.assert_allclose(centre[best], state[:3], atol=1e-5)
    points = turned(shares, size, state[3:4])[0] + state[:3]
    points[:8] += 3.0  # of something else
    centre, cost = centres_on_points(shares, points, np.full(len(shares), 100.0), size, yaw)
    best = int(cost.argmin())
    assert yaw[best] == pytest.approx(state[3])
    np.testing.assert_allclose(centre[best], state[:3], atol=0.05)


def test_a_pull_to_the_ground_settles_the_height() -> None:
    state = car_state(5)
    shares, slopes = places_seen(state)
    size, row = np.exp(state[4:7]), np.array([0.0, 0.0, 1.0])
    args = (shares, slopes, np.full(len(shares), 1.0), size, state[3:4], CAMERA_T_LEVEL)
    centre, _ = centres_on_rays(*args, [(row, float(state[2]) + 0.2, 1e-4)])
    assert centre[0, 2] == pytest.approx(state[2] + 0.2, abs=1e-3)


def test_basins_are_apart_and_best_first() -> None:
    yaw = yaws(72)
    cost = 2 - np.cos(yaw - 0.5) ** 2
    chosen = basins(yaw, cost, 3)
    first, second = yaw[chosen[0]], yaw[chosen[1]]
    assert abs((first - 0.5 + np.pi / 2) % np.pi - np.pi / 2) < 0.1
    assert abs((second - first + np.pi) % (2 * np.pi) - np.pi) > np.deg2rad(25)
    assert cost[chosen[0]] <= cost[chosen[1]] <= cost[chosen[2]]


@pytest.mark.parametrize(('place', 'yaw'), [((12.0, 1.5), 0.6), ((20.0, -3.0), 3.0)])
@pytest.mark.parametrize('kind', [MonoLabeler, FusedLabeler])
def test_a_car_of_known_coordinates_is_labelled(
    kind: type[MonoLabeler], place: tuple[float, float], yaw: float
) -> None:
    scene = made_scene(car_state(2, place=place, yaw=yaw))
    labels = labeler(kind, scene.state).label(scene.frame, scene.box2d[None], image=IMAGE)
    (label,) = labels
    assert label.accepted, label.reason
    assert label.box3d is not None
    assert iou_upright(label.box3d, scene.box)[1] > 0.8
    heading = label.box3d.parent_T_box[:2, 0] @ scene.box.parent_T_box[:2, 0]
    assert heading > 0.98


def test_mono_needs_no_points_but_an_image() -> None:
    scene = made_scene(car_state(3))
    bare = scene.with_points(np.zeros((0, 3)))
    ours = labeler(MonoLabeler, scene.state)
    (label,) = ours.label(bare, scene.box2d[None], image=IMAGE)
    (same,) = ours.label(scene.frame, scene.box2d[None], image=IMAGE)
    assert label.box3d is not None
    assert same.box3d is not None
    np.testing.assert_array_equal(label.box3d.parent_T_box, same.box3d.parent_T_box)
    with pytest.raises(FrameError, match='image'):
        ours.label(bare, scene.box2d[None])


def test_what_cannot_be_labelled_is_rejected_with_its_reason() -> None:
    scene = made_scene(car_state(3))
    ours = labeler(MonoLabeler, scene.state)
    boxes = np.array([scene.box2d, [10, 10, 9, 30], [np.nan] * 4, [20.0, 100, 60, 130]])
    labels = ours.label(scene.frame, boxes, image=IMAGE)
    assert labels[0].accepted
    assert [label.reason for label in labels[1:]] == ['bad_box', 'bad_box', 'not_seen']
    late = ours.label(scene.frame, boxes[:1], budget=-1.0, image=IMAGE)
    assert [label.reason for label in late] == ['no_time']


def test_the_network_looks_at_no_boxes_for_which_there_is_no_time() -> None:
    scene = made_scene(car_state(3))
    ours = labeler(MonoLabeler, scene.state)
    boxes = np.tile(scene.box2d, (50, 1))
    labels = ours.label(scene.frame, boxes, budget=1e-9, image=IMAGE)
    assert [label.reason == 'no_time' for label in labels] == [False] + [True] * 49
    assert ours.coordinates.asked == 1


def test_a_box_that_does_not_fit_is_no_confident_label() -> None:
    scene = made_scene(car_state(3))
    shifted = scene.box2d + np.array([0.0, 0, 80, 60])
    (label,) = labeler(MonoLabeler, scene.state).label(scene.frame, shifted[None], image=IMAGE)
    assert not label.accepted


def test_the_mask_takes_points_of_others_away() -> None:
    scene = made_scene(car_state(3))
    crop = KnownCar(scene.state).infer(IMAGE, CAMERA, scene.box2d[None])[0]
    middle = 0.5 * (scene.box2d[:2] + scene.box2d[2:])
    pixels = np.array([middle, scene.box2d[:2] - 3, middle + 1000, [np.nan, np.nan]])
    assert masked(pixels, np.arange(4), crop).tolist() == [0]


def test_predicted_depth_is_scaled_by_the_ground() -> None:
    frame = made_scene(car_state(3)).frame
    taxonomy = load_taxonomy()
    rows = np.arange(CAMERA.height)[:, None] - CAMERA.cy
    with np.errstate(divide='ignore'):
        depth = np.where(rows > 4, CAMERA.fy * 1.65 / rows, np.nan)
    depth = np.broadcast_to(depth / 1.25, (CAMERA.height, CAMERA.width)).astype(np.float32)
    road = np.full(depth.shape, taxonomy.id_of('road'), np.uint8)
    seen = DepthSegmentation(depth, road)
    ground = ground_of_image(frame, seen, taxonomy)
    assert ground is not None
    assert ground.scale == pytest.approx(1.25, rel=0.02)
    np.testing.assert_allclose(ground.plane, 0.0)
    # Unknown height: the ground is where predicted depth has it.
    high = replace(frame, camera_T_level=frame.camera_T_level.copy())
    high.camera_T_level[:3, 3] -= high.camera_T_level[:3, :3] @ np.array([0.0, 0.0, 10.0])
    free = ground_of_image(high, seen, taxonomy)
    assert free is not None
    assert free.scale == 1.0
    assert free.plane[2] == pytest.approx(11.65 - 1.65 / 1.25, abs=0.05)
    assert ground_of_image(high, None, None) is None


@pytest.mark.parametrize(
    ('shown', 'slope'), [(0.015, 0.0), (0.03, 0.02), (0.06, 0.06), (-0.06, -0.06)]
)
@pytest.mark.parametrize('heading', [0.0, 2.0])
def test_a_camera_that_nods_against_its_frames_sees_the_road_tilted(
    shown: float, slope: float, heading: float
) -> None:
    world_T_level = from_euler(0.0, 0.0, heading, np.array([3.0, -2.0, 0.0]))
    frame = made_scene(car_state(3)).frame
    frame = replace(frame, camera_T_level=CAMERA_T_LEVEL @ invert(world_T_level))
    taxonomy = load_taxonomy()
    below = (np.arange(CAMERA.height)[:, None] - CAMERA.cy) / CAMERA.fy + shown
    with np.errstate(divide='ignore'):
        depth = np.where(below > 0.02, 1.65 / below / 1.25, np.nan)
    depth = np.broadcast_to(depth, (CAMERA.height, CAMERA.width)).astype(np.float32)
    road = np.full(depth.shape, taxonomy.id_of('road'), np.uint8)
    ground = ground_of_image(frame, DepthSegmentation(depth, road), taxonomy, 1.65)
    assert ground is not None
    camera = invert(CAMERA_T_LEVEL)[:2, 3]
    ahead = np.array([[*camera, 0], [camera[0] + 10, camera[1], 0], [camera[0] + 10, 4, 0]])
    places = transform_points(world_T_level, ahead)
    heights = places[:, :2] @ ground.plane[:2] + ground.plane[2]
    np.testing.assert_allclose(heights, [0, 10 * slope, 10 * slope], atol=0.02)


@pytest.mark.parametrize('place', [(12.0, 5.0), (12.0, 0.5), (12.0, -5.0)])
def test_the_side_of_the_traffic_tips_a_heading_that_looks_like_its_opposite(
    place: tuple[float, float],
) -> None:
    scene = made_scene(car_state(3, place=place))
    crop = KnownCar(scene.state).infer(IMAGE, CAMERA, scene.box2d[None])[0]
    unsure = replace(crop, odds=np.array([0.5, 0.5]))
    ends = scene.state[3] + np.array([0.0, np.pi])
    args = (scene.box2d, CAMERA, CAMERA_T_LEVEL, None, SightConfig())
    for traffic, oncoming in (('right', place[1] > 1.5), ('left', place[1] < -1.5)):
        odds = angle_odds(look(unsure, *args, traffic), ends, 0.2)
        along = np.cos(ends) < 0 if oncoming else np.cos(ends) > 0
        assert odds[along].min() > 1.5 * odds[~along].max()
        clear = angle_odds(look(crop, *args, traffic), ends, 0.2)
        assert clear[0] > clear[1]  # what is seen well decides
    flat = angle_odds(look(unsure, *args), ends, 0.2)
    assert flat[0] == pytest.approx(flat[1])


def test_a_car_that_is_taken_the_wrong_way_round_is_turned_by_the_traffic() -> None:
    state = car_state(3, place=(12.0, 4.0), yaw=np.pi - 0.1)
    scene = made_scene(state)

    class Turned(KnownCar):
        """Takes the front for the back, and says that it might be either."""

        def _crop(self, box: np.ndarray) -> SurfaceCrop:
            crop = super()._crop(box)
            swapped = crop.coordinates * np.array([-1, -1, 1], np.float32)
            return replace(crop, coordinates=swapped, odds=np.array([0.45, 0.55]))

    headings = []
    for traffic in ('', 'right', 'left'):
        own = labeler(MonoLabeler, state, Turned, LabelConfig(traffic=traffic))
        (label,) = own.label(scene.frame, scene.box2d[None], image=IMAGE)
        assert label.box3d is not None
        headings.append(label.box3d.parent_T_box[:2, 0] @ scene.box.parent_T_box[:2, 0])
    np.testing.assert_allclose(headings, [-1, 1, -1], atol=0.05)


def test_traffic_heads_as_the_camera_looks_whatever_the_level_frame() -> None:
    turned_frame = CAMERA_T_LEVEL @ make_transform(np.diag([-1.0, -1.0, 1.0]), np.zeros(3))
    assert flow_at(0.0, CAMERA_T_LEVEL, 'right') == pytest.approx(0.0)
    assert abs(flow_at(0.0, turned_frame, 'right')) == pytest.approx(np.pi)
    assert np.isnan(flow_at(0.0, CAMERA_T_LEVEL, ''))


def test_cars_smaller_than_those_learnt_from_are_found_in_their_size() -> None:
    population = (-0.15, -0.12, -0.02)
    state = car_state(3, place=(14.0, 2.0))
    state[4:7] += population
    state[2] = np.exp(state[6]) / 2
    scene = made_scene(state)

    class Deceived(KnownCar):
        """Takes the car for one of those that it has learnt from, farther away."""

        def _crop(self, box: np.ndarray) -> SurfaceCrop:
            crop = super()._crop(box)
            size = crop.size / np.exp(population)
            return replace(crop, size=size, distance=crop.distance * np.exp(0.135))

    usual = np.array(shape_model().config.mean_size)
    overlaps = []
    for larger, told in ((0, 0), (0, population), (-np.array(population), 0)):
        config = LabelConfig(population=tuple(told + np.zeros(3)))
        own = labeler(MonoLabeler, state, Deceived, config)
        # a network that says which cars it has learnt from
        own.coordinates.config = replace(
            own.coordinates.config, mean_size=tuple(usual * np.exp(larger))
        )
        (label,) = own.label(scene.frame, scene.box2d[None], image=IMAGE)
        assert label.box3d is not None
        overlaps.append(iou_upright(label.box3d, scene.box)[1])
    assert overlaps[1] > 0.8
    assert overlaps[1] > overlaps[0]
    assert overlaps[2] > overlaps[0] + 0.1


def test_the_cameras_height_is_the_ground_where_the_level_frame_is_the_cameras() -> None:
    state = car_state(3)
    scene = made_scene(state)
    lifted = make_transform(np.eye(3), np.array([0.0, 0.0, 1.65]))
    frame = replace(scene.frame, camera_T_level=CAMERA_T_LEVEL @ lifted)
    (lost,) = labeler(MonoLabeler, state).label(frame, scene.box2d[None], image=IMAGE)
    assert lost.reason == 'no_ground'
    told = labeler(MonoLabeler, state, KnownCar, LabelConfig(camera_height=1.65))
    (label,) = told.label(frame, scene.box2d[None], image=IMAGE)
    assert label.box3d is not None
    place = label.box3d.parent_T_box[:3, 3] + [0.0, 0.0, 1.65]
    np.testing.assert_allclose(place, scene.box.parent_T_box[:3, 3], atol=0.3)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match='camera_height'):
        LabelConfig(camera_height=-1.0)
    with pytest.raises(ValueError, match='traffic'):
        LabelConfig(traffic='middle')
    state = car_state(3)
    other = KnownCar(state)
    other.config = SurfaceCoordinatesConfig(components=3)
    with pytest.raises(ValueError, match='shape space'):
        MonoLabeler(shape_model(), 10, other)  # type: ignore[arg-type]
