"""The card tells what a network was trained on and how well it does beside others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim_perception.models.checkpoint import CARD, CONFIG, METRICS
from training.cards.writer import write_card
from training.engine.config import TrainConfig


def run(data: dict[str, Any], **more: Any) -> dict[str, Any]:
    config = TrainConfig(data=data).model_dump(mode='json')
    return {'parameters': 1, 'step': 2, 'samples': 3, 'command': 'train', 'config': config} | more


MODELS = Path(__file__).parents[2] / 'models'
SHAPES = {path.name for path in MODELS.glob('shape_*')}


@pytest.mark.parametrize('name', sorted({path.name for path in MODELS.iterdir()} - SHAPES))
def test_shipped_cards_are_those_of_their_metrics(name: str) -> None:
    folder = MODELS / name
    metrics = json.loads((folder / METRICS).read_text())
    network = yaml.safe_load((folder / CONFIG).read_text())['network']
    assert write_card(network, metrics) == (folder / CARD).read_text()


def test_a_network_without_sentences_has_a_card_all_the_same() -> None:
    text = write_card('new_network', {'training': run({})})
    assert text.startswith('# new_network\n\n0.00 M parameters. The weights are')
    assert 'Run 1 of 1: 2 steps, 16 random samples out of 3.' in text


def test_all_runs_count_for_what_a_network_has_seen():
    clips = [{'spec': 'kitti_stereo:DIR'}]
    first = run({'bags': ['data/a']})
    adapted = run({'bags': [], 'real_clips': clips}, earlier=first)
    text = write_card('depth_segmentation', {'training': adapted})
    assert 'simulated images with their exact truth and unlabelled real images' in text
    assert 'kitti_stereo:DIR' in text
    assert 'Run 2 of 2' in text
    assert 'simulated images and their exact truth alone' in write_card(
        'depth_segmentation', {'training': first}
    )
    video = write_card('depth_segmentation', {'training': run({'real_clips': clips})})
    assert 'simulated' not in video.split('## Training')[0]


def test_results_of_another_checkpoint_stand_below_the_own_ones():
    own = {'task': 'depth_segmentation', 'frames': 4, 'abs_rel': 0.25}
    other = {'task': 'depth_segmentation', 'frames': 4, 'abs_rel': 0.5}
    moved = {'task': 'visual_odometry', 'frames': 3, 'translation_error_percent': 7.125}
    text = write_card(
        'depth_segmentation',
        {
            'training': run({'bags': ['data/a']}),
            'evaluations': {'bag:x': own, 'camvid:y': own, 'visual_odometry bag:x': moved},
            'beside': {'source': {'bag:x': other}},
        },
    )
    lines = text.splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith('| `bag:x` | 4 | 0.250'))
    assert lines[row + 1].startswith('| the same, source | 4 | 0.500')
    assert lines[row + 2].startswith('| `camvid:y`')
    motion = text.split('## Visual odometry')[1]
    assert '| `visual_odometry bag:x` | 3 | 7.125 |' in motion


def test_the_permanence_card_says_whether_any_run_saw_real_images():
    simulated = run({'bags': ['b']})
    real = run({'real_images': [{'spec': 'images:x'}]})
    for training, told in (
        (simulated, 'exact truth alone'),
        (real, 'real images without labels'),
        ({**simulated, 'earlier': real}, 'real images without labels'),
    ):
        assert told in write_card('permanence', {'training': training})


def test_the_3d_detectors_card_says_whose_boxes_its_runs_learnt():
    true, labelled = run({'bags': ['b']}), run({'bags': ['b'], 'labels': 'l'})
    for training, told in (
        (true, 'on the true boxes of simulated recordings.'),
        (labelled, 'automatic labels alone'),
        ({**labelled, 'earlier': labelled}, 'automatic labels alone'),
        ({**labelled, 'earlier': true}, 'and on automatic labels of others'),
    ):
        assert told in write_card('detector3d', {'training': training})
