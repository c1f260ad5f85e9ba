"""Scores of plain tables against known answers and TrackEval's own KITTI rules; MOT and RRC."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.datasets.kitti.tracking import CLASSES, read_sequences
from training.datasets.mot import read_mot, scores, write_mot
from training.datasets.sample import DatasetError
from training.evaluation.tracking.mot import evaluate_mot
from training.evaluation.tracking.recorded import evaluate_detections, run_tracker
from training.evaluation.tracking.scores import TrackRows, image_corners, score_kitti
from training.evaluation.tracking.tables import Scored, TruthRows, score_tables

DATA = Path(__file__).parents[2] / '../shared/data/kitti_tracking'
real_data = pytest.mark.skipif(not DATA.exists(), reason='../shared/data is absent')
FRAMES = 20


def truth(counts: bool = True) -> TruthRows:
    """Two objects that walk to the right."""
    frame = np.repeat(np.arange(FRAMES), 2)
    identity = np.tile([4, 8], FRAMES)
    x = 10.0 * identity + 3 * frame
    box = np.stack([x, 0 * x, x + 20, 0 * x + 40], 1)
    kind = np.full(len(frame), 'pedestrian')
    return TruthRows(frame, identity, kind, box, np.where(identity == 8, counts, True))


def tracks(true: TruthRows, **changes: np.ndarray) -> TrackRows:
    count = len(true.frame)
    nothing = np.full((count, 7), np.nan)
    rows = TrackRows(true.frame, true.id, true.kind, true.box2d, nothing, np.ones(count))
    return replace(rows, **changes)


def score(true: TruthRows, found: TrackRows) -> dict[str, float]:
    return score_tables([Scored(FRAMES, true, found)], 'pedestrian')


def test_the_truth_scores_all() -> None:
    figures = score(truth(), tracks(truth()))
    assert all(figures[key] == pytest.approx(100) for key in ('HOTA', 'IDF1', 'MOTA', 'DetA'))
    assert (figures['IDSW'], figures['FP'], figures['FN']) == (0, 0, 0)


def test_a_swap_of_ids_costs_two_switches_and_half_of_the_identity() -> None:
    true = truth()
    swapped = np.where(true.frame < FRAMES // 2, true.id, 12 - true.id)
    figures = score(true, tracks(true, id=swapped))
    assert figures['IDSW'] == 2
    assert figures['IDF1'] == pytest.approx(50)
    assert figures['DetA'] == pytest.approx(100)
    assert figures['AssA'] < 60


@pytest.mark.parametrize('reported', [True, False])
def test_what_does_not_count_costs_neither_way(reported: bool) -> None:
    true = truth(counts=False)
    found = tracks(true)
    if not reported:
        keep = found.id == 4
        found = TrackRows(**{name: column[keep] for name, column in vars(found).items()})
    figures = score(true, found)
    assert (figures['HOTA'], figures['FP'], figures['FN']) == (pytest.approx(100), 0, 0)


def test_other_classes_and_boxes_that_are_not_shown_are_left_out() -> None:
    true = truth()
    found = tracks(true, kind=np.where(true.id == 8, 'car', 'pedestrian'))
    assert score(true, found)['FN'] == FRAMES
    box = np.where((true.id == 8)[:, None], np.nan, true.box2d)
    assert score(true, tracks(true, box2d=box))['FN'] == FRAMES


@real_data
@pytest.mark.real_data
def test_a_table_of_cars_scores_as_by_the_rules_of_kitti() -> None:
    """Cars that all count: KITTI's rules are then plain ones."""
    sequence = read_sequences(DATA, ('0003',))[0]
    labels = sequence.labels
    cars = (labels.kind == 'Car') & (labels.occluded <= 2) & (labels.truncated == 0)
    cars &= labels.box2d[:, 3] - labels.box2d[:, 1] > 25
    lines = tuple(line for line, car in zip(labels.lines, cars, strict=True) if car)
    columns = {n: c[cars] for n, c in vars(labels).items() if n != 'lines'}
    only = replace(sequence, labels=replace(labels, lines=lines, **columns))
    found, _ = run_tracker(only)
    theirs = score_kitti([only], {sequence.name: found}, ['Car'])['Car']
    true = TruthRows(
        only.labels.frame, only.labels.id, only.labels.kind, only.labels.box2d,
        np.ones(len(lines), bool),
    )  # fmt: skip
    tall = found.box2d[:, 3] - found.box2d[:, 1] > 25
    kept = TrackRows(**{n: c[tall] for n, c in vars(found).items()})
    ours = score_tables([Scored(sequence.frames, true, kept)], 'Car')
    for key in ('HOTA', 'IDF1', 'MOTA'):
        assert ours[key] == pytest.approx(theirs[key], abs=1.5)


