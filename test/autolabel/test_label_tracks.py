"""Whole tracks: one shape, one world pose or smooth motion, and nothing worse than alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lidar_scenes import CAMERA, CAMERA_T_LEVEL, CHECKPOINT, car_state, made_scene

from sim_perception.autolabel.evidence.evidence import read_evidence, write_evidence
from sim_perception.autolabel.fit.kernels import evaluate
from sim_perception.autolabel.fit.refine import make_view
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.autolabel.records import RecordError
from sim_perception.autolabel.tracks.join import expected_pose
from sim_perception.autolabel.tracks.tracks import Sighting, fit_track, motion_matrices, moved
from sim_perception.geometry.transforms import from_euler, invert
from sim_perception.types import Box3D

WORLD_YAW = 0.4
STEP = 0.5


@pytest.fixture(scope='module')
def labeler() -> ShapeLabeler:
    return ShapeLabeler.load(CHECKPOINT)


def sightings(
    labeler: ShapeLabeler, seed: int, *, speed: float = 0.0, frames: int = 4
) -> tuple[list[Sighting], np.ndarray]:
    """A car ahead, parked or driving along its heading, while the robot comes nearer."""
    found = []
    world_T_start = from_euler(0, 0, WORLD_YAW, (100.0, 50.0, 3.0))
    base = car_state(seed, place=(17.0, 2.2), yaw=0.15)
    for k in range(frames):
        ego = 2.5 * k
        state = base.copy()
        state[0] += speed * STEP * k * np.cos(state[3]) - ego
        state[1] += speed * STEP * k * np.sin(state[3])
        scene = made_scene(state, seed=k)
        (label,) = labeler.label(scene.frame, scene.box2d[None])
        (evidence,) = labeler.evidence(scene.frame, [label])
        assert evidence is not None
        here = world_T_start @ from_euler(0, 0, 0, (ego, 0, 0))
        found.append(Sighting(label, evidence, CAMERA, CAMERA_T_LEVEL, here, STEP * k))
    return found, base


def world_boxes(track: list[Sighting], labels: list) -> np.ndarray:
    poses = [
        one.world_T_level @ label.box3d.parent_T_box
        for one, label in zip(track, labels, strict=True)
    ]
    return np.array([[*pose[:3, 3], np.arctan2(pose[1, 0], pose[0, 0])] for pose in poses])


def test_a_parked_car_has_one_shape_and_one_place(labeler: ShapeLabeler) -> None:
    track, state = sightings(labeler, 0)
    labels = labeler.label_track(track)
    assert len({label.body_size for label in labels}) == 1
    assert all(label.accepted for label in labels)
    places = world_boxes(track, labels)
    assert np.ptp(places[:, :3], axis=0).max() < 0.05
    assert np.ptp(places[:, 3]) < 0.01
    alone = np.ptp(world_boxes(track, [one.label for one in track]), axis=0)
    assert np.ptp(places, axis=0)[:3].max() < alone[:3].max()
    # Its covariance is smaller than those of single labels.
    for one, label in zip(track, labels, strict=True):
        assert label.covariance is not None
        assert one.label.covariance is not None
        assert np.trace(label.covariance[:2, :2]) < np.trace(one.label.covariance[:2, :2])
    length = float(np.exp(state[4]))
    assert labels[0].box3d is not None
    assert labels[0].box3d.size[0] == pytest.approx(length, rel=0.06)


def test_a_moving_car_is_followed(labeler: ShapeLabeler) -> None:
    track, _ = sightings(labeler, 1, speed=7.0)
    labels = labeler.label_track(track)
    assert len({label.body_size for label in labels}) == 1
    places = world_boxes(track, labels)
    way = np.diff(places[:, :2], axis=0)
    np.testing.assert_allclose(np.hypot(*way.T), 7.0 * STEP, atol=0.12)
    heading = np.arctan2(way[:, 1], way[:, 0])
    np.testing.assert_allclose(places[:-1, 3], heading, atol=0.06)


def test_a_label_that_faces_backwards_is_turned(labeler: ShapeLabeler) -> None:
    track, _ = sightings(labeler, 2)
    back = track[1].label.box3d
    assert back is not None
    turned = back.parent_T_box @ from_euler(0, 0, np.pi, (0, 0, 0))
    track[1] = replace(
        track[1], label=replace(track[1].label, box3d=replace(back, parent_T_box=turned))
    )
    places = world_boxes(track, labeler.label_track(track))
    assert np.ptp(np.unwrap(places[:, 3])) < 0.05


def rejected(one: Sighting, reason: str, longer: float = 1.25, off: float = 0.4) -> Sighting:
    """The same sighting with a poor fit."""
    box, size = one.label.box3d, one.label.body_size
    assert box is not None
    assert size is not None
    size = (longer * size[0], size[1], size[2])
    pose = box.parent_T_box @ from_euler(0, 0, 0.1, (off, 0, 0))
    label = replace(
        one.label, accepted=False, reason=reason, box3d=Box3D(pose, size), body_size=size
    )
    return replace(one, label=label)


def test_labels_that_are_rejected_alone_get_the_shape_of_the_others(labeler: ShapeLabeler) -> None:
    track, _ = sightings(labeler, 0)
    good = labeler.label_track(track)
    track[2] = rejected(track[2], 'box_mismatch')
    labels = labeler.label_track(track)
    assert len({label.body_size for label in labels}) == 1
    assert labels[2].accepted
    places = world_boxes(track, labels)
    assert np.ptp(places[:, :3], axis=0).max() < 0.1
    assert labels[0].body_size == pytest.approx(good[0].body_size, rel=0.02)
    assert (np.linalg.eigvalsh(labels[2].covariance) > 0).all()


def test_a_few_good_fits_do_not_make_a_car_of_a_truck(labeler: ShapeLabeler) -> None:
    track, _ = sightings(labeler, 0)
    track[2] = rejected(track[2], 'other_class')
    labels = labeler.label_track(track)
    assert [label.reason for label in labels] == ['', '', 'other_class', '']
    assert not labels[2].accepted
    assert labelless(labeler.label_track(track[2:3])) == labelless([track[2].label])
    refiner = labeler._refiner
    assert fit_track(track[2:3], refiner.space, refiner.weights) is None


def labelless(labels: list) -> list:
    return [(label.reason, label.box3d.size) for label in labels]


def test_what_was_measured_of_something_else_stays_rejected(labeler: ShapeLabeler) -> None:
    track, _ = sightings(labeler, 0)
    elsewhere = from_euler(0, 0, 0, (9.0, 3.0, 0.0))
    far = rejected(track[1], 'box_mismatch')
    box = far.label.box3d
    assert box is not None
    wrong = replace(far.label, box3d=replace(box, parent_T_box=elsewhere @ box.parent_T_box))
    track[1] = replace(far, label=wrong, evidence=moved(far.evidence, elsewhere))
    labels = labeler.label_track(track)
    assert not labels[1].accepted
    assert labels[1].confidence == 0
    # It is where the others say, as uncertain as it should be.
    places = world_boxes(track, labels)
    assert np.ptp(places[:, :2], axis=0).max() < 0.1
    assert labels[1].covariance[0, 0] > 0.2


def test_objects_go_on_as_they_went() -> None:
    times = np.array([0.0, 1.0, 3.0])
    poses = np.array([[0, 0, 1, 3.1], [2, 0, 1, -3.1], [2, 6, 1, -2.9]])
    turn = 2 * np.pi - 6.2
    halfway = expected_pose(times, poses, 0.5, moving=True)
    np.testing.assert_allclose(halfway, [1, 0, 1, 3.1 + turn / 2])
    before, after = (expected_pose(times, poses, t, moving=True) for t in (-1.0, 4.0))
    np.testing.assert_allclose(before, [-2, 0, 1, 3.1])
    np.testing.assert_allclose(after[:3], [2, 9, 1])
    parked = expected_pose(times, poses, 9.0, moving=False)
    np.testing.assert_allclose(parked, [2, 0, 1, 2 * np.pi - 3.1])
    np.testing.assert_allclose(expected_pose(times[:1], poses[:1], 5.0, moving=True), poses[0])


def test_motion_is_free_where_it_is_steady() -> None:
    times = np.array([0.0, 0.1, 0.4, 0.5, 1.0])
    moving = motion_matrices(times, moving=True)
    for steady in (np.ones(5), times, 3 - 2 * times):
        np.testing.assert_allclose(moving @ steady, 0, atol=1e-6)
    # Half of each squared acceleration over its variance.
    bent = 0.5 * 4.0 * times**2
    np.testing.assert_allclose(bent @ moving[0] @ bent, 3 * (4.0 / 2.0) ** 2, rtol=1e-6)
    parked = motion_matrices(times, moving=False)
    np.testing.assert_allclose(parked @ np.ones(5), 0, atol=1e-6)
    assert times @ parked[0] @ times > 100


def test_what_was_measured_may_be_seen_from_any_frame(labeler: ShapeLabeler) -> None:
    (one,), _ = sightings(labeler, 3, frames=1)
    space, weights = labeler._refiner.space, labeler._refiner.weights
    assert one.label.body_size is not None
    pose = one.label.box3d.parent_T_box  # type: ignore[union-attr]
    state = np.array(
        [*pose[:3, 3], np.arctan2(pose[1, 0], pose[0, 0]), *np.log(one.label.body_size),
         *one.label.latent]  # type: ignore[misc]
    )  # fmt: skip

    def cost(evidence, camera_T_frame, at) -> float:  # type: ignore[no-untyped-def]
        size = len(at)
        view = make_view(CAMERA, camera_T_frame)
        return float(
            evaluate(
                space, view, evidence, weights, 0.12, at, np.empty((size, size)), np.empty(size)
            )
        )

    new_T_old = from_euler(0, 0, 1.1, (30.0, -7.0, 2.0))
    there = state.copy()
    there[:3] = (new_T_old @ np.append(state[:3], 1))[:3]
    there[3] += 1.1
    moved_cost = cost(moved(one.evidence, new_T_old), CAMERA_T_LEVEL @ invert(new_T_old), there)
    assert moved_cost == pytest.approx(cost(one.evidence, CAMERA_T_LEVEL, state), rel=1e-6)


def test_evidence_comes_back_as_written(labeler: ShapeLabeler, tmp_path: Path) -> None:
    (one,), _ = sightings(labeler, 3, frames=1)
    path = tmp_path / 'frame.npz'
    write_evidence(path, [None, one.evidence])
    nothing, read = read_evidence(path)
    assert nothing is None
    assert read is not None
    for ours, theirs in zip(read, one.evidence, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RecordError, match='no evidence'):
        read_evidence(path)
