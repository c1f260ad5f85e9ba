"""What was measured of an object, and the same as files for fits over many frames."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.evidence.initialise import Candidate
from sim_perception.autolabel.fit.kernels import Evidence
from sim_perception.autolabel.fit.refine import evenly
from sim_perception.autolabel.records import RecordError
from sim_perception.files import write_atomically
from sim_perception.geometry.lidar_frame import PreparedFrame

F64 = npt.NDArray[np.float64]


def gather(
    prepared: PreparedFrame,
    box: F64,
    candidate: Candidate,
    around: npt.NDArray[np.int64],
    ground: F64,
    config: LabelConfig,
) -> Evidence:
    """Collect what was measured of one object.

    Args:
        prepared: the frame.
        box: (4,) image box.
        candidate: the cluster that may be the object.
        around: rows of all points in and about the box.
        ground: (3,) plane near the object.
        config: settings.
    """
    sensor = np.asarray(prepared.frame.sensor, np.float64)
    rows = candidate.rows[evenly(len(candidate.rows), config.most_points)]
    points = prepared.points[rows]
    rays = points - sensor
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    # Rays past the object: they ended beyond its nearest points, not on it.
    others = np.setdiff1d(around, candidate.rows)
    beyond = prepared.points[others] - sensor
    reach = np.linalg.norm(beyond, axis=1)
    nearest = np.linalg.norm(points - sensor, axis=1).min()
    kept = np.flatnonzero(reach > nearest + 0.3)
    if len(kept) > config.past_rays:
        # Those that pass it closely bound it.
        outline = cKDTree(prepared.pixels[candidate.rows])
        near = outline.query(prepared.pixels[others[kept]])[0]
        kept = np.sort(kept[np.argpartition(near, config.past_rays)[: config.past_rays]])
    camera = prepared.frame.camera
    side = float(max(box[2] - box[0], box[3] - box[1]))
    sigma = np.full(4, config.edge_sigma + config.edge_sigma_share * side)
    limit = np.array([0.0, 0.0, camera.width - 1.0, camera.height - 1.0])
    inner = np.array([box[0], box[1], limit[2] - box[2], limit[3] - box[3]])
    sigma[inner < config.border] = 0.0
    return Evidence(
        points=np.ascontiguousarray(points),
        rays=np.ascontiguousarray(rays),
        past=np.ascontiguousarray(beyond[kept] / reach[kept, None]).reshape(-1, 3),
        reach=np.ascontiguousarray(reach[kept]),
        origin=sensor,
        box=box,
        sigma=sigma,
        ground=np.array([*ground, config.ground_sigma]),
    )


def write_evidence(path: Path, items: Sequence[Evidence | None]) -> None:
    """Write the evidence of a frame's labels, in their order, atomically."""
    arrays = {'count': np.array(len(items))}
    for k, item in enumerate(items):
        if item is not None:
            arrays |= {f'{k}_{name}': value for name, value in item._asdict().items()}
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)  # type: ignore[arg-type]
    write_atomically(path, data.getvalue())


def read_evidence(path: Path) -> list[Evidence | None]:
    """Read what ``write_evidence`` wrote.

    Raises:
        RecordError: if the file is absent or malformed.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return [
                Evidence(*(data[f'{k}_{name}'] for name in Evidence._fields))
                if f'{k}_points' in data
                else None
                for k in range(int(data['count']))
            ]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RecordError(f'{path} holds no evidence of labels: {error!r}') from error
