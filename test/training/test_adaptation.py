"""GUDA: mixed data, what each part teaches, pseudo-labels, and training with tiny networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from simulated_bags import simulate_bag, write_pictures
from toy_task import scalars, torchrun

from sim_perception.geometry.warping import pose_matrix, pose_vector, warp
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.depth_segmentation import DepthSegmentationConfig, DepthSegmentationNet
from sim_perception.resources import share_path
from sim_perception.simulator.scenario import merge_settings, parse_scenario
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Frame
from training.datasets.clips import Clip
from training.datasets.image_store import DepthStore
from training.datasets.sample import IGNORE, DatasetError, Sample
from training.datasets.sources import SourceConfig
from training.engine.config import ConfigError, load_config
from training.engine.state import list_states, load_state
from training.evaluation.ablation import Ablation, load_ablation, markdown
from training.tasks import build_task
from training.tasks.guda.data import StereoHints, WeightedChoice
from training.tasks.guda.focal_lengths import FocalLengths
from training.tasks.guda.pseudo_labels import (
    ClassThresholds,
    PseudoLabels,
    follow,
    mix_classes,
    pseudo_labels,
    weighted_cross_entropy,
)
from training.tasks.guda.taught_images import TaughtImages, open_taught
from training.tasks.guda.view_synthesis import ClipViews, hint_loss, pose_error, synthesis_loss
from training.tasks.train import train

SCENARIO = """
domain: clean
duration_s: 0.5
frame_rate_hz: 10.0
camera: {width: 160, height: 96, horizontal_fov_deg: 70}
lidar: null
ego: {speed_kmh: 36}
street: {building_density: 0.6, furniture_density: 0.3}
traffic: {vehicles_per_km: 0, parked_density: 0.5, pedestrians_per_km: 0, cyclists_per_km: 0}
"""
TINY = [
    'device=cpu', 'batch_size=2', 'workers=0', 'precision=32-true', 'steps=3',
    'checkpoint.every_steps=2', 'log.scalars_every=1', 'log.pictures_every=2',
    'validation.every_steps=100', 'model.init=null', 'model.depth_channels=[16,16]',
    'model.semantic_channels=[16,16]', 'data.geometry={width: 96, height: 64, focal: [40, 80]}',
    'data.real_geometry=null',
]  # fmt: skip


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('adaptation')
    return simulate_bag(folder / 'bag', SCENARIO, layers='rgb,depth,semantic')


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp('images'))


def make_stereo(folder: Path) -> Path:
    """Two pairs that show a textured wall 5 m away."""
    rng = np.random.default_rng(1)
    wall = cv2.GaussianBlur(rng.integers(0, 256, (80, 240, 3), np.uint8), (0, 0), 1.0)
    for side, shift in (('left', 0), ('right', 10)):
        (folder / side).mkdir(parents=True)
        for number in range(2):
            image = wall[:, 20 + shift : 220 + shift]
            cv2.imwrite(str(folder / side / f'{number}.png'), image)
    (folder / 'calib.txt').write_text('P0: 100 0 100 0 0 100 40 0 0 0 1 0\n'
                                      'P1: 100 0 100 -50 0 100 40 0 0 0 1 0\n')  # fmt: skip
    return folder


def settings(bag: Path, images: Path, output: Path) -> list[str]:
    return [
        *TINY,
        f'output={output}',
        f'data.bags=["{bag}"]',
        f'data.clips=["{bag}"]',
        f'data.real_clips=[{{spec: "bag:{bag}"}}]',
        f'data.real_images=[{{spec: "images:{images}", focal_ratio: 0.9}}]',
    ]


def batch_of(task, count: int = 2):
    data = task.training_data()
    samples = [data.sample(i % len(data), np.random.default_rng(i)) for i in range(count)]
    return torch.utils.data.default_collate(samples)


def test_every_loss_reaches_the_network(bag, images, tmp_path):
    changes = [*settings(bag, images, tmp_path), 'loss.mix=1']
    task = build_task(load_config('guda_pl', changes)).train()
    result = task(batch_of(task))
    expected = {
        *('silog', 'gradient', 'cross_entropy', 'normals', 'uncertainty'),
        *('clip_silog', 'clip_gradient', 'clip_cross_entropy', 'clip_normals'),
        *('clip_uncertainty', 'partial_depth', 'partial_motion', 'motion', 'match'),
        *('photometric', 'smoothness', 'velocity', 'hint', 'pseudo_label'),
    }
    assert set(result['terms']) == expected
    named = dict(task.model.named_parameters())
    trained = [name for name, p in named.items() if p.requires_grad]
    result['loss'].backward()
    without = [name for name in trained if named[name].grad is None]
    assert without == []
    for value in result['terms'].values():
        assert torch.isfinite(value)


def test_stereo_pairs_teach_depth_and_no_classes(bag, images, tmp_path):
    pairs = make_stereo(tmp_path / 'pairs')
    changes = [
        *settings(bag, images, tmp_path),
        *('data.bags=[]', 'data.clips=[]', 'data.real_clips=[]', 'data.real_images=[]'),
        f'data.real_stereo=[{{spec: "kitti_stereo:{pairs}"}}]',
        'loss.balanced=1',
    ]
    task = build_task(load_config('guda', changes)).train()
    result = task(batch_of(task))
    assert set(result['terms']) == {*('real_silog', 'real_gradient', 'real_balanced')}
    result['loss'].backward()
    assert task.model.depth.head.weight.grad.abs().sum() > 0
    assert task.model.semantic.head.weight.grad is None
    assert task.pictures(batch_of(task), result['outputs']).keys() == {'real_depth'}


def test_a_teachers_depth_is_its_mean_answer_and_kept(images, tmp_path, monkeypatch):
    torch.manual_seed(0)
    config = DepthSegmentationConfig(depth_channels=(16, 16), semantic_channels=(16, 16))
    net = DepthSegmentationNet(config).eval()
    taxonomy = load_taxonomy()
    preprocess = PreprocessConfig(pixels=128 * 64)
    save_checkpoint(
        tmp_path / 'teacher', net, taxonomy=taxonomy, preprocess=preprocess.to_dict(), half=False
    )
    source = SourceConfig(spec=f'images:{images}', focal_ratio=0.9)
    store = DepthStore(tmp_path / 'kept')
    taught = open_taught(source, str(tmp_path / 'teacher'), store)
    found = taught[1]
    assert (found.semantic == IGNORE).all()
    logs = []
    for area, mirror in ((0.6, False), (1.0, False), (1.8, False), (1.0, True)):
        engine = DepthSegmentationEngine(
            net, taxonomy, replace(preprocess, pixels=round(area * 128 * 64)), device='cpu',
            precision='float32',
        )  # fmt: skip
        image = np.ascontiguousarray(found.image[:, ::-1]) if mirror else found.image
        depth = engine.infer(Frame(0, image, found.camera)).depth  # a centred camera
        logs.append(np.log(depth[:, ::-1] if mirror else depth))
    expected = np.exp(np.mean(logs, 0))
    np.testing.assert_allclose(found.depth, expected, rtol=2e-3)  # kept as float16
    # an answer that was given once is read, the teacher is not asked again
    monkeypatch.setattr(TaughtImages, '_ask', lambda *_: pytest.fail('it was answered before'))
    again = open_taught(source, str(tmp_path / 'teacher'), DepthStore(tmp_path / 'kept'))
    np.testing.assert_array_equal(again[1].depth, found.depth)


def test_diagnosing_changes_nothing_and_tells_gradients(bag, images, tmp_path):
    task = build_task(load_config('guda_pl', settings(bag, images, tmp_path))).train()
    batch = batch_of(task)
    seen = batch['real_image']['image']
    before = {name: value.clone() for name, value in task.state_dict().items()}
    norms = task.diagnose(batch)
    assert {'gradient/silog', 'gradient/photometric', 'gradient/pseudo_label'} <= set(norms)
    assert norms['gradient/silog'] > 0
    assert norms['gradient/motion'] == 0  # solved on detached depth and frozen features
    assert task.training
    assert batch['real_image']['image'] is seen
    for name, value in task.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_losses_of_weight_zero_cost_nothing(bag, images, tmp_path):
    changes = [
        *settings(bag, images, tmp_path),
        *('data.real_clips=[]', 'loss.motion=0', 'loss.match=0', 'loss.partial_motion=0'),
        'loss.partial_depth=0',
        *('loss.normals=0', 'model.ego_motion=false', 'model.uncertainty=false'),
    ]
    task = build_task(load_config('guda', changes)).train()
    terms = task(batch_of(task))['terms']
    assert set(terms) == {
        *('silog', 'gradient', 'cross_entropy'),
        *('clip_silog', 'clip_gradient', 'clip_cross_entropy'),
    }


def test_true_depth_and_motion_explain_a_simulated_clip(bag, images, tmp_path):
    changes = [*settings(bag, images, tmp_path), 'data.geometry.mirror=1']
    task = build_task(load_config('guda', changes))
    batch = batch_of(task)['virtual_clip']
    views = ClipViews.of(batch)
    true, _ = synthesis_loss(views, batch['depth'], views.true_poses, 0.85)
    backwards = [torch.linalg.inv(pose) for pose in views.true_poses]
    wrong, _ = synthesis_loss(views, batch['depth'], backwards, 0.85)
    near, _ = synthesis_loss(views, batch['depth'] * 0.5, views.true_poses, 0.85)
    assert true < 0.5 * wrong
    assert true < 0.7 * near
    travelled = torch.stack([pose[:, :3, 3].norm(dim=1) for pose in views.true_poses], 1)
    torch.testing.assert_close(views.distance, travelled)
    assert 0.5 < travelled.mean() < 1.2  # up to 36 km/h at 10 Hz


def test_pose_error_is_zero_at_the_truth_and_skips_unknown_poses():
    vectors = torch.tensor([[0.1, 0.0, 1.0, 0.0, 0.02, 0.0], [1.0, 2.0, 3.0, 0.1, 0.2, 0.3]])
    poses = pose_matrix(vectors)
    assert pose_error([vectors], [poses]) < 1e-6
    poses[1] = torch.nan
    off = vectors.clone()
    off[0, 2] += 0.5
    off[0, 4] += 0.01
    assert pose_error([off], [poses]) == pytest.approx(0.5 + 10 * 0.01, rel=1e-4)
    assert pose_error([vectors], [torch.full((2, 4, 4), torch.nan)]) == 0
    torch.testing.assert_close(pose_vector(pose_matrix(vectors)), vectors)


class Oracle(torch.nn.Module):
    """Scores that depend on the pixel's colour alone, so that mirroring must not matter."""

    def forward(self, image, focal):
        from sim_perception.models.depth_segmentation import DepthSegmentationOutput

        return DepthSegmentationOutput(image[:, :1], 8.0 * image)


