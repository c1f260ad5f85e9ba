"""Traffic at lights: queues, phases, stop-and-go; exact motion and no collisions."""

import itertools

import numpy as np
import pytest

from sim_perception.simulator.common.scene import BRAKE, LIGHT_NAMES
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.lamps import cut_lamps
from sim_perception.simulator.content.meshes.vehicle import car_mesh
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.contacts import overlap
from sim_perception.simulator.street.ego import ego_agent, plan_course
from sim_perception.simulator.street.layout import Layout
from sim_perception.simulator.street.lights import draw_lights
from sim_perception.simulator.street.shifts import Shift
from sim_perception.simulator.street.traffic import run_traffic
from sim_perception.simulator.world.world import World
from sim_perception.taxonomy import load_taxonomy

DURATION = 24.0
QUEUE = {'ego.queue': 1.0, 'ego.queue_vehicles': [1, 4], 'ego.queue_wait_s': [4, 10]}
BUSY = {'traffic.signals': True, 'traffic.stops_per_km': 8.0}
_WORLDS: dict[tuple, World] = {}


def world(seed: int, **overrides) -> World:
    key = (seed, str(sorted(overrides.items())))
    if key not in _WORLDS:
        values = {'duration_s': DURATION, 'traffic.pedestrians_per_km': 20, **BUSY, **overrides}
        _WORLDS[key] = World(load_scenario('training_narrow', seed=seed, **values))
    return _WORLDS[key]


CITY = {'ego.queue': 0.0, 'traffic.lane_changes': 1.0, 'traffic.parking_per_km': 40.0,
        'street.lanes_per_direction': 2, 'street.parking': 1.0,
        'street.junction_spacing_m': [60, 90]}  # fmt: skip


def nearest_ahead(w: World, t: float) -> tuple[float, int]:
    """Return how far ahead of the ego's middle a vehicle's rear is, and its row."""
    state = w.state(t)
    base_T_object = np.linalg.inv(state.world_T_base) @ state.world_T_object
    place = base_T_object[:, :3, 3]
    length = w.scene.objects.size[:, 0]
    straight = (place[:, 0] > 0) & (np.abs(place[:, 1]) < 1.0) & (length > 2.5)
    rear = np.where(straight, place[:, 0] - length / 2, np.inf)
    return float(rear.min()), int(rear.argmin())


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_the_ego_stands_in_the_queue_until_the_light_turns_green(seed):
    w = world(seed, **QUEUE)
    queue = w.layout.queue
    assert 1 <= queue.vehicles <= 4
    moments = np.arange(0.0, queue.wait, 0.5)
    places = {nearest_ahead(w, t) for t in moments}
    assert len(places) == 1, 'the vehicle ahead stands'
    gap, row = places.pop()
    assert 1.0 - 0.05 <= gap - 2.3 <= 5.0 + 0.05
    assert all(np.abs(w.state(t).base_velocity).max() < 1e-9 for t in moments)
    vehicles = [load_taxonomy().id_of(n) for n in ('car', 'truck')]
    assert w.scene.objects.class_id[row] in vehicles
    moved = w.state(DURATION).world_T_base[:2, 3] - w.state(0.0).world_T_base[:2, 3]
    assert np.hypot(*moved) > 5.0


@pytest.mark.parametrize('seed', [0, 1, 2, 3])
def test_nobody_passes_a_red_light(seed):
    w = world(seed, **QUEUE)
    motion, passed = w.traffic.motion, 0
    for i, agent in enumerate(w.traffic.agents):
        for stop, _, junction, main, _ in agent.passages:
            light = w.lights[junction]
            if light[0] < 0 or agent.kind == kernel.WALKER or agent.leader is not None:
                continue
            front = motion.s[:, i] + agent.half[0] - agent.ahead
            for row in np.flatnonzero((front[:-1] < stop) & (front[1:] >= stop)):
                time = motion.start + row * motion.step
                if row == 0:  # set down where nobody could stop
                    continue
                assert kernel.shown(time, light, main > 0) != kernel.RED, (agent.tag, time)
                passed += 1
    assert passed > 0


