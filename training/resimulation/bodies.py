"""Meshes of recorded objects: fitted shapes of cars, and the simulator's bodies of all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sim_perception.models.shape import SIZE, ShapePca, Surface, decode_mesh
from sim_perception.simulator.catalogue import Mesh, Model, Slot, fleet, person, vertex_normals
from sim_perception.taxonomy import load_taxonomy

Array = npt.NDArray[np.floating]
Size = tuple[float, float, float]

_SPACING = 0.06
_TEMPLATES = 3
_VOTES = 25
_KEPT = (Slot.GLASS, Slot.TYRE, Slot.RIM, Slot.HEADLIGHT, Slot.TAILLIGHT, Slot.PLATE_0)
"""What a fitted surface shows besides paint; smaller trim would only be ragged."""


def car_mesh(model: ShapePca, latent: npt.NDArray[np.floating] | None, size: Size) -> Mesh:
    """Return a car's mesh in its box frame, dressed like the simulator's cars.

    The fitted surface says nothing of glass, tyres and lamps. They are where cars of like
    proportions have them: each face takes the material that most of the nearest faces of such
    cars have, in shares of the box.

    Args:
        model: the shape space.
        latent: (K,) of it; None for what is usual at this size.
        size: of the body, metres.
    """
    shape = usual_latent(model, size) if latent is None else latent
    surface = decode_mesh(model, np.asarray(shape), size, _SPACING)
    middles = surface.vertices[surface.faces].mean(1) / np.asarray(size)
    places, materials = template_faces(model, size)
    _, nearest = cKDTree(places).query(middles, _VOTES)
    votes = materials[nearest]
    counts = (votes[:, :, None] == votes[:, None, :]).sum(2)
    chosen = votes[np.arange(len(votes)), counts.argmax(1)]
    return _mesh(surface, chosen, load_taxonomy().id_of('car'))


def usual_latent(model: ShapePca, size: Size) -> Array:
    """Return the (K,) expected latent of a car of a size, by the space's joint Gaussian."""
    mean = model.prior_mean.numpy().astype(np.float64)
    covariance = model.prior_covariance()
    offset = np.log(size) - mean[:SIZE]
    gain = covariance[SIZE:, :SIZE] @ np.linalg.inv(covariance[:SIZE, :SIZE])
    # Beyond what the space has seen a line leads nowhere.
    return np.clip(mean[SIZE:] + gain @ offset, -2.0, 2.0)


def body_mesh(category: str, size: Size, seed: int) -> Mesh:
    """Return the simulator's body of a truck, pedestrian or cyclist, stretched to a box.

    Args:
        category: class name.
        size: length, width, height, metres.
        seed: chooses among people.

    Raises:
        ValueError: for a category without a body.
    """
    if category == 'truck':
        models = [m for m in fleet() if m.label == 'truck']
        mesh = _closest(models, size)[0].whole()
        # Prints on a truck's sides are some company's; the recording's has its own colour.
        sides = (mesh.material >= Slot.TRUCK_SIDE_0) & (mesh.material < Slot.PLASTER_0)
        mesh = replace(mesh, material=np.where(sides, Slot.PAINT, mesh.material).astype(np.int32))
    elif category in ('pedestrian', 'cyclist'):
        mesh = person(category, seed)
    else:
        raise ValueError(f'there is no body for objects of class {category!r}')
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    stretch = np.asarray(size, np.float32) / np.maximum(high - low, 1e-3)
    vertices = (mesh.vertices - (low + high) / 2) * stretch
    return replace(mesh, vertices=vertices.astype(np.float32))


def _mesh(surface: Surface, material: npt.NDArray[np.integer], semantic: int) -> Mesh:
    """Return a scene's mesh of a surface."""
    vertices = surface.vertices.astype(np.float64)
    # Marching cubes wind their faces towards rising distance or away from it.
    faces = surface.faces
    normals = vertex_normals(vertices, faces)
    if (normals * vertices).sum() < 0:
        faces, normals = faces[:, ::-1], -normals
    return Mesh(
        vertices=surface.vertices,
        faces=np.ascontiguousarray(faces, np.int32),
        normals=normals.astype(np.float32),
        uv=np.ascontiguousarray(surface.vertices[:, [0, 2]]),
        material=material.astype(np.int32),
        semantic=np.full(len(faces), semantic, np.uint8),
        occlusion=np.ones(len(vertices), np.float32),
    )


def _closest(models: Sequence[Model], size: Size) -> list[Model]:
    """Return models by how well their sizes agree with one."""
    off = [np.abs(np.log(np.asarray(m.size) / np.asarray(size))).sum() for m in models]
    return [models[k] for k in np.argsort(off)]


def template_faces(model: ShapePca, size: Size) -> tuple[Array, npt.NDArray[np.int32]]:
    """Return (N, 3) places of faces in shares of the box, and their materials."""
    config = model.config
    wide = (size[0], config.mirror_scale * size[1] + config.mirror_offset, size[2])
    cars = [m for m in fleet() if m.label == 'car']
    places, materials = [], []
    for car in _closest(cars, wide)[:_TEMPLATES]:
        mesh = car.whole()
        corners = mesh.vertices[mesh.faces].astype(np.float64)
        area = np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        width = (car.size[1] - config.mirror_offset) / config.mirror_scale
        box = np.array([car.size[0], width, car.size[2]])
        # Large faces speak as often as they are large.
        rows = np.repeat(np.arange(len(area)), np.clip(area / 0.004, 1, 60).astype(int))
        rng = np.random.default_rng(0)
        share = rng.dirichlet([1.0, 1.0, 1.0], len(rows))
        spots = (corners[rows] * share[:, :, None]).sum(1)
        spots[:, 2] -= car.size[2] / 2
        places.append(spots / box)
        plain = np.where(np.isin(mesh.material, _KEPT), mesh.material, Slot.PAINT)
        materials.append(plain[rows])
    # Mirrors stand beyond the body and would paint its sides.
    everywhere, kinds = np.concatenate(places), np.concatenate(materials)
    inside = np.abs(everywhere[:, 1]) <= 0.52
    return everywhere[inside], kinds[inside]


PAINTED = frozenset({int(Slot.PAINT), int(Slot.CLOTH), int(Slot.PAINTED)})
"""Slots whose colour is the object's own."""