def test_pseudo_labels_count_where_the_teacher_is_sure():
    image = torch.zeros(2, 3, 4, 4)
    image[0, 1] = 1.0  # sure everywhere
    image[1, 2, :2] = 1.0  # sure in the upper half; elsewhere all classes are equal
    labels, weight, confidence = pseudo_labels(Oracle(), image, torch.ones(2), 0.9)
    assert (labels[0] == 1).all()
    assert (labels[1, :2] == 2).all()
    assert (weight[0] == 1).all()
    assert (weight[1, :2] == 0.5).all()
    assert (weight[1, 2:] == 0).all()
    assert confidence[1, 3, 3] == pytest.approx(1 / 3)


def test_rare_classes_need_less_confidence():
    thresholds = ClassThresholds(3, 0.8, momentum=0.5)
    torch.testing.assert_close(thresholds(), torch.full((3,), 0.8))
    labels = torch.tensor([[[0, 0], [1, 1]]])
    for _ in range(20):
        thresholds.update(
            PseudoLabels(labels, torch.ones(1, 2, 2), torch.tensor([[[0.9, 0.9], [0.3, 0.6]]]))
        )
    # class 1 is half as sure as class 0; class 2 was never seen and keeps what it had
    torch.testing.assert_close(thresholds(), torch.tensor([0.8, 0.4, 0.8 * 0.8 / 0.9]))
    image = torch.zeros(1, 3, 2, 2)
    image[0, 1] = 0.1  # class 1 wins with a probability of .53
    found = pseudo_labels(Oracle(), image, torch.ones(1), thresholds())
    assert (found.weight == 1).all()
    assert (pseudo_labels(Oracle(), image, torch.ones(1), 0.8).weight == 0).all()