def test_lights_show_green_yellow_and_red_in_turn():
    light = np.array([5.0, 40.0, 18.0])
    times = np.arange(-5.0, 35.0, 0.25)
    for main, greens in ((True, 18.0), (False, 40.0 - 18.0 - 2 * kernel.CLEARANCE)):
        shown = np.array([kernel.shown(t, light, main) for t in times])
        assert abs((shown == kernel.GREEN).sum() * 0.25 - greens) <= 0.5
        assert abs((shown == kernel.AMBER).sum() * 0.25 - kernel.YELLOW) <= 0.5
        changes = {(a, b) for a, b in itertools.pairwise(shown.tolist()) if a != b}
        order = {(kernel.GREEN, kernel.AMBER), (kernel.AMBER, kernel.RED),
                 (kernel.RED, kernel.GREEN)}  # fmt: skip
        assert changes <= order
    both = [(kernel.shown(t, light, True), kernel.shown(t, light, False)) for t in times]
    assert all(kernel.RED in pair for pair in both), 'never both streets at once'


@pytest.mark.parametrize(
    ('seed', 'over'),
    [(0, QUEUE), (1, QUEUE), (2, {**CITY, 'ego.turn': 1.0}), (3, {**CITY, 'ego.turn': 1.0})],
)
def test_new_motions_stay_free_of_collisions(seed, over):
    w = world(seed, **over)
    objects = w.scene.objects
    kinds = [load_taxonomy().id_of(name) for name in ('car', 'truck')]
    vehicles = np.flatnonzero(np.isin(objects.class_id, kinds))
    half = objects.size[:, :2].astype(float) / 2 - 0.02
    agents, mover = w.traffic.agents, w._poser._mover
    # Who is towed touches who tows.
    team = [(agents[m].leader or agents[m]) if m >= 0 else None for m in mover]
    for t in np.arange(0.0, DURATION, 0.5):
        state = w.state(t)
        place = np.concatenate([state.world_T_object[:, :2, 3], state.world_T_object[:, :2, 0]], 1)
        ego = np.concatenate([state.world_T_base[:2, 3], state.world_T_base[:2, 0]])
        moving = np.abs(state.velocity[:, :2]).max(1) > 0.01
        for i in vehicles[moving[vehicles]]:
            near = np.abs(place[vehicles] - place[i])[:, :2].max(1) < 14
            for j in vehicles[near]:
                if team[i] is not team[j]:
                    assert not overlap(place[i], place[j], half[i], half[j]), (t, i, j)
        for i in vehicles:
            assert not overlap(place[i], ego, half[i], np.array([2.28, 0.93])), (t, i)


@pytest.mark.parametrize(
    ('seed', 'over'), [(1, QUEUE), (2, {**CITY, 'ego.turn': 1.0}), (3, {**CITY, 'ego.turn': 1.0})]
)
def test_velocities_are_the_derivatives_of_poses(seed, over):
    w = world(seed, **over)
    h = 1e-3
    for t in np.arange(0.55, DURATION, 2.3):
        low, mid, high = w.state(t - h), w.state(t), w.state(t + h)
        way = high.world_T_object[:, :3, 3] - low.world_T_object[:, :3, 3]
        np.testing.assert_allclose(mid.velocity, way / (2 * h), atol=2e-2)
        way = high.world_T_base[:3, 3] - low.world_T_base[:3, 3]
        np.testing.assert_allclose(mid.base_velocity, way / (2 * h), atol=1e-3)
        turned = low.world_T_base[:3, :3].T @ high.world_T_base[:3, :3]
        rate = np.arctan2(turned[1, 0], turned[0, 0]) / (2 * h)
        np.testing.assert_allclose(mid.base_angular_velocity, [0, 0, rate], atol=5e-3)


