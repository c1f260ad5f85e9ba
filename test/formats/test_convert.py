"""The truth of a drive in the formats of others, read back by their own software."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from format_drive import FORMATS, SCENARIO, quiet
from simulated_bags import simulate_bag
from typer.testing import CliRunner

from sim_perception.autolabel.export import HIDDEN, VISIBILITY
from sim_perception.bags.layout import bags_at
from sim_perception.bags.reader import BagReader
from sim_perception.geometry.boxes import box_corners
from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.taxonomy import load_taxonomy
from training.commands.cli import app
from training.datasets.sample import DatasetError
from training.labelling.convert import Conversion, convert
from training.labelling.truth import TruthBag, TruthFrame

NAMES = load_taxonomy().names


@pytest.fixture(scope='session')
def truth(drive: Path) -> list[TruthFrame]:
    bag = TruthBag(drive, masks=True)
    return [bag[number] for number in range(len(bag))]


def inside(box: Any) -> np.ndarray:
    return np.clip(box, 0, [191, 95, 191, 95])


def datumaro(folder: Path, kind: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        dataset = pytest.importorskip('datumaro', reason='requirements/readers.txt').Dataset
        return dataset.import_from(str(folder), kind)


def test_the_drive_has_seen_and_hidden_objects_of_several_classes(truth: list[TruthFrame]) -> None:
    labels = [label for one in truth for label in one.item.frame.labels]
    assert len({label.class_id for label in labels}) > 2
    assert any(label.reason == HIDDEN for label in labels)
    assert any(0.1 <= label.measures[VISIBILITY] < 0.9 for label in labels)
    assert all(one.item.frame.accepted for one in truth)


def test_pycocotools_reads_masks_and_whole_boxes(converted: Path, truth: list[TruthFrame]) -> None:
    reader = pytest.importorskip('pycocotools.coco')
    with contextlib.redirect_stdout(io.StringIO()):
        coco = reader.COCO(str(converted / 'coco.json'))
    assert [coco.imgs[k]['stamp'] for k in coco.getImgIds()] == [
        one.item.frame.stamp for one in truth
    ]
    partly = 0
    for one, image in zip(truth, coco.getImgIds(), strict=True):
        picture = cv2.imread(str(converted / coco.imgs[image]['file_name']))
        np.testing.assert_array_equal(picture[..., ::-1], one.image)
        rows = {row['track_id']: row for row in coco.imgToAnns[image]}
        assert one.item.masks is not None
        seen = [
            (label, mask)
            for label, mask in zip(one.item.frame.accepted, one.item.masks, strict=True)
            if mask.any()
        ]
        assert len(rows) == len(seen)
        for label, mask in seen:
            row = rows[label.id]
            np.testing.assert_array_equal(coco.annToMask(row).astype(bool), mask)
            from pycocotools import mask as tools

            np.testing.assert_array_equal(tools.toBbox(coco.annToRLE(row)), row['bbox'])
            x, y, w, h = row['amodal_bbox']
            np.testing.assert_allclose([x, y, x + w, y + h], np.add(label.box2d, 0.5))
            assert coco.cats[row['category_id']]['name'] == NAMES[label.class_id]
            partly += row['area'] < 0.9 * w * h
    assert partly


def test_datumaro_reads_kitti(converted: Path, truth: list[TruthFrame]) -> None:
    dataset = datumaro(converted / 'kitti', 'kitti_detection')
    names = [x.name for x in next(iter(dataset.categories().values())).items]
    for one in truth:
        frame = one.item.frame
        item = dataset.get(frame.name, 'kitti')
        assert item.media.size == (96, 192)
        assert len(item.annotations) == len(frame.accepted)
        for box, label in zip(item.annotations, frame.accepted, strict=True):
            np.testing.assert_allclose(box.points, inside(label.box2d), atol=0.01)
            assert names[box.label] == NAMES[label.class_id].capitalize()


def test_nuscenes_devkit_places_boxes_and_points_on_the_image(
    converted: Path, truth: list[TruthFrame]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        nuscenes = pytest.importorskip('nuscenes.nuscenes', reason='requirements/readers.txt')
        classes = pytest.importorskip('nuscenes.utils.data_classes')
    tables = nuscenes.NuScenes('nuscenes', str(converted), verbose=False)
    assert len(tables.scene) == 1
    for one, sample in zip(truth, tables.sample, strict=True):
        frame = one.item.frame
        path, boxes, matrix = tables.get_sample_data(
            sample['data']['CAM_FRONT'], box_vis_level=nuscenes.BoxVisibility.NONE
        )
        assert Path(path).is_file()
        np.testing.assert_allclose(matrix, frame.camera.matrix)
        assert len(boxes) == len(frame.accepted)
        for box, label in zip(boxes, frame.accepted, strict=True):
            assert label.box3d is not None
            corners = transform_points(frame.camera_T_level, box_corners(label.box3d))
            theirs, ours = (np.sort(c.round(6), 0) for c in (box.corners().T, corners))
            np.testing.assert_allclose(theirs, ours, atol=1e-5)
            row = tables.get('sample_annotation', box.token)
            level = tables.get('visibility', row['visibility_token'])['level']
            low, high = (int(v) / 100 for v in level.strip('v').split('-'))
            assert low <= label.measures[VISIBILITY] <= high
        scan, _, _ = tables.get_sample_data(sample['data']['LIDAR_TOP'])
        points = classes.LidarPointCloud.from_file(scan).points[:3].T
        assert one.item.points is not None
        np.testing.assert_allclose(points, one.item.points, atol=1e-4)


def test_trackeval_reads_the_sequence_with_hidden_objects(
    converted: Path, truth: list[TruthFrame], tmp_path: Path
) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        trackeval = pytest.importorskip('trackeval', reason='pip install --no-deps trackeval')
    results = tmp_path / 'tracker' / 'data'
    results.mkdir(parents=True)
    rows = (converted / 'mot/street/gt/gt.txt').read_text().splitlines()
    found = [','.join([*row.split(',')[:6], '1', '-1', '-1', '-1']) for row in rows]
    (results / 'street.txt').write_text('\n'.join(found))
    dataset = trackeval.datasets.MotChallenge2DBox({
        'GT_FOLDER': str(converted / 'mot'), 'TRACKERS_FOLDER': str(tmp_path),
        'SKIP_SPLIT_FOL': True, 'SEQ_INFO': {'street': None}, 'DO_PREPROC': False,
        'PRINT_CONFIG': False,
    })  # fmt: skip
    data = dataset.get_preprocessed_seq_data(
        dataset.get_raw_seq_data('tracker', 'street'), 'pedestrian'
    )
    in_view = [
        [
            x
            for x in one.item.frame.labels
            if (np.diff(inside(x.box2d).reshape(2, 2), axis=0) > 0).all()
        ]
        for one in truth
    ]
    assert data['num_timesteps'] == len(truth)
    for boxes, labels in zip(data['gt_dets'], in_view, strict=True):
        theirs = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) - 1
        np.testing.assert_allclose(theirs, [x.box2d for x in labels], atol=0.02)
    assert any(label.reason == HIDDEN for labels in in_view for label in labels)
    score = trackeval.metrics.HOTA().eval_sequence(data)
    assert score['HOTA'].mean() == pytest.approx(1.0)
    ids = {label.id for labels in in_view for label in labels}
    assert data['num_gt_ids'] == len(ids)


def test_datumaro_reads_mot_yolo_and_its_own(converted: Path, truth: list[TruthFrame]) -> None:
    own = datumaro(converted / 'datumaro', 'datumaro')
    yolo = datumaro(converted / 'yolo', 'yolo')
    mot = datumaro(converted / 'mot', 'mot_seq')
    for number, one in enumerate(truth, 1):
        frame = one.item.frame
        # edges of pixels there, middles here
        boxes = np.array([inside(label.box2d) for label in frame.accepted]) + 0.5
        item = own.get(frame.name, 'default')
        np.testing.assert_allclose([x.points for x in item.annotations], boxes, atol=0.01)
        assert [x.label for x in item.annotations] == [x.class_id for x in frame.accepted]
        np.testing.assert_array_equal(item.media.data[..., ::-1], one.image)
        stored = item.annotations[0].attributes
        assert stored['visibility'] == frame.accepted[0].measures[VISIBILITY]
        item = yolo.get(frame.name, 'train')
        np.testing.assert_allclose([x.points for x in item.annotations], boxes, atol=0.02)
        assert [x.label for x in item.annotations] == [x.class_id for x in frame.accepted]
        item = mot.get(str(number), next(iter(mot.subsets())))
        shares = [x.attributes['visibility'] for x in item.annotations]
        assert min(shares) == 0.0
        assert max(shares) == 1.0


def test_mcap_readers_see_images_boxes_and_transforms(
    converted: Path, truth: list[TruthFrame]
) -> None:
    """``mcap_ros2`` knows no message type but those in the file."""
    decoder = pytest.importorskip('mcap_ros2.decoder', reason='requirements/readers.txt')
    reader = pytest.importorskip('mcap.reader')
    found: dict[str, list[Any]] = {}
    with (converted / 'mcap/mcap.mcap').open('rb') as file:
        made = reader.make_reader(file, decoder_factories=[decoder.DecoderFactory()])
        assert made.get_header().profile == 'ros2'
        for _, channel, _, message in made.iter_decoded_messages():
            found.setdefault(channel.topic, []).append(message)
    assert {len(messages) for messages in found.values()} == {len(truth)}
    for k, one in enumerate(truth):
        frame = one.item.frame
        packed = np.frombuffer(found['/camera/image_raw/compressed'][k].data, np.uint8)
        picture = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(picture[..., ::-1], one.image)
        flat = found['/labels/objects_2d'][k].detections
        assert [item.id for item in flat] == [label.id for label in frame.accepted]
        assert len(found['/auto_labeler/labels'][k].detections) == len(frame.accepted)
        lines = found['/labels/image_markers'][k].points
        drawn = np.array([(p.x, p.y) for p in lines]).reshape(-1, 8, 2)
        boxes = np.array([label.box2d for label in frame.accepted])
        np.testing.assert_allclose(drawn.min(1), boxes[:, :2])
        np.testing.assert_allclose(drawn.max(1), boxes[:, 2:])
        wires = found['/labels/markers'][k].markers[1:]
        for wire, label in zip(wires, frame.accepted, strict=True):
            assert label.box3d is not None
            ends = np.array([(p.x, p.y, p.z) for p in wire.points])
            np.testing.assert_allclose(np.ptp(ends, 0), np.ptp(box_corners(label.box3d), 0))


def test_the_recording_is_one_that_this_package_reads(
    converted: Path, truth: list[TruthFrame]
) -> None:
    with BagReader(converted / 'mcap') as bag:
        for k, one in enumerate(truth):
            frame = one.item.frame
            seen = bag.frame('/camera/image_raw/compressed', k, '/camera/camera_info')
            np.testing.assert_array_equal(seen.image, one.image)
            assert seen.camera == frame.camera
            pose = bag.transforms.lookup('base_link', seen.frame_id, frame.stamp)
            np.testing.assert_allclose(pose, invert(frame.camera_T_level), atol=1e-9)
            cloud = bag.cloud('/lidar/points', k)
            assert one.item.points is not None
            assert len(cloud) == len(one.item.points)


def test_amodal_boxes_are_those_of_the_solid_ones(truth: list[TruthFrame]) -> None:
    """Of cars wholly ahead, the box of the corners holds that of the outline, barely."""
    for one in truth:
        frame = one.item.frame
        for label in frame.accepted:
            assert label.box3d is not None
            corners = transform_points(frame.camera_T_level, box_corners(label.box3d))
            if corners[:, 2].min() < 1:
                continue
            uv, _ = project(frame.camera, corners)
            assert (uv.min(0) <= np.array(label.box2d[:2]) + 0.5).all()
            assert (uv.max(0) >= np.array(label.box2d[2:]) - 0.5).all()


@pytest.fixture(scope='module')
def two(drive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of two recordings whose stamps and numbers of objects are the same, and the set."""
    folder = tmp_path_factory.mktemp('two')
    for name in ('street', 'again'):
        shutil.copytree(drive, folder / 'drives' / name)
    words = ['convert', str(folder / 'drives'), '--to', ','.join(FORMATS)]
    done = CliRunner().invoke(app, [*words, '--out', str(folder / 'set')])
    assert done.exit_code == 0, done.output
    assert '6 frames of 2 recordings with' in done.output
    return folder / 'drives', folder / 'set'