def test_mixing_pastes_whole_classes():
    torch.manual_seed(0)
    virtual = torch.arange(4).repeat_interleave(4).view(1, 4, 4)
    real = PseudoLabels(torch.full((1, 4, 4), 9), torch.full((1, 4, 4), 0.25), torch.ones(1, 4, 4))
    image, labels, weight = mix_classes(
        torch.ones(1, 3, 4, 4), virtual, torch.zeros(1, 3, 4, 4), real, ignore=3
    )
    pasted = labels != 9
    assert torch.equal(image[:, 0] == 1, pasted)
    assert torch.equal(weight == 1, pasted)
    assert not pasted[virtual == 3].any()  # unlabelled pixels are never pasted
    kept = {int(c) for c in virtual.unique() if (labels[virtual == c] == c).all()}
    assert len(kept) == 2
    assert int(pasted.sum()) == 8


def test_unsure_pixels_weaken_the_pseudo_label_loss():
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(1, 2, 2, dtype=torch.long)
    plain = torch.nn.functional.cross_entropy(logits, labels)
    half = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    whole = weighted_cross_entropy(logits, labels, torch.ones(1, 2, 2))
    torch.testing.assert_close(whole, plain)
    expected = torch.nn.functional.cross_entropy(logits[:, :, :1], labels[:, :1]) / 2
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, half), expected)


