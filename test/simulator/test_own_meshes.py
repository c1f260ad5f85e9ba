"""Meshes of the user's own: placed, labelled and measured as their files say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.resources import share_path
from sim_perception.simulator.content.own import read_own
from sim_perception.simulator.own_mesh import OwnMesh
from sim_perception.simulator.scenario import ScenarioError, load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.street.relief import make_relief
from sim_perception.simulator.world.world import World
from sim_perception.taxonomy import VARIABLE, load_taxonomy

trimesh = pytest.importorskip('trimesh')

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'own_meshes.md'
SMALL = {
    'duration_s': 1.0,
    'camera': {'width': 320, 'height': 96, 'supersampling': 1},
    'lidar': {'rings': 32, 'columns': 512, 'range_noise_m': 0.0},
    'ego.speed_kmh': 5,
    'traffic': {'vehicles_per_km': 0, 'pedestrians_per_km': 0, 'cyclists_per_km': 0},
}
SIZE = (2.0, 1.0, 1.5)
AT = (12.0, 1.0, 30.0)


@pytest.fixture(scope='module')
def box(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('meshes') / 'box.obj'
    trimesh.creation.box(SIZE).export(path)
    return str(path)


def entry(file: str, **more) -> dict:
    return {'name': 'crate', 'file': file, 'category': 'car', **more}


def rows_of(objects, name: str = 'crate') -> np.ndarray:
    return np.flatnonzero(np.array(objects.family) == name)


@pytest.fixture(scope='module')
def plain() -> World:
    return World(load_scenario('clean', seed=4, **SMALL))


@pytest.fixture(scope='module')
def simulation(box) -> Simulation:
    meshes = [entry(box, at=[AT], per_km=100)]
    return Simulation(load_scenario('clean', seed=4, **SMALL, meshes=meshes))


def test_a_fixed_place_is_where_it_was_asked(simulation):
    row = rows_of(simulation.objects)[0]
    start = simulation.state(0.0)
    place = invert(start.world_T_base) @ start.world_T_object[row]
    np.testing.assert_allclose(place[:3, 3], [AT[0], AT[1], SIZE[2] / 2], atol=1e-3)
    turn = np.rad2deg(np.arctan2(place[1, 0], place[0, 0]))
    assert turn == pytest.approx(AT[2], abs=1e-3)
    later = simulation.state(0.8).world_T_object[row]
    np.testing.assert_array_equal(later, start.world_T_object[row])


def test_the_box_and_the_labels_are_those_of_the_geometry(simulation):
    rows = rows_of(simulation.objects)
    np.testing.assert_allclose(simulation.objects.size[rows], [SIZE] * len(rows), atol=1e-5)
    frame = simulation.camera_frame(0.5, frozenset({'semantic', 'instance'}))
    mine = frame.instance == simulation.objects.id[rows[0]]
    assert mine.sum() > 100
    assert set(np.unique(frame.semantic[mine])) == {load_taxonomy().id_of('car')}


def test_the_lidar_hits_its_surface(simulation):
    row = rows_of(simulation.objects)[0]
    state, points = simulation.state(0.0), simulation.lidar_scan(0.0).points
    object_T_lidar = (
        invert(state.world_T_object[row]) @ state.world_T_base @ simulation.base_T_lidar
    )
    xyz = np.stack([points[k] for k in 'xyz'], -1).astype(float)
    local = np.abs(transform_points(object_T_lidar, xyz))
    beyond = (local - np.array(SIZE) / 2).max(1)
    # The vehicle moves 0.14 m during the turn.
    assert (np.abs(beyond) < 0.2).sum() > 30
    assert (beyond < -0.2).sum() == 0


def test_those_on_the_pavement_leave_all_else_as_it_was(plain, simulation):
    rows = rows_of(simulation.objects)
    assert len(rows) > 5
    count = len(plain.scene.objects.id)
    assert rows[0] == count
    np.testing.assert_array_equal(
        plain.state(0.5).world_T_object, simulation.state(0.5).world_T_object[:count]
    )
    poses = simulation.state(0.0).world_T_object[rows[1:]]
    assert plain.layout.clearance(poses[:, :2, 3]).min() > 0
    np.testing.assert_allclose(poses[:, 2, 3] - SIZE[2] / 2, 0.13, atol=1e-6)


def test_without_meshes_a_scenario_does_not_mention_them(plain):
    text = load_scenario('clean', seed=4, **SMALL).model_dump_json()
    assert 'meshes' not in text


def test_on_hills_they_stand_and_drive_on_the_ground(box):
    meshes = [
        entry(box, per_km=60, where='roadside', at=[[20, 9, 0]]),
        entry(box, per_km=60, where='road') | {'name': 'cart'},
        entry(box, per_km=60, kind='occluder') | {'name': 'wall', 'category': 'fence'},
    ]
    hills = {'relief': {'slope_percent': 8, 'crest_spacing_m': [80, 160], 'bank_percent': 6}}
    world = World(load_scenario('clean', seed=4, **SMALL, **hills, meshes=meshes))
    relief = make_relief(world._scenario, world.layout)
    early, late = world.state(0.0).world_T_object, world.state(1.0).world_T_object
    objects = world.scene.objects
    for name, low, high in (('crate', -0.3, 0.3), ('cart', -0.05, 0.05)):
        rows = rows_of(objects, name)
        assert len(rows) > 2
        bottom = late[rows] @ np.array([0.0, 0.0, -SIZE[2] / 2, 1.0])
        gap = bottom[:, 2] - relief.height(bottom[:, :2])
        assert low < gap.min() <= gap.max() < high
        assert np.ptp(bottom[:, 2]) > 0.5
    carts = rows_of(objects, 'cart')
    moved = np.linalg.norm((late - early)[carts, :3, 3], axis=1)
    # Free way at 30 km/h; some wait.
    assert 5 < moved.max() < 8.5
    assert not len(rows_of(objects, 'wall'))
    fence = load_taxonomy().id_of('fence')
    walls = [
        k for k, m in enumerate(world.scene.assets.meshes)
        if len(m.faces) == 12 and (m.semantic == fence).all()
    ]  # fmt: skip
    assert np.isin(world.scene.instances.mesh, walls).sum() > 2


def test_a_file_is_turned_scaled_and_keeps_its_colours(tmp_path):
    solid = trimesh.creation.box((1.0, 2.0, 4.0))
    solid.visual.face_colors = [255, 0, 0, 255]
    ball = trimesh.creation.icosphere(2, 0.2)
    ball.visual.face_colors = [0, 0, 255, 255]
    scene = trimesh.Scene([solid, ball.apply_translation([0.0, 0.0, 0.1])])
    scene.export(tmp_path / 'a.glb')
    own = OwnMesh(**entry(str(tmp_path / 'a.glb'), length_m=8.0))
    mesh, materials = read_own(own, 3, 7)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    # y is up in GLB: the file's z runs to the right, then all is eight times as long.
    np.testing.assert_allclose(high - low, [8.0, 32.0, 16.0], atol=1e-4)
    np.testing.assert_allclose([*(low + high)[:2], low[2]], 0.0, atol=1e-4)
    colors = {materials[k - 7].color for k in np.unique(mesh.material)}
    assert {tuple(np.argsort(c)[-1:]) for c in colors} == {(0,), (2,)}
    assert set(mesh.semantic) == {3}
    # A box has edges, a ball has none.
    red = mesh.material == next(k + 7 for k, m in enumerate(materials) if m.color[0] > 0.5)
    assert (np.abs(mesh.normals[mesh.faces[red]]).max(-1) > 0.999).all()
    assert len(np.unique(mesh.faces[~red])) == len(ball.vertices)


@pytest.mark.parametrize('suffix', ['glb', 'obj'])
def test_a_texture_gives_each_face_its_colour(tmp_path, suffix):
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16, 0], image[:, 16:, 1] = 255, 255
    corners = [[0, 0, 0], [1, 0, 0], [0, 1, 1], [2, 0, 0], [3, 0, 0], [2, 1, 1]]
    texture = trimesh.visual.TextureVisuals(
        uv=np.array([[0.1, 0.1], [0.4, 0.1], [0.1, 0.9], [0.6, 0.1], [0.9, 0.1], [0.6, 0.9]]),
        material=trimesh.visual.material.PBRMaterial(
            baseColorTexture=pytest.importorskip('PIL.Image').fromarray(image)
        ),
    )
    solid = trimesh.Trimesh(corners, [[0, 1, 2], [3, 4, 5]], visual=texture, process=False)
    solid.export(tmp_path / f'a.{suffix}')
    own = OwnMesh(**entry(str(tmp_path / f'a.{suffix}'), length_m=3.0))
    mesh, materials = read_own(own, 1, 0)
    middle = mesh.vertices[mesh.faces][..., 0].mean(1)
    found = [int(np.argmax(materials[k].color)) for k in mesh.material[np.argsort(middle)]]
    assert found == [0, 1]


def test_names_of_meshes_differ(box):
    with pytest.raises(ScenarioError, match='names must differ, got crate, crate'):
        load_scenario('clean', meshes=[entry(box), entry(box, per_km=1)])


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'file': 'nowhere.obj'}, ['nowhere.obj']),
        ({'file': str(PAGE)}, ['own_meshes.md', 'cannot be read as a mesh', 'GLB']),
        ({'category': 'dragon'}, ['meshes.crate', 'dragon', 'known: road', 'cyclist']),
        ({'category': 'fence'}, ['meshes.crate', 'fence', 'car, truck', 'occluder']),
        ({'where': 'road', 'kind': 'occluder'}, ['crate', 'only objects drive']),
        ({'where': 'sky'}, ['where', 'pavement']),
    ],
)
def test_what_is_wrong_is_named(box, change, words):
    with pytest.raises(ScenarioError) as caught:
        World(load_scenario('clean', seed=4, **SMALL, meshes=[entry(box) | change]))
    for word in words:
        assert word in str(caught.value)


def test_the_page_works(tmp_path, monkeypatch):
    scenario, line = re.findall(r'```yaml\n(.*?)```', PAGE.read_text(), re.DOTALL)
    shipped = share_path('config', 'taxonomy.yaml').read_text()
    trimesh.creation.box((0.6, 1.0, 1.1)).export(tmp_path / 'robot.obj')
    (tmp_path / 'robots.yaml').write_text(scenario)
    own, known = tmp_path / 'taxonomy.yaml', load_taxonomy()
    own.write_text(re.sub(r'(?m)^camvid:', line + 'camvid:', shipped))
    monkeypatch.setenv(VARIABLE, str(own))
    assert load_taxonomy().names == (*known.names, 'delivery_robot')
    world = World(load_scenario(tmp_path / 'robots.yaml', seed=1))
    robots = rows_of(world.scene.objects, 'robot')
    assert set(world.scene.objects.class_id[robots]) == {len(known)}
    np.testing.assert_allclose(world.scene.objects.size[robots[0]], [1.2, 0.72, 1.32], atol=1e-4)
    assert len(rows_of(world.scene.objects, 'cart'))


def test_a_taxonomy_that_lacks_classes_is_refused(tmp_path, monkeypatch):
    path = tmp_path / 'mine.yaml'
    path.write_text('name: mine\nclasses: [{name: road, color: [1, 2, 3], kind: stuff}]\n')
    monkeypatch.setenv(VARIABLE, str(path))
    with pytest.raises(ValueError, match=r'mine\.yaml.*lacks the classes sidewalk.*cyclist'):
        load_taxonomy()
