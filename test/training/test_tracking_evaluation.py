"""KITTI tracking: reading, the gap protocol, and scores of known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.datasets.kitti.tracking import (
    CLASSES,
    KittiSequence,
    from_vehicle,
    read_sequences,
    to_vehicle,
)
from training.datasets.sample import DatasetError
from training.evaluation.report import report
from training.evaluation.tracking.gaps import Gap, count_kept, make_gaps, real_occlusions
from training.evaluation.tracking.recorded import evaluate_detections, run_tracker
from training.evaluation.tracking.scores import TrackRows, match_rows, score_kitti, write_kitti

DATA = Path(__file__).parents[2] / '../shared/data/kitti_tracking'
real_data = pytest.mark.skipif(not DATA.exists(), reason='../shared/data is absent')
FRAMES = 60
CALIBRATION = 'P2: 700 0 600 35 0 700 180 0 0 0 1 0\n'


def label(frame: int, identity: int, x: float, z: float, occluded: int = 0) -> tuple[str, str]:
    """A car at x right, z ahead, as a label row and as a detection row."""
    h, w, length = 1.5, 1.8, 4.0
    u, v = 700 * (x + 0.05) / z + 600, 700 * (1.65 - h / 2) / z + 180
    half_u, half_v = 700 * w / 2 / (z - 2), 700 * h / 2 / (z - 2)
    box = [f'{v:.2f}' for v in (u - half_u, v - half_v, u + half_u, v + half_v)]
    place = [f'{v:.3f}' for v in (h, w, length, x, 1.65, z, -np.pi / 2)]
    row = f'{frame} {identity} Car 0 {occluded} 0.0 {" ".join(box)} {" ".join(place)}'
    return row, f'{frame},2,{",".join(box)},9.0,{",".join(place)},0.0'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cars; the second is hidden, and not detected, in frames 20 to 29."""
    for name in ('label_02', 'calib', *(f'pointrcnn/{c}' for c in CLASSES)):
        (tmp_path / name).mkdir(parents=True)
    labels, detections = [], []
    for frame in range(FRAMES):
        hidden = 20 <= frame < 30
        for identity, x, z in ((3, -4.0, 20.0), (5, 3.0, 25.0 + 0.2 * frame)):
            away = hidden and identity == 5
            row, found = label(frame, identity, x, z, 2 if away else 0)
            labels.append(row)
            if not away:
                detections.append(found)
    (tmp_path / 'label_02/0042.txt').write_text('\n'.join(labels) + '\n')
    (tmp_path / 'calib/0042.txt').write_text(CALIBRATION)
    for name in CLASSES:
        text = '\n'.join(detections) + '\n' if name == 'Car' else ''
        (tmp_path / f'pointrcnn/{name}/0042.txt').write_text(text)
    return tmp_path


@pytest.fixture
def sequence(folder: Path) -> KittiSequence:
    return read_sequences(folder)[0]


def perfect(sequence: KittiSequence) -> TrackRows:
    """The truth as a tracker's answer."""
    labels = sequence.labels
    return TrackRows(
        labels.frame, labels.id, labels.kind, labels.box2d, labels.box3d, np.ones(len(labels.id))
    )


def test_boxes_go_to_the_vehicle_frame_and_back() -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(-3, 3, (20, 7))
    np.testing.assert_allclose(from_vehicle(to_vehicle(rows)), rows, atol=1e-12)
    ahead = to_vehicle(np.array([[1.5, 1.8, 4.0, 2.0, 1.65, 20.0, -np.pi / 2]]))[0]
    np.testing.assert_allclose(ahead, [20, -2, 0.75 - 1.65, 0, 4, 1.8, 1.5], atol=1e-12)


def test_a_sequence_is_read(sequence: KittiSequence) -> None:
    assert (sequence.name, sequence.frames) == ('0042', FRAMES)
    assert len(sequence.detections.frame) == 2 * FRAMES - 10
    point = sequence.camera_T_vehicle @ [20.0, 4.0, 0.0, 1.0]
    np.testing.assert_allclose(point[:3], [-4 + 0.05, 0, 20])  # P2 lies beside the origin


