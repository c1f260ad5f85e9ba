"""The page for Python users: its code runs as it stands there, and does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE, README = ROOT / 'docs' / 'python.md', ROOT / 'README.md'
_BLOCK = re.compile(r'^```python\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def run_blocks(page: Path, names: dict[str, Any]) -> dict[str, Any]:
    """Run the Python of a page block by block; return the names that are left."""
    text = page.read_text()
    for match in _BLOCK.finditer(text):
        line = text.count('\n', 0, match.start(1))
        # empty lines in front make tracebacks name the page's own lines
        exec(compile('\n' * line + match[1], str(page), 'exec'), names)
    return names


@pytest.fixture(scope='module')
def page() -> dict[str, Any]:
    pytest.importorskip('skimage', reason='meshes of labels need the extra autolabel')
    return run_blocks(PAGE, {})


@pytest.mark.slow
def test_the_page_runs_and_its_results_are_what_it_says(page: dict[str, Any]) -> None:
    out, shot = page['out'], page['shot']
    assert out.depth.shape == out.segmentation.shape == (144, 416)
    assert page['error'] < 0.25, 'depth of half of the pixels'
    both = out.mask('road') & (shot.semantic == out.names.index('road'))
    assert both.sum() > 0.5 * (shot.semantic == out.names.index('road')).sum()
    labels = page['labels']
    accepted = [label for label in labels if label.accepted]
    assert accepted
    assert len(labels) == len(page['boxes'])
    assert len(page['mesh'].vertices) > 100
    assert page['follower'].tracker.stamp == page['stamp']


@pytest.mark.slow
def test_labels_of_the_page_lie_on_the_cars(page: dict[str, Any]) -> None:
    truth, chosen = page['truth'], page['well_seen']
    camera_T_world = np.linalg.inv(page['state'].world_T_base @ page['street'].base_T_camera)
    for label, pose in zip(page['labels'], truth.world_T_object[chosen], strict=True):
        if label.accepted:
            x, y, z = (camera_T_world @ pose)[:3, 3]  # of the optical frame
            place = label.box3d.parent_T_box[:3, 3]
            np.testing.assert_allclose(place, [z, -x, -y], atol=0.5)


@pytest.mark.slow
def test_tracks_of_the_page_keep_their_identities(page: dict[str, Any]) -> None:
    tracker, labels = page['tracker'], [label for label in page['labels'] if label.accepted]
    tracks = tracker(page['detections'], 300_000_000, camera=page['camera'])
    assert len(tracks.seen) > 0
    assert {track.id for track in tracks.seen} <= set(range(1, len(labels) + 1))
    for track in tracks.seen:
        assert np.linalg.norm(track.velocity) < 0.5, 'they stand'


@pytest.mark.slow
def test_the_five_lines_of_the_readme_run(page: dict[str, Any]) -> None:
    names = ('image', 'camera', 'points', 'boxes', 'detections')
    done = run_blocks(README, {**{name: page[name] for name in names}, 'stamp': 0})
    np.testing.assert_array_equal(done['out'].segmentation, page['out'].segmentation)
    assert len(done['labels']) == len(page['boxes'])
    assert len(done['tracks']) <= len(page['detections'])
