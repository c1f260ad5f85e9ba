"""Views of clips: one crop and mirror for all frames, with cameras and motion that fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sim_perception.geometry.cameras import pixel_rays, project
from sim_perception.geometry.transforms import from_euler, invert, transform_points
from sim_perception.geometry.warping import warp
from sim_perception.types import Camera
from training.datasets.clips import Clip, Motion
from training.datasets.sample import Sample
from training.datasets.views.clip import ClipView, apply_view, clip_view, turned
from training.datasets.views.views import GeometryConfig, View, draw_view

CAMERA = Camera(320, 160, 200.0, 200.0, 150.0, 70.0)
BASELINE = 0.4
#: A smooth coloured wall 6 m ahead, seen from three places, turned a little.
POSES = np.stack(
    [
        from_euler(0.01, 0.02 * (i - 1), 0.01 * (1 - i), np.array([0.1 * i, 0, 0.5 * i]))
        for i in range(3)
    ]
)
VIEW = View((320, 160), (400, 180), (60, 20), (224, 128))


def wall(world_T_camera: np.ndarray, name: str) -> Sample:
    """Show the plane z = 6 of the world, coloured by its x and y."""
    rays = pixel_rays(CAMERA) @ world_T_camera[:3, :3].T
    origin = world_T_camera[:3, 3]
    depth = (6 - origin[2]) / rays[..., 2]
    place = origin + rays * depth[..., None]
    waves = np.stack([np.sin(2.1 * place[..., 0]), np.cos(1.7 * place[..., 1]),
                      np.sin(place[..., 0] + 1.3 * place[..., 1])], -1)  # fmt: skip
    image = np.round(127 + 120 * waves).astype(np.uint8)
    semantic = (place[..., 0] > 0).astype(np.uint8)
    return Sample(image, CAMERA, depth.astype(np.float32), semantic, name)


@pytest.fixture(scope='module')
def clip() -> Clip:
    motion = Motion('test', POSES)
    right_T_left = np.eye(4)
    right_T_left[0, 3] = -BASELINE
    right = replace(wall(POSES[1] @ invert(right_T_left), 'right'), depth=None, semantic=None)
    return Clip(
        frames=tuple(wall(pose, str(i)) for i, pose in enumerate(POSES)),
        target=1,
        target_T=tuple(motion.frame_T_target(i, 1) for i in range(3)),
        distance=tuple(motion.distance(i, 1) for i in range(3)),
        right=right,
        right_T_target=right_T_left,
        name='wall',
    )


def error(view: ClipView, image: np.ndarray, K: np.ndarray, pose: np.ndarray) -> float:
    """Return the mean grey levels between the target and an image warped onto it."""
    assert view.depth is not None

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(values, np.float32))[None]

    source = tensor(image).permute(0, 3, 1, 2)
    target_K = tensor(view.intrinsics[view.target])
    warped, inside = warp(
        source, tensor(view.depth[view.target]), target_K, tensor(K), tensor(pose)
    )
    assert inside.float().mean() > 0.6
    target = tensor(view.images[view.target]).permute(0, 3, 1, 2)
    return float((warped - target).abs().mean(1)[inside].mean())


@pytest.mark.parametrize('mirror', [False, True])
def test_neighbours_and_right_image_warp_onto_the_target(clip: Clip, mirror: bool) -> None:
    view = apply_view(clip, replace(VIEW, mirror=mirror))
    assert view.sources == (0, 2)
    for place in view.sources:
        pose = view.frame_T_target[place]
        assert error(view, view.images[place], view.intrinsics[place], pose) < 1.5
        assert error(view, view.images[place], view.intrinsics[place], invert(pose)) > 8
    assert view.right is not None
    assert view.right_T_target is not None
    assert view.right_intrinsics is not None
    assert error(view, view.right, view.right_intrinsics, view.right_T_target) < 1.5
    # in a mirror the right camera stands on the left, and a clip that forgot it would be wrong
    assert view.right_T_target[0, 3] == pytest.approx(BASELINE if mirror else -BASELINE)
    wrong = np.eye(4)
    wrong[0, 3] = -view.right_T_target[0, 3]
    assert error(view, view.right, view.right_intrinsics, wrong) > 8


@pytest.mark.parametrize('mirror', [False, True])
def test_view_matrix_maps_pixels_and_intrinsics(mirror: bool) -> None:
    view = replace(VIEW, mirror=mirror)
    sign = np.diag([-1.0 if mirror else 1.0, 1, 1])
    expected = view.matrix @ CAMERA.matrix @ sign
    np.testing.assert_allclose(view.camera(CAMERA).matrix, expected, atol=1e-9)
    point = np.array([0.3, -0.2, 4.0])
    pixel, _ = project(CAMERA, point)
    seen, _ = project(view.camera(CAMERA), sign @ point)
    np.testing.assert_allclose((view.matrix @ [*pixel, 1])[:2], seen, atol=1e-9)


def test_mirrored_transform_moves_mirrored_points() -> None:
    a_T_b = from_euler(0.1, 0.2, -0.3, np.array([1.0, 2.0, 3.0]))
    point, flip = np.array([0.5, -1.0, 7.0]), np.array([-1.0, 1, 1])
    moved = transform_points(replace(VIEW, mirror=True).transform(a_T_b), flip * point)
    np.testing.assert_allclose(flip * moved, transform_points(a_T_b, point), atol=1e-12)


def test_random_views_repeat_and_mirror_all_frames_alike(clip: Clip) -> None:
    config = GeometryConfig(width=128, height=64, focal=(120, 400))
    mirrored = 0
    for seed in range(8):
        view = clip_view(clip, config, np.random.default_rng(seed))
        again = clip_view(clip, config, np.random.default_rng(seed))
        np.testing.assert_array_equal(view.images, again.images)
        assert view.images.shape == (3, 64, 128, 3)
        assert view.depth is not None
        assert view.semantic is not None
        for place, frame in enumerate(clip.frames):
            np.testing.assert_array_equal(view.images[place], view.view.smooth(frame.image))
            np.testing.assert_array_equal(view.depth[place], view.view.nearest(frame.depth))
            np.testing.assert_array_equal(view.semantic[place], view.view.nearest(frame.semantic))
        mirrored += view.view.mirror
    assert 0 < mirrored < 8


def test_unknown_things_stay_unknown(clip: Clip) -> None:
    frames = tuple(replace(f, camera=None, depth=None) for f in clip.frames[:2])
    bare = Clip((*frames, replace(clip.frames[2], camera=None)), 1, (None,) * 3, (np.nan,) * 3)
    view = clip_view(bare, GeometryConfig(width=128, height=64), np.random.default_rng(0))
    assert np.isnan(view.intrinsics).all()
    assert np.isnan(view.frame_T_target).all()
    assert np.isnan(view.distance).all()
    assert view.depth is None
    assert view.semantic is not None
    assert view.right is view.right_T_target is view.right_intrinsics is None


def test_a_view_is_for_images_of_its_size(clip: Clip) -> None:
    view = draw_view((100, 50), 100.0, GeometryConfig(), np.random.default_rng(0))
    with pytest.raises(ValueError, match='the view is of 100x50 images, not 320x160'):
        apply_view(clip, view)


def test_an_added_turn_still_explains_every_frame(clip):
    straight = apply_view(clip, VIEW)
    view = turned(straight, np.radians(4), np.random.default_rng(1))
    assert np.array_equal(view.images[1], straight.images[1])
    before = straight.frame_T_target[[0, 2], :3, :3]
    turns = view.frame_T_target[[0, 2], :3, :3] @ np.swapaxes(before, 1, 2)
    np.testing.assert_allclose(turns[0] @ turns[1], np.eye(3), atol=1e-9)  # steady
    assert 0.5 < np.degrees(np.arccos((np.trace(turns[0]) - 1) / 2)) < 5
    depth = torch.from_numpy(view.depth[1])[None]
    matrix = torch.from_numpy(view.intrinsics[1].astype(np.float32))[None]
    target = torch.from_numpy(view.images[1]).permute(2, 0, 1)[None].float()
    for number in (0, 2):
        source = torch.from_numpy(view.images[number]).permute(2, 0, 1)[None].float()
        pose = torch.from_numpy(view.frame_T_target[number].astype(np.float32))[None]
        seen, inside = warp(source, depth, matrix, matrix, pose)
        inner = inside.clone()
        inner[..., :24], inner[..., -24:], inner[..., :24, :], inner[..., -24:, :] = 0, 0, 0, 0
        error = (seen - target).abs().mean(1)[inner]
        still, _ = warp(source, depth, matrix, matrix, torch.from_numpy(
            straight.frame_T_target[number].astype(np.float32))[None])  # fmt: skip
        wrong = (still - target).abs().mean(1)[inner]
        assert error.mean() < 4
        assert wrong.mean() > 3 * error.mean()
