"""The tiny drive that tests of formats convert."""

from __future__ import annotations

import io

from rich.console import Console

SCENARIO = """
domain: clean
duration_s: 0.3
camera: {width: 192, height: 96}
street: {building_density: 0, tree_spacing_m: 200, furniture_density: 0, billboard_density: 0}
lidar: {rings: 16, columns: 256}
"""
FORMATS = ('coco', 'kitti', 'nuscenes', 'mot', 'yolo', 'datumaro', 'mcap', 'bag')


def quiet() -> Console:
    return Console(file=io.StringIO())
