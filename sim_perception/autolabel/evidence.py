"""What was measured of a frame's objects as a file, for fits over many frames."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sim_perception.autolabel.fit_kernels import Evidence
from sim_perception.autolabel.records import RecordError, write_atomically


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
