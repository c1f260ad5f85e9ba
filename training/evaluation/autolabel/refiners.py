"""The ways to fit beside each other, on the same objects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.labeler import RenderLabeler, load_render_labeler
from training.datasets.objects.label_scenes import LabelScene, TrueObject
from training.datasets.scenes import open_scenes
from training.evaluation.autolabel.compare import Compared, Population, compare

SHAPE_PCA, SHAPE_SDF = Path('models/shape_car'), Path('models/shape_car_sdf')
DEPTH = Path('models/depth_segmentation')
COORDINATES = Path('models/surface_coordinates')
_LEAST_BOX = 20.0


@dataclass(frozen=True)
class Way:
    """One row of the comparison.

    Attributes:
        key: for figures.
        name: of the row.
        refine: see ``autolabel.refiners``.
        shape: checkpoint of the shape space.
    """

    key: str
    name: str
    refine: str
    shape: Path


WAYS = (
    Way('way_fit_pca', 'fit, linear space', 'fit', SHAPE_PCA),
    Way('way_fit_sdf', 'fit, DeepSDF', 'fit', SHAPE_SDF),
    Way('way_sdflabel', 'as SDFLabel, DeepSDF', 'sdflabel', SHAPE_SDF),
    Way('way_photometric', 'as MonoDR, DeepSDF', 'photometric', SHAPE_SDF),
)
"""Second order in both spaces, SDFLabel's way, MonoDR's way."""


def compare_refiners(
    spec: str = 'sim:target:500-503',
    *,
    objects: int = 20,
    ways: tuple[Way, ...] = WAYS,
    coordinates: Path | None = COORDINATES,
    depth: Path = DEPTH,
) -> list[dict[str, Any]]:
    """Fit the same objects in several ways.

    Args:
        spec: see ``evaluate autolabel``.
        objects: at most so many of its population, from as many frames as possible.
        ways: the rows.
        coordinates: checkpoint that ``sdflabel`` looks at; None, or where it is absent, the image
            box takes its place.
        depth: checkpoint of depth and classes for ``photometric``.

    Returns:
        Per way ``key``, ``name``, ``objects``, ``median_iou_3d`` and ``median_iou_bev`` over all
        objects (0 without a fit), ``median_translation_m``, ``share_3d_50``,
        ``seconds_per_object`` (processor time of the whole, detection to label), and ``reads``,
        what it looks at.

    Raises:
        DatasetError: for unusable data.
        CheckpointError: for an unusable checkpoint.
    """
    chosen = list(pick_objects(spec, objects))
    config = LabelConfig(mirrors=spec.startswith('sim:'))
    known = coordinates if coordinates is not None and coordinates.is_dir() else None
    reads = {
        'fit': 'LiDAR',
        'sdflabel': 'LiDAR, coordinates' if known else 'LiDAR, image box',
        'photometric': 'image',
    }
    rows = []
    for way in ways:
        labeler = load_render_labeler(
            way.refine, way.shape, coordinates=known, depth=depth, config=config, threads=1
        )
        # Compiles the loops; the first object would take seconds otherwise.
        fit_objects(labeler, chosen[:1])
        start = time.process_time()
        results = fit_objects(labeler, chosen)
        spent = (time.process_time() - start) / max(len(chosen), 1)
        row = {'key': way.key, 'name': way.name, 'reads': reads[way.refine], **summary(results)}
        rows.append({**row, 'seconds_per_object': spent})
    return rows


def pick_objects(spec: str, count: int) -> Iterator[tuple[LabelScene, TrueObject]]:
    """Yield objects of the population, one per frame as long as there are frames.

    Raises:
        DatasetError: for unusable data.
    """
    population = Population()
    scenes, _ = open_scenes(spec, 2 * count)  # not every frame has one
    left = count
    for scene in scenes:
        for thing in scene.objects:
            box = np.array(thing.box2d)
            if population.has(scene, thing) and (box[2:] - box[:2]).min() > _LEAST_BOX:
                yield scene, thing
                left -= 1
                break
        if not left:
            return


def fit_objects(
    labeler: RenderLabeler, chosen: list[tuple[LabelScene, TrueObject]]
) -> list[Compared]:
    """Label objects from their true image boxes, and measure how far the labels are off."""
    results = []
    for scene, thing in chosen:
        box = np.array([thing.box2d])
        (label,) = labeler.label(scene.frame, box, image=scene.image)
        results.append(compare(scene, label, thing))
    return results


def summary(results: list[Compared]) -> dict[str, float]:
    """Return the figures of one way; see ``compare_refiners``."""
    space = np.array([row.iou_3d for row in results])
    off = np.array([row.translation for row in results])
    return {
        'objects': float(len(results)),
        'median_iou_3d': float(np.median(space)) if len(space) else float('nan'),
        'median_iou_bev': float(np.median([row.iou_bev for row in results])) if results else 0.0,
        'median_translation_m': float(np.nanmedian(off)) if np.isfinite(off).any() else np.nan,
        'share_3d_50': float((space > 0.5).mean()) if len(space) else float('nan'),
    }
