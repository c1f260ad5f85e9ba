"""No message ends, silences or fills a node: it is answered or reported, and the next answered."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from hostile_messages import CASES, fuzzed
from hostile_world import World, bytes_of, good, peak_mib, resident_mib

pytestmark = pytest.mark.ros
FUZZ = 12
"""Messages with wrong bytes for every input; the marker ``soak`` brings many more."""
NO_NUMBERS = [
    *(f'k{i} {name}' for i in (0, 2, 4, 5) for name in ('nan', 'inf', 'minus_inf')),
    *('d 4', 'd 5', 'd 8', 'd inf', 'd minus_inf'),
]
_SETTLED = 60
"""Cases after which memory must not grow."""


@pytest.fixture(scope='module')
def world(ros, dummy_checkpoint, tmp_path_factory):
    world = World(ros, dummy_checkpoint, tmp_path_factory.mktemp('models'))
    world.start_mib = 0.0
    yield world
    world.close()


def strike(world, kind, make, **options):
    if world.cases == _SETTLED:
        world.start_mib = resident_mib()
    return world.strike(kind, make, **options)


@pytest.mark.parametrize(
    ('kind', 'name'), [(kind, name) for kind, cases in CASES.items() for name in cases]
)
def test_a_hostile_message_is_answered_or_told(world, kind, name):
    def make(stamp):
        message = good(kind, stamp)
        CASES[kind][name](message)
        return message

    said = strike(world, kind, make, must_tell=kind not in ('tf', 'tf_static'))
    if kind == 'info' and name in NO_NUMBERS:
        assert all(said.values()), f'a calibration without numbers was used: {said}'


@pytest.mark.parametrize('seed', range(FUZZ))
@pytest.mark.parametrize('kind', CASES)
def test_wrong_bytes_end_no_node(world, kind, seed):
    rng = np.random.default_rng([seed, len(kind)])
    strike(world, kind, lambda stamp: fuzzed(bytes_of(kind, stamp), rng), must_tell=False)


@pytest.mark.soak
def test_thousands_of_messages_with_wrong_bytes_end_no_node(world):
    rng = np.random.default_rng(1)
    for _ in range(500):
        for kind in CASES:
            strike(world, kind, lambda at, k=kind: fuzzed(bytes_of(k, at), rng), must_tell=False)


def test_every_input_has_forty_cases():
    assert all(len(cases) >= 40 for cases in CASES.values())


def test_memory_stayed_flat(world):
    if not world.start_mib:
        pytest.skip('too few cases were run before')
    assert resident_mib() - world.start_mib < 60
    assert peak_mib() - world.start_mib < 400, 'no size that data announce was allocated'
