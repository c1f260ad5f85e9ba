"""Tracking on images end to end: truth, what is known of hidden objects, sources, videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.simulator.scenario import load_scenario
from sim_perception.taxonomy import load_taxonomy
from sim_perception.tracking.config import network_config
from sim_perception.tracking.occlusion import image_boxes
from sim_perception.types import Box3D, Camera, Detection, Frame
from training.datasets.bags.tracking_truth import (
    RenderedRecording,
    TrueFrame,
    TrueObjects,
    open_recordings,
)
from training.datasets.sample import DatasetError
from training.evaluation.tracking.clips import Clip, oracle, visible_only, watch
from training.evaluation.tracking.hidden import (
    ClipTracks,
    HiddenCounts,
    count_hidden,
    located,
    occlusions,
)
from training.evaluation.tracking.network import (
    evaluate_images,
    open_detector,
    runner,
    score_clips,
    track_frames,
)
from training.evaluation.tracking.scores import TrackRows
from training.evaluation.tracking.video import draw_frames, write_video

TAXONOMY = load_taxonomy()
CAR, WALKER = TAXONOMY.id_of('car'), TAXONOMY.id_of('pedestrian')
CAMERA = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)
SECOND = 10**9
SIZE = (4.2, 1.8, 1.5)
FRAMES, GONE = 30, range(12, 20)
"""The car on the left is hidden in these frames."""


def pose(n: int) -> np.ndarray:
    """The camera drives on at 3 m/s."""
    return from_euler(0, 0, 0, (0.3 * n, 0, 1.5)) @ BODY_T_OPTICAL


def boxes(n: int) -> np.ndarray:
    """Two cars in the world: one drives, one is parked."""
    return np.array([[20 + 0.6 * n, 3, 0.75, 0, *SIZE], [30, -4, 0.75, 0, *SIZE]])


def objects(n: int, hidden: range = GONE) -> TrueObjects:
    image = image_boxes(CAMERA, invert(pose(n)), boxes(n))
    visible = np.array([0.0 if n in hidden else 1.0, 1.0])
    return TrueObjects(np.array([7, 9]), np.array([CAR, CAR]), visible, image, boxes(n))


def detections(n: int, hidden: range = GONE) -> list[Detection]:
    truth = objects(n, hidden)
    return [
        Detection(
            CAR,
            0.9,
            box3d=Box3D(invert(pose(n)) @ from_euler(0, 0, row[3], tuple(row[:3])), SIZE),
            box2d=tuple(image.tolist()),
            visibility=1.0,
        )
        for row, image, visible in zip(truth.box3d, truth.box2d, truth.visibility, strict=True)
        if visible > 0
    ]


def clip(hidden: range = GONE) -> Clip:
    return Clip(
        'street',
        CAMERA,
        'camera',
        (np.arange(FRAMES) * SECOND // 10).astype(np.int64),
        np.stack([pose(n) for n in range(FRAMES)]),
        tuple(objects(n, hidden) for n in range(FRAMES)),
        tuple(detections(n, hidden) for n in range(FRAMES)),
    )


def rows(parts: list[tuple[int, int, np.ndarray, np.ndarray]]) -> TrackRows:
    """Tracks from frame, id, image box and 3D box."""
    return TrackRows(
        np.array([p[0] for p in parts], np.int64),
        np.array([p[1] for p in parts], np.int64),
        np.full(len(parts), 'car'),
        np.array([p[2] for p in parts], float).reshape(-1, 4),
        np.array([p[3] for p in parts], float).reshape(-1, 7),
        np.ones(len(parts)),
    )


def answer(second_id: int = 1, shift: float = 0.0, remembered: bool = True) -> ClipTracks:
    """A perfect tracker, but for the hidden car's later id, its place, and its memory."""
    seen, hidden = [], []
    for n in range(FRAMES):
        truth = objects(n)
        seen.append((n, 2, truth.box2d[1], truth.box3d[1]))
        if n not in GONE:
            identity = 1 if n < GONE.start else second_id
            seen.append((n, identity, truth.box2d[0], truth.box3d[0]))
        elif remembered:
            hidden.append((n, 1, truth.box2d[0], truth.box3d[0] + [shift, 0, 0, 0, 0, 0, 0]))
    return ClipTracks(rows(seen), rows(hidden))


