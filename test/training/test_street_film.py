"""The film of what every network sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer import BadParameter

from sim_perception.resources import share_path
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.visualization import write_picture
from training.examples.street_film import main


@pytest.fixture(scope='module')
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three images of a street."""
    folder = tmp_path_factory.mktemp('street')
    scenario = load_scenario(share_path('config', 'scenarios', 'target.yaml'), seed=3)
    simulation = Simulation(scenario, threads=1)
    for n in range(3):
        rgb = simulation.camera_frame(0.1 * n, frozenset({'rgb'})).rgb
        assert rgb is not None
        write_picture(folder / f'{n}.png', rgb)
    return folder


def test_a_film_shows_every_image_and_what_is_seen_in_it(street: Path, tmp_path: Path) -> None:
    out = tmp_path / 'film.webp'
    main(f'images:{street}', out, rate=10, focal_ratio=0.58, width=320)
    with Image.open(out) as film:
        assert film.n_frames == 3
        film.seek(2)
        picture = np.asarray(film.convert('RGB'), float)
        assert film.info['duration'] == 100
    height = picture.shape[0] // 3
    panels = picture.reshape(3, height, 2, 320, 3).swapaxes(1, 2).reshape(6, height, 320, 3)
    image, tracks, depth, classes, labels, _ = panels
    assert np.abs(depth - image).mean() > 5
    assert np.abs(classes - image).mean() > 5
    for drawn in (tracks, labels):
        changed = np.abs(drawn - image).max(2)[24:] > 60
        assert 0.002 < changed.mean() < 0.3


def test_an_unknown_preset_is_named(street: Path, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match='kitty'):
        main(f'images:{street}', tmp_path / 'film.webp', preset='kitty')
