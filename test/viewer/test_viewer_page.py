"""The viewer's page in a real browser: the pixels of the camera are on the screen."""

from __future__ import annotations

from pathlib import Path

import cv2
import drives
import numpy as np
import pytest
from rich.console import Console

pytest.importorskip('rerun', reason='the viewer is not installed: make view')
pytest.importorskip('aiohttp', reason='aiohttp, which talks to the browser, is not installed')
from browser import find_browser, picture_of

from training.viewing.view import View, view

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason='no Chromium: apt install chromium'),
]
LEAST = 1000
"""Pixels of each half of the camera's image that must be seen."""


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) < 12).all(-1)


def shows_the_camera(picture: np.ndarray) -> bool:
    """Return whether orange is on the left of as much blue, as in the camera's image."""
    orange, blue = (np.argwhere(near(picture, colour)) for colour in (drives.ORANGE, drives.BLUE))
    if min(len(orange), len(blue)) < LEAST:
        return False
    return bool(np.median(orange[:, 1]) < np.median(blue[:, 1]))


def test_a_browser_shows_the_cameras_image(tmp_path: Path) -> None:
    bag = drives.record_drive(tmp_path / 'bag', leave_out=['/diagnostics'])
    output = view(View(bag, show='web', port=9390), Console())
    try:
        assert output.url.startswith('http://localhost:9390')
        right, picture = picture_of(
            output.url, shows_the_camera, tmp_path / 'profile', size=(900, 640)
        )
    finally:
        output.close()
    cv2.imwrite(str(tmp_path / 'page.png'), picture[..., ::-1])
    assert right, f'the image is not on the page; see {tmp_path / "page.png"}'