@pytest.mark.parametrize(
    ('tracks', 'expected'),
    [
        (answer(), HiddenCounts(8, 8, 8, 8, 1, 1, 1)),
        (answer(second_id=3), HiddenCounts(8, 8, 8, 8, 1, 1, 0)),
        (answer(shift=2.8), HiddenCounts(8, 8, 8, 8, 1, 1, 1)),
        (answer(shift=3.2), HiddenCounts(8, 0, 8, 0, 1, 1, 1)),
        (answer(remembered=False), HiddenCounts(8, 0, 0, 0, 1, 1, 1)),
    ],
)
def test_hidden_objects_are_counted(tracks: ClipTracks, expected: HiddenCounts) -> None:
    assert count_hidden(clip(), tracks, TAXONOMY, 'car') == expected


def test_the_track_of_a_neighbour_locates_no_hidden_object() -> None:
    """A visible car is a metre away from the hidden one; its track is its own."""
    near = clip()
    assert near.truth is not None
    aside = np.array([[1.0, 0, 0, 0, 0, 0, 0], np.zeros(7)])
    moved = tuple(replace(t, box3d=t.box3d[[0, 0]] + aside) for t in near.truth)
    tracks = answer(remembered=False)
    beside = replace(
        tracks.seen, box3d=np.concatenate([boxes(int(n))[:1] for n in tracks.seen.frame])
    )
    counts = count_hidden(
        replace(near, truth=moved), ClipTracks(beside, tracks.hidden), TAXONOMY, 'car'
    )
    assert (counts.frames, counts.located) == (8, 0)


@pytest.mark.parametrize(
    ('hidden', 'count'),
    [(range(12, 16), 0), (range(12, 17), 1), (range(0, 10), 0), (range(22, FRAMES), 0)],
)
def test_occlusions_are_long_enough_and_seen_from_both_sides(hidden: range, count: int) -> None:
    street = clip(hidden)
    frames, truth = street.rows()
    assert len(occlusions(street, frames, truth)) == count


def test_occlusions_that_the_detector_did_not_see_end_are_no_events() -> None:
    street = clip()
    late = tuple(
        found[1:] if n in range(20, 31) else found for n, found in enumerate(street.detections)
    )
    counts = count_hidden(replace(street, detections=late), answer(), TAXONOMY, 'car')
    assert (counts.occlusions, counts.events, counts.kept) == (1, 0, 0)


def test_what_was_never_seen_does_not_count() -> None:
    street = clip(range(0, FRAMES))
    counts = count_hidden(street, answer(), TAXONOMY, 'car')
    assert (counts.frames, counts.occlusions) == (0, 0)


def test_reach_grows_with_the_object() -> None:
    true = np.array([[0, 0, 0, 0, 0.6, 0.6, 1.7], [0, 0, 0, 0, *SIZE]])
    tries = np.zeros((3, 7))
    tries[:, 0] = 1.0, 2.0, 3.5
    assert located(true, tries).tolist() == [[True, False, False], [True, True, False]]


def test_counts_add_up_to_shares() -> None:
    total = HiddenCounts(8, 6, 4, 1, 3, 2, 1) + HiddenCounts(2, 2, 0, 0, 1, 0, 0)
    scores = total.scores()
    assert scores['recall_hidden'] == 0.8
    assert scores['precision_hidden'] == 0.25
    assert scores['id_kept'] == 0.5
    assert scores['id_kept_of_all'] == 0.25
    assert 'id_kept' not in HiddenCounts().scores()


def test_the_tracker_bridges_the_gap_end_to_end() -> None:
    scores = score_clips(runner(TAXONOMY, network_config()), [clip()], TAXONOMY, ['car'])
    assert scores['id_kept'] == scores['recall_hidden'] == 1.0
    assert scores['IDSW_car'] == 0
    assert scores['HOTA_car'] > 90
    assert scores['frames'] == FRAMES


def test_unknown_poses_are_estimated() -> None:
    street = replace(clip(), world_T_camera=None)
    frames = track_frames(street, network_config(ego_motion=True))
    assert len({int(i) for f in frames for i in f.tracked.tracks['id'][f.tracked.reported]}) == 2


