"""Labels come back from every format as they went in, read by other software where possible."""

import json

import numpy as np
import pytest
from labelled_frames import CAMERA, CAR, SIZE, TAXONOMY, box_space, camera_pose, made_frames
from scipy.spatial.transform import Rotation

from sim_perception.autolabel.export import EXPORTS, export_frames
from sim_perception.autolabel.export.bag import LABELS, write_bag
from sim_perception.autolabel.export.base import LabelExport, LabelledRecording, scan_bytes
from sim_perception.autolabel.export.coco import CocoFile, encode_mask
from sim_perception.autolabel.export.kitti import level_T_label, write_kitti
from sim_perception.autolabel.export.meshes import write_meshes
from sim_perception.autolabel.export.nuscenes import write_nuscenes
from sim_perception.autolabel.records import (
    LabelledFrame,
    RecordError,
    read_frame,
    read_frames,
    to_json,
    write_frame,
)
from sim_perception.autolabel.surfaces import (
    frame_masks,
    silhouette_mask,
    surface_of,
)
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import new_typestore
from sim_perception.files import write_atomically
from sim_perception.geometry.boxes import box_corners
from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import transform_points
from sim_perception.types import Box3D


def boxes_of(frame):
    return [(label.box3d.parent_T_box, label.box3d.size) for label in frame.accepted]


def test_frames_come_back_from_json_to_the_last_digit(tmp_path):
    frames = made_frames()
    for frame in frames:
        write_frame(frame, tmp_path / f'{frame.name}.json')
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]
    for wrote, read in zip(frames, read_frames(tmp_path), strict=True):
        assert to_json(read) == to_json(wrote)
        assert isinstance(read, LabelledFrame)
        assert read.labels[1].box3d is None
        np.testing.assert_array_equal(read.camera_T_level, wrote.camera_T_level)


@pytest.mark.parametrize(
    ('text', 'problem'),
    [('{"format": 1', 'no labelled frame'), ('{"format": 99}', 'label the bag anew')],
)
def test_a_damaged_file_is_named(tmp_path, text, problem):
    path = tmp_path / 'street.json'
    path.write_text(text)
    with pytest.raises(RecordError, match=f'street.json.*{problem}'):
        read_frame(path)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    frame, other = made_frames()
    path = tmp_path / 'street.json'
    write_frame(frame, path)

    def full(_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='No space left'):
        write_frame(other, path)
    assert read_frame(path).name == frame.name
    assert [p.name for p in tmp_path.iterdir()] == ['street.json']


def kitti_rows(path):
    return [line.split() for line in path.read_text().splitlines()]


@pytest.mark.parametrize('pitch', [0.0, 0.08])
def test_kitti_corners_project_where_the_labels_do_whatever_the_tilt_of_the_camera(
    tmp_path, pitch
):
    """Parsed by KITTI's own definitions: bottom centre, turn about y, P2 R0 Tr."""
    frame = made_frames(pitch)[1]
    write_kitti(frame, TAXONOMY, tmp_path, hidden=[0.0, 0.3])
    rows = kitti_rows(tmp_path / 'label_2' / f'{frame.name}.txt')
    calibration = dict(
        line.split(':') for line in (tmp_path / f'calib/{frame.name}.txt').read_text().splitlines()
    )
    matrices = {k: np.array(v.split(), float).reshape(3, -1) for k, v in calibration.items()}
    assert [row[0] for row in rows] == ['Car', 'Car']
    assert [row[2] for row in rows] == ['0', '1']
    for row, (pose, size) in zip(rows, boxes_of(frame), strict=True):
        numbers = np.array(row[3:], float)
        height, width, length, x, y, z, turn, score = numbers[5:]
        np.testing.assert_allclose([length, width, height], size, atol=1e-6)
        assert score == pytest.approx(0.875)
        assert numbers[0] == pytest.approx(
            (turn - np.arctan2(x, z) + np.pi) % (2 * np.pi) - np.pi, abs=1e-5
        )
        c, s = np.cos(turn), np.sin(turn)
        around = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        signs = np.array(np.meshgrid([-1, 1], [-1, 0], [-1, 1])).reshape(3, -1)
        place = around @ (signs * np.array([[length / 2], [height], [width / 2]]))
        place += [[x], [y], [z]]
        pixels = matrices['P2'] @ np.vstack([place, np.ones(8)])
        theirs = np.sort((pixels[:2] / pixels[2]).T, 0)
        corners = box_corners(Box3D(pose, size))
        ours, _ = project(CAMERA, transform_points(frame.camera_T_level, corners))
        np.testing.assert_allclose(theirs, np.sort(ours, 0), atol=2e-3)
        # What the scan's calibration says of the box's centre.
        centre = matrices['Tr_velo_to_cam'] @ pose[:, 3]
        np.testing.assert_allclose(centre, [x, y - height / 2, z], atol=2e-6)