def test_of_several_recordings_coco_has_all_and_takes_no_two_objects_for_one(
    two: tuple[Path, Path], truth: list[TruthFrame]
) -> None:
    reader = pytest.importorskip('pycocotools.coco')
    with contextlib.redirect_stdout(io.StringIO()):
        coco = reader.COCO(str(two[1] / 'coco.json'))
    again, street = np.array_split(coco.getImgIds(), 2)
    stamps = [one.item.frame.stamp for one in truth]
    found = []
    for images in (again, street):
        assert [coco.imgs[k]['stamp'] for k in images] == stamps
        assert all((two[1] / coco.imgs[k]['file_name']).is_file() for k in images)
        found.append({row['track_id'] for k in images for row in coco.imgToAnns[k]})
    assert len(found[0]) == len(found[1])
    assert not found[0] & found[1]
    assert len({coco.imgs[k]['file_name'] for k in coco.imgs}) == 2 * len(truth)


def test_of_several_recordings_mcap_mot_and_bag_have_one_each(
    two: tuple[Path, Path], truth: list[TruthFrame]
) -> None:
    for name in ('mcap', 'bag'):
        bags = bags_at(two[1] / name)
        assert [bag.name for bag in bags] == ['again', 'street']
        for path in bags:
            with BagReader(path) as bag:
                assert bag.count('/auto_labeler/labels') == len(truth)
    for name in ('again', 'street'):
        assert len(list((two[1] / 'mot' / name / 'img1').iterdir())) == len(truth)


