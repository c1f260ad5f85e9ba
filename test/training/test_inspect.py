"""The verb ``inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from sim_perception.bags import messages as m
from sim_perception.bags import simulated
from sim_perception.bags import topics as t_
from sim_perception.bags.errors import BagError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler
from sim_perception.simulator.truth.annotations import ObjectTruth
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera
from training.commands.inspect import inspect
from training.datasets.sample import DatasetError
from training.datasets.sources import SourceConfig
from training.inspection.bag import contact_sheet, topic_table
from training.inspection.source import inspect_source, missing, source_sheet, usable_for

CAMERA = Camera(120, 60, 60.0, 60.0, 60.0, 30.0)


def car(visibility: float) -> ObjectTruth:
    """A cube 10 m ahead."""
    nothing = np.zeros((1, 3))
    return ObjectTruth(
        row=np.zeros(1, np.int32),
        id=np.ones(1, np.uint16),
        class_id=np.array([load_taxonomy().id_of('car')], np.uint8),
        family=('sedan',),
        size=np.full((1, 3), 2, np.float32),
        world_T_object=from_euler(0, 0, 0, np.array([10.0, 0, 0]))[None],
        velocity=nothing,
        acceleration=nothing,
        net_force=nothing,
        angular_velocity=nothing,
        visibility=np.array([visibility], np.float32),
        box_amodal=np.zeros((1, 4), np.float32),
        box_visible=np.zeros((1, 4), np.float32),
        coverage=np.ones(1, np.int32),
    )


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Two frames: a fully visible object, then the same hidden."""
    path = tmp_path / 'bag'
    with BagWriter(path) as writer:

        def write(topic: t_.Topic, stamp: int, message: Any) -> None:
            writer.write(m.StampedMessage(topic.name, stamp, serialize(message)))

        mount = m.transform_message(BODY_T_OPTICAL, m.START_STAMP, 'odom', 'c')
        write(t_.TF_STATIC, m.START_STAMP, m.tf_message([mount]))
        for number, visibility in enumerate((1.0, 0.0)):
            stamp = m.START_STAMP + number * 10**9
            black = np.zeros((60, 120, 3), np.uint8)
            write(t_.IMAGE, stamp, m.image_message(black, stamp, 'c'))
            write(t_.CAMERA_INFO, stamp, m.camera_info_message(CAMERA, stamp, 'c'))
            depth = np.full((60, 120), 10, np.float32)
            write(t_.DEPTH, stamp, m.image_message(depth, stamp, 'c'))
            objects = simulated.objects_message(car(visibility), load_taxonomy(), stamp, 'odom')
            write(t_.OBJECTS, stamp, objects)
    return path


def test_sheet_shows_hidden_objects_in_another_colour(bag: Path) -> None:
    with BagReader(bag) as reader:
        sheet = contact_sheet(reader, frames=5)
    assert sheet.shape == (120, 240, 3)
    middle = sheet[22:50, 20:100].reshape(-1, 3).astype(int).max(0)
    hidden = sheet[82:110, 20:100].reshape(-1, 3).astype(int).max(0)
    assert middle[1] > 200 > middle[0]  # green
    assert hidden[0] > 200 > hidden[1]  # red
    assert len(np.unique(sheet[22:60, 120:].reshape(-1, 3), axis=0)) == 1  # one depth


def test_table_counts_and_rates(bag: Path) -> None:
    with BagReader(bag) as reader:
        columns = [list(column.cells) for column in topic_table(reader).columns]
    row = columns[0].index(t_.IMAGE.name)
    assert [column[row] for column in columns[1:]] == [t_.IMAGE.type, '2', '1.00', '1.000']


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(inspect)
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return result.exit_code, ' '.join(result.output.split())


def test_command_line(bag: Path, tmp_path: Path) -> None:
    picture = tmp_path / 'out' / 'sheet.png'
    code, output = run(str(bag), '--out', str(picture), '--verify')
    assert code == 0
    assert 'every message is readable' in output
    assert cv2.imread(str(picture)).shape == (120, 240, 3)


def test_problems_are_told(bag: Path, tmp_path: Path) -> None:
    file = bag / 'bag.mcap'
    file.write_bytes(file.read_bytes()[:-200])
    code, output = run(str(bag), '--out', str(tmp_path / 'x.png'))
    assert code == 0
    assert 'problem:' in output
    with pytest.raises(DatasetError, match='there is no'):
        run(str(tmp_path / 'nowhere'))