def test_the_houses_own_reader_of_kitti_gives_identical_boxes(tmp_path):
    cv2 = pytest.importorskip('cv2')
    reader = pytest.importorskip('training.datasets.kitti.object')
    frame = made_frames()[0]
    write_kitti(frame, TAXONOMY, tmp_path)
    (tmp_path / 'image_2').mkdir()
    blank = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'image_2' / f'{frame.name}.png'), blank)
    (tmp_path / 'velodyne').mkdir()
    points = np.array([[9.0, 1.0, 0.7], [30.0, 4.0, 0.0]])
    (tmp_path / 'velodyne' / f'{frame.name}.bin').write_bytes(scan_bytes(points))
    scene = reader.read_scene(tmp_path, frame.name)
    camera_T_vehicle = scene.frame.camera_T_level
    for thing, (pose, size) in zip(scene.objects, boxes_of(frame), strict=True):
        assert thing.kind == 'car'
        np.testing.assert_allclose(thing.box3d.size, size, atol=1e-6)
        np.testing.assert_allclose(
            camera_T_vehicle @ thing.box3d.parent_T_box, frame.camera_T_level @ pose, atol=3e-6
        )
    assert scene.objects[0].points == 1
    ours = transform_points(frame.camera_T_level, points)
    theirs = transform_points(camera_T_vehicle, scene.frame.points)
    np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_the_label_frame_of_a_tilted_camera_is_level():
    frame = made_frames(0.2)[0]
    pose = level_T_label(frame)
    np.testing.assert_allclose(pose[:3, 1], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) > 0
    np.testing.assert_allclose(pose[:3, 3], [0.3, 0.1, 1.6], atol=1e-12)


def coco_of(frames, path):
    coco = CocoFile(TAXONOMY)
    truth = []
    for frame in frames:
        surfaces = [surface_of(label, box_space()) for label in frame.accepted]
        masks, _ = frame_masks(frame, frame.accepted, surfaces)
        codes = map(encode_mask, masks)
        coco.add(frame, f'{frame.name}.png', zip(frame.accepted, codes, strict=True))
        truth += masks
    coco.write(path)
    return truth


def test_pycocotools_reads_boxes_and_masks(tmp_path):
    module = pytest.importorskip('pycocotools.coco')
    frames = made_frames()
    truth = coco_of(frames, tmp_path / 'coco.json')
    coco = module.COCO(str(tmp_path / 'coco.json'))
    rows = coco.loadAnns(coco.getAnnIds())
    assert len(rows) == len(truth) == 4
    for row, mask in zip(rows, truth, strict=True):
        np.testing.assert_array_equal(coco.annToMask(row).astype(bool), mask)
        assert row['area'] == mask.sum() > 0
        x, y, width, height = row['bbox']
        assert (x, y, x + width, y + height) == frames[0].accepted[0].box2d
    assert coco.loadCats(rows[0]['category_id'])[0]['name'] == 'car'
    assert coco.loadImgs(rows[-1]['image_id'])[0]['file_name'] == 'street_0001.png'


