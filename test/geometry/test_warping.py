"""Differentiable geometry against numpy, scipy, a homography and the simulator's own truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from sim_perception.geometry import cameras, warping
from sim_perception.geometry.transforms import invert
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.types import Camera

CAMERA = Camera(40, 24, 30.0, 32.0, 18.5, 11.25)
K = torch.from_numpy(CAMERA.matrix)[None]


def random_vectors(seed: int, count: int = 8, angle: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    vectors[:, 3:] *= angle / vectors[:, 3:].norm(dim=1, keepdim=True)
    return vectors


def random_depth(seed: int, batch: int = 1, size=(24, 40)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 + 10 * torch.rand(batch, *size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize('angle', [1e-9, 1e-4, 0.3, 2.0, 3.0])
def test_pose_matrix_is_scipys_rotation_and_pose_vector_its_inverse(angle):
    vectors = random_vectors(0, angle=angle)
    matrices = warping.pose_matrix(vectors)
    expected = Rotation.from_rotvec(vectors[:, 3:].numpy()).as_matrix()
    np.testing.assert_allclose(matrices[:, :3, :3], expected, atol=1e-12)
    np.testing.assert_array_equal(matrices[:, :3, 3], vectors[:, :3])
    torch.testing.assert_close(warping.pose_vector(matrices), vectors, atol=1e-9, rtol=1e-9)


def test_poses_have_exact_gradients_at_zero():
    zero = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(warping.pose_matrix, (zero,))
    round_trip = torch.autograd.functional.jacobian(
        lambda v: warping.pose_vector(warping.pose_matrix(v)).sum(0), zero
    )
    torch.testing.assert_close(round_trip[:, 0], torch.eye(6, dtype=torch.float64))


def test_points_and_pixels_are_those_of_the_numpy_camera():
    depth = random_depth(2)
    points = warping.unproject_depth(depth, K)
    expected = cameras.unproject(CAMERA, depth[0].numpy())
    np.testing.assert_allclose(points[0].permute(1, 2, 0), expected, atol=1e-12)
    moved = warping.transform_points(warping.pose_matrix(random_vectors(3, 1, 0.1)), points)
    pixels, depths = warping.project_points(moved, K)
    want_pixels, want_depths = cameras.project(CAMERA, moved[0].permute(1, 2, 0).numpy())
    seen = want_depths > warping.MIN_DEPTH
    np.testing.assert_allclose(pixels[0].permute(1, 2, 0)[seen], want_pixels[seen], atol=1e-9)
    np.testing.assert_array_equal(depths[0], want_depths)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_the_identity_changes_nothing_and_sees_every_pixel(dtype):
    image = torch.rand(2, 3, 24, 40, dtype=dtype)
    k, eye = K.to(dtype).expand(2, 3, 3), torch.eye(4, dtype=dtype).expand(2, 4, 4)
    warped, valid = warping.warp(image, random_depth(4, 2).to(dtype), k, k, eye)
    assert valid.all()
    torch.testing.assert_close(warped, image, atol=1e-4, rtol=0)


def test_a_plane_warps_by_its_homography():
    pose = warping.pose_matrix(torch.tensor([[0.3, -0.1, 0.4, 0.03, -0.05, 0.02]]).double())
    normal, distance = np.array([0.1, -0.2, -1.0]), 6.0  # n . X = -d, facing the camera
    rays = cameras.pixel_rays(CAMERA)
    depth = torch.from_numpy(-distance / (rays @ normal))[None]
    # The source image is linear in its pixels, so that bilinear sampling returns coordinates.
    v, u = torch.meshgrid(torch.arange(24.0), torch.arange(40.0), indexing='ij')
    source = torch.stack([u, v])[None].double()
    warped, valid = warping.warp(source, depth, K, K, pose)
    k, t = CAMERA.matrix, pose[0].numpy()
    homography = k @ (t[:3, :3] - np.outer(t[:3, 3], normal) / distance) @ np.linalg.inv(k)
    target = np.stack([u.numpy(), v.numpy(), np.ones((24, 40))], -1) @ homography.T
    expected = target[..., :2] / target[..., 2:]
    inside = ((expected >= 0) & (expected <= [39, 23])).all(-1)
    np.testing.assert_array_equal(valid[0], inside)
    assert 0.5 < inside.mean() < 1
    np.testing.assert_allclose(warped[0].permute(1, 2, 0)[inside], expected[inside], atol=1e-9)


def test_unknown_depth_and_points_behind_the_source_are_invalid_with_finite_gradients():
    depth = torch.full((1, 24, 40), 2.0)
    depth[0, 0, 0], depth[0, 0, 1], depth[0, 0, 2] = float('nan'), 0.0, float('inf')
    depth[0, 5:] = 9.0
    depth.requires_grad_(True)
    vector = torch.tensor([[0.0, 0.0, -5.0, 0.0, 0.0, 0.0]], requires_grad=True)
    k = K.float()
    image = torch.rand(1, 3, 24, 40)
    warped, valid = warping.warp(image, depth, k, k, warping.pose_matrix(vector))
    assert not valid[0, :5].any()
    assert valid[0, 11, 18]
    assert torch.isfinite(warped).all()
    warped.sum().backward()
    assert torch.isfinite(depth.grad).all()
    assert torch.isfinite(vector.grad).all()


def test_warp_gradients_match_finite_differences():
    generator = torch.Generator().manual_seed(5)
    k = torch.tensor([[[5.0, 0, 3.2], [0, 5.5, 2.4], [0, 0, 1]]], dtype=torch.float64)
    source = torch.rand(1, 2, 6, 8, generator=generator, dtype=torch.float64)
    depth = random_depth(6, 1, (6, 8))
    vector = torch.tensor([[0.11, 0.07, 0.23, 0.01, 0.02, -0.03]], dtype=torch.float64)

    def masked(source, depth, vector):
        warped, valid = warping.warp(source, depth, k, k, warping.pose_matrix(vector))
        return warped * valid[:, None]

    inputs = [x.requires_grad_(True) for x in (source, depth, vector)]
    assert torch.autograd.gradcheck(masked, inputs, eps=1e-7)


def test_geometry_stays_in_float32_under_autocast():
    image, depth = torch.rand(1, 3, 24, 40), random_depth(7).float()
    pose = random_vectors(8, 1, 0.02).float()
    k = K.float()
    want, valid = warping.warp(image, depth, k, k, warping.pose_matrix(pose))
    with torch.autocast('cpu', torch.bfloat16):
        got, same = warping.warp(image, depth, k, k, warping.pose_matrix(pose))
    assert got.dtype == torch.float32
    assert torch.equal(got, want)
    assert torch.equal(valid, same)
    assert warping.unproject_depth(depth.bfloat16(), k).dtype == torch.float32


def test_normals_of_a_plane_are_exact_and_face_the_camera():
    normal = np.array([0.3, -0.5, -0.9])
    normal /= np.linalg.norm(normal)
    depth = torch.from_numpy(-5.0 / (cameras.pixel_rays(CAMERA) @ normal))[None]
    assert (depth > 0).all()
    got = warping.normals_from_depth(depth, K)
    np.testing.assert_allclose(got, np.broadcast_to(normal[:, None, None], got.shape), atol=1e-9)
    rough = random_depth(9)
    facing = (warping.normals_from_depth(rough, K) * warping.unproject_depth(rough, K)).sum(1)
    assert (facing < 0).all()


def test_different_batch_sizes_are_refused():
    eye = torch.eye(4, dtype=torch.float64)[None]
    with pytest.raises(ValueError, match='same batch size'):
        warping.warp(torch.rand(2, 3, 24, 40), random_depth(0), K, K, eye)


def simulation_with(**camera) -> Simulation:
    camera = {'width': 320, 'height': 96, **camera}
    return Simulation(load_scenario('clean', seed=3, camera=camera), threads=1)


def test_simulated_frames_warp_onto_each_other_with_true_depth_and_pose():
    # Blur, because single-sample pixels of fine textures differ from frame to frame.
    simulation = simulation_with(blur_px=1.5)
    times = (1.0, 1.0 + simulation.frame_period)
    layers = frozenset({'rgb', 'depth', 'flow'})
    earlier, later = (simulation.camera_frame(t, layers) for t in times)
    poses = [simulation.state(t).world_T_base @ simulation.base_T_camera for t in times]
    earlier_T_later = invert(poses[0]) @ poses[1]
    assert earlier_T_later[2, 3] > 0.3  # points are farther from the earlier camera
    pose = torch.from_numpy(earlier_T_later)[None]
    k = torch.from_numpy(simulation.camera.matrix)[None]
    depth = torch.from_numpy(later.depth).double()[None]

    points = warping.transform_points(pose, warping.unproject_depth(depth, k))
    pixels = warping.project_points(points, k)[0][0].permute(1, 2, 0).numpy()
    v, u = np.mgrid[:96, :320]
    off = np.linalg.norm(pixels - np.stack([u, v], -1) - later.flow[..., :2], axis=-1)
    static = torch.from_numpy((off < 1e-2) & (later.flow[..., 2] > 0))[None]
    assert static[torch.isfinite(depth)].double().mean() > 0.6  # the rest moves or was hidden

    images = [torch.from_numpy(s.rgb / 255.0).permute(2, 0, 1)[None] for s in (earlier, later)]
    warped, valid = warping.warp(images[0], depth, k, k, pose)
    assert valid[static].all()
    error = (warped - images[1]).abs().mean(1)[static].mean()
    unwarped = (images[0] - images[1]).abs().mean(1)[static].mean()
    assert error < 0.5 * unwarped


def test_normals_are_those_of_the_simulator():
    simulation = simulation_with()
    sample = simulation.camera_frame(1.0, frozenset({'depth', 'normals'}))
    k = torch.from_numpy(simulation.camera.matrix)[None]
    got = warping.normals_from_depth(torch.from_numpy(sample.depth).double()[None], k)[0]
    cosine = (got.permute(1, 2, 0).numpy() * sample.normals).sum(-1)
    assert np.nanmedian(cosine) > 0.999
