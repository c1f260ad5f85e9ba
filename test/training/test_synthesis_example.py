"""Analysis by synthesis: what a guess draws, and that the difference leads to the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sim_perception.geometry.boxes import project_box
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.shape import ShapePca
from sim_perception.types import Box3D, Camera
from training.examples.analysis_by_synthesis import found_box, scores, strip, target_of
from training.examples.synthesis_fit import Descent, Stage, Synthesis, Target, blurred, descend

ROOT = Path(__file__).resolve().parents[2]
CAMERA = Camera(320, 120, 200.0, 200.0, 159.5, 59.5)
CAMERA_T_LEVEL = invert(from_euler(0, 0, 0, np.array([0, 0, 1.6])) @ BODY_T_OPTICAL)
STAGE = Stage(20, 1.0, 1, 1, 0.02)


@pytest.fixture(scope='module')
def synthesis() -> tuple[Synthesis, torch.Tensor]:
    """Return a made target, a car's own picture, and the guess that drew it."""
    model = load_checkpoint(ROOT / 'models/shape_car', network='shape_pca').net
    assert isinstance(model, ShapePca)
    box = (100.0, 20.0, 220.0, 100.0)
    grey = np.full((80, 120, 3), 0.3, np.float32)
    blank = Synthesis(model, Target(grey, box, CAMERA, CAMERA_T_LEVEL))
    truth = blank.random(1, 0)
    truth[0, :4] = torch.tensor([0.1, -0.05, np.log(11.0), 0.6])
    with torch.no_grad():
        image = blank.draw(truth, 120)[0].permute(1, 2, 0).numpy()
    return Synthesis(model, Target(image, box, CAMERA, CAMERA_T_LEVEL)), truth


def test_the_guess_that_drew_the_target_explains_it_best(synthesis) -> None:
    space, truth = synthesis
    others = truth.repeat(4, 1)
    for k, change in enumerate([0.3, 0.4, 0.3]):
        others[k + 1, [0, 2, 3][k]] += change
    with torch.no_grad():
        errors = space.error(others, STAGE)
    assert errors.argmin() == 0
    assert (errors[1:] > 1.1 * errors[0]).all()


def test_the_difference_leads_downhill(synthesis) -> None:
    space, truth = synthesis
    start = truth.clone()
    start[0, :4] += torch.tensor([0.08, 0.05, 0.06, 0.12])

    class Near(Synthesis):
        def random(self, count: int, seed: int) -> torch.Tensor:
            return start.clone()

    near = Near(space.model, space.target)
    course = descend(near, stages=(Stage(20, 1.0, 12, 1, 0.03),))
    assert len(course.guesses) == 13
    before, after = ((g - truth[0])[:4].norm() for g in (course.guesses[0], course.guesses[-1]))
    assert after < 0.7 * before
    picture = strip(near, Descent(course.guesses[:3], course.errors[:3]))
    assert picture.shape[2] == 3


def test_guesses_are_boxes_where_they_are_drawn(synthesis) -> None:
    space, truth = synthesis
    box = found_box(space, truth[0])
    seen = project_box(CAMERA, CAMERA_T_LEVEL, box)
    assert seen is not None
    # The centre projects to the middle of the target's box, moved by the guess.
    centre = CAMERA_T_LEVEL @ box.parent_T_box[:, 3]
    u = CAMERA.fx * centre[0] / centre[2] + CAMERA.cx
    assert u == pytest.approx(160 + 0.1 * 60, abs=0.01)
    assert centre[2] == pytest.approx(11.0, abs=1e-4)
    assert np.arctan2(*box.parent_T_box[[1, 0], 0]) == pytest.approx(0.6, abs=1e-5)
    same = scores(box, box)
    assert same['iou'] == 1.0
    turned = Box3D(box.parent_T_box @ from_euler(0, 0, 0.5, np.zeros(3)), box.size)
    assert scores(turned, box)['degrees_off'] == pytest.approx(np.rad2deg(0.5), abs=0.1)


def test_blur_keeps_the_mean_and_plain_areas() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((1, 3, 30, 40)))
    soft = blurred(image, 1.5)
    assert soft.std() < 0.4 * image.std()
    plain = torch.full((1, 3, 30, 40), 0.7, dtype=torch.float64)
    assert torch.allclose(blurred(plain, 1.5), plain)


def test_targets_are_parts_of_the_image() -> None:
    image = np.zeros((120, 320, 3), np.uint8)
    image[40:60, 100:140] = 255
    target = target_of(image, CAMERA, CAMERA_T_LEVEL, np.array([100.0, 40, 139, 59]))
    x1, y1, x2, y2 = target.box
    assert target.image.shape[:2] == (round(y2 - y1), round(x2 - x1))
    assert target.image.max() == 1.0
    assert (x1 + x2) / 2 == pytest.approx(119.5, abs=1)
    with pytest.raises(ValueError, match='too little'):
        target_of(image, CAMERA, CAMERA_T_LEVEL, np.array([400.0, 40, 500, 60]))
