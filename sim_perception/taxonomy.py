"""The class list: id, name, colour, thing or stuff, and its mapping to CamVid."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.files import read_yaml
from sim_perception.resources import share_path
from sim_perception.suggestions import unknown

VARIABLE = 'SIM_PERCEPTION_TAXONOMY'
"""Environment variable that names a taxonomy file of the user's own."""


@dataclass(frozen=True)
class SemanticClass:
    """One class: its id is its place in the taxonomy."""

    name: str
    color: tuple[int, int, int]
    is_thing: bool
    camvid: str | None = None


@dataclass(frozen=True)
class Taxonomy:
    """An ordered list of classes. Pixels with ``ignore_id`` carry no label."""

    name: str
    classes: tuple[SemanticClass, ...]
    ignore_id: int = 255
    camvid_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in id order."""
        return tuple(c.name for c in self.classes)

    def id_of(self, name: str) -> int:
        """Return the id of a class name.

        Raises:
            KeyError: for an unknown name, listing the known ones.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(unknown('class', name, self.names)) from None

    @property
    def thing_ids(self) -> tuple[int, ...]:
        """Ids of the countable classes."""
        return tuple(i for i, c in enumerate(self.classes) if c.is_thing)

    def palette(self) -> npt.NDArray[np.uint8]:
        """Return (256, 3) RGB colours indexed by id; unknown ids are black."""
        colors = np.zeros((256, 3), np.uint8)
        for i, c in enumerate(self.classes):
            colors[i] = c.color
        return colors

    def camvid_lut(self) -> npt.NDArray[np.uint8]:
        """Return a (256,) table from our ids to CamVid's; 255 where there is no counterpart."""
        lut = np.full(256, 255, np.uint8)
        for i, c in enumerate(self.classes):
            if c.camvid is not None:
                lut[i] = self.camvid_names.index(c.camvid)
        return lut

    def to_dict(self) -> dict[str, Any]:
        """Return the YAML form; ``from_dict`` is its inverse."""
        return {
            'name': self.name,
            'ignore_id': self.ignore_id,
            'classes': [
                {
                    'name': c.name,
                    'color': list(c.color),
                    'kind': 'thing' if c.is_thing else 'stuff',
                    **({'camvid': c.camvid} if c.camvid is not None else {}),
                }
                for c in self.classes
            ],
            'camvid': list(self.camvid_names),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Taxonomy:
        """Build a taxonomy from its YAML form.

        Raises:
            ValueError: for a missing key, a duplicate name, a bad kind or an unknown CamVid name.
        """
        try:
            camvid = tuple(data.get('camvid', ()))
            classes = tuple(
                SemanticClass(
                    name=entry['name'],
                    color=(entry['color'][0], entry['color'][1], entry['color'][2]),
                    is_thing={'thing': True, 'stuff': False}[entry['kind']],
                    camvid=entry.get('camvid'),
                )
                for entry in data['classes']
            )
            taxonomy = cls(data['name'], classes, int(data.get('ignore_id', 255)), camvid)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f'malformed taxonomy: {error!r}') from error
        if len(set(taxonomy.names)) != len(taxonomy):
            raise ValueError('malformed taxonomy: class names must be unique')
        if len(taxonomy) > taxonomy.ignore_id:
            raise ValueError('malformed taxonomy: more classes than ids below ignore_id')
        unknown = {c.camvid for c in classes if c.camvid is not None} - set(camvid)
        if unknown:
            raise ValueError(f'malformed taxonomy: unknown CamVid classes {sorted(unknown)}')
        return taxonomy


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Read a taxonomy from YAML.

    Args:
        path: None takes the file that the environment's ``SIM_PERCEPTION_TAXONOMY`` names, which
            must have all classes of the package's own, else ``config/taxonomy.yaml``.

    Raises:
        ValueError: naming the file, if it is malformed or lacks classes.
        OSError: if the file cannot be opened.
    """
    if path is not None:
        return _load(path)
    own = os.environ.get(VARIABLE)
    return _load_own(Path(own)) if own else _load_shipped()


@cache
def _load(path: Path) -> Taxonomy:
    data = read_yaml(path)
    try:
        return Taxonomy.from_dict(data)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


@cache
def _load_shipped() -> Taxonomy:
    return _load(share_path('config', 'taxonomy.yaml'))


@cache
def _load_own(path: Path) -> Taxonomy:
    taxonomy, shipped = _load(path), _load_shipped()
    missing = [name for name in shipped.names if name not in taxonomy.names]
    if missing:
        raise ValueError(
            f'{path}, which {VARIABLE} names, lacks the classes {", ".join(missing)}; '
            'begin with a copy of config/taxonomy.yaml'
        )
    return taxonomy
