"""The world of a scenario: repeatable, physical, free of collisions."""

import itertools

import numpy as np
import pytest

from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.contacts import overlap
from sim_perception.simulator.world.world import World
from sim_perception.taxonomy import load_taxonomy

SHORT = {'duration_s': 4.0}
_WORLDS: dict[tuple, World] = {}


def world(name: str = 'clean', seed: int = 0, **overrides) -> World:
    key = (name, seed, str(sorted(overrides.items())))
    if key not in _WORLDS:
        _WORLDS[key] = World(load_scenario(name, seed=seed, **{**SHORT, **overrides}))
    return _WORLDS[key]


def moving_rows(w: World) -> np.ndarray:
    start, end = w.state(0.0), w.state(4.0)
    way = np.abs(end.world_T_object[:, :2, 3] - start.world_T_object[:, :2, 3]).max(1)
    return np.flatnonzero((way > 0.2) | (np.abs(start.velocity).max(1) > 0))


def test_same_seed_gives_the_same_bytes():
    scenario = load_scenario('training', seed=5, **SHORT)
    a, b = World(scenario), World(scenario)
    assert a.scene.environment == b.scene.environment
    assert a.scene.sensor == b.scene.sensor
    assert a.scene.assets.materials == b.scene.assets.materials
    assert a.scene.assets.textures.tobytes() == b.scene.assets.textures.tobytes()
    for m, n in zip(a.scene.assets.meshes, b.scene.assets.meshes, strict=True):
        assert m.vertices.tobytes() == n.vertices.tobytes()
        assert m.material.tobytes() == n.material.tobytes()
    for t in (-0.1, 0.0, 1.234, 4.0):
        p, q = a.state(t), b.state(t)
        assert p.world_T_instance.tobytes() == q.world_T_instance.tobytes()
        assert p.net_force.tobytes() == q.net_force.tobytes()


def test_other_seeds_differ():
    a, b = world(seed=0), world(seed=1)
    assert a.layout.section != b.layout.section
    assert a.scene.environment.sun_direction != b.scene.environment.sun_direction
    assert a.scene.assets.materials != b.scene.assets.materials
    assert a.state(0).world_T_object.shape != b.state(
        0
    ).world_T_object.shape or not np.array_equal(
        a.state(0).world_T_object, b.state(0).world_T_object
    )


def test_state_is_a_pure_function_of_time():
    w = world()
    before = w.state(2.0).world_T_instance.tobytes()
    w.state(0.3), w.state(3.9)
    assert w.state(2.0).world_T_instance.tobytes() == before


@pytest.mark.parametrize('time', [-0.2, 4.1])
def test_times_outside_the_scenario_are_refused(time):
    with pytest.raises(ValueError, match='outside the scenario'):
        world().state(time)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_velocity_and_acceleration_are_the_derivatives_of_position(seed):
    w = world(seed=seed)
    h = 1e-3
    for t in (0.55, 2.34):
        low, mid, high = w.state(t - h), w.state(t), w.state(t + h)
        position = [s.world_T_object[:, :3, 3] for s in (low, mid, high)]
        velocity = (position[2] - position[0]) / (2 * h)
        np.testing.assert_allclose(mid.velocity, velocity, atol=2e-2)
        acceleration = (high.velocity - low.velocity) / (2 * h)
        # Acceleration jumps where a step of the traffic model begins: compare inside a step.
        np.testing.assert_allclose(mid.acceleration, acceleration, atol=0.15)
        base = (high.world_T_base[:3, 3] - low.world_T_base[:3, 3]) / (2 * h)
        np.testing.assert_allclose(mid.base_velocity, base, atol=2e-2)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_heading_turns_with_the_yaw_rate(seed):
    w = world('training', seed=seed)
    h = 1e-3
    low, mid, high = (w.state(1.15 + d) for d in (-h, 0, h))
    yaw = [np.arctan2(s.world_T_object[:, 1, 0], s.world_T_object[:, 0, 0]) for s in (low, high)]
    rate = ((yaw[1] - yaw[0] + np.pi) % (2 * np.pi) - np.pi) / (2 * h)
    np.testing.assert_allclose(mid.angular_velocity[:, 2], rate, atol=0.05)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_net_force_is_mass_times_acceleration(seed):
    w = world(seed=seed)
    state = w.state(1.7)
    mass = w.scene.objects.mass[:, None].astype(float)
    np.testing.assert_allclose(state.net_force, mass * state.acceleration, rtol=1e-5)