def test_the_teacher_follows_slowly_or_stands_still():
    slow, fast = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before = slow.weight.clone()
    follow(slow, fast, 1.0)
    torch.testing.assert_close(slow.weight, before)
    follow(slow, fast, 0.75)
    torch.testing.assert_close(slow.weight, 0.75 * before + 0.25 * fast.weight)


def test_a_larger_teacher_labels_and_stays_as_it_is(bag, images, tmp_path):
    torch.manual_seed(1)
    larger = DepthSegmentationConfig(
        encoder='efficientnet_lite2', depth_channels=(16, 16), semantic_channels=(24, 16)
    )
    net = DepthSegmentationNet(larger).eval()
    save_checkpoint(tmp_path / 'larger', net, taxonomy=load_taxonomy(), half=False)
    changes = [
        *settings(bag, images, tmp_path),
        *('data.clips=[]', 'data.real_clips=[]', 'loss.mix=0', 'loss.teacher_threshold=0'),
        f'loss.teacher={tmp_path / "larger"}',
    ]
    task = build_task(load_config('guda_pl', changes)).train()
    batch = batch_of(task)
    part = batch['real_image']
    result = task(batch)
    expected = pseudo_labels(net, part['clean'], part['focal'], 0.0)
    assert torch.equal(result['outputs']['real_image/labels'], expected.labels)
    result['loss'].backward()
    assert task.model.semantic.head.weight.grad is not None
    for name, value in net.state_dict().items():
        assert torch.equal(task.teacher.state_dict()[name], value), name
    (tmp_path / 'larger' / 'config.yaml').unlink()
    with pytest.raises(ConfigError, match=r'loss\.teacher'):
        build_task(load_config('guda_pl', changes))


def test_only_named_parts_are_trained(bag, images, tmp_path):
    changes = [*settings(bag, images, tmp_path), 'data.bags=[]', 'data.real_images=[]']
    task = build_task(load_config('ego_motion', changes)).train()
    task(batch_of(task))['loss'].backward()
    trained = {n.split('.')[0] for n, p in task.model.named_parameters() if p.grad is not None}
    assert trained == {'motion'}
    assert task.diagnose(batch_of(task)) == {}  # no gradient reaches the encoder
    with pytest.raises(ConfigError, match='need some of encoder, depth'):
        build_task(load_config('ego_motion', [*changes, 'model.train_only=[wheels]']))


def test_parts_come_from_other_checkpoints(bag, images, tmp_path):
    changes = [*settings(bag, images, tmp_path), 'seed=5', 'steps=1']
    other = build_task(load_config('guda', [*changes, 'seed=6', 'loss.motion=0']))
    folder = tmp_path / 'other'
    other.save_checkpoint(
        folder, load_config('guda', changes), {'command': '', 'step': 0, 'samples': 1}
    )
    plain = build_task(load_config('guda', changes)).model.state_dict()
    init = f'model.init_parts={{semantic: "{folder}"}}'
    mixed = build_task(load_config('guda', [*changes, init])).model.state_dict()
    for name, value in mixed.items():
        if name.startswith('semantic.'):  # checkpoints are stored in half precision
            torch.testing.assert_close(value, other.model.state_dict()[name], rtol=1e-3, atol=1e-4)
        else:
            assert torch.equal(value, plain[name]), name
    with pytest.raises(ConfigError, match="has no part 'wheels'"):
        build_task(load_config('guda', [*changes, f'model.init_parts={{wheels: "{folder}"}}']))


