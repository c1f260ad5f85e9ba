"""Random walks along the memory: transitions, evidence only, what they teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sim_perception.models.permanence import BOX_UNIT
from sim_perception.types import Camera
from training.datasets.bags.track_clips import ObjectTable
from training.datasets.bags.track_targets import RuleConfig, clip_targets
from training.datasets.views.views import View
from training.engine.config import load_config
from training.tasks import build_task
from training.tasks.permatrack.maps import COLUMNS, WIDTH, clip_maps
from training.tasks.permatrack.walk import (
    MemoryWalk,
    WalkConfig,
    follow,
    teach,
    walk_loss,
    walked_places,
)

SIZE = (6, 12)
RULES = RuleConfig(hidden='random_walk', min_area=20)
VIEW = View((96, 48), (96, 48), (0, 0), (96, 48))
CAMERA = Camera(96, 48, 80.0, 80.0, 47.5, 23.5)


def cell(row: int, column: int) -> int:
    return row * SIZE[1] + column


def batch_of(walks: list[list[int]], frames: int) -> dict[str, Tensor]:
    """A batch of one clip with walks, and room for 4 known centres."""
    count = len(walks)
    return {
        'walks': torch.tensor([walks]),
        'walk_weight': torch.ones(1, count),
        'walk_thing': torch.zeros(1, count, dtype=torch.long),
        'walk_values': torch.zeros(1, count, 2, WIDTH),
        'walk_fading': torch.ones(1, count, frames),
        'steps': torch.zeros(1, 1, 3, dtype=torch.long),
        'step_weight': torch.zeros(1, 1),
        'heat': torch.zeros(1, frames, 2, 2 * SIZE[0], 2 * SIZE[1]),
        'heat_weight': torch.ones(1, frames, 2, 2 * SIZE[0], 2 * SIZE[1]),
        'place': torch.zeros(1, 4, dtype=torch.long),
        'values': torch.zeros(1, 4, WIDTH),
        'weight': torch.zeros(1, 4),
        'displacement_weight': torch.zeros(1, 4),
        'hidden': torch.zeros(1, 4, dtype=torch.bool),
    }


def test_transitions_are_probabilities_of_short_steps() -> None:
    torch.manual_seed(0)
    walk = MemoryWalk(8, WalkConfig(channels=4, reach=2))
    step = walk(torch.randn(2, 3, 8, *SIZE))
    assert step.shape == (2, 2, 72, 72)
    torch.testing.assert_close(step.sum(-1), torch.ones(2, 2, 72))
    from_corner = step[0, 0, 0].unflatten(0, SIZE)
    assert (from_corner[:3, :3] > 0).all()
    assert from_corner[3:].sum() == from_corner[:, 3:].sum() == 0


def moving_pattern(frames: int) -> Tensor:
    """A memory in which one cell differs from the others, two columns further every frame."""
    memory = torch.zeros(1, frames, 2, *SIZE)
    memory[:, :, 0] = 1.0
    for t in range(frames):
        memory[0, t, :, 2, 1 + 2 * t] = torch.tensor([0.0, 1.0])
    return memory


def test_a_walk_goes_where_the_memory_looks_alike() -> None:
    walk = MemoryWalk(2, WalkConfig(channels=2, reach=3, temperature=0.05)).requires_grad_(False)
    with torch.no_grad():
        walk.embed.weight.copy_(torch.eye(2)[..., None, None])
        walk.embed.bias.zero_()
    batch = batch_of([[0, cell(2, 1), 4, cell(2, 9)], [1, cell(2, 3), 3, cell(2, 7)]], 5)
    step = walk(moving_pattern(5))
    places = follow(step, batch['walks'])
    assert places.shape == (1, 5, 2, 72)
    torch.testing.assert_close(
        places.sum(-1)[0], torch.tensor([[1, 0], [1, 1], [1, 1], [1, 1], [1, 0]]).float()
    )
    assert walk_loss(step, places, batch, SIZE, 1.0) < 1e-3
    walked = walked_places(places, batch, SIZE, 0.9)
    assert walked.sure[0].T.tolist() == [
        [False, True, True, True, False],
        [False, False, True, False, False],
    ]
    torch.testing.assert_close(
        walked.x[0, 1:4, 0], torch.tensor([3.0, 5.0, 7.0]), atol=0.01, rtol=0
    )
    torch.testing.assert_close(walked.y[0, 1:4, 0], torch.full((3,), 2.0), atol=0.01, rtol=0)


def test_the_reappearance_alone_teaches_the_memory_of_hidden_frames() -> None:
    torch.manual_seed(0)
    memory = (0.1 * torch.randn(1, 5, 8, *SIZE)).requires_grad_()
    walk = MemoryWalk(8, WalkConfig(channels=8, reach=2))
    batch = batch_of([[0, cell(1, 1), 4, cell(4, 9)]], 5)
    optimizer = torch.optim.Adam([memory, *walk.parameters()], 0.02)
    losses = []
    for _ in range(60):
        step = walk(memory)
        places = follow(step, batch['walks'])
        loss = walk_loss(step, places, batch, SIZE, 0.0)
        optimizer.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        if len(losses) == 1:
            assert memory.grad is not None
            assert (memory.grad.abs().flatten(2).sum(-1) > 0).all(), 'hidden frames learn, too'
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]


def test_steps_of_seen_objects_count_as_told() -> None:
    torch.manual_seed(0)
    step = MemoryWalk(8, WalkConfig())(torch.randn(1, 3, 8, *SIZE))
    batch = batch_of([[0, 0, 2, 0]], 3)
    batch['walk_weight'][:] = 0
    batch['steps'][0, 0] = torch.tensor([1, cell(2, 2), cell(3, 3)])
    batch['step_weight'][:] = 1
    places = follow(step, batch['walks'])
    share = step[0, 1, cell(2, 2)].unflatten(0, SIZE)[2:5, 2:5].sum()
    loss = walk_loss(step, places, batch, SIZE, 1.0)
    assert loss.item() == pytest.approx(-torch.log(share).item(), abs=1e-4)
    assert walk_loss(step, places, batch, SIZE, 0.0).item() == 0.0


def test_sure_walks_ask_for_the_object_between_its_sightings() -> None:
    batch = batch_of([[0, cell(2, 1), 4, cell(2, 9)]], 5)
    batch['walk_values'][0, 0, :, COLUMNS['log_depth']] = torch.tensor([[1.0], [3.0]])
    batch['walk_values'][0, 0, :, COLUMNS['visibility']] = 1.0
    batch['walk_fading'][0, 0] = torch.tensor([1.0, 0.9, 0.8, 0.7, 0.6])
    places = torch.zeros(1, 5, 1, 72)
    for t, column in enumerate((1, 3, 5, 7, 9)):
        places[0, t, 0, cell(2, column)] = 1.0 if t != 2 else 0.3
    walked = walked_places(places, batch, SIZE, 0.5)
    taught = teach(batch, walked, 3.0)
    assert batch['heat'].sum() == 0, 'the batch itself stays'
    height, width = 12, 24
    asked = taught['weight'][0, 4:] > 0
    assert asked.tolist() == [True, True]
    # memory cell (2, 3) has its middle at output cell (4.5, 6.5)
    expected = [(1 * height + 4) * width + 6, (3 * height + 4) * width + 14]
    assert taught['place'][0, 4:].tolist() == expected
    new = taught['values'][0, 4:]
    torch.testing.assert_close(new[:, COLUMNS['offset']], torch.full((2, 2), 0.5))
    torch.testing.assert_close(new[:, COLUMNS['log_depth']], torch.tensor([[1.5], [2.5]]))
    assert (new[:, COLUMNS['visibility']] == 0).all()
    assert taught['hidden'][0].tolist() == [False] * 4 + [True] * 2
    assert taught['displacement_weight'][0, 4:].tolist() == [0, 0]
    torch.testing.assert_close(taught['weight'][0, 4:], torch.tensor([0.9, 0.7]))
    assert taught['heat'][0, 1, 0, 4, 6] == taught['heat'][0, 3, 0, 4, 14] == 1
    assert taught['heat'][0, [0, 2, 4]].sum() == taught['heat'][0, :, 1].sum() == 0
    assert taught['heat_weight'][0, 1, 0, 4, 6] == pytest.approx(2.7)


def test_a_seen_objects_centre_is_not_taken() -> None:
    batch = batch_of([[0, cell(2, 1), 2, cell(2, 5)]], 3)
    batch['heat'][0, 1, 0, 4, 6] = 1.0
    places = torch.zeros(1, 3, 1, 72)
    places[0, :, 0, cell(2, 3)] = 1.0
    taught = teach(batch, walked_places(places, batch, SIZE, 0.5), 3.0)
    assert taught['weight'].shape == (1, 4)
    assert torch.equal(taught['heat'], batch['heat'])


def hidden_walker() -> ObjectTable:
    """One object that is hidden in frames 3 to 5, before a camera that stands still."""
    x = np.linspace(-3, 3, 9)
    position = np.stack([x, np.zeros(9), np.full(9, 12.0)], -1)[:, None]
    visibility = np.array([1.0] * 3 + [0.0] * 3 + [1.0] * 3)[:, None]
    centre = np.stack([x * 80 / 12 + 47.5, np.full(9, 23.5)], -1)
    reach = np.array([4.0, 6.0])
    box = np.concatenate([centre - reach, centre + reach], -1)[:, None]
    return ObjectTable(
        stamps=np.arange(9) * 10**8,
        camera=CAMERA,
        world_T_camera=np.tile(np.eye(4), (9, 1, 1)),
        thing=np.ones(1, np.int64),
        size=np.ones((1, 3)),
        position=position,
        forward=np.tile([0.0, 0.0, 1.0], (9, 1, 1)),
        visibility=visibility,
        box=box,
    )


def maps_of(table: ObjectTable, things: int = 2) -> dict[str, Tensor]:
    targets = clip_targets(table, VIEW, RULES)
    return clip_maps(table, targets, VIEW.size, things, RULES, 3.0)


def test_walks_lead_from_the_last_sighting_to_the_next() -> None:
    table = hidden_walker()
    maps = maps_of(table)
    assert clip_targets(table, VIEW, RULES).state[:, 0].tolist() == [2, 2, 2, 3, 3, 3, 2, 2, 2]
    assert maps['walk_weight'].sum() == 1
    x = table.position[:, 0, 0] * 80 / 12 + 47.5
    column = ((x + 0.5) / 8 - 0.5).round().astype(int)
    row = round((23.5 + 0.5) / 8 - 0.5)
    assert maps['walks'][0].tolist() == [2, row * 12 + column[2], 6, row * 12 + column[6]]
    assert int(maps['walk_thing'][0]) == 1
    reach = np.exp(maps['walk_values'][0, 0, COLUMNS['box']].numpy()) * BOX_UNIT
    np.testing.assert_allclose(reach, [4, 6, 4, 6], rtol=1e-5)
    assert maps['walk_values'][0, 1, COLUMNS['log_depth']].item() == pytest.approx(np.log(12))
    assert maps['walk_fading'][0, 4].item() == pytest.approx(np.exp(-0.2 / RULES.decay_s))
    steps = maps['steps'][maps['step_weight'] > 0]
    assert steps[:, 0].tolist() == [0, 1, 6, 7]
    assert steps[:, 2].tolist() == (row * 12 + column[[1, 2, 7, 8]]).tolist()
    assert not maps['hidden'].any()
    assert (maps['weight'] > 0).sum() == 6


def test_where_hidden_objects_truly_are_is_not_used() -> None:
    table = hidden_walker()
    moved = table.position.copy()
    moved[3:6] += [0.7, 0.4, 2.0]
    box = table.box.copy()
    box[3:6] += 5
    other = replace(table, position=moved, box=box)
    for name, value in maps_of(table).items():
        assert torch.equal(value, maps_of(other)[name]), name


def test_the_task_walks_and_its_memory_learns() -> None:
    settings = [
        'device=cpu', 'model.init=null', 'model.pretrained=false', 'model.frozen_stages=0',
        'model.channels=[16,16,16,16]', 'model.memory_channels=8', 'model.head_channels=8',
    ]  # fmt: skip
    task = build_task(load_config('permatrack_ram', settings)).train()
    assert task.data_config.rules.hidden == 'random_walk'
    maps = maps_of(hidden_walker(), len(task.model.config.things))
    torch.manual_seed(0)
    images = torch.randn(1, 9, 3, 64, 96)  # larger than the view: multiples of 32
    sample = {key: value[None] for key, value in maps.items()}
    for name in ('heat', 'heat_weight'):
        sample[name] = torch.nn.functional.pad(sample[name], (0, 0, 0, 4))
    sample['place'] = sample['place'] // 288 * 384 + sample['place'] % 288
    batch = {**sample, 'images': images, 'focal': torch.tensor([80.0]),
             'dt': torch.tensor([[0.0] + [0.1] * 8])}  # fmt: skip
    optimizer = torch.optim.Adam(task.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        result = task(batch)
        losses.append(float(result['terms']['walk'].detach()))
        optimizer.zero_grad()
        result['loss'].backward()
        optimizer.step()
    assert task.model.decoder.memory.gates.weight.grad.abs().sum() > 0
    assert task.walk.embed.weight.grad.abs().sum() > 0
    assert losses[-1] < 0.8 * losses[0]
    plain = build_task(load_config('permatrack', [*settings, 'model.start=null',
                                                  'model.start_decoder=null']))  # fmt: skip
    assert plain.walk is None