@pytest.mark.parametrize('seed', [0, 1, 2, 3])
def test_speeds_and_accelerations_stay_bounded(seed):
    w = world('training', seed=seed)
    for t in np.arange(0, 4.0, 0.1):
        state = w.state(t)
        speed = np.sqrt((state.velocity**2).sum(1))
        assert speed.max() < 60 / 3.6 * 1.1
        people = w.scene.objects.class_id == load_taxonomy().id_of('pedestrian')
        assert speed[people].max(initial=0) < 2.4
        assert np.abs(state.acceleration[:, :2]).max() < kernel.MAX_BRAKING + 4.0


def boxes(w: World, t: float) -> tuple[np.ndarray, np.ndarray]:
    pose = w.state(t).world_T_object
    place = np.concatenate([pose[:, :2, 3], pose[:, :2, 0]], 1)
    return place, w.scene.objects.size[:, :2].astype(float) / 2


@pytest.mark.parametrize('name', ['clean', 'training', 'occlusion'])
@pytest.mark.parametrize('seed', [0, 1, 2, 3])
def test_no_moving_thing_runs_into_another(name, seed):
    w = world(name, seed)
    vehicles = w.scene.objects.class_id != load_taxonomy().id_of('pedestrian')
    movers = [i for i in moving_rows(w) if vehicles[i]]
    for t in np.arange(0.0, 4.01, 0.2):
        place, half = boxes(w, t)
        for i, j in itertools.product(movers, np.flatnonzero(vehicles)):
            near = np.abs(place[i, :2] - place[j, :2]).max() < 16
            if i < j and near:
                hit = overlap(place[i], place[j], half[i] - 0.02, half[j] - 0.02)
                assert not hit, (t, i, j, w.scene.objects.family[i], w.scene.objects.family[j])


@pytest.mark.parametrize('seed', [0, 1, 2, 3])
def test_walkers_do_not_walk_through_vehicles(seed):
    w = world('occlusion', seed)
    people = w.scene.objects.class_id == load_taxonomy().id_of('pedestrian')
    for t in np.arange(0.0, 4.01, 0.2):
        place, half = boxes(w, t)
        for i, j in itertools.product(np.flatnonzero(people), np.flatnonzero(~people)):
            if np.abs(place[i, :2] - place[j, :2]).max() < 12:
                body = np.array([0.2, 0.2])
                assert not overlap(place[i], place[j], body, half[j] - 0.1), (t, i, j)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_nothing_teleports(seed):
    w = world('training', seed)
    last = w.state(0.0)
    for t in np.arange(0.05, 4.0, 0.05):
        state = w.state(t)
        step = np.sqrt(((state.world_T_object - last.world_T_object)[:, :3, 3] ** 2).sum(1))
        allowed = 0.05 * np.sqrt((last.velocity**2).sum(1)) + 0.06
        assert (step <= allowed).all()
        last = state


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_main_street_traffic_keeps_to_its_lanes(seed):
    w = world(seed=seed, **{'traffic.turning_fraction': 0.0})
    layout, section = w.layout, w.layout.section
    lanes = [section.lane(d, k) for d in (1, -1) for k in range(section.lanes)]
    x, y = layout.place(np.arange(layout.start, layout.end, 0.1), 0.0)
    heading = layout.heading(np.arange(layout.start, layout.end, 0.1))
    for t in (0.0, 2.0, 4.0):
        p = w.state(t).world_T_base[:2, 3]
        k = int(((x - p[0]) ** 2 + (y - p[1]) ** 2).argmin())
        d = -np.sin(heading[k]) * (p[0] - x[k]) + np.cos(heading[k]) * (p[1] - y[k])
        assert min(abs(d - lane) for lane in lanes) < 0.1
    for index, agent in enumerate(w.traffic.agents):
        straight = agent.tag in ('car', 'truck') and all(p[3] == 1 for p in agent.passages)
        if not straight or not agent.passages:
            continue
        motion = w.traffic.motion
        for row in (70, 90):
            zero = np.zeros(1)
            p = w.traffic.paths.evaluate(
                np.array([index]), motion.s[row, index : index + 1], zero, zero
            ).position[0]
            k = int(((x - p[0]) ** 2 + (y - p[1]) ** 2).argmin())
            if 0 < k < len(x) - 1:
                d = -np.sin(heading[k]) * (p[0] - x[k]) + np.cos(heading[k]) * (p[1] - y[k])
                assert min(abs(d - lane) for lane in lanes) < 0.5