def test_run_lengths_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        mask = rng.random((5, 7)) < share
        code = encode_mask(mask)
        flat = np.concatenate(
            [np.full(n, k % 2, bool) for k, n in enumerate(code['counts'])]
        )  # fmt: skip
        np.testing.assert_array_equal(flat.reshape(7, 5).T, mask)


def test_masks_lie_within_their_boxes_and_nearer_cars_hide_farther_ones():
    frame = made_frames()[0]
    surfaces = [surface_of(label, box_space()) for label in frame.accepted]
    masks, hidden = frame_masks(frame, frame.accepted, surfaces)
    assert hidden[0] == 0
    assert 0 < hidden[1] < 1
    assert not (masks[0] & masks[1]).any()
    for label, surface in zip(frame.accepted, surfaces, strict=True):
        pose = frame.camera_T_level @ label.box3d.parent_T_box
        mask = silhouette_mask(surface, pose, frame.camera)
        corners = transform_points(frame.camera_T_level, box_corners(label.box3d))
        uv, _ = project(CAMERA, corners)
        low, high = np.clip(uv.min(0), 0, None), uv.max(0)
        v, u = np.nonzero(mask)
        assert u.min() == pytest.approx(low[0], abs=2)
        assert u.max() == pytest.approx(min(high[0], CAMERA.width - 1), abs=2)
        assert v.min() == pytest.approx(low[1], abs=2)
        assert v.max() == pytest.approx(min(high[1], CAMERA.height - 1), abs=2)


def test_nuscenes_tables_name_each_other_and_keep_the_boxes(tmp_path):
    frames = made_frames()
    write_nuscenes([LabelledRecording('street', frames)], TAXONOMY, tmp_path)
    rows = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob('*.json')}
    index = {name: {row['token']: row for row in rows[name]} for name in rows}
    assert len(rows['sample']) == 2
    assert len(rows['instance']) == 3  # the car with an identity is one
    for row in rows['sample_annotation']:
        assert row['sample_token'] in index['sample']
        instance = index['instance'][row['instance_token']]
        assert index['category'][instance['category_token']]['name'] == 'vehicle.car'
        assert row['num_lidar_pts'] == 57
        assert row['size'] == [SIZE[1], SIZE[0], SIZE[2]]
    twice = next(row for row in rows['instance'] if row['nbr_annotations'] == 2)
    first = index['sample_annotation'][twice['first_annotation_token']]
    second = index['sample_annotation'][first['next']]
    assert second['token'] == twice['last_annotation_token']
    assert second['prev'] == first['token']
    assert index['sample'][rows['scene'][0]['first_sample_token']]['prev'] == ''
    for data in rows['sample_data']:
        assert data['ego_pose_token'] in index['ego_pose']
        assert data['calibrated_sensor_token'] in index['calibrated_sensor']
    for annotation, frame in ((first, frames[0]), (second, frames[1])):
        world_T_box = frame.world_T_level @ frame.accepted[0].box3d.parent_T_box
        np.testing.assert_allclose(annotation['translation'], world_T_box[:3, 3], atol=1e-12)
        w, x, y, z = annotation['rotation']
        turn = Rotation.from_quat([x, y, z, w]).as_matrix()
        np.testing.assert_allclose(turn, world_T_box[:3, :3], atol=1e-12)


def test_rosbags_reads_the_bag_and_the_boxes_are_the_same(tmp_path):
    highlevel = pytest.importorskip('rosbags.highlevel')
    frames = made_frames()
    write_bag(frames, TAXONOMY, tmp_path / 'labels')
    with highlevel.AnyReader([tmp_path / 'labels'], default_typestore=new_typestore()) as bag:
        wanted = [c for c in bag.connections if c.topic == LABELS.name]
        messages = [bag.deserialize(data, c.msgtype) for c, _, data in bag.messages(wanted)]
        assert {c.topic for c in bag.connections} == {LABELS.name, '/tf'}
    for message, frame in zip(messages, frames, strict=True):
        assert message.header.frame_id == 'base_link'
        assert len(message.detections) == 2
        for item, (pose, size) in zip(message.detections, boxes_of(frame), strict=True):
            p, s = item.bbox.center.position, item.bbox.size
            np.testing.assert_array_equal([p.x, p.y, p.z], pose[:3, 3])
            assert (s.x, s.y, s.z) == size
            assert item.results[0].hypothesis.class_id == 'car'
            assert item.results[0].hypothesis.score == 0.875
            covariance = item.results[0].pose.covariance.reshape(6, 6)
            np.testing.assert_allclose(np.diag(covariance), [1e-3, 2e-3, 3e-3, 0, 0, 4e-3])
    assert [item.id for item in messages[0].detections] == ['7', '']