@pytest.mark.parametrize(
    ('path', 'text', 'message'),
    [
        ('label_02/0042.txt', '0 1 Car 0', 'no KITTI label file'),
        ('calib/0042.txt', 'P0: 1 2 3', 'no KITTI calibration with P2'),
        ('pointrcnn/Car/0042.txt', '1,2,3', 'no detection file'),
    ],
)
def test_malformed_files_are_named(folder: Path, path: str, text: str, message: str) -> None:
    (folder / path).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_sequences(folder)


def test_absent_data_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DatasetError, match='no label_02'):
        read_sequences(tmp_path / 'nowhere')
    with pytest.raises(DatasetError, match='no sequence 0001'):
        read_sequences(folder, ('0001',))


def test_matching_takes_the_greatest_total_overlap() -> None:
    truth = np.array([[0, 0, 10, 10], [4, 0, 14, 10]], float)
    found = np.array([[2, 0, 12, 10], [50, 50, 60, 60], [5, 0, 15, 10]], float)
    frames = np.zeros(3, np.int64)
    assert match_rows(frames[:2], truth, frames, found).tolist() == [0, 2]
    assert match_rows(frames[:2] + 1, truth, frames, found).tolist() == [-1, -1]


def test_a_gap_hides_an_object_once_and_its_truth_does_not_count(sequence: KittiSequence) -> None:
    changed, gaps = make_gaps(sequence, ['Car'], 10, seed=1)
    assert sorted(gap.id for gap in gaps) == [3, 5]
    for gap in gaps:
        assert gap.last - gap.first + 1 == 10
        own = changed.labels.id == gap.id
        inside = own & (changed.labels.frame >= gap.first) & (changed.labels.frame <= gap.last)
        assert (changed.labels.occluded[inside] == 3).all()
        assert (changed.labels.occluded[own & ~inside] < 3).all()
        rows = np.flatnonzero(own)
        partner = match_rows(
            changed.labels.frame[rows],
            changed.labels.box2d[rows],
            changed.detections.frame,
            changed.detections.box2d,
        )
        seen = changed.labels.frame[rows[partner >= 0]]
        assert not ((seen >= gap.first) & (seen <= gap.last)).any()
        assert (seen < gap.first).sum() >= 8
        assert (seen > gap.last).sum() >= 8
    again, same = make_gaps(sequence, ['Car'], 10, seed=1)
    assert same == gaps
    assert again.labels.lines == changed.labels.lines
    assert make_gaps(sequence, ['Car'], 10, seed=2)[1] != gaps
    assert make_gaps(sequence, ['Car'], FRAMES - 15)[1] == []  # no room for 8 on both sides


def test_real_occlusions_are_found(sequence: KittiSequence) -> None:
    assert real_occlusions(sequence, ['Car']) == [Gap('0042', 'Car', 5, 20, 29)]


def test_kept_counts_ids_that_are_the_same_before_and_after(sequence: KittiSequence) -> None:
    gap = real_occlusions(sequence, ['Car'])
    answer = perfect(sequence)
    assert count_kept(sequence, answer, gap) == 1
    other = np.where((answer.id == 5) & (answer.frame >= 25), 9, answer.id)
    switched = TrackRows(
        answer.frame, other, answer.kind, answer.box2d, answer.box3d, answer.score
    )
    assert count_kept(sequence, switched, gap) == 0


def test_result_files_have_kittis_columns(tmp_path: Path, sequence: KittiSequence) -> None:
    write_kitti(tmp_path / 'x.txt', perfect(sequence))
    fields = (tmp_path / 'x.txt').read_text().splitlines()[0].split()
    assert fields[:5] == ['0', '3', 'Car', '0', '0']
    np.testing.assert_allclose(
        [float(v) for v in fields[10:17]], [1.5, 1.8, 4.0, -4.0, 1.65, 20.0, -np.pi / 2], atol=1e-3
    )
    assert len(fields) == 18