def test_of_several_recordings_nuscenes_has_scenes_and_datumaro_items(
    two: tuple[Path, Path], truth: list[TruthFrame]
) -> None:
    dataset = datumaro(two[1] / 'datumaro', 'datumaro')
    assert len(dataset) == 2 * len(truth)
    tracks: dict[str, set[int]] = {}
    for item in dataset:
        own = {a.attributes['track_id'] for a in item.annotations}
        tracks.setdefault(item.attributes['recording'], set()).update(own)
    assert not tracks['again'] & tracks['street']
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        nuscenes = pytest.importorskip('nuscenes.nuscenes', reason='requirements/readers.txt')
    tables = nuscenes.NuScenes('nuscenes', str(two[1]), verbose=False)
    assert [scene['name'] for scene in tables.scene] == ['again', 'street']
    assert [row['channel'] for row in tables.sensor] == ['CAM_FRONT', 'LIDAR_TOP']
    assert len(tables.sample) == 2 * len(truth)
    for one, sample in zip([*truth, *truth], tables.sample, strict=True):
        assert len(sample['anns']) == len(one.item.frame.accepted)
        assert set(sample['data']) == {'CAM_FRONT', 'LIDAR_TOP'}


def test_recordings_of_one_name_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    same = Conversion((two[0], two[0] / 'street'), tmp_path / 'set', ('coco',))
    with pytest.raises(DatasetError, match=r"both recordings of the name 'street'.*rename one"):
        convert(same, quiet())
    assert not (tmp_path / 'set').exists()


