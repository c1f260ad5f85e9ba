"""How large a scenario's objects are, beside what data sets of real streets have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.table import Table

from sim_perception.simulator.catalogue import contents
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy
from training.datasets.kitti.object import frame_names, read_objects

F64 = npt.NDArray[np.float64]
#: Families that KITTI counts apart from its cars and pedestrians.
_APART = {'van': 'van', 'microvan': 'van', 'seated': 'seated'}
CLASSES = ('car', 'van', 'truck', 'pedestrian', 'seated', 'cyclist')


@dataclass(frozen=True)
class Published:
    """Mean length, width, height that others report, metres."""

    data: str
    category: str
    mean: tuple[float, float, float]
    source: str


_KITTI = 'means of the 7,481 labelled frames (Geiger et al., CVPR 2012), as detectors use them'
_NUSCENES = 'anchors of CBGS (Zhu et al., arXiv:1908.09492): means of the training split'
_WAYMO = "anchors of mmdetection3d's Waymo configurations: means of the training split"
PUBLISHED = (
    Published('KITTI', 'car', (3.88, 1.63, 1.53), _KITTI),
    Published('KITTI', 'van', (5.08, 1.90, 2.21), _KITTI),
    Published('KITTI', 'truck', (10.1, 2.58, 3.25), _KITTI),
    Published('KITTI', 'pedestrian', (0.84, 0.66, 1.76), _KITTI),
    Published('KITTI', 'cyclist', (1.76, 0.60, 1.74), _KITTI),
    Published('nuScenes', 'car', (4.61, 1.95, 1.72), _NUSCENES),
    Published('Waymo', 'car', (4.73, 2.08, 1.77), _WAYMO),
    Published('Waymo', 'pedestrian', (0.91, 0.84, 1.74), _WAYMO),
    Published('Waymo', 'cyclist', (1.81, 0.84, 1.77), _WAYMO),
)


def scenario_sizes(name: str, seeds: Iterable[int], population: str = '') -> dict[str, F64]:
    """Return (N, 3) length, width, height of the objects of a scenario's scenes, by class.

    Args:
        name: of the scenario, or its file.
        seeds: of the scenes.
        population: in place of the scenario's own, or ''.

    Raises:
        ScenarioError: for a wrong population.
        FileNotFoundError: for an unknown scenario.
    """
    names = load_taxonomy().names
    change = {'traffic.population': population} if population else {}
    found: dict[str, list[F64]] = {c: [np.zeros((0, 3))] for c in CLASSES}
    for seed in seeds:
        objects = Simulation(load_scenario(name, seed=seed, **change)).objects
        for k, size in enumerate(objects.size):
            category = _APART.get(objects.family[k], names[objects.class_id[k]])
            found[category].append(size[None].astype(float))
    return {c: np.concatenate(rows) for c, rows in found.items()}


def kitti_sizes(folder: Path) -> dict[str, F64]:
    """Return (N, 3) length, width, height of the labels of a KITTI object folder, by class.

    Raises:
        DatasetError: if the folder has no labels, or a file is malformed.
    """
    found: dict[str, list[F64]] = {c: [np.zeros((0, 3))] for c in CLASSES}
    for name in frame_names(folder):
        for item in read_objects(folder / 'label_2' / f'{name}.txt', np.zeros((0, 3))):
            found[item.kind].append(np.array([item.box3d.size], np.float64))
    return {c: np.concatenate(rows) for c, rows in found.items()}


@dataclass(frozen=True)
class SizeRow:
    """One line of the table; sizes are length, width, height in metres."""

    category: str
    data: str
    count: int | None
    mean: F64
    deviation: F64 | None = None
    low: F64 | None = None
    high: F64 | None = None


def size_rows(measured: dict[str, dict[str, F64]]) -> list[SizeRow]:
    """Return lines by class: what was measured, by its name, then what is published."""
    rows = []
    for category in CLASSES:
        for data, sizes in measured.items():
            values = sizes.get(category, np.zeros((0, 3)))
            if len(values):
                low, high = np.percentile(values, [5, 95], axis=0)
                mean, deviation = values.mean(0), values.std(0)
                rows.append(SizeRow(category, data, len(values), mean, deviation, low, high))
        rows += [SizeRow(category, f'{p.data} (published)', None, np.array(p.mean))
                 for p in PUBLISHED if p.category == category]  # fmt: skip
    return rows


_HEADER = ('class', 'of', 'objects', 'length', 'width', 'height', '5 to 95 %')


def _cells(row: SizeRow) -> list[str]:
    spread = row.deviation
    sizes = [
        f'{m:.2f}' if spread is None else f'{m:.2f} ± {spread[k]:.2f}'
        for k, m in enumerate(row.mean)
    ]
    between = ''
    if row.low is not None and row.high is not None:
        between = ' x '.join(f'{a:.2f}-{b:.2f}' for a, b in zip(row.low, row.high, strict=True))
    return [row.category, row.data, '' if row.count is None else str(row.count), *sizes, between]


def size_table(rows: list[SizeRow]) -> Table:
    """Return the lines for a terminal."""
    table = Table(*_HEADER, title='metres: mean ± standard deviation')
    for row in rows:
        table.add_row(*_cells(row))
    return table


def size_markdown(rows: list[SizeRow]) -> str:
    """Return the lines as a table for a page."""
    lines = [list(_HEADER), ['---'] * len(_HEADER), *(_cells(r) for r in rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def content_markdown() -> str:
    """Return what streets are made of, with counts, as a table for a page."""
    head = ['kinds', 'number', 'names', 'triangles', 'fields']
    lines = [head, ['---'] * len(head)]
    for kind in contents():
        faces = kind.faces()
        span = '' if faces is None else f'{faces[0]} to {faces[1]}'
        fields = ', '.join(f'`{f}`' for f in kind.field.split(', '))
        lines.append([kind.title, str(len(kind.names)), ', '.join(kind.names), span, fields])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def with_tables(page: str, tables: dict[str, str]) -> str:
    """Return a page whose parts between ``<!-- table NAME -->`` and ``<!-- end -->`` are new.

    Raises:
        ValueError: if it has no place for a table.
    """
    for name, table in tables.items():
        mark = re.search(rf'(?<=<!-- table {name} -->\n).*?(?=<!-- end -->)', page, re.S)
        if mark is None:
            raise ValueError(
                f'the page has no place for the table {name}; add <!-- table {name} --> and '
                '<!-- end -->'
            )
        page = f'{page[: mark.start()]}{table}\n{page[mark.end() :]}'
    return page
