"""One bag, simulated: a pure function of its plan."""

from __future__ import annotations

from collections.abc import Callable

from sim_perception.bags.messages import START_STAMP
from sim_perception.bags.rig_topics import rig_topics
from sim_perception.bags.simulated import simulation_messages, static_messages
from sim_perception.bags.writer import BagWriter
from training.simulation.plans import BagPlan, schedule

FINGERPRINT = 'sim_perception.fingerprint'
"""Key in a bag's custom data: the plan that it was made by."""


def write_bag(plan: BagPlan, threads: int | None, progress: Callable[[], None]) -> int:
    """Simulate one bag.

    Args:
        plan: which.
        threads: for rendering; the bytes do not depend on it.
        progress: called for every camera image.

    Returns:
        The bag's size in bytes.
    """
    from sim_perception.simulator.simulation import Simulation

    simulation = Simulation(plan.parsed, threads)
    custom = {
        FINGERPRINT: plan.fingerprint,
        'sim_perception.scenario': plan.scenario,
        'sim_perception.start_stamp': str(START_STAMP),
    }
    table = rig_topics(plan.parsed)
    with BagWriter(plan.path, storage=plan.storage, custom=custom, topics=table) as bag:
        for message in static_messages(simulation, plan.topics):
            bag.write(message)
        for moment, topics, images in schedule(plan):
            for message in simulation_messages(
                simulation, moment, topics, jpeg_quality=plan.jpeg_quality
            ):
                bag.write(message)
            for _ in range(images):
                progress()
    return sum(file.stat().st_size for file in plan.path.iterdir())