def areas(mesh) -> dict[int, float]:
    corners = mesh.vertices[mesh.faces].astype(float)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]),
                          axis=1) / 2  # fmt: skip
    return {int(m): float(area[mesh.material == m].sum()) for m in np.unique(mesh.material)}


@pytest.mark.parametrize('family', ['sedan', 'hatchback', 'van', 'pickup'])
def test_lamps_are_cut_out_of_bodies_without_a_gap(family):
    whole, _ = car_mesh(family, seed=3)
    body, lamps = cut_lamps(whole)
    assert set(lamps) == {'brake', 'left', 'right'}
    total = areas(body)
    for mesh in lamps.values():
        assert set(np.unique(mesh.material)) <= {Slot.HEADLIGHT, Slot.TAILLIGHT}
        for material, area in areas(mesh).items():
            total[material] = total.get(material, 0.0) + area
    for material, area in areas(whole).items():
        assert total[material] == pytest.approx(area, rel=1e-4)
    assert (lamps['left'].vertices[:, 1] > 0).all()
    assert (lamps['right'].vertices[:, 1] < 0).all()
    assert (lamps['brake'].vertices[:, 0] < 0).all()
    for name in ('left', 'right'):
        assert np.ptp(lamps[name].vertices[:, 0]) > 2.0, 'in front and behind'


@pytest.mark.parametrize('seed', [1, 2])
def test_brake_lights_follow_the_motion(seed):
    w = world(seed, **QUEUE)
    mover = w._poser._mover
    vehicles = np.flatnonzero([mover[i] >= 0 and w.scene.objects.class_id[i] in (10, 11)
                               for i in range(len(mover))])  # fmt: skip
    seen, standing = set(), []
    room = w.traffic.paths.length - [a.half[0] for a in w.traffic.agents]
    for t in np.arange(0.05, DURATION, 0.7):
        state = w.state(t)
        speed = np.sqrt((state.velocity**2).sum(1))
        pull = (state.velocity * state.acceleration).sum(1) / np.maximum(speed, 0.1)
        lit = state.lamps & BRAKE > 0
        assert lit[vehicles[pull[vehicles] < -1.0]].all()
        # Who has come to the end of the way is parked.
        left = (room - w.traffic.motion.at(t)[0])[mover[vehicles]]
        standing.extend(lit[vehicles[(speed[vehicles] < 1e-6) & (left > 5.0)]].tolist())
        seen |= set(lit[vehicles].tolist())
    assert seen == {False, True}
    assert len(standing) > 20
    assert all(standing)


def test_what_lights_show_is_in_truth_and_image():
    over = {'duration_s': 8.0, 'camera.width': 208, 'camera.height': 72, **BUSY,
            'camera.horizontal_fov_deg': 120.0, 'camera.yaw_deg': 0.0,
            'ego.queue': 1.0, 'ego.queue_vehicles': 0, 'ego.queue_wait_s': 3.0}  # fmt: skip
    simulation = Simulation(load_scenario('training_narrow', seed=4, **over), threads=1)
    scene = simulation.scene
    for time, name in ((1.0, 'red'), (6.0, 'green')):
        state = simulation.state(time)
        truth = simulation.light_truth(state)
        base_T_head = np.linalg.inv(state.world_T_base) @ truth.world_T_head
        along = (base_T_head[:, 0, 0] > 0.9) & (base_T_head[:, 0, 3] > 0)
        near = np.flatnonzero(along & (base_T_head[:, 0, 3] < base_T_head[along, 0, 3].min() + 1))
        assert {truth.shows[k] for k in near} == {name}
        assert set(truth.shows) <= set(LIGHT_NAMES)
        sample = simulation.camera_frame(time, layers=frozenset({'rgb'}))
        (camera,) = simulation.cameras.values()
        dark = simulation._renderer(camera).render(
            type(state)(**{**state.__dict__, 'glow': np.zeros_like(state.glow)}),
            simulation.base_T_camera, layers=frozenset({'rgb'}),
        )  # fmt: skip
        more = sample.rgb.astype(int) - dark.rgb.astype(int)
        assert more.min() >= 0
        red, green = more[..., 0].max(), more[..., 1].max()
        assert (red, green)[name == 'green'] > 60, 'lamps brighten the image'
        assert red > green if name == 'red' else green > red
        assert simulation.object_truth(state, sample).lamps
    assert len(scene.instances.mesh) == len(state.glow)


