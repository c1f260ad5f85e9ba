"""Traffic at lights: queues, phases, stop-and-go; exact motion and no collisions."""

import itertools

import numpy as np
import pytest

from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.street import traffic_kernel as kernel
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
            if light[0] < 0 or agent.kind == kernel.WALKER:
                continue
            front = motion.s[:, i] + agent.half[0]
            for row in np.flatnonzero((front[:-1] < stop) & (front[1:] >= stop)):
                time = motion.start + row * motion.step
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


@pytest.mark.parametrize('seed', [0, 1, 2, 3])
def test_new_motions_stay_free_of_collisions(seed):
    w = world(seed, **QUEUE)
    objects = w.scene.objects
    people = load_taxonomy().id_of('pedestrian')
    vehicles = np.flatnonzero(objects.class_id != people)
    half = objects.size[:, :2].astype(float) / 2 - 0.02
    for t in np.arange(0.0, DURATION, 0.5):
        state = w.state(t)
        place = np.concatenate([state.world_T_object[:, :2, 3], state.world_T_object[:, :2, 0]], 1)
        ego = np.concatenate([state.world_T_base[:2, 3], state.world_T_base[:2, 0]])
        moving = np.abs(state.velocity[:, :2]).max(1) > 0.01
        for i in vehicles[moving[vehicles]]:
            near = np.abs(place[vehicles] - place[i])[:, :2].max(1) < 14
            for j in vehicles[near]:
                assert i == j or not kernel.overlap(place[i], place[j], half[i], half[j]), (t, i)
        for i in vehicles:
            assert not kernel.overlap(place[i], ego, half[i], np.array([2.28, 0.93])), (t, i)


@pytest.mark.parametrize('seed', [1, 2])
def test_velocities_are_the_derivatives_of_poses(seed):
    w = world(seed, **QUEUE)
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