@pytest.fixture
def mot(tmp_path: Path) -> Path:
    """One sequence: two people, a distractor, and one that annotators left out."""
    folder = tmp_path / 'MOT-01'
    (folder / 'det').mkdir(parents=True)
    (folder / 'gt').mkdir()
    (folder / 'seqinfo.ini').write_text(
        f'[Sequence]\nname=MOT-01\nframeRate=10\nseqLength={FRAMES}\nimWidth=640\nimHeight=480\n'
    )
    found, true = [], []
    for frame in range(1, FRAMES + 1):
        people = [(1, 50 + 3 * frame, 1, 1), (2, 300 - 2 * frame, 1, 1), (3, 420, 1, 8)]
        for identity, x, counts, kind in [*people, (4, 560, 0, 1)]:
            place = f'{x},100,30,80'
            true.append(f'{frame},{identity},{place},{counts},{kind},1.0')
            if identity < 4:
                found.append(f'{frame},-1,{place},0.9')
    (folder / 'det/det.txt').write_text('\n'.join(found) + '\n')
    (folder / 'gt/gt.txt').write_text('\n'.join(true) + '\n')
    return folder


def test_mot_folders_are_tracked_scored_and_written(mot: Path, tmp_path: Path) -> None:
    figures = evaluate_mot(mot.parent, results=tmp_path / 'results')
    assert figures['IDF1_pedestrian'] == figures['IDF1'] > 90
    assert (figures['IDSW'], figures['FP']) == (0, 0)  # the distractor costs nothing
    rows = [line.split(',') for line in (tmp_path / 'results/MOT-01.txt').read_text().splitlines()]
    assert len({row[1] for row in rows}) == 3
    assert min(int(row[0]) for row in rows) >= 1
    assert all(float(row[4]) == pytest.approx(30, abs=1) for row in rows)


def test_the_report_of_mot_names_its_class(mot: Path) -> None:
    record = evaluate_detections(f'mot:{mot}')
    assert record['classes'] == ['pedestrian']
    with pytest.raises(DatasetError, match='gaps are made in kitti_tracking only'):
        evaluate_detections(f'mot:{mot}', gap=5)


def test_results_are_read_back_as_written(mot: Path) -> None:
    sequence = read_mot(mot)[0]
    write_mot(mot / 'det/det.txt', sequence.true_frame, sequence.true_id, sequence.true_box)
    again = read_mot(mot)[0]
    np.testing.assert_allclose(again.found_box, sequence.true_box, atol=0.01)
    assert again.found_frame.tolist() == sequence.true_frame.tolist()


@pytest.mark.parametrize(
    ('path', 'text', 'message'),
    [
        ('seqinfo.ini', '[Nothing]', r'is no MOT sequence: no section \[Sequence\]$'),
        ('seqinfo.ini', 'name=S', 'seqinfo.ini is no MOT sequence: .*no section headers[^\n]*$'),
        ('gt/gt.txt', '1,99999999999999999999,9,9,30,60,1,1,1', 'line 1: id 1e[+]20 is beyond'),
        ('seqinfo.ini', '[Sequence]\nseqLength=99999999999', 'above 0, and at most'),
        ('det/det.txt', '1,2,3', 'line 1: not 7 numbers'),
        ('gt/gt.txt', 'a,b', 'line 1: not 8 numbers'),
        ('det/det.txt', '1,-1,9,9,30,60,nan', 'line 1: not 7 numbers'),
        ('det/det.txt', '\n0,-1,9,9,30,60,1', 'line 2: frame 0, but MOTChallenge counts'),
        ('gt/gt.txt', '999,1,9,9,30,60,1,1,1', 'frame 999, but seqinfo.ini says that there are'),
        ('gt/gt.txt', '1.5,1,9,9,30,60,1,1,1', 'whole numbers'),
        ('gt/gt.txt', '1,1,9,9,-30,60,1,1,1', 'width and height'),
        ('gt/gt.txt', '1,1,9,9,30,60,1,77,1', 'class 77 is none of MOTChallenge'),
        ('gt/gt.txt', '1,1,9,9,30,60,1,-1,1\n1,2,9,9,30,60,1,1,1', 'class -1 is none'),
        ('gt/gt.txt', '1,1,9,9,30,60,1,3,1', 'none of its 1 rows is a pedestrian'),
        ('gt/gt.txt', '1,4,9,9,30,60,1,1,1\n1,4,8,8,30,60,1,1,1', 'frame 1 has id 4 more than'),
    ],
)
def test_malformed_mot_files_are_named(mot: Path, path: str, text: str, message: str) -> None:
    (mot / path).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_mot(mot)


