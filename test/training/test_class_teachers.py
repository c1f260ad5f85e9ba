"""Classes of real images that several networks agree on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from simulated_bags import write_pictures

from sim_perception.geometry.rectification import rectify, restore
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.depth_segmentation import DepthSegmentationConfig, DepthSegmentationNet
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Frame
from training.datasets.sample import IGNORE
from training.datasets.sources import SourceConfig, open_images
from training.engine.config import ConfigError, load_config
from training.tasks import build_task
from training.tasks.guda.class_teachers import (
    AREAS,
    MARGIN,
    ClassTeachers,
    ClassTeachersConfig,
    too_wide,
)

SMALL = DepthSegmentationConfig(depth_channels=(16, 16), semantic_channels=(16, 16))
PIXELS = 128 * 64


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp('images'))


def save_teacher(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    net = DepthSegmentationNet(SMALL).eval()
    torch.nn.init.normal_(net.semantic.head.weight, std=3.0)  # surer than a new one
    save_checkpoint(
        folder, net, taxonomy=load_taxonomy(), half=False,
        preprocess=PreprocessConfig(pixels=PIXELS).to_dict(),
    )  # fmt: skip


@pytest.fixture
def teachers(tmp_path) -> list[str]:
    folders = []
    for seed in (0, 1):
        folders.append(str(tmp_path / f'teacher{seed}'))
        save_teacher(Path(folders[-1]), seed)
    return folders


def test_what_is_wider_than_allowed_is_found_and_nothing_else():
    mask = np.zeros((20, 60), bool)
    mask[2:18, 3:8] = True  # 5 wide
    mask[2:18, 20:26] = True  # 6 wide
    mask[10:14, 40:60] = True  # at the border
    wide = too_wide(mask, 5)
    assert not wide[:, :15].any()
    assert (wide[:, 15:] == mask[:, 15:]).all()


def test_a_label_is_the_product_of_all_answers_where_they_are_sure(images, teachers, tmp_path):
    sample = open_images(SourceConfig(spec=f'images:{images}', focal_ratio=0.9))[1]
    bias = {'building': 0.7, 'sky': -0.4}
    config = ClassTeachersConfig(folders=teachers, bias=bias, store=str(tmp_path / 'kept'))
    found = ClassTeachers(config).labels(sample, sample.camera)
    height, width = sample.image.shape[:2]
    total = np.zeros((height, width, len(load_taxonomy())))
    for folder in teachers:
        engine = DepthSegmentationEngine.load(folder, device='cpu', precision='float32')
        for area in AREAS:
            engine.preprocess = replace(engine.preprocess, pixels=round(area * PIXELS))
            for step in (1, -1):
                image = np.ascontiguousarray(sample.image[:, ::step])
                seen = engine.class_probabilities(Frame(0, image, sample.camera))[..., ::step]
                cells = np.ascontiguousarray(seen.transpose(1, 2, 0))
                total += np.log(np.maximum(cv2.resize(cells, (width, height)), 1e-4)) / 8
    total[..., load_taxonomy().id_of('building')] += 0.7
    total[..., load_taxonomy().id_of('sky')] -= 0.4
    best = np.sort(total, -1)
    sure = best[..., -1] - best[..., -2] - np.log(MARGIN)
    clear = abs(sure) > 1e-3
    expected = np.where(sure > 0, total.argmax(-1), IGNORE)
    assert 0.05 < (expected == IGNORE).mean() < 0.95
    np.testing.assert_array_equal(found[clear], expected[clear])


def test_labels_are_kept_as_long_as_the_teachers_are_the_same(
    images, teachers, tmp_path, monkeypatch
):
    sample = open_images(SourceConfig(spec=f'images:{images}', focal_ratio=0.9))[1]
    config = ClassTeachersConfig(folders=teachers, store=str(tmp_path / 'kept'))
    found = ClassTeachers(config).labels(sample, sample.camera)
    with monkeypatch.context() as quiet:
        quiet.setattr(ClassTeachers, '_ask', lambda *_: pytest.fail('it was answered before'))
        np.testing.assert_array_equal(ClassTeachers(config).labels(sample, sample.camera), found)
    shutil.rmtree(teachers[1])
    save_teacher(Path(teachers[1]), seed=7)
    assert (ClassTeachers(config).labels(sample, sample.camera) != found).any()


def test_labels_of_a_bent_lens_lie_where_its_pixels_are(images, teachers):
    straight = open_images(SourceConfig(spec=f'images:{images}', focal_ratio=0.9))[0]
    bent = replace(straight.camera, distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))
    image = np.ascontiguousarray(restore(bent, straight.image, 0))
    teacher = ClassTeachers(ClassTeachersConfig(folders=teachers))
    found = teacher.labels(replace(straight, image=image), bent)
    seen = replace(straight, image=rectify(bent, image))
    expected = restore(bent, teacher.labels(seen, straight.camera), IGNORE)
    np.testing.assert_array_equal(found, expected)
    raw = replace(straight, image=image, name='raw')
    assert (found != teacher.labels(raw, straight.camera)).any()


def test_a_class_is_not_believed_where_it_is_too_wide(images, teachers):
    sample = open_images(SourceConfig(spec=f'images:{images}', focal_ratio=0.9))[0]
    camera = sample.camera
    plain = ClassTeachers(ClassTeachersConfig(folders=teachers)).labels(sample, camera)
    number = int(np.bincount(plain[plain != IGNORE]).argmax())
    names = load_taxonomy().names
    name, other = names[number], names[number - 1]
    wide = too_wide(plain == number, round(0.05 * plain.shape[1]))
    assert wide.any()
    for wider, expected in (({}, IGNORE), ({name: other}, names.index(other))):
        config = ClassTeachersConfig(folders=teachers, widest={name: 0.05}, wider=wider)
        narrow = ClassTeachers(config).labels(sample, camera)
        np.testing.assert_array_equal(narrow, np.where(wide, expected, plain))


def settings(images: Path, teachers: list[str], output: Path) -> list[str]:
    return [
        'device=cpu', 'batch_size=2', 'workers=0', 'model.init=null', 'loss.mix=0',
        'model.depth_channels=[16,16]', 'model.semantic_channels=[16,16]', 'data.bags=[]',
        'data.geometry={width: 96, height: 64, focal: [40, 80]}', 'data.real_geometry=null',
        f'output={output}', f'data.class_teachers={{folders: {teachers}, store: null}}',
        f'data.real_images=[{{spec: "images:{images}", focal_ratio: 0.9}}]',
    ]  # fmt: skip


def test_the_task_learns_what_teachers_know_and_nothing_else(images, teachers, tmp_path):
    task = build_task(load_config('classes_taught', settings(images, teachers, tmp_path))).train()
    data = task.training_data()
    samples = [data.sample(i, np.random.default_rng(i)) for i in range(2)]
    batch = torch.utils.data.default_collate(samples)
    assert set(batch) == {'real_image'}
    result = task(batch)
    assert set(result['terms']) == {'pseudo_label'}
    result['loss'].backward()
    assert task.model.semantic.head.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in task.model.encoder.parameters())
    batch['real_image']['semantic'][:] = IGNORE
    assert float(task(batch)['loss'].detach()) == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('data.class_teachers.bias={lamp: 1}', 'data.class_teachers: .*lamp'),
        ('data.class_teachers.folders=[no_such_folder]', 'data.class_teachers: .*no_such_folder'),
        ('loss.teacher=models/depth_segmentation', 'need one of them'),
        ('data.class_teachers.widest={pole: 0}', 'greater than 0'),
        ('data.class_teachers.wider={pole: building}', 'wider names pole, widest does not'),
        ('loss.pseudo_label=0', 'data.class_teachers need loss.pseudo_label'),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(
    images, teachers, tmp_path, change, message
):
    with pytest.raises(ConfigError, match=message):
        build_task(load_config('classes_taught', [*settings(images, teachers, tmp_path), change]))
