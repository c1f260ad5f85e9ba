"""Recordings of a vehicle with several cameras, in all that reads recordings with truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from sim_perception.bags import topics as t_
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import AmbiguousSensorError, Sensors, truth_topic
from sim_perception.taxonomy import load_taxonomy
from training.datasets.bags.label_source import LabelBag
from training.datasets.bags.labelled import bag_scenes
from training.datasets.bags.track_clips import TrackClips
from training.datasets.bags.tracking_truth import open_recordings
from training.datasets.simulated.bags import SimulatedBags
from training.datasets.sources import open_source
from training.evaluation.specs import open_spec
from training.inspection.bag import contact_sheet
from training.simulation.plans import plan_bags
from training.simulation.write import write_bag

FRONT = {'name': 'front', 'kind': 'camera', 'xyz': [1, 0, 1.5]}
REAR = {'name': 'rear', 'kind': 'camera', 'xyz': [-1, 0, 1.5], 'rpy': [0, 0, np.pi],
        'settings': {'width': 96}}  # fmt: skip
ROOF = {'name': 'roof', 'kind': 'lidar', 'xyz': [0, 0, 1.9]}


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('rig')
    scene = {
        'duration_s': 0.3,
        'camera': {'width': 64, 'height': 48},
        'lidar': {'rings': 8, 'columns': 128},
        'sensors': [FRONT, REAR, ROOF],
    }
    (folder / 'rig.yaml').write_text(yaml.safe_dump(scene))
    write_bag(plan_bags(str(folder / 'rig.yaml'), 1, folder / 'bag')[0], 1, lambda: None)
    return folder / 'bag'


def test_truth_is_that_of_the_chosen_camera(bag: Path) -> None:
    wanted = {'front': '/ground_truth/depth', 'rear': '/rear/ground_truth/depth'}
    for camera, topic in wanted.items():
        with BagReader(bag, Sensors(camera=camera)) as reader:
            assert truth_topic(reader, t_.DEPTH) == topic
            data = SimulatedBags([bag], ('flow',), sensors=Sensors(camera=camera))
            assert len(data) == 3
            np.testing.assert_array_equal(data[1].depth, reader.image(topic, 1))
            assert data[1].camera == reader.camera(f'/{camera}/camera_info')
            assert data[1].image.shape == (*data[1].depth.shape, 3)
    with pytest.raises(AmbiguousSensorError, match='front'):
        SimulatedBags([bag])


def test_both_cameras_can_be_learned_from(bag: Path) -> None:
    data = SimulatedBags([f'{bag},camera=front', f'{bag},camera=rear'])
    assert [data[k].image.shape[1] for k in range(len(data))] == [64] * 3 + [96] * 3
    assert len({data[k].name for k in range(len(data))}) == 6
    assert len({data[k].sequence for k in range(len(data))}) == 2
    # The rear camera looks back: the vehicle moves against its axis.
    poses = data.motion().poses
    assert poses is not None
    for rows, sign in ((slice(0, 3), 1), (slice(3, 6), -1)):
        way = poses[rows][-1, :3, 3] - poses[rows][0, :3, 3]
        assert np.sign(way @ poses[rows][0, :3, 2]) == sign


@pytest.mark.parametrize(('camera', 'width'), [('front', 64), ('rear', 96)])
def test_specs_take_a_camera(bag: Path, camera: str, width: int) -> None:
    spec = f'bag:{bag},camera={camera}'
    scored = next(iter(open_spec(spec)))
    assert scored.depth is not None
    assert scored.depth.shape[1] == width
    later = open_spec(f'{spec}#1-2')
    assert later.indices == (1, 2)
    assert next(iter(later)).image.shape[1] == width
    source = open_source(spec)
    assert isinstance(source.samples, SimulatedBags)
    assert source.samples[0].image.shape[1] == width
    recording = open_recordings(spec)[0]
    frames = list(recording)
    assert len(frames) == 3
    assert frames[0].frame.image.shape[1] == width
    assert frames[0].objects is not None
    with BagReader(bag, Sensors(camera=camera)) as reader:
        # Image, depth, classes, objects, normals and flow, in two rows.
        assert contact_sheet(reader, 2).shape[1] == 3 * width


def test_objects_are_as_visible_as_the_camera_sees_them(bag: Path) -> None:
    things = ('car', 'truck', 'pedestrian', 'cyclist')
    clips = TrackClips(
        [f'{bag},camera=front', f'{bag},camera=rear'], 2, (1,), load_taxonomy(), things
    )
    rng = np.random.default_rng(0)
    front, rear = (clips.draw(index, rng) for index in (0, 2))
    assert clips.images(rear).shape == (2, 48, 96, 3)
    assert (front.bag, rear.bag) == (0, 1)
    ahead = [clip.table.world_T_camera[0, :3, 2] for clip in (front, rear)]
    assert ahead[0] @ ahead[1] < -0.99
    for clip in (front, rear):
        table = clip.table
        offset = table.position[0] - table.world_T_camera[0, :3, 3]
        seen = table.visibility[0] > 0
        assert seen.any()
        assert (offset[seen] @ table.world_T_camera[0, :3, 2] > -3).all()


def test_labelling_takes_the_chosen_cameras_boxes(bag: Path) -> None:
    rear = LabelBag(bag, 'car', sensors=Sensors(camera='rear'))
    assert rear.detections == '/rear/ground_truth/objects_2d'
    assert rear[0].image.shape == (48, 96, 3)
    for camera in ('front', 'rear'):
        scenes = list(bag_scenes(bag, Sensors(camera=camera)))
        assert len(scenes) == 3
        for thing in scenes[0].objects:
            # In the level frame, x is ahead of the vehicle.
            ahead = thing.box3d.parent_T_box[0, 3] * (1 if camera == 'front' else -1)
            assert ahead > -3