def test_mot_of_2015_has_no_classes(mot: Path) -> None:
    whole = read_mot(mot)[0]
    path = mot / 'gt/gt.txt'
    rows = [line.split(',') for line in path.read_text().splitlines()]
    path.write_text('\n'.join(','.join([*row[:7], '-1', '-1', '-1']) for row in rows) + '\n')
    old = read_mot(mot)[0]
    assert old.counts.all()
    assert len(old.true_frame) == sum(float(row[6]) > 0 for row in rows) >= len(whole.true_frame)


@pytest.mark.parametrize('name', ['50%_crop', '../../outside', '/etc/outside', '.hidden', 'a\\b'])
def test_names_of_sequences_stay_in_the_results_folder(
    mot: Path, tmp_path: Path, name: str
) -> None:
    info = mot / 'seqinfo.ini'
    info.write_text(re.sub(r'name=.*', lambda _: f'name={name}', info.read_text()))
    before = {path for path in tmp_path.rglob('*') if path.is_file()}
    evaluate_mot(mot, results=tmp_path / 'results')
    made = {path for path in tmp_path.rglob('*') if path.is_file()} - before
    assert [path.parent for path in made] == [tmp_path / 'results']
    if '%' in name:
        assert next(iter(made)).name == '50%_crop.txt'


def test_sequences_of_one_name_are_told_apart(mot: Path) -> None:
    shutil.copytree(mot, mot.parent / 'again')
    with pytest.raises(DatasetError, match='several sequences named'):
        read_mot(mot.parent)


def test_absent_mot_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='no MOT folder'):
        read_mot(tmp_path)


@pytest.mark.parametrize(
    ('raw', 'expected'),
    [([0.2, 1.0], [0.2, 1.0]), ([-1, -1], [1, 1]), ([0.0, 2.0], [0.5, 0.880797])],
)
def test_scores_of_detectors_become_shares(raw: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(scores(np.array(raw, float)), expected, atol=1e-6)


def test_image_corners_undo_the_boxes_of_the_image_plane() -> None:
    corners = image_corners(np.array([[15.0, 30, 0, 0, 10, 20, 0]]))
    assert corners.tolist() == [[10, 20, 20, 40]]


def test_unknown_detectors_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='unknown detector'):
        read_sequences(tmp_path, detector='eyes')


def test_image_boxes_of_kitti_are_tracked(tmp_path: Path) -> None:
    for name in ('label_02', 'calib', 'rrc/Car'):
        (tmp_path / name).mkdir(parents=True)
    labels, found = [], []
    for frame in range(FRAMES):
        for identity, x in ((3, 100 + 4 * frame), (5, 400.0)):
            box = f'{x:.1f} 150.0 {x + 80:.1f} 200.0'
            labels.append(f'{frame} {identity} Car 0 0 0.0 {box} 1.5 1.8 4.0 1.0 1.6 20.0 0.0')
            found.append(f'{frame},{box.replace(" ", ",")},0.95')
    (tmp_path / 'label_02/0042.txt').write_text('\n'.join(labels) + '\n')
    (tmp_path / 'calib/0042.txt').write_text('P2: 700 0 600 0 0 700 180 0 0 0 1 0\n')
    (tmp_path / 'rrc/Car/0042.txt').write_text('\n'.join(found) + '\n')
    sequence = read_sequences(tmp_path, detector='rrc')[0]
    assert (np.array(CLASSES)[sequence.detections.kind] == 'Car').all()
    figures = evaluate_detections(
        f'kitti_tracking:{tmp_path}', classes=['car'], detector='rrc', results=tmp_path / 'out'
    )
    assert figures['IDSW_car'] == 0
    assert figures['IDF1_car'] > 90
    assert (tmp_path / 'out/0042.txt').read_text()
