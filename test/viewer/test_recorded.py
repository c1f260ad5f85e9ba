"""Recordings in the viewer: files of it are read back by rerun's own reader."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import drives
import numpy as np
import pytest
from typer.testing import CliRunner

from sim_perception.autolabel.records import LabelledFrame, write_frame
from sim_perception.files import write_json
from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    make_transform,
    transform_points,
)
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, ShapeLabel
from training.commands.cli import app

SHAPE = Path(__file__).resolve().parents[2] / 'models/shape_car'
LATENCY = '/diagnostics/latency/depth_segmentation/age p50'
EVERYTHING = {
    '/', '/camera', '/camera/image', '/camera/depth', '/camera/classes', '/camera/true_depth',
    '/camera/true_classes', '/points/lidar', '/objects/truth/visible', '/objects/truth/hidden',
    '/objects/my/detector', '/tracks/visible', '/tracks/hidden', '/transforms/base_link',
    '/transforms/camera_optical_frame', '/transforms/lidar', '/log/depth_segmentation', LATENCY,
    '/diagnostics/rate/depth_segmentation/rate in',
    '/scores/abs_rel', '/scores/delta1', '/scores/mIoU of classes',
}  # fmt: skip


def test_without_the_extra_its_name_comes_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'rerun', None)
    result = CliRunner().invoke(app, ['view', str(tmp_path / 'not_there')])
    assert isinstance(result.exception, ImportError)
    assert "make view, or: pip install 'rerun-sdk>=" in str(result.exception)


@pytest.fixture(scope='module')
def shown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip('rerun', reason='the viewer is not installed: make view')
    return show(drives.record_drive(tmp_path_factory.mktemp('drive') / 'bag'))


def show(bag: Path, *options: str) -> Any:
    pytest.importorskip('rerun', reason='the viewer is not installed: make view')
    from rrd import RrdFile

    out = bag.with_suffix('.rrd')
    result = CliRunner().invoke(app, ['view', str(bag), '--out', str(out), *options])
    assert result.exit_code == 0, result.output or result.exception
    assert f'rerun {out}'.replace(' ', '') in ''.join(result.output.split())
    return RrdFile(out)


def test_everything_of_a_recording_is_there_at_its_time(shown: Any) -> None:
    assert shown.entities == EVERYTHING
    for entity in ('/camera/image', '/camera/depth', '/points/lidar', '/tracks/hidden', LATENCY):
        assert shown.times(entity) == drives.stamps()


def test_pixels_keep_their_values(shown: Any) -> None:
    picture, depth = (
        cv2.imdecode(np.array(shown.values(entity, component)[0][0], np.uint8), flags)
        for entity, component, flags in (
            ('/camera/image', 'EncodedImage:blob', cv2.IMREAD_COLOR),
            ('/camera/true_depth', 'EncodedDepthImage:blob', cv2.IMREAD_UNCHANGED),
        )
    )
    error = np.abs(picture[..., ::-1].astype(int) - drives.image())
    assert np.median(error) <= 3
    meter = shown.values('/camera/true_depth', 'EncodedDepthImage:meter')[0][0]
    np.testing.assert_allclose(depth[1:] / meter, drives.depth()[1:], atol=0.5 / meter + 1e-4)
    assert not depth[0].any(), 'what is not known is 0'
    classes = shown.values('/camera/classes', 'SegmentationImage:buffer')[0][0]
    assert classes[:16] == [*range(14), 0, 1]
    colours = shown.values('/', 'AnnotationContext:context')[0][0]
    assert [one['class_description']['info']['label'] for one in colours] == list(
        load_taxonomy().names
    )


def test_ghosts_of_hidden_objects_look_different_and_say_since_when(shown: Any) -> None:
    seen, hidden = (
        {part: shown.values(f'/tracks/{name}', f'Boxes3D:{part}')[-1]
         for part in ('labels', 'fill_mode', 'colors', 'centers')}
        for name in ('visible', 'hidden')
    )  # fmt: skip
    assert seen['labels'] == ['car 7']
    assert hidden['labels'] == ['pedestrian 12 hidden 0.2 s']
    assert seen['fill_mode'] != hidden['fill_mode']
    assert seen['colors'][0] & 0xFF == 255
    assert hidden['colors'][0] & 0xFF < 255
    np.testing.assert_allclose(hidden['centers'], [(20.0, 0.0, drives.SIZE[2] / 2)], atol=1e-5)
    assert shown.values('/tracks/hidden', 'Boxes3D:labels')[0] == [], 'nobody is hidden at first'


def test_an_identity_keeps_its_colour_when_it_is_hidden(shown: Any) -> None:
    before = shown.values('/tracks/visible', 'Boxes3D:colors')[0][1]
    after = shown.values('/tracks/hidden', 'Boxes3D:colors')[-1][0]
    assert before >> 8 == after >> 8


def test_frames_are_those_of_the_recording(shown: Any) -> None:
    def frame(entity: str) -> str:
        return shown.values(entity, 'CoordinateFrame:frame')[0][0]

    pinhole = [
        shown.values('/camera', f'Pinhole:{end}_frame')[0][0] for end in ('parent', 'child')
    ]
    assert pinhole == ['camera_optical_frame', frame('/camera/image')]
    assert frame('/camera/depth') == frame('/camera/image')
    assert (frame('/points/lidar'), frame('/tracks/visible')) == ('lidar', 'odom')
    places = shown.values('/transforms/base_link', 'Transform3D:translation')
    assert [place[0][0] for place in places] == [0.0, 1.0, 2.0, 3.0]


def test_scores_and_diagnostics_become_curves(shown: Any) -> None:
    curve = [value[0] for value in shown.values(LATENCY, 'Scalars:scalars')]
    assert curve == [30.0, 31.0, 32.0, 33.0]
    errors = [value[0] for value in shown.values('/scores/abs_rel', 'Scalars:scalars')]
    np.testing.assert_allclose(errors, errors[0])
    assert 0.05 < errors[0] < 0.1, 'depth is 1.1 times the truth, up to 80 m'
    said = shown.values('/log/depth_segmentation', 'TextLog:text')
    assert said == [['depth_segmentation: the camera is slow']], 'once, as it stays the same'


def test_the_layout_has_a_view_of_all_that_is_there_and_of_nothing_else(
    shown: Any, tmp_path: Path
) -> None:
    names = {'camera', 'depth', 'true depth', 'classes', 'true classes'}
    assert {name for kind, name in shown.views if kind == '2D'} == names
    assert ('3D', 'world') in shown.views
    assert ('TimeSeries', 'against the truth') in shown.views
    others = {one.topic for one in drives.drive()} - {'/camera/image_raw', '/camera/camera_info'}
    camera = show(drives.record_drive(tmp_path / 'bag', sorted(others)))
    assert camera.views == {('2D', 'camera'), ('3D', 'world')}
    assert '/transforms/camera_optical_frame' in camera.entities, 'it looks straight ahead'


def test_a_part_of_a_recording(tmp_path: Path) -> None:
    pytest.importorskip('rerun', reason='the viewer is not installed: make view')
    bag = drives.record_drive(tmp_path / 'bag')
    part = show(bag, '--start', '0.1', '--duration', '0.15')
    assert part.times('/camera/image') == drives.stamps()[1:3]
    assert '/transforms/camera_optical_frame' in part.entities, 'what stands still is kept'
    result = CliRunner().invoke(
        app, ['view', str(bag), '--out', str(tmp_path / 'x.rrd'), '--start', '9']
    )
    assert 'choose another --start' in str(result.exception)


def test_a_message_that_cannot_be_shown_is_left_out_and_said(
    tmp_path: Path,
) -> None:
    pytest.importorskip('rerun', reason='the viewer is not installed: make view')
    from rrd import RrdFile

    broken = next(one for one in drives.frame(9) if one.topic == '/camera/image_raw')
    broken.message.encoding = 'of_another_world'
    bag = drives.record_drive(tmp_path / 'bag', more=[broken])
    out = tmp_path / 'out.rrd'
    result = CliRunner().invoke(app, ['view', str(bag), '--out', str(out)])
    assert result.exit_code == 0, result.output
    assert 'left out 1: /camera/image_raw: unknown image encoding' in result.output
    assert RrdFile(out).times('/camera/image') == drives.stamps()


def test_what_nodes_say_before_there_is_anything_to_see_is_left_out(tmp_path: Path) -> None:
    early = drives.stamps()[0] - 60 * 10**9
    first = drives.Said(
        '/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray', early, drives.status(early, 5.0)
    )
    shown = show(drives.record_drive(tmp_path / 'bag', more=[first]))
    assert shown.times(LATENCY) == drives.stamps()


def test_labels_are_boxes_and_meshes_in_their_place(tmp_path: Path) -> None:
    pytest.importorskip('rerun', reason='the viewer is not installed: make view')
    pytest.importorskip('skimage', reason='the extra autolabel is not installed')
    from sim_perception.autolabel.classes import load_shape

    bag = drives.record_drive(tmp_path / 'bag')
    labels = tmp_path / 'labels'
    (labels / 'frames').mkdir(parents=True)
    mean = load_shape(SHAPE).prior_mean.numpy()
    size = tuple(float(v) for v in np.exp(mean[:3]))
    box = Box3D(from_euler(0.0, 0.0, 0.5, (10.0, 2.0, size[2] / 2)), size)
    known = {'class_id': load_taxonomy().id_of('car'), 'box2d': (1.0, 2.0, 30.0, 40.0)}
    good = ShapeLabel(
        **known, accepted=True, reason='', confidence=0.9, box3d=box, latent=mean[3:],
        body_size=size, id='3',
    )  # fmt: skip
    bad = ShapeLabel(**known, accepted=False, reason='no_points', confidence=0.1, box3d=box)
    world_T_level = make_transform(np.eye(3), np.array([5.0, 0.0, 0.0]))
    frame = LabelledFrame(
        'first', drives.stamps()[1], drives.CAMERA, invert(BODY_T_OPTICAL), (good, bad),
        world_T_level,
    )  # fmt: skip
    write_frame(frame, labels / 'frames' / 'first.json')
    write_json(labels / 'dataset.json', {'shape': str(SHAPE)})
    shown = show(bag, '--labels', str(labels))
    assert shown.values('/labels/labels', 'Boxes3D:labels') == [['car 3 0.90']]
    assert shown.values('/labels/rejected', 'Boxes3D:labels') == [['car no_points']]
    vertices = np.array(shown.values('/labels/meshes', 'Mesh3D:vertex_positions')[0])
    inside = transform_points(invert(world_T_level @ box.parent_T_box), vertices)
    assert (np.abs(inside) < np.array(size) / 2 + 0.1).all()
    assert (np.ptp(inside, axis=0) > 0.8 * np.array(size)).all()
    result = CliRunner().invoke(
        app, ['view', str(bag), '--labels', str(tmp_path), '--out', str(tmp_path / 'x.rrd')]
    )
    assert 'holds no labels' in str(result.exception)
