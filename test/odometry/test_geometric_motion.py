"""The camera's motion by geometry, on simulated streets whose depth and motion are known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sim_perception.geometry.road_plane import fit_road_plane
from sim_perception.geometry.transforms import from_euler, invert
from sim_perception.odometry.motion import GeometricMotion
from sim_perception.odometry.views import MAX_WIDTH, MotionView, motion_view
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, DepthSegmentation

HEIGHT = 1.65


@cache
def drive(**changes: object) -> Simulation:
    settings = {
        'duration_s': 1.0,
        'camera.width': 640,
        'camera.height': 224,
        'lidar': None,
        'ego.speed_kmh': 40,
        'street.curviness': 1.0,
        'weather.fog_density': 0.0,
        'traffic.vehicles_per_km': 0,
        'traffic.cyclists_per_km': 0,
    }
    return Simulation(load_scenario('clean', seed=3, **{**settings, **changes}))


@cache
def frame(k: int) -> tuple[MotionView, np.ndarray]:
    """Return the view of the k-th frame, depth as the simulator has it, and its pose."""
    simulation = drive()
    state = simulation.state(k / 10)
    sample = simulation.camera_frame(k / 10, frozenset({'rgb', 'depth', 'semantic'}))
    seen = DepthSegmentation(sample.depth, sample.semantic)
    view = motion_view(k * 100_000_000, sample.rgb, simulation.camera, seen, load_taxonomy())
    return view, state.world_T_base @ simulation.base_T_camera


def true_motion(before: int, now: int) -> np.ndarray:
    return invert(frame(before)[1]) @ frame(now)[1]


def angle(a: np.ndarray, b: np.ndarray) -> float:
    turn = Rotation.from_matrix(a[:3, :3].T @ b[:3, :3])
    return float(np.degrees(turn.magnitude()))


@pytest.mark.parametrize('height', [HEIGHT, None])
def test_motion_is_metric_by_the_road_or_by_depth(height):
    geometry = GeometricMotion(height)
    for k in range(1, 5):
        found = geometry.between(frame(k)[0], frame(k - 1)[0])
        true = true_motion(k - 1, k)
        assert np.linalg.norm(found[:3, 3] - true[:3, 3]) < 0.03 * np.linalg.norm(true[:3, 3])
        assert angle(found, true) < 0.1


def test_a_known_height_mends_a_wrong_depth_scale():
    wrong = [replace(frame(k)[0], depth=frame(k)[0].depth * np.float32(1.2)) for k in (0, 1)]
    length = float(np.linalg.norm(true_motion(0, 1)[:3, 3]))
    by_height = GeometricMotion(HEIGHT).between(wrong[1], wrong[0])
    assert np.linalg.norm(by_height[:3, 3]) == pytest.approx(length, rel=0.03)
    by_depth = GeometricMotion().between(wrong[1], wrong[0])
    assert np.linalg.norm(by_depth[:3, 3]) == pytest.approx(1.2 * length, rel=0.06)


def test_a_standing_camera_stands_and_backwards_is_backwards():
    still = replace(frame(0)[0], stamp=100_000_000)
    np.testing.assert_allclose(GeometricMotion().between(still, frame(0)[0]), np.eye(4), atol=1e-6)
    reverse = GeometricMotion(HEIGHT).between(replace(frame(0)[0], stamp=200_000_000), frame(1)[0])
    assert reverse[2, 3] < -0.5


def test_a_camera_that_only_turns_goes_nowhere():
    view = frame(0)[0]
    camera = view.camera
    turn = from_euler(0.0, 0.02, 0.0, np.zeros(3))[:3, :3]
    rows, columns = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy,
                     np.ones_like(rows)], -1) @ turn.T  # fmt: skip
    x = (camera.fx * rays[..., 0] / rays[..., 2] + camera.cx).astype(np.float32)
    y = (camera.fy * rays[..., 1] / rays[..., 2] + camera.cy).astype(np.float32)
    turned = replace(view, stamp=100_000_000, grey=cv2.remap(view.grey, x, y, cv2.INTER_LINEAR))
    found = GeometricMotion(HEIGHT).between(turned, view)
    assert np.linalg.norm(found[:3, 3]) < 0.05
    assert angle(found, np.block([[turn, np.zeros((3, 1))], [np.zeros((1, 3)), 1.0]])) < 0.1


def test_without_anything_to_track_the_network_has_the_say():
    view = frame(0)[0]
    blank = [replace(view, stamp=k, grey=np.full_like(view.grey, 90)) for k in (0, 100_000_000)]
    np.testing.assert_array_equal(GeometricMotion().between(blank[1], blank[0]), np.eye(4))
    guess = from_euler(0.0, 0.0, 0.0, np.array([0.0, 0.0, 0.7]))
    np.testing.assert_array_equal(
        GeometricMotion().between(blank[1], blank[0], lambda: guess), guess
    )


def test_speed_is_filtered_and_forgotten_after_a_gap():
    geometry = GeometricMotion(HEIGHT)
    geometry.between(frame(1)[0], frame(0)[0])
    later = [replace(frame(k)[0], stamp=frame(k)[0].stamp + 5_000_000_000) for k in (2, 3)]
    fresh = GeometricMotion(HEIGHT).between(later[1], later[0])
    np.testing.assert_allclose(geometry.between(later[1], later[0]), fresh, rtol=0, atol=0.02)


def test_the_road_plane_of_true_depth_is_where_the_road_is():
    view = frame(0)[0]
    plane = fit_road_plane(view.depth, view.road, view.camera)
    assert plane is not None
    assert plane.height == pytest.approx(HEIGHT, rel=0.01)
    assert plane.normal[1] > 0.999
    assert fit_road_plane(view.depth, np.zeros_like(view.road), view.camera) is None


def test_wide_images_are_reduced_with_their_camera():
    camera = Camera(2560, 720, 1500.0, 1500.0, 1279.5, 359.5)
    seen = DepthSegmentation(
        np.full((720, 2560), 9.0, np.float32), np.zeros((720, 2560), np.uint8)
    )
    view = motion_view(0, np.zeros((720, 2560, 3), np.uint8), camera, seen, load_taxonomy())
    assert view.grey.shape == (360, MAX_WIDTH) == view.depth.shape == view.road.shape
    assert view.camera.fx == pytest.approx(750.0)
    assert view.camera.cx == pytest.approx(639.5)