def test_the_ego_turns_off_and_onto_the_main_street():
    turned = {}
    for seed in range(12):
        scenario = load_scenario('training_narrow', seed=seed, **{
            'duration_s': 40.0, 'ego.turn': 1.0, 'street.junction_spacing_m': [60, 90],
            'traffic.vehicles_per_km': 0, 'traffic.pedestrians_per_km': 0,
            'traffic.cyclists_per_km': 0})  # fmt: skip
        layout = Layout(scenario)
        course = plan_course(scenario, layout)
        if course.junction < 0 or (course.joins, course.side) in turned:
            continue
        ego = ego_agent(layout, course)
        result = run_traffic(scenario, [ego], draw_lights(scenario, layout))
        motion, index = result.motion, np.zeros(1, int)
        yaw, sideways = [], []
        for row in range(len(motion.s)):
            pose = result.paths.evaluate(index, motion.s[row], motion.v[row], motion.a[row])
            yaw.append(pose.yaw[0])
            sideways.append(abs(pose.yaw_rate[0] * motion.v[row, 0]))
        turned[course.joins, course.side] = np.degrees(np.unwrap(yaw)[-1] - yaw[0])
        assert max(sideways) < 4.0, 'slow enough in the bend'
    assert len(turned) == 4
    for (joins, side), angle in turned.items():
        # Off to the left turns left, on from the left turns left; streets bend a little.
        assert abs(angle - 90 * side) < 40, (joins, side, angle)


def test_vehicles_change_lanes_park_and_leave():
    w = world(2, **{**CITY, 'ego.turn': 1.0})
    motion, moves = w.traffic.motion, {'left': 0, 'right': 0}
    rests = 0
    for i, agent in enumerate(w.traffic.agents):
        for first, last, side in agent.indications:
            done = motion.s[0, i] < first + 20 and motion.s[-1, i] > last
            moves['left' if side > 0 else 'right'] += bool(done)
        parks = agent.indications and motion.v[-1, i] == 0
        rests += bool(parks and w.traffic.paths.length[i] - motion.s[-1, i] - agent.half[0] < 4)
    assert moves['left'] > 0
    assert moves['right'] > 0
    assert rests > 0


def test_a_shift_is_smooth_and_ends_where_it_should():
    for direction in (1, -1):
        shift = Shift(direction, 10.0, 30.0, -3.0)
        s = np.linspace(-60, 60, 4001)
        d = shift.offset(s)
        assert d[np.argmin(np.abs(s - shift.begin))] == pytest.approx(0, abs=1e-3)
        assert d[np.argmin(np.abs(s - shift.end))] == pytest.approx(-3, abs=1e-3)
        assert np.abs(np.diff(d, 3)).max() < 1e-5
        assert shift.side == -direction


@pytest.mark.parametrize('name', ['training_city', 'queue'])
def test_city_scenarios_build_and_render(name):
    small = {'camera.width': 96, 'camera.height': 32, 'duration_s': 4.0}
    simulation = Simulation(load_scenario(name, seed=5, **small), threads=1)
    sample = simulation.camera_frame(2.0, layers=frozenset({'rgb'}))
    assert sample.rgb.std() > 5
    assert simulation.light_truth(simulation.state(2.0)) is not None