def test_the_houses_own_reader_gives_the_same_detections(tmp_path):
    frames = made_frames()
    write_bag(frames, TAXONOMY, tmp_path / 'labels')
    with BagReader(tmp_path / 'labels') as bag:
        for k, frame in enumerate(frames):
            found = bag.detections(LABELS.name, k)
            assert all(item.class_id == CAR for item in found)
            for item, (pose, _) in zip(found, boxes_of(frame), strict=True):
                np.testing.assert_allclose(item.box3d.parent_T_box, pose, atol=1e-12)
            place = bag.transforms.lookup('odom', 'base_link', frame.stamp)
            np.testing.assert_allclose(place, frame.world_T_level, atol=1e-12)


def test_trimesh_reads_watertight_meshes_where_the_labels_are(tmp_path):
    trimesh = pytest.importorskip('trimesh')
    frame = made_frames()[0]
    surfaces = [surface_of(label, box_space()) for label in frame.accepted]
    write_meshes(frame, frame.accepted, surfaces, tmp_path)
    solid = trimesh.load(tmp_path / f'{frame.name}_00.ply')
    assert solid.is_watertight
    assert solid.volume == pytest.approx(np.prod(SIZE), rel=0.05)
    np.testing.assert_allclose(solid.extents, SIZE, atol=0.06)
    scene = trimesh.load(tmp_path / f'{frame.name}.glb')
    placed = scene.to_geometry() if hasattr(scene, 'to_geometry') else scene.dump(concatenate=True)
    level = placed.vertices[:, [2, 0, 1]]  # glTF: y up, z forward
    expected = np.concatenate([box_corners(label.box3d) for label in frame.accepted])
    np.testing.assert_allclose(level.min(0), expected.min(0), atol=0.1)
    np.testing.assert_allclose(level.max(0), expected.max(0), atol=0.1)


def test_a_pitched_camera_sees_a_mask_too():
    frame = made_frames(0.1)[0]
    label = frame.accepted[0]
    pose = camera_pose(0.1) @ label.box3d.parent_T_box
    assert silhouette_mask(surface_of(label, box_space()), pose, CAMERA).sum() > 500


class NamesExport(LabelExport):
    """A format as CONTRIBUTING.md says to add one."""

    def write_frame(self, item, out):
        write_atomically(out / 'names' / item.frame.name, str(len(item.frame.accepted)).encode())

    def write_all(self, recordings, taxonomy, out):
        (one,) = recordings
        names = [one.name, *(frame.name for frame in one.frames)]
        write_atomically(out / 'names.txt', ' '.join(names).encode())


def test_a_format_is_a_class_and_a_line(tmp_path, monkeypatch):
    monkeypatch.setitem(EXPORTS, 'names', NamesExport())
    for name in EXPORTS.keys() - {'names', 'bag'}:
        monkeypatch.delitem(EXPORTS, name)
    frames = made_frames()
    export_frames(frames, tmp_path / 'drive', TAXONOMY, shapes={})
    written = (tmp_path / 'drive' / 'names.txt').read_text()
    assert written == ' '.join(['drive', *(frame.name for frame in frames)])
    for frame in frames:
        count = (tmp_path / 'drive' / 'names' / frame.name).read_text()
        assert int(count) == len(frame.accepted)
    with BagReader(tmp_path / 'drive' / 'bag') as bag:
        assert bag.count(LABELS.name) == len(frames)
