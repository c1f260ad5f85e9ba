"""What labels rest on, by name, and the labeler for each."""

from __future__ import annotations

from pathlib import Path

from sim_perception.autolabel.config import LabelConfig, check_way
from sim_perception.autolabel.evidence.evidence import read_evidence, write_evidence
from sim_perception.autolabel.fit.kernels import Evidence
from sim_perception.autolabel.modes.fused import BESIDE_POINTS, FusedLabeler
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.autolabel.modes.mono import MonoConfig, MonoLabeler
from sim_perception.autolabel.modes.rendered import RenderLabeler, load_render_labeler
from sim_perception.autolabel.quality.quality import (
    ALL_FEATURES,
    POINT_FEATURES,
    ConfidenceModel,
)
from sim_perception.autolabel.tracks.tracks import Sighting
from sim_perception.inference.backend import choose_device
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.surface_coordinates import SurfaceCoordinatesEngine
from sim_perception.models.checkpoint import CheckpointError, load_checkpoint

__all__ = [
    'ALL_FEATURES', 'COORDINATES', 'DEPTH', 'POINT_FEATURES', 'ConfidenceModel', 'Evidence',
    'RenderLabeler', 'ShapeLabeler', 'Sighting', 'load_labeler', 'load_render_labeler',
    'needs_points', 'read_evidence', 'write_evidence',
]  # fmt: skip

COORDINATES = 'models/surface_coordinates'
DEPTH = 'models/depth_segmentation'


def needs_points(mode: str) -> bool:
    """Return whether a mode looks at the LiDAR's points."""
    return mode != 'mono'


def load_labeler(
    mode: str,
    shape: Path | str,
    *,
    coordinates: Path | str = COORDINATES,
    depth: Path | str | None = DEPTH,
    config: LabelConfig | None = None,
    device: str = 'auto',
    threads: int | None = None,
    refine: str = 'fit',
) -> ShapeLabeler:
    """Read what a mode needs.

    Args:
        mode: of ``config.MODES``.
        shape: checkpoint of the shape space.
        coordinates: of the coordinates network; not read for ``lidar``.
        depth: of depth and classes, read for ``mono`` alone; None to do without.
        config: settings.
        device: what networks run on: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or
            ``cuda:N``. Fits are made on the CPU, those that render as well.
        threads: of PyTorch, one number for the whole process; None keeps it.
        refine: of ``config.REFINERS``. ``sdflabel`` works in the modes ``lidar`` and ``fused``
            (with coordinates), ``photometric`` in ``mono``.

    Raises:
        ValueError: for an unknown mode or way to fit, or one that the mode does not have, or a
            device that is not there.
        CheckpointError: if a checkpoint is unusable or they do not belong together.
    """
    check_way(mode, refine)
    choose_device(device)  # said in every mode, also where nothing runs on it
    if refine != 'fit' or (mode == 'lidar' and load_checkpoint(shape).name == 'shape_sdf'):
        maps = coordinates if mode == 'fused' else None
        return load_render_labeler(
            refine, shape, coordinates=maps, depth=depth, config=config, device=device,
            threads=threads,
        )  # fmt: skip
    base = ShapeLabeler.load(shape, config)
    if mode == 'lidar':
        return base
    network = SurfaceCoordinatesEngine.load(coordinates, device=device, threads=threads)
    known = network.calibration.get(mode)
    confidence = ConfidenceModel.from_dict(known) if known else None
    engine = None
    if mode == 'mono' and depth is not None:
        engine = DepthSegmentationEngine.load(depth, device=device, threads=threads)
    kind = MonoLabeler if mode == 'mono' else FusedLabeler
    mono = MonoConfig(sight=BESIDE_POINTS) if mode == 'fused' else None
    try:
        return kind(
            base.model, base.class_id, network, engine, base.config, mono,
            confidence or (base.confidence if mode == 'fused' else None),
        )  # fmt: skip
    except ValueError as error:
        raise CheckpointError(f'{coordinates} does not fit {shape}: {error}') from error
