"""Procedural meshes: closed where claimed, outward, unit normals, valid indices, true sizes."""

import numpy as np
import pytest

from sim_perception.simulator.content.meshes import (
    buildings,
    furniture,
    people,
    trucks,
    vegetation,
    vehicle,
    woods,
)
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.world.fleet import build_fleet


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def catalogue():
    for family in vehicle.FAMILIES:
        yield family, vehicle.car_mesh(family, seed=3)[0]
    for family in trucks.FAMILIES:
        yield family, trucks.truck_body(trucks.draw_truck(family, rng(1)))
    for habit in vegetation.HABITS:
        yield habit, vegetation.tree(habit, rng(2))
    yield 'bush', vegetation.bush(rng())
    yield 'hedge', vegetation.hedge(4.0, 1.2, 0.6, rng())
    for kind in woods.WOODS:
        yield f'{kind} edge', woods.wood_edge(kind, 10.0, rng(5))
    yield 'sapling', woods.sapling(rng(3))
    yield 'block', buildings.town_block(14, 11, 3, rng(4))
    yield 'house', buildings.house(9, 8, 2, rng(4))
    yield 'hall', buildings.hall(22, 16, rng(4))
    for kind in ('rail', 'picket', 'mesh', 'wall', 'guard'):
        yield kind, furniture.fence(kind, 6.0, rng())
    for make in (furniture.lamp, furniture.billboard, furniture.direction_sign, furniture.bench,
                 furniture.bin_, furniture.bus_shelter, furniture.advertising_column,
                 furniture.delineator):  # fmt: skip
        yield make.__name__, make(rng(6))
    yield 'sign', furniture.sign(3, 2.5)
    person = people.draw_person(rng(7))
    yield 'torso', people.torso(person)
    yield 'thigh', people.limb('thigh', person)
    yield 'bicycle', people.bicycle_frame()


MESHES = dict(catalogue())


@pytest.mark.parametrize('name', MESHES)
def test_mesh_is_well_formed(name):
    mesh = MESHES[name]
    assert np.isfinite(mesh.vertices).all()
    assert np.isfinite(mesh.uv).all()
    assert mesh.faces.min() >= 0
    assert mesh.faces.max() < len(mesh.vertices)
    length = np.sqrt((mesh.normals.astype(float) ** 2).sum(1))
    np.testing.assert_allclose(length, 1.0, atol=1e-4)
    assert len(mesh.material) == len(mesh.semantic) == len(mesh.faces)
    assert mesh.occlusion.min() >= 0
    assert mesh.occlusion.max() <= 1
    assert mesh.vertices[:, 2].min() > -0.5


@pytest.mark.parametrize('name', [*vehicle.FAMILIES, *trucks.FAMILIES, 'house', 'wall', 'torso'])
def test_normals_agree_with_the_winding(name):
    mesh = MESHES[name]
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
    face = np.cross(b - a, c - a)
    area = np.sqrt((face**2).sum(1))
    smooth = mesh.normals[mesh.faces].mean(1)
    agree = (face * smooth).sum(1) > 0
    assert area[agree].sum() / area.sum() > 0.97


