"""A recording becomes a data set: labels where the car is, whole files, resumable after a kill."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('typer', reason='training is not installed')
from lidar_scenes import CHECKPOINT
from recorded_scene import scene, write_recording
from rich.console import Console

from sim_perception.autolabel.config import KITTI, LabelConfig
from sim_perception.autolabel.fit.sdflabel import SdfLabelRefiner
from sim_perception.autolabel.records import read_frame, read_frames
from sim_perception.bags.reader import BagReader
from sim_perception.geometry.boxes import iou_upright
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Detection
from training.datasets.bags import label_source
from training.datasets.bags.labelled import bag_folders, bag_scenes
from training.datasets.sample import DatasetError
from training.labelling.convert import Conversion, convert
from training.labelling.frames import LabelJob, label_part, open_job, write_files
from training.labelling.label import label, run_parts
from training.labelling.tracks import group

ROOT = Path(__file__).parents[2]
FRAMES = 6


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp('recording') / 'street', FRAMES)


def job_of(bag, out, **changes):
    return LabelJob(bag=str(bag), out=str(out), shape=str(CHECKPOINT), **changes)


def quiet():
    return Console(file=io.StringIO())


@pytest.fixture(scope='module')
def labelled(bag, tmp_path_factory):
    out = tmp_path_factory.mktemp('labelled') / 'set'
    return out, label(job_of(bag, out), console=quiet())


def test_labels_are_where_the_car_is_and_others_are_rejected_with_reasons(labelled):
    out, summary = labelled
    assert summary['frames'] == FRAMES
    assert summary['labels'] == 2 * FRAMES  # the hidden one is no detection
    assert summary['accepted'] == FRAMES
    assert set(summary['reasons']) == {'no_points'}
    frames = list(read_frames(out / 'frames'))
    assert len(frames) == FRAMES
    for frame in frames:
        (kept,) = frame.accepted
        assert kept.id == '7'
        assert iou_upright(kept.box3d, scene().box)[1] > 0.8
        assert frame.level_frame == 'base_link'
        assert frame.world_frame == 'odom'
    driven = frames[-1].world_T_level[:3, 3] - frames[0].world_T_level[:3, 3]
    np.testing.assert_allclose(driven, [0.5 * (FRAMES - 1), 0, 0], atol=1e-6)


def test_every_format_is_there_and_agrees(labelled):
    out, _ = labelled
    names = [path.stem for path in sorted((out / 'frames').glob('*.json'))]
    for folder, suffix in (
        ('kitti/image_2', 'png'), ('kitti/velodyne', 'bin'), ('kitti/label_2', 'txt'),
        ('kitti/calib', 'txt'), ('pictures', 'jpg'), ('meshes', 'glb'),
    ):  # fmt: skip
        assert sorted(p.stem for p in (out / folder).glob(f'*.{suffix}')) == names, folder
    coco = json.loads((out / 'coco.json').read_text())
    assert len(coco['images']) == len(coco['annotations']) == FRAMES
    for image in coco['images']:
        assert (out / image['file_name']).exists()
    assert coco['annotations'][0]['area'] > 500
    tables = json.loads((out / 'nuscenes' / 'instance.json').read_text())
    assert [row['nbr_annotations'] for row in tables] == [FRAMES]
    with BagReader(out / 'bag') as made:
        assert made.count('/auto_labeler/labels') == FRAMES
    from training.datasets.kitti.object import read_scene

    loaded = read_scene(out / 'kitti', names[0])
    assert loaded.objects[0].points > 100
    assert not list(out.rglob('.*.partial'))


def test_converted_labels_are_those_that_label_writes(labelled, tmp_path):
    out, summary = labelled
    formats = ('coco', 'kitti', 'nuscenes', 'mot', 'yolo', 'datumaro', 'mcap')
    made = tmp_path / 'again'
    job = Conversion((out,), made, formats, shape=str(CHECKPOINT))
    (street,) = convert(job, quiet())
    assert street.name == 'street'
    assert len(street.frames) == FRAMES
    assert sum(len(frame.accepted) for frame in street.frames) == summary['accepted']
    for folder in ('kitti', 'masks'):
        for path in (out / folder).rglob('*.*'):
            assert (made / path.relative_to(out)).read_bytes() == path.read_bytes(), path
    assert (made / 'coco.json').read_bytes() == (out / 'coco.json').read_bytes()
    for path in (out / 'nuscenes').glob('*.json'):
        assert (made / 'nuscenes' / path.name).read_bytes() == path.read_bytes(), path
    rows = [row.split(',') for row in (made / 'mot/street/gt/gt.txt').read_text().splitlines()]
    assert [(row[0], row[1]) for row in rows] == [(str(k), '1') for k in range(1, FRAMES + 1)]
    assert {float(row[-1]) for row in rows} == {-1.0}  # nobody knows what is hidden
    assert len(list((made / 'yolo/images/train').iterdir())) == FRAMES
    with BagReader(made / 'mcap') as bag:
        assert bag.count('/lidar/points') == bag.count('/labels/markers') == FRAMES


def test_labels_without_their_images_are_converted_to_what_needs_none(labelled, tmp_path):
    out, _ = labelled
    shutil.copytree(out / 'frames', tmp_path / 'labels' / 'frames')
    with pytest.raises(DatasetError, match=r'image_2.* is not there'):
        convert(Conversion((tmp_path / 'labels',), tmp_path / 'yolo', ('yolo',)), quiet())
    convert(Conversion((tmp_path / 'labels',), tmp_path / 'kitti', ('kitti',)), quiet())
    assert len(list((tmp_path / 'kitti/kitti/label_2').iterdir())) == FRAMES


def test_what_is_seen_again_has_one_shape(bag, labelled, tmp_path):
    out, _ = labelled
    sizes = {frame.accepted[0].body_size for frame in read_frames(out / 'frames')}
    assert len(sizes) == 1
    (row,) = json.loads((out / 'tracks.json').read_text())
    assert row['id'] == '7'
    assert row['sightings'] == FRAMES
    np.testing.assert_allclose(row['size'], sizes.pop())
    assert not (out / 'evidence').exists()
    assert not (out / 'tracked').exists()
    job = job_of(bag, tmp_path, tracks=False, formats=('kitti',))
    label(job, console=quiet())
    single = {frame.accepted[0].body_size for frame in read_frames(tmp_path / 'frames')}
    assert len(single) == FRAMES


def test_a_preset_gives_the_settings_of_its_data(bag, tmp_path):
    usual, other = job_of(bag, tmp_path), job_of(bag, tmp_path, preset='kitti')
    assert usual.fingerprint != other.fingerprint
    (labeler,) = open_job(other)[1].by_class.values()
    assert labeler.config == KITTI
    (labeler,) = open_job(replace(other, traffic='left', mirrors=True))[1].by_class.values()
    assert labeler.config == replace(KITTI, traffic='left', mirrors=True)
    (labeler,) = open_job(usual)[1].by_class.values()
    assert labeler.config == LabelConfig()
    with pytest.raises(ValueError, match="unknown preset 'kiti'; did you mean 'kitti'"):
        job_of(bag, tmp_path, preset='kiti')


def test_another_way_to_fit_is_taken_where_the_mode_has_it(bag, tmp_path):
    with pytest.raises(ValueError, match="'photometric' does not work in mode 'lidar'"):
        job_of(bag, tmp_path, refine='photometric')
    usual, other = job_of(bag, tmp_path), job_of(bag, tmp_path, refine='sdflabel')
    assert usual.fingerprint != other.fingerprint
    _, labelers = open_job(other)
    (labeler,) = labelers.by_class.values()
    assert isinstance(labeler._refiner, SdfLabelRefiner)


def test_boxes_without_id_are_tracked(bag, labelled):
    out, _ = labelled
    frames = [
        replace(frame, labels=tuple(replace(one, id='') for one in frame.labels))
        for frame in read_frames(out / 'frames')
    ]
    (places,) = group(frames).values()
    assert [number for number, _ in places] == list(range(FRAMES))
    assert all(frames[number].labels[k].accepted for number, k in places)
    lost = [replace(frame, world_T_level=None) for frame in frames]
    assert group(lost) == {}


def test_a_run_that_stops_among_the_tracks_goes_on(bag, labelled, tmp_path, monkeypatch):
    out, _ = labelled
    job, left = job_of(bag, tmp_path), [2]

    def stopping(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, 'No space left on device')
        write_files(*arguments)

    monkeypatch.setattr('training.labelling.tracks.write_files', stopping)
    with pytest.raises(OSError, match='No space left'):
        label(job, console=quiet())
    monkeypatch.undo()
    assert (tmp_path / 'tracked').exists()
    assert len(list(read_frames(tmp_path / 'frames'))) == FRAMES
    label(job, console=quiet())
    for ours, theirs in zip(
        read_frames(tmp_path / 'frames'), read_frames(out / 'frames'), strict=True
    ):
        assert ours.accepted[0].body_size == theirs.accepted[0].body_size
    assert not (tmp_path / 'tracked').exists()


def test_a_second_run_changes_nothing_and_other_settings_are_refused(bag, labelled):
    out, summary = labelled
    before = {path: path.stat().st_mtime_ns for path in (out / 'frames').iterdir()}
    assert label(job_of(bag, out), console=quiet()) == summary
    assert before == {path: path.stat().st_mtime_ns for path in (out / 'frames').iterdir()}
    with pytest.raises(FileExistsError, match='other settings or networks; choose another --out'):
        label(job_of(bag, out, mirrors=True), console=quiet())


def test_a_full_disk_leaves_whole_frames(bag, tmp_path, monkeypatch):
    job, sync, left = job_of(bag, tmp_path), os.fsync, [20]

    def filling(file):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, 'No space left on device')
        sync(file)

    monkeypatch.setattr('os.fsync', filling)
    with pytest.raises(OSError, match='No space left'):
        label(job, console=quiet())
    monkeypatch.undo()
    some = [read_frame(path) for path in sorted((tmp_path / 'frames').glob('*.json'))]
    assert 0 < len(some) < FRAMES
    assert label(job, console=quiet())['accepted'] == FRAMES


@pytest.mark.slow
def test_a_killed_run_leaves_a_readable_set_and_the_next_one_goes_on(tmp_path):
    bag = write_recording(tmp_path / 'long', 40)
    out = tmp_path / 'set'
    # without the second pass over tracks, which writes every frame again
    command = [
        sys.executable, '-m', 'training', 'label', str(bag), '--out', str(out), '--workers', '2',
        '--no-tracks',
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    pause, end = threading.Event(), time.monotonic() + 240
    while len(list(out.glob('frames/*.json'))) < 3:
        assert process.poll() is None
        assert time.monotonic() < end
        pause.wait(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    some = {path: path.stat().st_mtime_ns for path in out.glob('frames/*.json')}
    assert 3 <= len(some) < 40
    for path in some:
        name = read_frame(path).name
        assert (out / 'kitti/label_2' / f'{name}.txt').read_text().startswith('Car ')
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert '40 frames' in done.stdout
    assert len(list(read_frames(out / 'frames'))) == 40
    assert all(path.stat().st_mtime_ns == then for path, then in some.items())


@pytest.mark.slow
def test_a_ray_cluster_does_the_same(bag, tmp_path):
    pytest.importorskip('ray')
    assert label(job_of(bag, tmp_path), ray='local', console=quiet())['accepted'] == FRAMES


def test_without_ray_the_message_says_what_to_install(bag, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ImportError, match='pip install ray'):
        next(run_parts(job_of(bag, tmp_path), [(0,)], 1, 'local'))


def test_the_work_of_a_process_travels_as_plain_values(bag, tmp_path):
    job = job_of(bag, tmp_path)
    copy = LabelJob(**json.loads(json.dumps(vars(job))) | {'formats': ('kitti',)})
    assert copy.fingerprint != job.fingerprint
    assert label_part.__module__ == 'training.labelling.frames'
    assert job_of(bag, tmp_path / 'elsewhere').fingerprint == job.fingerprint


def test_unusable_settings_are_refused(bag, tmp_path):
    with pytest.raises(ValueError, match="unknown mode 'radar'; known: lidar"):
        job_of(bag, tmp_path, mode='radar')
    with pytest.raises(ValueError, match='unknown formats pdf'):
        job_of(bag, tmp_path, formats=('pdf',))
    with pytest.raises(Exception, match='/boxes'):
        open_job(job_of(bag, tmp_path, detections='/boxes'))


def test_a_recording_with_true_objects_is_data_to_score_on(bag, tmp_path):
    made = write_recording(tmp_path / 'true', 3, truth=True)
    assert bag_folders(tmp_path) == bag_folders(made) == [made]
    scenes = list(bag_scenes(made))
    assert [one.sequence for one in scenes] == ['true'] * 3
    np.testing.assert_allclose([one.time for one in scenes], [0.0, 0.1, 0.2], atol=1e-6)
    for one in scenes:
        (thing,) = one.objects
        assert thing.id == '7'
        np.testing.assert_allclose(thing.box3d.parent_T_box, scene().box.parent_T_box, atol=1e-5)
        assert thing.points > 100
    with pytest.raises(DatasetError, match='simulate it with --layers'):
        next(bag_scenes(bag))
    with pytest.raises(DatasetError, match='has none in it'):
        bag_folders(tmp_path / 'true' / 'nowhere')


def test_a_recording_without_boxes_gets_those_of_the_detector_and_is_told_so(
    tmp_path, monkeypatch
):
    car, person = (load_taxonomy().id_of(name) for name in ('car', 'pedestrian'))
    x1, y1, x2, y2 = scene().box2d
    seen = [
        Detection(car, 0.9, box2d=(x1, y1, x2, y2), visibility=0.9),
        Detection(person, 0.9, box2d=(x1, y1, x2, y2), visibility=0.9),
        Detection(car, 0.8, box2d=(-9.0, y1, 30.0, 999.0), visibility=0.9),
        Detection(car, 0.7, box2d=(x1, y1, x2, y2), visibility=0.1),
    ]
    finder = SimpleNamespace(things=('car',), reset=list, update=lambda frame: seen)
    monkeypatch.setattr(label_source.PermanenceEngine, 'load', lambda *_, **__: finder)
    bag = write_recording(tmp_path / 'unlabelled', 1, boxes=False)
    console = quiet()
    label(job_of(bag, tmp_path / 'set', detector='my_network'), console=console)
    assert 'image boxes: my_network' in console.file.getvalue()
    (frame,) = read_frames(tmp_path / 'set' / 'frames')
    first, second = frame.labels
    assert first.accepted
    np.testing.assert_allclose(first.box2d, (x1, y1, x2, y2))
    np.testing.assert_allclose(second.box2d, (0, y1, 30, frame.camera.height - 1))


def test_segmentation_needs_a_network(tmp_path):
    bag = write_recording(tmp_path / 'unlabelled', 1, boxes=False)
    missing = str(tmp_path / 'none')
    job = job_of(bag, tmp_path / 'set', detections='segmentation', segmentation=missing)
    with pytest.raises((DatasetError, ValueError, OSError), match='none'):
        label(job, console=quiet())


@pytest.mark.parametrize(
    ('categories', 'asked'), [('car', None), (('car', 'pedestrian'), Path('my_classes'))]
)
def test_a_second_opinion_is_asked_where_people_are_labelled(
    tmp_path, monkeypatch, categories, asked
):
    told = {}

    def load(*_, **options):
        told.update(options)
        return SimpleNamespace(
            things=('car', 'pedestrian'), reset=list, update=lambda _: [], taxonomy=None
        )

    monkeypatch.setattr(label_source.PermanenceEngine, 'load', load)
    bag = write_recording(tmp_path / 'unlabelled', 1, boxes=False)
    source = label_source.LabelBag(
        bag, categories, detections='network', checkpoint=Path('my_classes')
    )
    assert not len(source[0].boxes)
    assert told['second_opinion'] == asked