def test_measured_speed_corrects_the_depth(bag, images, tmp_path):
    task = build_task(load_config('guda', settings(bag, images, tmp_path))).train()
    batch = {'real_clip': batch_of(task)['real_clip']}
    weighted, _ = task._weighted_terms(batch)
    task.zero_grad()
    weighted['velocity'][1].backward()
    gradient = task.model.depth.head.bias.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def stereo_views(disparity: int = 6, focal: float = 60.0, baseline: float = 0.5) -> ClipViews:
    """A fronto-parallel wall at ``focal * baseline / disparity`` metres."""
    noise = torch.rand(1, 3, 20, 48, generator=torch.Generator().manual_seed(0))
    wall = torch.nn.functional.interpolate(noise, size=(40, 96), mode='bilinear')
    pose = torch.eye(4)[None].clone()
    pose[:, 0, 3] = -baseline
    matrix = torch.tensor([[[focal, 0, 40.0], [0, focal, 20.0], [0, 0, 1]]])
    return ClipViews(
        target=wall[..., :80],
        sources=(),
        matrix=matrix,
        true_poses=(),
        distance=torch.empty(1, 0),
        right=wall[..., disparity : disparity + 80],
        right_T_target=pose,
    )


def test_only_hints_that_explain_the_right_image_better_are_followed():
    views, true = stereo_views(), torch.full((1, 40, 80), 5.0)
    hint = true.clone()
    hint[:, :, :20] = torch.nan
    far = (true * 1.5).requires_grad_()
    loss = hint_loss(views, far, hint, 0.85)
    # columns that the right camera sees follow the hint; a mean over all hinted pixels
    assert float(loss.detach()) == pytest.approx(np.log(1.5), rel=0.1)
    (gradient,) = torch.autograd.grad(loss, far)
    assert (gradient[:, :, :20] == 0).all()
    assert (gradient[:, :, 20:] >= 0).all()
    assert hint_loss(views, true, true * 1.5, 0.85) == 0
    assert hint_loss(replace(views, right=None), far, hint, 0.85) == 0


def test_stereo_hints_are_metric_and_remembered():
    views = stereo_views()
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(0, 256, (60, 180), np.uint8), (360, 120))
    picture = np.repeat(texture[..., None], 3, -1)
    camera = Camera(300, 120, 200.0, 200.0, 149.5, 59.5)
    left, right = picture[:, :300].copy(), picture[:, 20:320].copy()
    target = Sample(left, camera, None, None, 'left')
    pose = views.right_T_target[0].numpy()
    clip = Clip((target,), 0, (np.eye(4),), (0.0,), Sample(right, camera, None, None, 'r'), pose)
    hints = StereoHints(capacity=1)
    depth = hints.of(clip)
    assert depth is not None
    assert np.nanmedian(depth) == pytest.approx(200 * 0.5 / 20, rel=0.02)
    assert hints.of(clip) is depth
    assert hints.of(replace(clip, right=None)) is None


@pytest.mark.slow
def test_training_with_a_teacher_resumes_bit_for_bit(bag, images, tmp_path):
    parts = settings(bag, images, tmp_path / 'parts')
    train('guda', 'guda_pl', parts, max_minutes=0)
    train('guda', 'guda_pl', parts, resume=True)
    checkpoint = train('guda', 'guda_pl', settings(bag, images, tmp_path / 'whole'))
    resumed = load_state(list_states(tmp_path / 'parts')[-1])
    straight = load_state(list_states(tmp_path / 'whole')[-1])
    assert any(name.startswith('teacher.') for name in straight['model'])
    for name, value in straight['model'].items():
        assert torch.equal(value, resumed['model'][name]), name
    loaded = load_checkpoint(checkpoint, network='depth_segmentation')
    assert loaded.net.config.ego_motion
    card = (checkpoint / 'README.md').read_text()
    assert 'unlabelled' in card
    pictures = {path.name.rsplit('_', 1)[0] for path in (tmp_path / 'whole/pictures').iterdir()}
    assert pictures == {'virtual', 'virtual_clip', 'real_clip', 'real_image'}


@pytest.mark.slow
def test_two_processes_lose_what_one_loses_on_the_same_samples(bag, images, tmp_path):
    # The uncertainty head is there but has no loss: no process may wait for its gradient.
    changes = ['model.uncertainty=true', 'loss.uncertainty=0', 'model.dropout=0']
    two = [*settings(bag, images, tmp_path / 'two'), *changes]
    torchrun(2, '--module', 'training', 'train', 'guda', '--config', 'guda', *two)
    one = [*settings(bag, images, tmp_path / 'one'), *changes, 'accumulate=2']
    train('guda', 'guda', one)
    for term in ('loss', 'silog', 'cross_entropy', 'photometric', 'velocity', 'match'):
        losses = scalars(tmp_path / 'two', f'train/{term}')
        assert len(losses) == 3
        assert losses == pytest.approx(scalars(tmp_path / 'one', f'train/{term}'), rel=1e-3)


