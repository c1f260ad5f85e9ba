"""Crops: codes, files, truth of simulated scenes and of labels, views, losses, training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sim_perception.autolabel.records import LabelledFrame, write_frame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, make_transform
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.shape import ShapePca, decode_mesh
from sim_perception.models.surface_coordinates import (
    SurfaceCoordinatesConfig,
    SurfaceCoordinatesOutput,
)
from sim_perception.types import Box3D, Camera, ShapeLabel
from training.datasets.objects.crop_views import view_of, window_of
from training.datasets.objects.crops import (
    CropFolder,
    decode_coordinates,
    encode_coordinates,
    write_crops,
)
from training.datasets.sample import DatasetError
from training.engine.config import ConfigError, load_config
from training.labelling.crop_labels import crops_of_labels
from training.labelling.crop_scenes import nearest_latent, observation_angle, silhouette_mask
from training.labelling.crops import CropJob, crops
from training.tasks import build_task
from training.tasks.surface_coordinates.data import CropData, CropDataConfig
from training.tasks.surface_coordinates.task import crop_losses
from training.tasks.train import train

NET = SurfaceCoordinatesConfig()
CAMERA = Camera(640, 192, 372.0, 372.0, 319.5, 95.5)
CAMERA_T_LEVEL = invert(make_transform(BODY_T_OPTICAL[:3, :3], (0.3, 0.0, 1.65)))
SHAPE = Path(__file__).parents[2] / 'models' / 'shape_car'
TINY = [
    'steps=2', 'batch_size=2', 'workers=0', 'precision=32-true', 'log.pictures_every=2',
    'model.start=null', 'model.pretrained=false', 'model.width=64', 'model.height=48',
    'model.channels=[16,16,16]', 'model.head_channels=16', 'validation.every_steps=2',
]  # fmt: skip


def made_crop(seed: int = 0) -> dict:
    """Return a crop whose coordinates grow to the right and down, over the whole window."""
    rng = np.random.default_rng(seed)
    box = np.array([100.0, 60, 180, 110])
    window = np.array([80.0, 40, 200, 130])
    across = np.broadcast_to(np.linspace(-0.5, 0.5, 80), (60, 80))
    down = np.broadcast_to(np.linspace(-0.4, 0.4, 60)[:, None], (60, 80))
    shares = np.stack([across, down, 0.2 * np.ones((60, 80))], -1)
    image = rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)
    image[..., 0] = np.linspace(0, 255, 160).astype(np.uint8)
    return {
        'image': image,
        'visible': np.ones((60, 80), np.uint8),
        'amodal': np.ones((60, 80), np.uint8),
        'coordinates': encode_coordinates(shares),
        'window': window.astype(np.float32),
        'box': box.astype(np.float32),
        'intrinsics': np.array([372, 372, 319.5, 95.5], np.float32),
        'camera_T_box': np.array(
            [[0, -1, 0, -3.0], [0, 0, -1, 0.8], [1, 0, 0, 15], [0, 0, 0, 1]], np.float32
        ),
        'size': np.array([4.5, 2.0, 1.5], np.float32),
        'body_size': np.array([4.5, 1.8, 1.5], np.float32),
        'angle': np.float32(0.7),
        'latent': np.zeros(5, np.float32),
        'occluded': np.float32(0.1),
        'truncated': np.float32(0),
        'weight': np.float32(1),
    }


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('crops')
    write_crops(path / 'a_0.safetensors', [made_crop(0), made_crop(1)], {'source': 'made'})
    write_crops(path / 'a_1.safetensors', [], {'source': 'an empty scene'})
    write_crops(path / 'a_2.safetensors', [made_crop(2)], {'source': 'made'})
    return path


@pytest.fixture(scope='module')
def model() -> ShapePca:
    net = load_checkpoint(SHAPE, network='shape_pca').net
    assert isinstance(net, ShapePca)
    return net


def test_coordinates_survive_their_code() -> None:
    shares = np.random.default_rng(0).uniform(-0.6, 0.6, (50, 3))
    np.testing.assert_allclose(decode_coordinates(encode_coordinates(shares)), shares, atol=0.0025)


def test_crops_come_back_as_written(folder: Path) -> None:
    found = CropFolder([folder])
    assert len(found) == 3
    for index in range(3):
        for name, value in made_crop(index).items():
            np.testing.assert_array_equal(found[index][name], value)
    assert found.field('angle').shape == (3,)
    with pytest.raises(IndexError):
        found[3]


def test_unusable_folders_say_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='training crops'):
        CropFolder([tmp_path])
    data = (folder / 'a_0.safetensors').read_bytes()
    (tmp_path / 'cut.safetensors').write_bytes(data[:1000])
    with pytest.raises(DatasetError, match='damaged'):
        CropFolder([tmp_path])
    lacking = made_crop()
    del lacking['angle']
    with pytest.raises(ValueError, match='angle'):
        write_crops(tmp_path / 'x.safetensors', [lacking], {})


def test_a_view_shows_the_same_places_in_image_and_maps() -> None:
    crop = made_crop()
    window = window_of(crop, NET)
    image, truth = view_of(crop, window, NET)
    assert image.shape == (NET.height, NET.width, 3)
    # Red and x grow alike over the crop: so they must over the view.
    red = image[2::4, 2::4, 0].astype(float) / 255 - 0.5
    np.testing.assert_allclose(truth['coordinates'][0].numpy(), red, atol=0.02)
    focal = 372 * NET.width / (window[2] - window[0])
    assert float(truth['log_distance']) == pytest.approx(np.log(15 / focal), abs=1e-5)


def test_a_mirror_image_is_of_a_car_that_stands_the_other_way() -> None:
    crop = made_crop()
    window = window_of(crop, NET)
    image, truth = view_of(crop, window, NET)
    flipped, mirrored = view_of(crop, window, NET, mirror=True)
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    sign = torch.tensor([1.0, -1, 1]).view(3, 1, 1)
    torch.testing.assert_close(mirrored['coordinates'], truth['coordinates'].flip(-1) * sign)
    assert float(mirrored['angle']) == pytest.approx(-float(truth['angle']))


def test_samples_are_repeatable_and_vary(folder: Path) -> None:
    task = build_task(load_config('surface_coordinates', [*TINY, f'data.crops=["{folder}"]']))
    data = CropData(CropDataConfig(crops=[str(folder)]), NET, task.preprocess)
    one, same, other = (data.sample(0, np.random.default_rng(k)) for k in (1, 1, 2))
    torch.testing.assert_close(one, same)
    assert not torch.equal(one['image'], other['image'])


def test_a_share_of_the_samples_is_of_labels(folder: Path, tmp_path: Path) -> None:
    write_crops(tmp_path / 'b_0.safetensors', [{**made_crop(), 'weight': np.float32(0.5)}], {})
    task = build_task(load_config('surface_coordinates', [*TINY, f'data.crops=["{folder}"]']))
    for share in (0.0, 0.25, 1.0):
        config = CropDataConfig(
            crops=[str(folder)], labelled=[str(tmp_path)], labelled_share=share
        )
        data = CropData(config, NET, task.preprocess)
        weights = [
            float(data.sample(k % 3, np.random.default_rng(k))['weight']) for k in range(80)
        ]
        assert np.mean(np.array(weights) < 1) == pytest.approx(share, abs=0.1)


def test_angles_are_seen_from_the_camera() -> None:
    for yaw, place, expected in [(0.0, (10, 0), 0.0), (0.0, (10, 10), np.pi / 4),
                                 (np.pi / 2, (10, 0), -np.pi / 2)]:  # fmt: skip
        pose = CAMERA_T_LEVEL @ from_euler(0, 0, yaw, np.array([place[0] + 0.3, place[1], 0.8]))
        assert observation_angle(pose, CAMERA_T_LEVEL) == pytest.approx(expected)


def test_silhouettes_and_latents_of_members(model: ShapePca) -> None:
    member = np.array([1.0, -0.5, 0.3, 0.0, 0.5])
    size = np.array([4.4, 1.8, 1.5])
    surface = decode_mesh(model, member, tuple(size), spacing=0.06)
    found = nearest_latent(model, surface, size)
    np.testing.assert_allclose(found[:3], member[:3], atol=0.35)
    vertices = surface.vertices.astype(float) @ np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]).T
    vertices += [0.0, 0.0, 10.0]
    window = np.array([280.0, 55, 360, 135])
    mask = silhouette_mask(CAMERA, vertices, surface.faces, window, 80, 80)
    rows, columns = np.nonzero(mask)
    # The rear of a car 10 m away: 1.8 m wide, 1.5 m high.
    assert np.ptp(columns) == pytest.approx(372 * 1.8 / 7.9, rel=0.12)
    assert np.ptp(rows) == pytest.approx(372 * 1.5 / 8.2, rel=0.2)


def test_labels_become_crops_with_what_hides_them(model: ShapePca, tmp_path: Path) -> None:
    import cv2

    def labelled(x: float, y: float, box: tuple[float, float, float, float]) -> ShapeLabel:
        size = (4.4, 1.8, 1.5)
        pose = from_euler(0, 0, 0.4, np.array([x, y, 0.75]))
        return ShapeLabel(
            10, box, True, '', 0.9, Box3D(pose, size), np.zeros(5), size, np.eye(7) * 1e-3
        )

    near = labelled(9.0, 0.6, (220.0, 90, 400, 175))
    far = labelled(16.0, 2.2, (240.0, 85, 340, 130))
    refused = replace(far, accepted=False, reason='poor_fit')
    walker = replace(near, class_id=12, latent=np.zeros(4), body_size=(0.5, 0.6, 1.8))
    frame = LabelledFrame('f0', 1, CAMERA, CAMERA_T_LEVEL, (near, far, refused, walker))
    write_frame(frame, tmp_path / 'frames' / 'f0.json')
    (tmp_path / 'kitti' / 'image_2').mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'kitti/image_2/f0.png'), np.full((192, 640, 3), 90, np.uint8))
    first, second = crops_of_labels(tmp_path, model)
    assert first['occluded'] == 0
    assert 0.1 < second['occluded'] < 0.9
    assert float(first['weight']) == pytest.approx(0.9)
    assert second['visible'].sum() < second['amodal'].sum()
    shares = decode_coordinates(first['coordinates'])[first['visible'] > 0]
    # The camera sees a car that drives away from behind.
    assert shares[:, 0].mean() < -0.15
    assert np.abs(shares).max() < 0.55
    counts = crops(CropJob(out=str(tmp_path / 'out'), labels=(str(tmp_path),)))
    assert counts['crops'] == 2
    assert crops(CropJob(out=str(tmp_path / 'out'), labels=(str(tmp_path),)))['skipped'] == 1
    with pytest.raises(FileExistsError, match='other settings'):
        crops(CropJob(out=str(tmp_path / 'out'), labels=(str(tmp_path),), max_range=20.0))


def test_no_source_or_no_labels_is_an_error(tmp_path: Path, model: ShapePca) -> None:
    with pytest.raises(ValueError, match='nothing to crop'):
        CropJob(out=str(tmp_path))
    with pytest.raises(DatasetError, match='training label'):
        list(crops_of_labels(tmp_path, model))


def perfect(batch: dict) -> SurfaceCoordinatesOutput:
    """Return predictions that are as right as can be."""
    middles = 2 * torch.pi * torch.arange(8) / 8
    off = batch['angle'][:, None] - middles
    off = (off + torch.pi) % (2 * torch.pi) - torch.pi
    bins = torch.full((len(off), 8), -20.0).scatter(1, off.abs().argmin(1, keepdim=True), 20.0)
    return SurfaceCoordinatesOutput(
        visible=40 * batch['visible'] - 20,
        amodal=40 * batch['amodal'] - 20,
        coordinates=batch['coordinates'],
        log_error=torch.zeros_like(batch['visible']),
        bins=bins,
        turn=off,
        log_size=batch['log_size'],
        latent=batch['latent'].nan_to_num(),
        log_distance=batch['log_distance'][:, None],
        log_distance_error=torch.zeros(len(off), 1),
    )


def test_losses_vanish_for_the_truth_and_grow_with_errors(folder: Path) -> None:
    task = build_task(load_config('surface_coordinates', [*TINY, f'data.crops=["{folder}"]']))
    data = CropData(CropDataConfig(crops=[str(folder)]), NET, task.preprocess)
    samples = [data.sample(k, np.random.default_rng(k)) for k in range(3)]
    batch = torch.utils.data.default_collate(samples)
    batch['latent'][0] = torch.nan  # of a recording, not known
    right = perfect(batch)
    terms = crop_losses(right, batch)
    assert all(float(value) == pytest.approx(0, abs=1e-5) for value in terms.values())
    wrong = crop_losses(right._replace(turn=right.turn + 0.1), batch)
    assert float(wrong['turn']) == pytest.approx(0.1, rel=1e-3)
    batch['weight'][1:] = 0
    shifted = right._replace(
        coordinates=right.coordinates + torch.tensor([0, 1.0, 1]).view(3, 1, 1, 1)
    )
    assert float(crop_losses(shifted, batch)['coordinates']) == pytest.approx(0, abs=1e-5)


def test_it_trains_and_writes_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    overrides = [
        *TINY, f'output={tmp_path / "run"}', f'data.crops=["{folder}"]',
        f'validation.data={json.dumps({"made": str(folder)})}',
    ]  # fmt: skip
    made = train('surface_coordinates', 'surface_coordinates', overrides)
    loaded = load_checkpoint(made, network='surface_coordinates')
    assert loaded.metrics['training']['step'] == 2
    again = [*overrides, f'output={tmp_path / "more"}', f'model.init={made}']
    task = build_task(load_config('surface_coordinates', again))
    for name, value in loaded.net.state_dict().items():
        torch.testing.assert_close(task.model.state_dict()[name], value)
    with pytest.raises(ConfigError, match=r'model\.init'):
        build_task(load_config('surface_coordinates', [*again, f'model.init={tmp_path}']))


@pytest.mark.slow
def test_simulated_crops_are_exact(tmp_path: Path) -> None:
    job = CropJob(out=str(tmp_path), scenarios=('clean',), seeds='3', frames=2)
    assert crops(job)['crops'] > 0
    found = CropFolder([tmp_path])
    for index in range(len(found)):
        crop = found[index]
        seen = crop['visible'] > 0
        shares = decode_coordinates(crop['coordinates'])[seen]
        assert (crop['amodal'][seen] == 1).all()
        assert (np.abs(shares[:, [0, 2]]) < 0.53).mean() > 0.97
        assert np.isfinite(crop['latent']).all()