def test_unknown_classes_and_lacking_truth_are_told() -> None:
    run = runner(TAXONOMY, network_config())
    with pytest.raises(DatasetError, match='cannot evaluate class unicorn'):
        score_clips(run, [clip()], TAXONOMY, ['unicorn'])
    with pytest.raises(DatasetError, match='street has no /ground_truth/objects'):
        score_clips(run, [replace(clip(), truth=None)], TAXONOMY, ['car'])
    with pytest.raises(DatasetError, match='needs --checkpoint'):
        open_detector('network', None)
    with pytest.raises(DatasetError, match="unknown source 'guess'"):
        open_detector('guess', None)


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('camvid:x', 'is none of'),
        ('sim:atlantis', 'atlantis'),
        ('sim:clean:0:soon', "seconds 'soon'"),
        ('bag:nowhere', 'no bag at nowhere'),
    ],
)
def test_unusable_specs_are_told(spec: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_recordings(spec)


def small(seed: int = 3) -> RenderedRecording:
    changes = {'camera.width': 160, 'camera.height': 48}
    return RenderedRecording(load_scenario('occlusion', seed=seed, **changes), seconds=0.3)


def test_rendered_truth_is_where_the_image_boxes_are() -> None:
    frames = list(small())
    assert len(frames) == 3
    now = frames[-1]
    assert now.objects is not None
    assert now.world_T_camera is not None
    assert now.frame.camera is not None
    cars = (now.objects.class_id == CAR) & (now.objects.visibility > 0.5)
    assert cars.any()
    image = image_boxes(now.frame.camera, invert(now.world_T_camera), now.objects.box3d[cars])
    inside = now.objects.box2d[cars]
    assert (image[:, :2] <= inside[:, :2] + 2).all()  # the box is around the car
    assert (image[:, 2:] >= inside[:, 2:] - 2).all()


def test_the_oracle_sees_visible_objects_and_repeats_itself() -> None:
    now = TrueFrame(
        Frame(5 * SECOND, np.zeros((192, 640, 3), np.uint8), CAMERA), pose(14), objects(14)
    )
    detect, taxonomy = oracle()
    (found,) = detect(now)
    assert taxonomy.names[found.class_id] == 'car'
    assert found.box3d is not None
    true = invert(pose(14)) @ from_euler(0, 0, 0, (30, -4, 0.75))
    ratio = found.box3d.parent_T_box[:3, 3] / true[:3, 3]
    np.testing.assert_allclose(ratio, ratio[0])  # along the line of sight
    assert 0.7 < ratio[0] < 1.4
    again = oracle()[0](now)[0]
    np.testing.assert_array_equal(again.box3d.parent_T_box, found.box3d.parent_T_box)
    with pytest.raises(DatasetError, match='oracle needs ground truth'):
        detect(replace(now, objects=None))


def test_hidden_detections_can_be_left_out() -> None:
    street = clip()
    ghost = replace(street.detections[0][0], visibility=0.1)
    more = replace(street, detections=tuple([*found, ghost] for found in street.detections))
    assert visible_only(more) == replace(street, detections=visible_only(street).detections)


def test_a_video_shows_ids_and_ghosts(tmp_path: Path) -> None:
    plain = np.full((192, 640, 3), 90, np.uint8)
    street = replace(clip(), images=(plain,) * FRAMES)
    frames = track_frames(street, network_config())
    pictures = list(draw_frames(street, frames, TAXONOMY))
    assert len(pictures) == FRAMES
    path = tmp_path / 'tracks.mp4'
    write_video(path, [street], [frames], TAXONOMY)
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    box = frames[5].box2d[0]
    column = round(float(box[0]) * 2)
    middle = pictures[5][round(2 * box[1]) + 8 : round(2 * box[3]) - 8, column - 2 : column + 3]
    solid = (np.abs(middle.astype(int) - 90).max((1, 2)) > 60).mean()
    ghost = frames[15]
    (row,) = np.flatnonzero(ghost.tracked.occluded)
    box = ghost.box2d[row]
    column = round(float(box[0]) * 2)
    middle = pictures[15][round(2 * box[1]) + 2 : round(2 * box[3]) - 2, column - 2 : column + 3]
    dashed = (np.abs(middle.astype(int) - 90).max((1, 2)) > 60).mean()
    assert solid > 0.95
    assert 0.2 < dashed < 0.9
    x, y = np.clip((box[:2] + box[2:]).round().astype(int), 0, [1279, 383])
    assert np.ptp(pictures[15][y, x].astype(int)) > 3, 'a ghost is tinted'
    assert (pictures[5][y, x] == 90).all() or y < 20, 'what is seen is not'
    with pytest.raises(DatasetError, match='were not kept'):
        next(draw_frames(clip(), frames, TAXONOMY))


@pytest.mark.slow
def test_the_oracle_is_scored_on_a_rendered_street(tmp_path: Path) -> None:
    scores = evaluate_images(
        'sim:clean:1:1', source='oracle', classes=['car'], pictures=tmp_path / 'pictures'
    )
    assert scores['frames'] == len(list((tmp_path / 'pictures').glob('*.png'))) == 10
    assert scores['DetA_car'] > 30


def test_watching_wraps_the_frames_for_progress() -> None:
    totals = []

    def track(frames, total):
        totals.append(total)
        return frames

    seen = watch(small(), lambda now: [], track=track, keep_images=True)
    assert totals == [3]
    assert len(seen.images) == len(seen.detections) == 3