def test_the_truth_scores_a_hundred(sequence: KittiSequence) -> None:
    pytest.importorskip('trackeval')
    scores = score_kitti([sequence], {'0042': perfect(sequence)}, ['Car'])['Car']
    for key in ('HOTA', 'DetA', 'AssA', 'IDF1', 'MOTA'):
        assert scores[key] == pytest.approx(100, abs=0.1)
    assert (scores['IDSW'], scores['Frag']) == (0, 0)


def test_a_switched_id_costs_one_switch(sequence: KittiSequence) -> None:
    pytest.importorskip('trackeval')
    answer = perfect(sequence)
    other = np.where((answer.id == 5) & (answer.frame >= 30), 9, answer.id)
    switched = TrackRows(
        answer.frame, other, answer.kind, answer.box2d, answer.box3d, answer.score
    )
    scores = score_kitti([sequence], {'0042': switched}, ['Car'])['Car']
    assert scores['IDSW'] == 1
    assert scores['IDF1'] < 90


def test_the_tracker_keeps_both_cars(sequence: KittiSequence) -> None:
    rows, seconds = run_tracker(sequence)
    assert seconds > 0
    assert set(rows.id.tolist()) == {1, 2}
    assert (rows.kind == 'Car').all()
    assert count_kept(sequence, rows, real_occlusions(sequence, ['Car'])) == 1


def test_the_verb_writes_scores_and_result_files(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip('trackeval')
    record = evaluate_detections(
        f'kitti_tracking:{folder}',
        classes=['car'],
        gap=8,
        results=tmp_path / 'results',
    )
    report(record, json_file=tmp_path / 'out/scores.json')
    written = json.loads((tmp_path / 'out/scores.json').read_text())
    assert written == record
    assert record['HOTA'] == record['HOTA_car'] > 50
    assert (record['kept'], record['events']) == (100.0, 2)
    assert record['frames'] == FRAMES
    assert (tmp_path / 'results/0042.txt').exists()


def rows_of_poses(count: int) -> str:
    return '\n'.join(f'1 0 0 {-0.1 * n} 0 1 0 0 0 0 1 {0.5 * n}' for n in range(count))


def test_odometry_places_the_boxes_in_the_world(folder: Path) -> None:
    """The camera drives ahead and to the left: what stands keeps its place."""
    (folder / 'poses').mkdir()
    (folder / 'poses/0042.txt').write_text(rows_of_poses(FRAMES))
    (given,) = read_sequences(folder, odometry='poses')
    assert given.odometry is not None
    np.testing.assert_allclose(given.odometry[10][:3, 3], (5.0, 1.0, 0.0), atol=1e-12)
    rows, _ = run_tracker(given)
    assert set(rows.id.tolist()) == {1, 2}
    (folder / 'poses/0042.txt').write_text(rows_of_poses(3))
    with pytest.raises(DatasetError, match='has 3 poses for 60 frames'):
        read_sequences(folder, odometry='poses')
    with pytest.raises(DatasetError, match='elsewhere'):
        read_sequences(folder, odometry='elsewhere')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'data': 'camvid:x'}, 'kitti_tracking:DIR'),
        ({'classes': ['tram']}, 'cannot evaluate class tram'),
        ({'gap': -1}, 'gap must be'),
    ],
)
def test_wrong_requests_are_refused(folder: Path, arguments: dict, message: str) -> None:
    wanted = {'data': f'kitti_tracking:{folder}', **arguments}
    with pytest.raises(DatasetError, match=message):
        evaluate_detections(wanted.pop('data'), **wanted)


@pytest.mark.slow
@pytest.mark.real_data
@real_data
def test_identities_survive_gaps_in_real_detections() -> None:
    sequences = [s for s in read_sequences(DATA) if s.name in ('0003', '0005', '0011')]
    kept, events = 0, 0
    for sequence in sequences:
        changed, gaps = make_gaps(sequence, ['Car'], 10)
        kept += count_kept(changed, run_tracker(changed)[0], gaps)
        events += len(gaps)
    assert events > 40
    assert kept / events > 0.85
