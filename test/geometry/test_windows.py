"""Windows about image boxes: their place, resampling, what lies beyond the image."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.geometry.windows import cell_places, cut_window, window_about


def test_a_window_holds_the_box_and_keeps_its_shape() -> None:
    for box in ([10.0, 20, 110, 40], [10.0, 20, 20, 120]):
        window = window_about(np.array(box), 4 / 3, 1.2)
        width, height = window[2:] - window[:2]
        assert width / height == pytest.approx(4 / 3)
        assert width >= 1.2 * (box[2] - box[0]) - 1e-9
        assert height >= 1.2 * (box[3] - box[1]) - 1e-9
        np.testing.assert_allclose(window[:2] + window[2:], np.add(box[:2], box[2:]))


@pytest.mark.parametrize('box', [[0, 0, 0, 5], [5, 0, 1, 5], [0, 0, np.nan, 5]])
def test_a_box_without_area_is_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match='finite'):
        window_about(np.array(box), 1.0, 1.0)


def test_a_window_on_whole_pixels_is_a_slice() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    window = np.array([9.5, 4.5, 29.5, 14.5])
    for smooth in (True, False):
        np.testing.assert_array_equal(
            cut_window(image, window, 20, 10, smooth=smooth), image[5:15, 10:30]
        )


@pytest.mark.parametrize('scale', [0.7, 1.0, 2.5])
def test_cells_show_the_places_that_are_said(scale: float) -> None:
    v, u = np.mgrid[:80, :120].astype(np.float32)
    image = np.stack([u, v], -1)
    window = np.array([30.0, 20, 30 + 24 * scale, 20 + 18 * scale])
    places = cell_places(window, 24, 18)
    np.testing.assert_allclose(cut_window(image, window, 24, 18), places, atol=0.05)
    near = cut_window(image, window, 24, 18, smooth=False)
    assert np.abs(near - places).max() <= 0.52


def test_what_lies_beyond_the_image_has_a_value_of_its_own() -> None:
    image = np.zeros((20, 20), np.uint8)
    cut = cut_window(image, np.array([-10.5, -0.5, 9.5, 19.5]), 20, 20, smooth=False, beyond=9)
    assert (cut[:, :10] == 9).all()
    assert (cut[:, 10:] == 0).all()
    far = cut_window(image, np.array([100.0, 100, 120, 120]), 4, 4, beyond=7)
    assert (far == 7).all()
