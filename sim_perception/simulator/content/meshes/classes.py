"""Class ids of the package's taxonomy, by name."""

from __future__ import annotations

from sim_perception.taxonomy import load_taxonomy


def class_id(name: str) -> int:
    """Return the taxonomy id of a class name."""
    return load_taxonomy().id_of(name)
