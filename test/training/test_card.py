"""The card tells what a network was trained on and how well it does beside others."""

from __future__ import annotations

from typing import Any

from training.cards.depth_segmentation import write_card
from training.engine.config import TrainConfig


def run(data: dict[str, Any], **more: Any) -> dict[str, Any]:
    config = TrainConfig(data=data).model_dump(mode='json')
    return {'parameters': 1, 'step': 2, 'samples': 3, 'command': 'train', 'config': config} | more


def test_all_runs_count_for_what_a_network_has_seen():
    clips = [{'spec': 'kitti_stereo:DIR'}]
    first = run({'bags': ['data/a']})
    adapted = run({'bags': [], 'real_clips': clips}, earlier=first)
    text = write_card({'training': adapted})
    assert 'simulated images with their exact truth and unlabelled real images' in text
    assert 'kitti_stereo:DIR' in text
    assert 'Run 2 of 2' in text
    assert 'simulated images and their exact truth alone' in write_card({'training': first})
    video = write_card({'training': run({'real_clips': clips})})
    assert 'simulated' not in video.split('## Training')[0]


def test_results_of_another_checkpoint_stand_below_the_own_ones():
    own = {'task': 'depth_segmentation', 'frames': 4, 'abs_rel': 0.25}
    other = {'task': 'depth_segmentation', 'frames': 4, 'abs_rel': 0.5}
    moved = {'task': 'visual_odometry', 'frames': 3, 'translation_error_percent': 7.125}
    text = write_card(
        {
            'training': run({'bags': ['data/a']}),
            'evaluations': {'bag:x': own, 'camvid:y': own, 'visual_odometry bag:x': moved},
            'beside': {'source': {'bag:x': other}},
        }
    )
    lines = text.splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith('| `bag:x` | 4 | 0.250'))
    assert lines[row + 1].startswith('| the same, source | 4 | 0.500')
    assert lines[row + 2].startswith('| `camvid:y`')
    motion = text.split('## Visual odometry')[1]
    assert '| `visual_odometry bag:x` | 3 | 7.125 |' in motion
