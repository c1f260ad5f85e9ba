"""Image-level adaptation: the players, what translation must keep, and translated bags."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from simulated_bags import simulate_bag, write_pictures
from typer.testing import CliRunner

from sim_perception.bags.reader import BagReader
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from sim_perception.models.translation import TranslationConfig, TranslationNet
from sim_perception.resources import share_path
from sim_perception.taxonomy import load_taxonomy
from training.commands import cli
from training.engine.config import ConfigError, load_config
from training.evaluation.specs import open_spec
from training.evaluation.translation.evaluate import Judge, evaluate_translator
from training.examples.translation_pictures import main as translation_pictures
from training.metrics.domain_gap import ENOUGH, DomainGap
from training.simulation.translate import Translator
from training.tasks import build_task
from training.tasks.spigan.adversarial import (
    PatchDiscriminator,
    discriminator_loss,
    feature_distance,
    generator_loss,
    matched_weights,
)
from training.tasks.spigan.task import privileged_truth
from training.tasks.train import train

SCENARIO = """
domain: clean
duration_s: 0.4
camera: {width: 160, height: 96, horizontal_fov_deg: 80}
lidar: null
"""
TINY = [
    'batch_size=2', 'workers=0', 'device=cpu', 'precision=32-true', 'steps=2',
    'data.geometry={width: 96, height: 64, focal: [60, 90]}',
    'data.real_geometry={width: 96, height: 64, focal: [60, 90]}',
    'model.init=null', 'model.depth_channels=[16,16]', 'model.semantic_channels=[16,16]',
    'model.generator={width: 8, blocks: 1}', 'model.discriminator={width: 8, layers: 2}',
    'validation.every_steps=1000', 'log.scalars_every=1', 'log.pictures_every=2',
]  # fmt: skip


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('spigan')
    return simulate_bag(folder / 'bag', SCENARIO, layers='rgb,depth,semantic')


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp('images'))


def settings(bag: Path, images: Path, output: Path) -> list[str]:
    return [
        *TINY,
        f'output={output}',
        f'data.bags=["{bag}"]',
        f'data.real_images=[{{spec: "images:{images}", focal_ratio: 0.9}}]',
    ]


def batch_of(task, count: int = 2):
    data = task.training_data()
    samples = [data.sample(i % len(data), np.random.default_rng(i)) for i in range(count)]
    return torch.utils.data.default_collate(samples)


# Networks -----------------------------------------------------------------------------------


def test_translation_starts_as_it_is_and_stays_an_image():
    net = TranslationNet(TranslationConfig(width=8, blocks=1))
    image = torch.rand(2, 3, 20, 36) * 2 - 1
    torch.testing.assert_close(net(image), image)
    torch.nn.init.normal_(net.head.weight, std=10.0)
    made = net(image)
    assert made.shape == image.shape
    assert made.abs().max() <= 1
    with pytest.raises(ValueError, match='multiples of 4'):
        net(torch.zeros(1, 3, 21, 36))
    with pytest.raises(ValueError, match='width must be a multiple of 8'):
        TranslationConfig(width=12)


def test_the_players_push_in_opposite_directions_and_only_their_own_weights():
    torch.manual_seed(0)
    judge = PatchDiscriminator(width=8, layers=2)
    made = torch.rand(2, 3, 32, 48, requires_grad=True)
    generator_loss(judge.fixed(made)).backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in judge.parameters())
    torch.testing.assert_close(judge.fixed(made), judge(made))
    real = torch.ones(2, 1, 3, 3)
    assert discriminator_loss(real, torch.zeros(2, 1, 3, 3)) == 0
    assert generator_loss(torch.zeros(2, 1, 3, 3)) == 0.5
    assert generator_loss(real) == 0


def test_matched_patches_hold_as_much_of_every_class_in_both_domains():
    real = torch.tensor([[[0, 0, 0, 1], [0, 0, 1, 2]]])
    made = torch.tensor([[[0, 1, 1, 1], [255, 1, 1, 1]]])
    weights = matched_weights(real, made, (2, 4))
    shares = [
        [float(w[0, 0][classes[0] == k].sum()) for k in (0, 1, 2, 255)]
        for w, classes in zip(weights, (real, made), strict=True)
    ]
    assert shares[0] == pytest.approx(shares[1])
    # one eighth of class 0 and a quarter of class 1 is in both
    assert shares[0] == pytest.approx([8 / 3, 16 / 3, 0, 0])
    # the best answer that tells nothing but the class gains nothing over not knowing
    answer = [torch.where(classes == 0, 0.9, 0.4)[:, None] for classes in (real, made)]
    assert discriminator_loss(*answer) < 0.25 < discriminator_loss(*answer, weights)
    # nothing in common
    assert all(w.sum() == 0 for w in matched_weights(real, torch.full_like(made, 7), (2, 4)))


def test_features_of_equal_direction_are_no_distance_apart():
    maps = [torch.rand(2, 4, 5, 6), torch.rand(2, 8, 3, 3)]
    assert feature_distance(maps, [3 * m for m in maps]) == pytest.approx(0, abs=1e-5)
    assert feature_distance(maps, [-m for m in maps]) > 1


def test_the_gap_between_domains_grows_with_their_difference():
    gap = DomainGap()
    generator = torch.Generator().manual_seed(0)
    for domain, shift in (('real', 0.0), ('same', 0.0), ('near', 0.5), ('far', 2.0)):
        gap.add(domain, torch.randn(128, 6, 2, 2, generator=generator) * 2 + shift)
    same, near, far = (gap.distance(d, 'real') for d in ('same', 'near', 'far'))
    assert abs(same) < 0.1 < near < far
    gap.add('few', torch.randn(ENOUGH - 1, 6, 2, 2))
    assert gap.distance('few', 'real') is None
    assert gap.distance('never seen', 'real') is None


# Privileged information ---------------------------------------------------------------------


def test_privileged_information_of_a_wall_before_the_sky():
    depth = torch.full((1, 6, 8), 5.0)
    depth[:, :2] = torch.nan
    semantic = torch.where(torch.isnan(depth), 9, 3)
    matrix = torch.tensor([[[8.0, 0, 3.5], [0, 8.0, 2.5], [0, 0, 1]]])
    batch = {'depth': depth, 'semantic': semantic, 'K': matrix}
    logarithm, valid = privileged_truth(batch, 'depth', 100.0)
    assert logarithm.shape == (1, 1, 6, 8)
    torch.testing.assert_close(logarithm[:, 0][valid], torch.full((32,), 5.0).log())
    normals, smooth = privileged_truth(batch, 'normals', 100.0)
    assert normals.shape == (1, 3, 6, 8)
    towards = torch.tensor([0.0, 0.0, -1.0]).view(3, 1)
    torch.testing.assert_close(
        normals[0][:, smooth[0]], towards.expand(3, int(smooth.sum())), atol=1e-5, rtol=0
    )
    edges, everywhere = privileged_truth(batch, 'edges', 100.0)
    assert everywhere.all()
    assert edges[0, 0, 2].all()
    assert not edges[0, 0, :2].any()


# Training -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'own', 'absent'),
    [
        ('spigan', {'privileged', 'perceptual'}, {'pixel', 'cycle'}),
        ('spigan_no_pi', {'perceptual'}, {'privileged'}),
        ('simgan', {'pixel'}, {'privileged', 'perceptual'}),
        ('spigan_matched', {'perceptual', 'privileged'}, {'pixel', 'cycle'}),
        ('cyclegan', {'cycle', 'back_generator', 'back_discriminator'}, {'privileged'}),
    ],
)
def test_every_row_trains_its_own_terms(bag, images, tmp_path, name, own, absent):
    task = build_task(load_config(name, settings(bag, images, tmp_path))).train()
    result = task(batch_of(task))
    terms = set(result['terms'])
    assert own <= terms
    assert not absent & terms
    assert {'generator', 'discriminator', 'cross_entropy', 'made_cross_entropy'} <= terms
    result['loss'].backward()
    without = [name for name, p in task.named_parameters() if p.requires_grad and p.grad is None]
    # the heads that this task has no loss for
    assert all('uncertainty' in name for name in without)
    assert all(p.grad is None for p in task.source.parameters())


def test_privileged_information_reaches_the_generator(bag, images, tmp_path):
    task = build_task(load_config('spigan', settings(bag, images, tmp_path))).train()
    torch.nn.init.normal_(task.generators['to_real'].head.weight, std=0.01)
    batch = batch_of(task)
    for weight in ('adversarial', 'task', 'perceptual'):
        object.__setattr__(task.loss_config, weight, 0.0)
    task(batch)['loss'].backward()
    gradient = task.generators['to_real'].head.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_noise_blinds_the_discriminator_alone(bag, images, tmp_path):
    """Its answers are no longer those to the image; what is made stays an image."""
    answers = {}
    for noise in (0.0, 1e3):
        change = f'model.discriminator.noise={noise}'
        task = build_task(load_config('spigan', [*settings(bag, images, tmp_path), change]))
        torch.manual_seed(0)
        judge = task.train().discriminators['to_real']
        batch = batch_of(task)
        result = task(batch)
        assert result['outputs']['made'].abs().max() <= 1
        exact = judge(batch['real_image']['clean']).mean()
        answers[noise] = float(result['terms']['answer_real'] - exact.detach())
    assert answers[0.0] == 0
    assert answers[1e3] != 0


def test_the_players_have_their_own_optimizer_settings(bag, images, tmp_path):
    config = load_config(
        'spigan', [*settings(bag, images, tmp_path), 'model.discriminator.rate=3']
    )
    task = build_task(config)
    groups = task.parameter_groups(config.optimizer)
    judges = {id(p) for p in task.discriminators.parameters()}
    rate = config.optimizer.learning_rate
    for group in groups:
        inside = {id(p) in judges for p in group['params']}
        assert len(inside) == 1
        if inside == {True}:
            assert group['lr'] == pytest.approx(3 * rate)
            assert group['betas'] == (0.5, 0.999)
    listed = [id(p) for group in groups for p in group['params']]
    trained = [id(p) for p in task.parameters() if p.requires_grad]
    assert sorted(listed) == sorted(trained)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('data.real_images=[]', 'needs data.bags and data.real_images'),
        ('model.generator={width: 12}', 'model.generator or model.discriminator'),
        ('model.discriminator={depth: 3}', 'model.generator or model.discriminator'),
        ('model.discriminator.noise=-1', 'noise must not be negative'),
    ],
)
def test_settings_that_do_not_fit_are_refused(bag, images, tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        build_task(load_config('spigan', [*settings(bag, images, tmp_path), change]))


# Translation --------------------------------------------------------------------------------


def darkener(folder: Path) -> Path:
    """A checkpoint whose images are darker by a quarter of the range."""
    net = TranslationNet(TranslationConfig(width=8, blocks=1))
    torch.nn.init.constant_(net.head.bias, -0.5)
    return save_checkpoint(folder, net, taxonomy=load_taxonomy())


def test_only_the_images_of_a_translated_bag_change(bag, tmp_path):
    checkpoint = darkener(tmp_path / 'translator')
    arguments = ['translate', str(bag), '--checkpoint', str(checkpoint), '--out']
    result = CliRunner().invoke(cli.app, [*arguments, str(tmp_path / 'new')])
    assert result.exit_code == 0, result.output
    with BagReader(bag) as old, BagReader(tmp_path / 'new') as new:
        assert old.topics == new.topics
        for name in old.topics:
            assert (old.stamps(name) == new.stamps(name)).all()
            for number in range(old.count(name)):
                same = bytes(old.raw(name, number)) == bytes(new.raw(name, number))
                assert same == ('image_raw' not in name), name
        name = next(n for n in old.topics if 'image_raw' in n)
        before, after = (b.frame(name, 0).image.astype(int) for b in (old, new))
        assert (before - after).clip(0).mean() == pytest.approx(
            np.minimum(before, 64).mean(), rel=0.1
        )
    again = CliRunner().invoke(cli.app, [*arguments, str(tmp_path / 'new')])
    assert isinstance(again.exception, FileExistsError) or 'exists already' in again.output


def test_pictures_show_images_beside_their_translations(bag, tmp_path):
    checkpoint = darkener(tmp_path / 'run' / 'translator')
    out = tmp_path / 'new' / 'grid.png'
    translation_pictures(f'bag:{bag}', [checkpoint], out, every=1, rows=2, width=80)
    picture = cv2.imread(str(out))
    assert picture.shape == (2 * 48, 2 * 80, 3)
    before, after = np.split(picture[30:48].astype(int), 2, axis=1)
    assert after.mean() < 0.8 * before.mean()


@pytest.mark.slow
def test_a_run_ships_the_task_network_and_the_translator(bag, images, tmp_path):
    folder = train('spigan', 'spigan', settings(bag, images, tmp_path / 'run'))
    assert load_checkpoint(folder).name == 'depth_segmentation'
    translator = load_checkpoint(folder.parent / 'translator', network='translation')
    assert 'translate' in (folder.parent / 'translator' / 'README.md').read_text()
    assert translator.metrics['training']['config']['task'] == 'spigan'
    assert list(folder.parent.glob('pictures/translation_*.png'))
    with pytest.raises(CheckpointError):
        load_checkpoint(folder, network='translation')


def test_evaluate_translation_of_a_translator_that_changes_nothing(bag, images, tmp_path):
    """A generator starts as the identity: what is found is what was found before."""
    taxonomy = load_taxonomy()
    net = TranslationNet(TranslationConfig(width=8, blocks=1))
    preprocess = PreprocessConfig()
    translator = tmp_path / 'translator'
    save_checkpoint(translator, net, taxonomy=taxonomy, preprocess=preprocess.to_dict())
    output = tmp_path / 'scores.json'
    result = CliRunner().invoke(
        cli.app,
        [
            *('evaluate', 'translation', '--data', f'bag:{bag}', '--checkpoint', str(translator)),
            *('--judge', str(share_path('models', 'depth_segmentation_source'))),
            *('--json', str(output)),
        ],
    )
    assert result.exit_code == 0, result.output
    scores = json.loads(output.read_text())
    assert scores['pixels'] == 0
    assert scores['abs_rel'] == scores['abs_rel_simulated'] > 0
    assert scores['miou_change'] == scores['abs_rel_change'] == 0


class Grey(Translator):
    """Answers every image with plain grey."""

    def __call__(self, image):
        return np.full_like(image, 128)


def test_a_translator_that_paints_everything_grey_bends_the_scene(bag, tmp_path):
    net = TranslationNet(TranslationConfig(width=8, blocks=1))
    preprocess = PreprocessConfig().to_dict()
    save_checkpoint(tmp_path, net, taxonomy=load_taxonomy(), preprocess=preprocess)
    judge = Judge(share_path('models', 'depth_segmentation_source'))
    scores = evaluate_translator(Grey(tmp_path), judge, open_spec(f'bag:{bag}'))
    assert scores['miou'] < 0.5 * scores['miou_simulated']
    assert scores['abs_rel_change'] > 0.2
    assert scores['pixels'] > 10