def test_classes_and_visibility_choose(drive: Path, tmp_path: Path) -> None:
    asked = Conversion((drive,), tmp_path / 'cars', ('yolo',), ('car',))
    (street,) = convert(asked, quiet())
    cars = sum(len(frame.accepted) for frame in street.frames)
    assert len(street.frames) == 3
    lines = [x for p in (tmp_path / 'cars/yolo/labels/train').iterdir() for x in p.open()]
    assert len(lines) == cars
    assert {line.split()[0] for line in lines} == {str(NAMES.index('car'))}
    strict = Conversion((drive,), tmp_path / 'seen', ('yolo',), ('car',), min_visibility=0.99)
    (street,) = convert(strict, quiet())
    assert 0 < sum(len(frame.accepted) for frame in street.frames) < cars


def test_the_command_says_what_it_wrote(drive: Path, tmp_path: Path) -> None:
    command = ['convert', str(drive), '--to', 'mot', '--out', str(tmp_path / 'set')]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert '3 frames with' in done.output
    assert (tmp_path / 'set/mot/street/seqinfo.ini').exists()


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'formats': ('cocoo',)}, "unknown format 'cocoo'; did you mean 'coco'"),
        ({'formats': ()}, 'names no format'),
        ({'classes': ('cars',)}, "unknown class 'cars'; did you mean 'car'"),
        ({'formats': ('meshes',)}, 'fitted shapes.*choose of kitti'),
        ({'sources': (Path('nowhere'),)}, 'neither a folder of labels .* nor a bag'),
    ],
)
def test_what_cannot_be_converted_is_said(
    drive: Path, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    asked = {'sources': (drive,), 'out': tmp_path / 'set', 'formats': ('coco',), **changes}
    with pytest.raises(ValueError, match=problem):
        convert(Conversion(**asked), quiet())


def test_sources_that_lack_something_say_what(
    drive: Path, converted: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileExistsError, match='choose another --out'):
        convert(Conversion((drive,), converted, ('coco',)), quiet())
    with pytest.raises(DatasetError, match=r'has no /ground_truth/objects.*label it'):
        convert(Conversion((converted / 'mcap',), tmp_path / 'a', ('coco',)), quiet())
    (tmp_path / 'empty' / 'frames').mkdir(parents=True)
    with pytest.raises(DatasetError, match='no labelled frame'):
        convert(Conversion((tmp_path / 'empty',), tmp_path / 'b', ('coco',)), quiet())


def test_a_drive_without_instances_has_every_format_but_masks(tmp_path: Path) -> None:
    bag = simulate_bag(tmp_path / 'plain', SCENARIO, 3, layers='rgb,objects', duration=0.1)
    with pytest.raises(DatasetError, match=r'has no /ground_truth/instance.*simulate it'):
        convert(Conversion((bag,), tmp_path / 'a', ('coco',)), quiet())
    convert(Conversion((bag,), tmp_path / 'b', ('kitti', 'nuscenes', 'mcap')), quiet())
    assert not (tmp_path / 'b/kitti/velodyne').exists()
    sensors = json.loads((tmp_path / 'b/nuscenes/sensor.json').read_text())
    assert [row['modality'] for row in sensors] == ['camera']