def test_bag_without_camera(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        message = m.tf_message([m.transform_message(np.eye(4), m.START_STAMP, 'a', 'b')])
        writer.write(m.StampedMessage(t_.TF.name, m.START_STAMP, serialize(message)))
    with pytest.raises(BagError, match=r'/image_raw/compressed; it has /tf \(1\)'):
        run(str(tmp_path / 'bag'), '--out', str(tmp_path / 'x.png'))


def make_images(folder: Path, count: int, step: int = 0) -> Path:
    """A textured wall that moves to the left by some pixels from image to image."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    wall = cv2.GaussianBlur(rng.integers(0, 255, (60, 300), np.uint8), (0, 0), 2.0)
    wall = cv2.normalize(wall, None, 0, 255, cv2.NORM_MINMAX)
    for number in range(count):
        cv2.imwrite(str(folder / f'{number}.png'), wall[:, number * step : number * step + 160])
    return folder


def test_single_images_serve_for_pseudo_labels_only(tmp_path: Path) -> None:
    found = inspect_source(SourceConfig(spec=f'images:{make_images(tmp_path / "i", 4)}'))
    assert found.clips is None
    assert (found.facts.frames, found.facts.clips, found.facts.size) == (4, 0, (160, 60))
    assert usable_for(found.facts) == ['pseudo-labels']
    assert [line.split(':')[0] for line in missing(found.facts)] == ['intrinsics', 'time']
    assert source_sheet(found, 1).shape[1] == 3 * 400


def test_what_is_given_makes_a_sequence_photometric_and_then_metric(tmp_path: Path) -> None:
    folder = make_images(tmp_path / 'i', 5, step=4)
    config = SourceConfig(spec=f'images:{folder}', rate=10, focal_ratio=0.5)
    facts = inspect_source(config).facts
    assert facts.clips == 3
    assert facts.rate_hz == pytest.approx(10)
    assert facts.flow == pytest.approx(4 / 160, rel=0.3)
    assert usable_for(facts) == ['photometric (scale unknown)', 'pseudo-labels']
    assert [line.split(':')[0] for line in missing(facts)] == ['motion']
    facts = inspect_source(config.model_copy(update={'speed': 5.0})).facts
    assert facts.metres == pytest.approx(0.5)
    assert usable_for(facts)[0] == 'photometric (metric scale: constant speed 5 m/s)'
    assert missing(facts) == []


def test_standing_camera_and_slow_recording_are_told(tmp_path: Path) -> None:
    spec = f'images:{make_images(tmp_path / "i", 5)}'
    still = inspect_source(SourceConfig(spec=spec, rate=10, focal_ratio=0.5, speed=1)).facts
    assert [line.partition(';')[0] for line in missing(still)] == [
        'motion: the camera hardly moves'
    ]
    slow = inspect_source(SourceConfig(spec=spec, rate=1, focal_ratio=0.5)).facts
    assert slow.clips == 0
    assert 'frames lie 1.00 s apart' in missing(slow)[0]
    short = inspect_source(SourceConfig(spec=spec, rate=1000, focal_ratio=0.5)).facts
    assert 'ask for a shorter gap' in missing(short)[0]
    few = inspect_source(SourceConfig(spec=f'{spec}#0-1', rate=10, focal_ratio=0.5)).facts
    assert 'a clip needs three frames' in missing(few)[0]


def test_labels_and_plain_paths(tmp_path: Path) -> None:
    folder = make_images(tmp_path / 'val', 2)
    (tmp_path / 'valannot').mkdir()
    code, output = run(str(folder), '--out', str(tmp_path / 'x.png'))
    assert code == 0
    assert 'in valannot, for scores' in output
    assert 'usable for: evaluation (classes) | pseudo-labels' in output
    with pytest.raises(DatasetError, match='missing or no readable video'):
        run('video:nothing.mp4')


def test_bag_says_what_it_is_good_for(bag: Path, tmp_path: Path) -> None:
    code, output = run(str(bag), '--out', str(tmp_path / 'x.png'))
    assert code == 0
    assert 'usable for: supervised (depth) | pseudo-labels' in output
    assert 'a clip needs three frames' in output