def volume(mesh) -> float:
    """Return the signed volume: positive when faces are wound outwards."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('family', vehicle.FAMILIES)
def test_car_bodies_are_closed_and_wound_outwards(family, seed):
    shape = vehicle.draw_shape(family, rng(seed))
    body = vehicle.car_body(shape)
    box = shape.length * shape.width * shape.height
    assert 0.35 * box < volume(body) < 0.95 * box
    # Every edge belongs to as many faces on one side as on the other, once vertices are welded.
    # Coordinates are shifted half a cell so that rounding does not tear vertices apart.
    grid = np.floor(body.vertices / 1e-4 + 0.5).astype(np.int64)
    _, weld = np.unique(grid, axis=0, return_inverse=True)
    faces = weld.ravel()[body.faces]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    sign = np.where(edges[:, 0] < edges[:, 1], 1, -1) * (edges[:, 0] != edges[:, 1])
    _, index = np.unique(np.sort(edges, 1), axis=0, return_inverse=True)
    balance = np.bincount(index.ravel(), sign)
    plates = 2 * 4 + 2 * 2 * 4 * 5  # plates, mirrors and handles may touch the body anywhere
    assert np.count_nonzero(balance) < plates + 0.03 * len(balance)


@pytest.mark.parametrize('family', vehicle.FAMILIES)
def test_cars_have_their_nominal_size(family):
    shape = vehicle.draw_shape(family, rng(11))
    body = vehicle.car_body(shape)
    extent = np.ptp(body.vertices, axis=0)
    assert extent[0] == pytest.approx(shape.length, abs=0.05)
    assert body.vertices[:, 2].max() == pytest.approx(shape.height, abs=0.01)
    assert shape.width <= extent[1] < shape.width + 0.35  # mirrors stand out


def test_families_have_their_own_silhouettes():
    heights = {f: np.mean([vehicle.draw_shape(f, rng(s)).height for s in range(20)])
               for f in vehicle.FAMILIES}  # fmt: skip
    assert heights['van'] > heights['suv'] > heights['wagon']
    decks = {f: vehicle.draw_shape(f, rng(0)).deck for f in vehicle.FAMILIES}
    assert decks['pickup'] > decks['sedan'] > decks['hatchback']


def test_unknown_families_are_refused():
    with pytest.raises(KeyError):
        vehicle.draw_shape('spaceship', rng())


def test_fleet_sizes_are_tight_boxes():
    for model in build_fleet(load_scenario('clean', seed=1)):
        v = model.body.vertices
        assert v[:, 0].max() == pytest.approx(model.size[0] / 2, abs=1e-4)
        assert v[:, 0].min() == pytest.approx(-model.size[0] / 2, abs=1e-4)
        assert np.abs(v[:, 1]).max() == pytest.approx(model.size[1] / 2, abs=1e-4)
        assert v[:, 2].max() == pytest.approx(model.size[2], abs=1e-4)
        wheels = np.array([(x, y) for x, y, _ in model.wheels])
        assert (np.abs(wheels[:, 0]) + model.radius < model.size[0] / 2).all()


def test_wood_edges_are_walls_of_foliage():
    mesh = woods.wood_edge('broadleaf', 10.0, rng(1))
    extent = np.ptp(mesh.vertices, axis=0)
    assert extent[0] > 0.9 * woods.EDGE_LENGTH
    assert 6.5 < mesh.vertices[:, 2].max() < 13.5
    # Seen from the road, hardly a metre at breast height lets the eye through.
    low = mesh.vertices[(mesh.vertices[:, 2] > 0.3) & (mesh.vertices[:, 2] < 2.5)]
    metres = np.unique(np.floor(low[np.abs(low[:, 0]) < 6, 0]))
    assert len(metres) == 12
    far = woods.wood_edge('broadleaf', 10.0, rng(1), detail=0.3)
    assert len(far.faces) < 0.6 * len(mesh.faces)
    with pytest.raises(ValueError, match='swamp'):
        woods.wood_edge('swamp', 10.0, rng())


def test_young_trees_are_small_and_mostly_staked():
    trees = [woods.sapling(rng(seed)) for seed in range(12)]
    heights = np.array([tree.vertices[:, 2].max() for tree in trees])
    assert heights.min() > 2.5
    assert heights.max() < 6.5
    staked = [len(np.unique(tree.semantic)) > 1 for tree in trees]
    assert 0.5 < np.mean(staked) < 1


def test_boxes_are_closed_with_flat_outward_normals():
    builder = MeshBuilder()
    builder.box((1, 2, 3), (2, 4, 6), 0, bottom=True, yaw=0.4)
    mesh = builder.build()
    assert volume(mesh) == pytest.approx(48.0, rel=1e-5)
    outward = ((mesh.vertices - [1, 2, 3]) * mesh.normals).sum(1)
    assert (outward > 0.9).all()


def test_tubes_are_closed_and_wound_outwards():
    builder = MeshBuilder()
    builder.tube(np.array([[0, 0, 0], [0.5, 0, 2], [0.5, 1, 4]]), 0.5, 0, sides=24)
    assert 2.5 < volume(builder.build()) < np.pi * 0.25 * 4.6


def test_an_empty_builder_says_so():
    with pytest.raises(ValueError, match='empty'):
        MeshBuilder().build()


@pytest.mark.parametrize('domain', ['clean', 'target'])
def test_textures_are_repeatable_and_tileable(domain):
    from sim_perception.simulator.content import textures

    for kind in ('asphalt', 'grass', 'plaster', 'leaf'):
        image = textures.texture(kind, 5, domain)
        assert image.shape == (textures.SIZE, textures.SIZE, 3)
        assert image.dtype == np.uint8
        textures.texture.cache_clear()
        assert textures.texture(kind, 5, domain).tobytes() == image.tobytes()
    seamless = textures.texture('plain', 1, domain).astype(float)
    inner = np.abs(np.diff(seamless, axis=0)).mean()
    assert np.abs(seamless[0] - seamless[-1]).mean() < 4 * inner + 1
    with pytest.raises(KeyError):
        textures.texture('unobtainium', 0, domain)
