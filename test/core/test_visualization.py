from __future__ import annotations

import numpy as np
import pytest

from sim_perception import visualization as vis
from sim_perception.geometry.boxes import project_box
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera


def test_depth_colours_order_from_warm_to_cold_and_unknown_is_black() -> None:
    colors = vis.color_depth(np.array([[2.0, 80.0, np.nan, np.inf, -1.0]])).astype(int)[0]
    assert colors[0, 0] > colors[0, 2]
    assert colors[1, 2] > colors[1, 0]
    assert not colors[2:].any()


def test_label_colours_are_the_taxonomys() -> None:
    taxonomy = load_taxonomy()
    labels = np.array([[taxonomy.id_of('road'), taxonomy.id_of('car'), 255]], np.uint8)
    assert vis.color_labels(labels, taxonomy).tolist()[0] == [[128, 64, 128], [0, 0, 142], [0] * 3]


def test_instance_colours_are_distinct_and_background_is_black() -> None:
    colors = vis.color_instances(np.arange(30, dtype=np.uint16)[None])[0]
    assert not colors[0].any()
    assert len({tuple(c) for c in colors.tolist()}) == 30


def test_opposite_flows_have_opposite_hues_and_invalid_is_black() -> None:
    flow = np.array([[[5.0, 0, 1], [-5.0, 0, 1], [5.0, 0, 0]]])
    colors = vis.color_flow(flow, largest=5)[0].astype(int)
    assert np.abs(colors[0] - colors[1]).max() > 200
    assert not colors[2].any()


def test_visibility_runs_from_red_to_green() -> None:
    assert vis.visibility_color(0.0) == (255, 0, 40)
    assert vis.visibility_color(1.0) == (0, 255, 40)
    assert vis.visibility_color(7.0) == vis.visibility_color(1.0)


def test_drawn_box_lies_in_its_projected_box() -> None:
    camera = Camera(320, 200, 200.0, 200.0, 159.5, 99.5)
    camera_T_world = invert(from_euler(0, 0, 0, np.array([0, 0, 1.5])) @ BODY_T_OPTICAL)
    box = Box3D(from_euler(0, 0, 0.4, np.array([12.0, 1.0, 0.8])), (4.0, 1.8, 1.6))
    image = np.zeros((200, 320, 3), np.uint8)
    vis.draw_box3d(image, camera, camera_T_world, box, (255, 255, 255))
    rows, columns = np.nonzero(image.any(-1))
    x1, y1, x2, y2 = project_box(camera, camera_T_world, box) or (0, 0, 0, 0)
    assert columns.min() == pytest.approx(x1, abs=2)
    assert columns.max() == pytest.approx(x2, abs=2)
    assert rows.min() == pytest.approx(y1, abs=2)
    assert rows.max() == pytest.approx(y2, abs=2)


def test_grid_fills_missing_cells_and_refuses_mixed_sizes() -> None:
    white = np.full((4, 6, 3), 255, np.uint8)
    sheet = vis.grid([white, white, white], 2)
    assert sheet.shape == (8, 12, 3)
    assert not sheet[4:, 6:].any()
    with pytest.raises(ValueError, match='one size'):
        vis.grid([white, white[:2]], 2)


def test_caption_leaves_the_original_alone() -> None:
    image = np.full((40, 200, 3), 99, np.uint8)
    assert (vis.caption(image, 'depth') != image).any()
    assert (image == 99).all()
