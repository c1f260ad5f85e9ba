"""Flicker: what counts as trembling, and what is steady motion."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sim_perception.files import read_json
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.depth_segmentation import DepthSegmentationConfig, DepthSegmentationNet
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera
from training.commands import cli
from training.datasets.clips import Clip
from training.datasets.sample import Sample
from training.evaluation.depth_segmentation.flicker import agreed_flow, clip_flicker, follow

CAMERA = Camera(160, 96, 100.0, 100.0, 79.5, 47.5)
SHIFT = 3


def texture(shift: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    wall = cv2.GaussianBlur(rng.integers(0, 256, (96, 200, 3), np.uint8), (0, 0), 2.0)
    wall = cv2.normalize(wall, None, 0, 255, cv2.NORM_MINMAX)
    return np.ascontiguousarray(wall[:, 20 + shift : 180 + shift])


class Depths:
    """Answers with the depth of the frame's number."""

    def __init__(self, *depths: float) -> None:
        self.depths = depths

    def infer(self, frame, confidence):
        depth = np.full(frame.image.shape[:2], self.depths[frame.stamp], np.float32)
        return SimpleNamespace(depth=depth)


def clip() -> Clip:
    frames = tuple(
        Sample(texture(SHIFT * k), CAMERA, None, None, str(k), stamp=k) for k in range(3)
    )
    return Clip(frames, 1, (None, np.eye(4), None), (1.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ('depths', 'expected'),
    [
        ((10, 10, 10), 0),
        ((12.1, 11, 10), 0),  # steady approach
        ((10, 12, 10), np.log(1.2)),
        ((10, 10, 12), np.log(1.2) / 2),
    ],
)
def test_steady_motion_is_no_flicker(depths, expected):
    mean, median, followed = clip_flicker(Depths(*depths), clip())
    assert (mean, median) == pytest.approx((expected, expected), abs=1e-5)
    assert followed > 0.7


def test_sky_and_far_depth_do_not_count():
    assert clip_flicker(Depths(10, np.nan, 10), clip()) is None
    assert clip_flicker(Depths(10, 10, 100), clip()) is None


def test_flow_finds_a_shift_and_says_where_it_is_sure():
    flow, sure = agreed_flow(texture(0), texture(SHIFT))
    assert np.median(flow[..., 0]) == pytest.approx(-SHIFT, abs=0.1)
    assert sure[:, 20:].mean() > 0.8
    assert not sure[:, 0].any()  # its match lies outside
    layer = np.tile(np.arange(160, dtype=np.float32), (96, 1))
    moved = follow(layer, np.full((96, 160, 2), (2.0, 0.0), np.float32))
    np.testing.assert_allclose(moved[:-1, :156], layer[:-1, :156] + 2)
    assert np.isnan(moved[:, 158:]).all()


def test_a_folder_of_images_is_scored_as_video(tmp_path):
    torch.manual_seed(0)
    config = DepthSegmentationConfig(depth_channels=(16, 16), semantic_channels=(16, 16))
    taxonomy = load_taxonomy()
    save_checkpoint(tmp_path / 'net', DepthSegmentationNet(config).eval(), taxonomy=taxonomy)
    (tmp_path / 'video').mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / 'video' / f'{number}.png'), texture(SHIFT * number))
    arguments = ['evaluate', 'flicker', '--checkpoint', str(tmp_path / 'net'), '--record']
    arguments += ['--data', f'images:{tmp_path / "video"}', '--rate', '10', '--focal-ratio', '0.8']
    result = CliRunner().invoke(cli.app, [*arguments, '--json', str(tmp_path / 'scores.json')])
    assert result.exit_code == 0, result.output
    scores = read_json(tmp_path / 'scores.json')
    assert scores['frames'] == 2
    assert 0 <= scores['flicker_median'] <= scores['flicker'] < 0.5
    without_rate = [a for a in arguments if a not in ('--rate', '10')]
    refused = CliRunner().invoke(cli.app, without_rate)
    assert 'rate' in str(refused.exception)
