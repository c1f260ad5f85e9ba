"""A recorded drive as content of a scene: the ego's way, objects with shapes, surroundings.

A drive is a folder of plain files: ``drive.json`` (motions, sizes, colours; made to be read and
changed by people), ``meshes.npz`` (arrays only) and ``texture_NN.png``. ``training resimulate``
writes it, a scenario's ``replay`` names it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.files import read_json
from sim_perception.geometry.transforms import from_quaternion, to_quaternion
from sim_perception.simulator.common.scene import Mesh

Array = npt.NDArray[np.floating]
Color = tuple[float, float, float]

FORMAT = 1
#: Material of faces that show their part's texture.
TEXTURED = -1
_DRIVE, _MESHES = 'drive.json', 'meshes.npz'
_DECIMALS = 6


class DriveError(ValueError):
    """A drive's folder cannot be used; the message says which file and why."""


@dataclass(frozen=True)
class Motion:
    """Poses over time.

    Attributes:
        times: (T,) seconds since the drive's start, ascending; one for what stands still.
        poses: (T, 4, 4) in the world.
    """

    times: Array
    poses: Array


@dataclass(frozen=True)
class DriveObject:
    """One labelled thing.

    Attributes:
        id: its identity in the recording.
        category: class name of the taxonomy.
        size: length, width, height of its box, metres.
        color: linear RGB albedo of its paint.
        motion: of its box's centre.
        mesh: in the box's frame; materials are slots of ``materials.Slot``.
    """

    id: str
    category: str
    size: tuple[float, float, float]
    color: Color
    motion: Motion
    mesh: Mesh


@dataclass(frozen=True)
class DrivePart:
    """One piece of what stands still.

    Attributes:
        origin: (3,) place of the mesh's frame in the world.
        mesh: materials are slots, or ``TEXTURED``.
        texture: index of the part's texture, or -1.
    """

    origin: tuple[float, float, float]
    mesh: Mesh
    texture: int = -1


@dataclass(frozen=True)
class Drive:
    """A whole drive.

    Attributes:
        ego: motion of ``base_link``.
        objects: what moves or might.
        parts: ground and surroundings.
        textures: (T, S, S, 3) uint8 sRGB albedo, row 0 is v = 0; S as the simulator's own
            textures (``textures.SIZE``). May be empty.
        source: what it was made from, for people.
    """

    ego: Motion
    objects: tuple[DriveObject, ...]
    parts: tuple[DrivePart, ...]
    textures: npt.NDArray[np.uint8]
    source: str = ''


def write_drive(drive: Drive, folder: Path) -> None:
    """Write a drive's folder; files of an earlier one are replaced.

    Raises:
        OSError: for a full disk and the like.
    """
    folder.mkdir(parents=True, exist_ok=True)
    meshes = [item.mesh for item in drive.objects] + [part.mesh for part in drive.parts]
    arrays = {
        f'{k:03d}_{field.name}': getattr(mesh, field.name)
        for k, mesh in enumerate(meshes)
        for field in fields(Mesh)
    }
    np.savez_compressed(folder / _MESHES, **arrays)
    for old in folder.glob('texture_*.png'):
        old.unlink()
    for k, texture in enumerate(drive.textures):
        file = folder / f'texture_{k:02d}.png'
        if not cv2.imwrite(str(file), texture[..., ::-1]):
            raise OSError(f'{file} cannot be written')
    values = {
        'format': FORMAT,
        'source': drive.source,
        'ego': _motion_to_json(drive.ego),
        'objects': [
            {
                'id': item.id,
                'class': item.category,
                'size': _rounded(item.size),
                'color': _rounded(item.color),
                **_motion_to_json(item.motion),
            }
            for item in drive.objects
        ],
        'parts': [
            {'origin': _rounded(part.origin), 'texture': part.texture} for part in drive.parts
        ],
    }
    (folder / _DRIVE).write_text(json.dumps(values, indent=1) + '\n')


def read_drive(folder: Path) -> Drive:
    """Read a drive's folder.

    Raises:
        DriveError: if a file is absent or malformed.
    """
    path = folder / _DRIVE
    try:
        values = read_json(path)
        if values['format'] != FORMAT:
            raise DriveError(f'{path}: this version reads format {FORMAT}; resimulate anew')
        with np.load(folder / _MESHES, allow_pickle=False) as arrays:
            count = len(values['objects']) + len(values['parts'])
            meshes = [_mesh(arrays, k) for k in range(count)]
        textures = [_texture(file) for file in sorted(folder.glob('texture_*.png'))]
        objects = tuple(
            DriveObject(
                str(item['id']), item['class'], _three(item['size']), _three(item['color']),
                _motion_from_json(item), mesh,
            )
            for item, mesh in zip(values['objects'], meshes, strict=False)
        )  # fmt: skip
        parts = tuple(
            DrivePart(_three(item['origin']), mesh, int(item['texture']))
            for item, mesh in zip(values['parts'], meshes[len(objects) :], strict=True)
        )
        return Drive(
            ego=_motion_from_json(values['ego']),
            objects=objects,
            parts=parts,
            textures=np.stack(textures) if textures else np.zeros((0, 1, 1, 3), np.uint8),
            source=values['source'],
        )
    except DriveError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DriveError(f'{folder} is no drive that can be read: {error}') from error


def drive_digest(folder: Path) -> str:
    """Return a hash of a drive's files, so that a scenario's bytes are what its text says.

    Raises:
        DriveError: if the folder holds no drive.
    """
    if not (folder / _DRIVE).is_file():
        raise DriveError(
            f'{folder} holds no {_DRIVE}; make a drive with: python -m training resimulate'
        )
    digest = hashlib.sha256()
    for path in [folder / _DRIVE, folder / _MESHES, *sorted(folder.glob('texture_*.png'))]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _mesh(arrays: Any, k: int) -> Mesh:
    return Mesh(**{field.name: arrays[f'{k:03d}_{field.name}'] for field in fields(Mesh)})


def _texture(path: Path) -> npt.NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DriveError(f'{path} is no readable image')
    return np.ascontiguousarray(np.asarray(image, np.uint8)[..., ::-1])


def _rounded(values: Any) -> list[float]:
    return [round(float(v), _DECIMALS) for v in values]


def _three(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _motion_to_json(motion: Motion) -> dict[str, Any]:
    rows = np.concatenate([motion.poses[:, :3, 3], to_quaternion(motion.poses)], 1)
    return {'times': _rounded(motion.times), 'xyz_xyzw': [_rounded(row) for row in rows]}


def _motion_from_json(values: dict[str, Any]) -> Motion:
    rows = np.array(values['xyz_xyzw'], float).reshape(-1, 7)
    poses = np.stack([from_quaternion(tuple(row[3:]), row[:3]) for row in rows])
    return Motion(np.array(values['times'], float), poses)
