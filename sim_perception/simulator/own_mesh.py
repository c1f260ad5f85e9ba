"""Meshes of the user's own in a scenario: files, classes and where they stand or drive."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sim_perception.files import read_bytes

_Metres = Annotated[float, Field(ge=-500, le=500)]


class OwnMesh(BaseModel):
    """A mesh file (GLB, OBJ, PLY, STL) with a class, and its places.

    Attributes:
        name: family of the objects, for statistics.
        file: relative to the scenario's file.
        category: class name of the taxonomy.
        kind: ``object`` is labelled with a box, an id and its visibility; ``occluder`` is
            background.
        up: the file's axis that is up; by default y of GLB and glTF, else z.
        yaw_deg: turn about up after which it looks along x.
        length_m: its length along x when it looks so; None leaves the file's metres.
        mass_kg: of an object.
        per_km: how many stand or drive along a kilometre, both sides together.
        where: ``pavement``, ``roadside`` (behind it) or ``road`` (objects that drive in lanes).
        at: fixed places: metres ahead and to the left of where the vehicle starts, degrees.
        speed_kmh: free speed of those on the road.
        digest: of the file; filled in when the scenario is read.
    """

    model_config = ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1)]
    file: Annotated[str, Field(min_length=1)]
    category: str
    kind: Literal['object', 'occluder'] = 'object'
    up: Literal['y', 'z'] | None = None
    yaw_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0
    length_m: Annotated[float, Field(gt=0, le=100)] | None = None
    mass_kg: Annotated[float, Field(gt=0, le=1e6)] = 100.0
    per_km: Annotated[float, Field(ge=0, le=400)] = 0.0
    where: Literal['pavement', 'roadside', 'road'] = 'pavement'
    at: tuple[tuple[_Metres, _Metres, float], ...] = ()
    speed_kmh: Annotated[float, Field(ge=1, le=130)] = 30.0
    digest: str = ''

    @model_validator(mode='after')
    def _can_drive(self) -> OwnMesh:
        if self.where == 'road' and self.kind == 'occluder':
            raise ValueError(f'{self.name}: only objects drive on the road; set kind: object')
        return self


def located_meshes(meshes: object, folder: Path) -> object:
    """Return a scenario's list with absolute files and their digests.

    Raises:
        FileError, OSError: if a file cannot be read.
    """
    if not isinstance(meshes, list):
        return meshes
    return [_located(entry, folder) for entry in meshes]


def _located(entry: Any, folder: Path) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get('file'), str):
        return entry
    path = (folder / entry['file']).resolve()
    return {**entry, 'file': str(path), 'digest': hashlib.sha256(read_bytes(path)).hexdigest()}