def test_video_alone_trains_depth_and_motion(bag, tmp_path):
    changes = [
        *TINY,
        f'output={tmp_path}',
        f'data.real_clips=[{{spec: "bag:{bag}"}}]',
        'model.pretrained=false',
    ]
    task = build_task(load_config('self_supervised_depth', changes)).train()
    terms = task(batch_of(task))['terms']
    assert set(terms) == {'photometric', 'smoothness', 'velocity', 'hint'}
    with pytest.raises(ConfigError, match='train the task guda'):
        build_task(load_config('self_supervised_depth', [*changes, f'data.bags=["{bag}"]']))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('model.ego_motion=false', 'need model.ego_motion=true'),
        ('data.real_images=[]', 'loss.pseudo_label needs data.real_images'),
    ],
)
def test_settings_that_do_not_fit_are_refused(bag, images, tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        build_task(load_config('guda_pl', [*settings(bag, images, tmp_path), change]))


def test_views_of_unequal_size_are_refused(bag, images, tmp_path):
    change = 'data.real_geometry={width: 64, height: 64, focal: [40, 80]}'
    task = build_task(load_config('guda', [*settings(bag, images, tmp_path), change]))
    with pytest.raises(DatasetError, match='must have the size'):
        task.training_data()


def test_sources_are_drawn_by_weight():
    rng = np.random.default_rng(0)
    choose = WeightedChoice([5, 1000, 7], [1.0, 0.0, 3.0])
    drawn = [choose.draw(rng) for _ in range(2000)]
    share = np.mean([number == 2 for number, _ in drawn])
    assert share == pytest.approx(0.75, abs=0.03)
    assert all(number != 1 for number, _ in drawn)
    assert {place for number, place in drawn if number == 0} == set(range(5))
    with pytest.raises(DatasetError, match='no data source'):
        WeightedChoice([0, 4], [1.0, 0.0])


def test_configs_build_on_each_other(tmp_path):
    (tmp_path / 'a.yaml').write_text('steps: 7\noptimizer: {learning_rate: 0.5, clip_norm: 2}\n')
    (tmp_path / 'b.yaml').write_text(f'base: {tmp_path}/a.yaml\noptimizer: {{clip_norm: 3}}\n')
    config = load_config(tmp_path / 'b.yaml')
    assert (config.steps, config.optimizer.learning_rate, config.optimizer.clip_norm) == (
        7,
        0.5,
        3,
    )
    (tmp_path / 'a.yaml').write_text(f'base: {tmp_path}/b.yaml\n')
    with pytest.raises(ConfigError, match='its own base'):
        load_config(tmp_path / 'b.yaml')


@pytest.mark.parametrize('name', ['guda', 'guda_seeds', 'simulator'])
def test_every_row_of_the_shipped_ablations_can_be_configured(name):
    ablation = load_ablation(name)
    for row in ablation.rows:
        if row.checkpoint is None:
            load_config(row.config, [*ablation.overrides, *row.overrides])
        if row.scenario is not None:
            base = share_path('config', 'scenarios', ablation.scenario)
            parse_scenario(merge_settings(yaml.safe_load(base.read_text()), row.scenario))


def test_tables_show_the_rows_that_have_scores():
    ablation = load_ablation('guda')
    table = markdown(
        ablation,
        {'source_only': {'camvid': {'miou': 0.5}}, 'normals': {}},
        'python -m training ablate guda',
    )
    assert '| source_only | 0.500 |' in table
    assert '| normals |' not in table
    known = 'known: guda, guda_seeds, permatrack, simulator, spigan'
    with pytest.raises(ConfigError, match=f"unknown ablation 'nothing'; {known}"):
        load_ablation('nothing')


def test_rows_of_several_seeds_have_means_and_deviations():
    row = {'name': 'depth', 'config': 'guda', 'overrides': ['steps=1']}
    start = {'name': 'start', 'checkpoint': 'somewhere'}
    ablation = Ablation.model_validate(
        {'title': 'T', 'seeds': [3, 5], 'scores': {'real': ['miou']}, 'rows': [start, row]}
    )
    assert ablation.runs(ablation.rows[0]) == [('start', [])]
    assert ablation.runs(ablation.rows[1]) == [
        ('depth/seed_3', ['steps=1', 'seed=3']), ('depth/seed_5', ['steps=1', 'seed=5'])
    ]  # fmt: skip
    scores = {'start': 0.5, 'depth/seed_3': 0.4, 'depth/seed_5': 0.6}
    table = markdown(ablation, {k: {'real': {'miou': v}} for k, v in scores.items()}, 'ablate')
    assert '| start | 0.500 |' in table
    assert '| depth | 0.500 ± 0.141 |' in table
    assert '| depth | 0.400 |' in markdown(
        ablation, {'depth/seed_3': {'real': {'miou': 0.4}}}, 'ablate'
    )


def turning_clip(focal: float) -> dict[str, torch.Tensor]:
    """A camera that turns by five degrees between frames and sees only far things."""
    noise = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    far = torch.nn.functional.interpolate(noise, size=(64, 96), mode='bicubic').clamp(0, 1)
    matrix = torch.tensor([[[focal, 0, 47.5], [0, focal, 31.5], [0, 0, 1]]])
    vectors = torch.tensor([[0, 0, 0, 0, 0.08, 0], [0, 0, 0, 0.02, -0.08, 0.01]])
    poses = pose_matrix(vectors)
    depth = torch.full((1, 64, 96), 100.0)
    sources = [warp(far, depth, matrix, matrix, torch.linalg.inv(pose)[None])[0] for pose in poses]
    frames = torch.stack([far, *sources], 1).permute(0, 1, 3, 4, 2)
    return {
        'frames': (255 * frames).round().to(torch.uint8),
        'K': matrix,
        'focal': matrix[:, 0, 0],
        'focal_index': torch.zeros(1, dtype=torch.long),
        'source_T_target': poses[None],
        'distance': torch.zeros(1, 2),
        'right': torch.zeros(1, 64, 96, 3, dtype=torch.uint8),
        'right_T_target': torch.full((1, 4, 4), torch.nan),
        'depth': depth,
    }


@pytest.mark.parametrize('start', [70.0, 110.0])
def test_a_turning_camera_shows_its_focal_length(start):
    batch = turning_clip(focal=90.0)
    batch['K'][:, (0, 1), (0, 1)] = start
    focal = FocalLengths(['a video'], [start])
    optimizer = torch.optim.Adam(focal.parameters(), lr=5e-4)
    for _ in range(150):
        views = ClipViews.of(focal(batch))
        loss, _ = synthesis_loss(views, batch['depth'], views.true_poses, 0.85)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert focal.ratios()['a video'] == pytest.approx(90.0, rel=0.02)


def test_known_cameras_stay_as_they_are(bag, images, tmp_path):
    changes = [
        *settings(bag, images, tmp_path),
        f'data.real_clips=[{{spec: "bag:{bag}"}}, '
        f'{{spec: "images:{images}", rate: 10, focal_ratio: 0.9, learn_focal: true}}]',
    ]
    task = build_task(load_config('guda', changes))
    with torch.no_grad():
        task.focal_lengths.factor.fill_(0.01)
    assert task.focal_lengths.ratios() == {f'images:{images}': pytest.approx(0.9 * np.exp(0.1))}
    clips = batch_of(task, 8)['real_clip']
    changed = task.focal_lengths(clips)
    unknown = clips['focal_index'] == 0
    assert 0 < unknown.sum() < 8
    ratio = changed['K'] / clips['K'].clamp(min=1e-9)
    for axis in (0, 1):
        grown = ratio[unknown, axis, axis]
        torch.testing.assert_close(grown, torch.full_like(grown, np.exp(0.1)))
    torch.testing.assert_close(changed['K'][..., 2], clips['K'][..., 2])
    torch.testing.assert_close(changed['K'][~unknown], clips['K'][~unknown])
    loss = task(batch_of(task, 8))['loss']
    loss.backward()
    assert task.focal_lengths.factor.grad.abs().sum() > 0
    source = f'{{spec: "images:{images}", rate: 10, learn_focal: true}}'
    no_start = [*changes, f'data.real_clips=[{source}]']
    with pytest.raises(ConfigError, match='needs a focal_ratio to start from'):
        build_task(load_config('guda', no_start))