def test_wheels_roll_without_slipping():
    w = world(seed=1)
    spins = w._poser._wheels
    owner = w._poser._owner[spins]
    radius = w._poser._radius[spins]
    a, b = w.state(1.0), w.state(1.02)
    speed = np.sqrt((a.velocity[owner] ** 2).sum(1))
    axis = a.world_T_instance[spins][:, :3, 0], b.world_T_instance[spins][:, :3, 0]
    angle = np.arccos(np.clip((axis[0] * axis[1]).sum(1), -1, 1))
    np.testing.assert_allclose(angle, speed * 0.02 / radius, atol=0.03)


def test_limbs_repeat_with_the_stride():
    from sim_perception.simulator.street import gait

    phase = np.linspace(0, 2 * np.pi, 9)
    one = np.ones(9)
    for limb in gait.WALKER_LIMBS:
        a = gait.walker_limb(limb, 1, phase, one, one)
        np.testing.assert_allclose(
            a, gait.walker_limb(limb, 1, phase + 2 * np.pi, one, one), atol=1e-9
        )
        # The other side does the same half a stride later.
        b = gait.walker_limb(limb, -1, phase + np.pi, one, one)
        np.testing.assert_allclose(a[:, 0, 0], b[:, 0, 0], atol=1e-9)
        assert np.ptp(a[:, 0, 3]) + np.ptp(a[:, 0, 0]) > 0.02


def test_every_thing_class_appears():
    taxonomy = load_taxonomy()
    w = world('occlusion', 0)
    assert set(w.scene.objects.class_id.tolist()) == set(taxonomy.thing_ids)
    drawn = set()
    for seed in (0, 1):
        scene = world('occlusion', seed).scene
        for mesh in set(scene.instances.mesh.tolist()):
            drawn |= set(scene.assets.meshes[mesh].semantic.tolist())
    assert drawn | {taxonomy.id_of('sky')} == set(range(len(taxonomy)))


def test_indices_are_valid_and_poses_rigid():
    w = world('training', 3)
    scene = w.scene
    assert scene.instances.mesh.max() < len(scene.assets.meshes)
    assert scene.instances.object.max() < len(scene.objects.id)
    assert len(np.unique(scene.objects.id)) == len(scene.objects.id)
    assert scene.objects.id.min() == 1
    for mesh in scene.assets.meshes:
        assert mesh.faces.min() >= 0
        assert mesh.faces.max() < len(mesh.vertices)
        assert mesh.material.max() < len(scene.assets.materials)
        assert all(scene.assets.materials[m].name != 'unused' for m in np.unique(mesh.material))
    assert max(m.texture for m in scene.assets.materials) < len(scene.assets.textures)
    rotation = w.state(1.0).world_T_instance[:, :3, :3]
    identity = np.einsum('nij,nkj->nik', rotation, rotation)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-9)


@pytest.mark.parametrize('seed', [0, 2])
def test_objects_lie_within_their_boxes(seed):
    w = world(seed=seed)
    scene = w.scene
    for t in (0.0, 1.3, 2.9):
        state = w.state(t)
        worst = np.zeros(len(scene.objects.id))
        for k in np.flatnonzero(scene.instances.object >= 0):
            row = scene.instances.object[k]
            mesh = scene.assets.meshes[scene.instances.mesh[k]]
            pose = np.linalg.inv(state.world_T_object[row]) @ state.world_T_instance[k]
            points = mesh.vertices @ pose[:3, :3].T + pose[:3, 3]
            beyond = np.abs(points).max(0) - scene.objects.size[row] / 2
            worst[row] = max(worst[row], beyond.max())
        # Limbs of walkers may reach a hand's breadth out of their standing box.
        assert worst.max() < 0.12, scene.objects.family[int(worst.argmax())]
        rigid = ~np.isin(scene.objects.class_id, [12, 13])
        assert worst[rigid].max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize('seed', [3, 7])
def test_traffic_does_not_jam_for_ever(seed):
    w = World(load_scenario('occlusion', seed=seed, duration_s=40.0))
    motion = w.traffic.motion
    ego = motion.s[:, -1]
    assert ego[-1] - ego[0] > 30
    assert (motion.v[-50:] > 0.1).any(0).mean() > 0.4
