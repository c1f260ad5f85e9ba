"""Which bags a command of ``python -m training simulate`` makes, and what goes into each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.bags import topics as t_
from sim_perception.bags.rig_topics import SensorTopics, sensor_topics
from sim_perception.files import parse_yaml
from sim_perception.simulator.scenario import Scenario, load_scenario, parse_scenario
from training.simulation.layers import ALL_LAYERS, parse_layers

_POSE_RATE_HZ = 50.0
_FORMAT = 1


@dataclass(frozen=True)
class BagPlan:
    """One bag to be made.

    Attributes:
        path: the bag's folder.
        scenario: its scenario in JSON, the seed included.
        topics: names of the topics to write.
        frame_rate_hz: camera frames per second of simulated time, of the fastest camera.
        lidar_rate_hz: scans per second, of the fastest LiDAR; 0 for none.
        pose_rate_hz: ego poses per second besides those at frames and scans; 0 for none.
        jpeg_quality: of the compressed image topic.
        storage: ``mcap`` or ``sqlite3``.
    """

    path: Path
    scenario: str
    topics: tuple[str, ...]
    frame_rate_hz: float
    lidar_rate_hz: float
    pose_rate_hz: float
    jpeg_quality: int
    storage: str

    @property
    def fingerprint(self) -> str:
        """A hash of all that determines the bag's contents."""
        facts = {**asdict(self), 'path': '', 'format': _FORMAT}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def parsed(self) -> Scenario:
        """The scenario."""
        return parse_scenario(json.loads(self.scenario))

    @property
    def sensors(self) -> Iterator[tuple[SensorTopics, list[float]]]:
        """Every sensor with the times at which it measures."""
        most = {'camera': self.frame_rate_hz, 'lidar': self.lidar_rate_hz}
        for sensor in sensor_topics(self.parsed):
            stream = sensor.stream
            rate = min(stream.rate_hz, most[stream.kind])
            yield sensor, _raster(rate, self.parsed.duration_s)

    @property
    def frames(self) -> int:
        """The number of images of all cameras."""
        return sum(len(times) for sensor, times in self.sensors if sensor.stream.kind == 'camera')


def _raster(rate_hz: float, duration: float) -> list[float]:
    """Return k / rate for all that lie within [0, duration)."""
    if rate_hz <= 0:
        return []
    count = max(1, int(np.ceil(duration * rate_hz - 1e-9)))
    return [k / rate_hz for k in range(count)]


def parse_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Return scenario fields by dotted name from texts like ``weather.fog_density=0.03``.

    Raises:
        ValueError: for a text without ``=`` or whose value is not YAML.
    """
    parsed = {}
    for change in changes:
        name, equals, value = change.partition('=')
        if not equals or not name.strip():
            raise ValueError(f'change {change!r} must read field=value, e.g. weather.rain=0.5')
        parsed[name.strip()] = parse_yaml(value, f'the value of change {change!r}')
    return parsed


def plan_bags(
    scenario: str,
    seed: int,
    out: Path,
    count: int = 1,
    layers: str = ALL_LAYERS,
    image_format: str = 'raw',
    jpeg_quality: int = 95,
    frame_rate: float | None = None,
    duration: float | None = None,
    storage: str = 'mcap',
    changes: Sequence[str] = (),
) -> list[BagPlan]:
    """Return the bags of consecutive seeds; see ``simulate`` for the arguments.

    Raises:
        ValueError: for options that make no sense.
        ScenarioError: for a wrong scenario.
        FileNotFoundError: for an unknown scenario.
    """
    if count < 1:
        raise ValueError(f'count must be at least 1, got {count}')
    parse_layers(layers, image_format)
    overrides = parse_changes(changes)
    if duration is not None:
        overrides['duration_s'] = duration
    plans = []
    for number in range(seed, seed + count):
        loaded = load_scenario(scenario, seed=number, **overrides)
        fastest = max(s.rate_hz for s in loaded.streams if s.kind == 'camera')
        if frame_rate is not None and not 0 < frame_rate <= fastest:
            raise ValueError(
                f"frame rate {frame_rate:g} Hz must be above 0 and at most the scenario's "
                f'{fastest:g} Hz; raise frame_rate_hz in the scenario instead'
            )
        topics = parse_layers(layers, image_format, loaded)
        thinned = frame_rate is not None and frame_rate < fastest
        path = out if count == 1 else out / f'{loaded.name}_{number:06d}'
        plans.append(
            BagPlan(
                path=path,
                scenario=loaded.model_dump_json(),
                topics=_given_topics(loaded, topics),
                frame_rate_hz=frame_rate or fastest,
                lidar_rate_hz=_lidar_rate(loaded, topics, frame_rate),
                # Sparse frames are for training on single images: no motion between them.
                pose_rate_hz=0.0 if thinned else _POSE_RATE_HZ,
                jpeg_quality=jpeg_quality,
                storage=storage,
            )
        )
    return plans


def _given_topics(scenario: Scenario, topics: tuple[str, ...]) -> tuple[str, ...]:
    """Return the topics that a scenario has; bags of others stay what they were."""
    if scenario.traffic.signals:
        return topics
    return tuple(name for name in topics if name != t_.TRAFFIC_LIGHTS.name)


def _lidar_rate(scenario: Scenario, topics: Sequence[str], frame_rate: float | None) -> float:
    """Return the scan rate: the scenario's own, but thinned together with the camera."""
    rates = [
        sensor.stream.rate_hz
        for sensor in sensor_topics(scenario)
        if sensor.stream.kind == 'lidar' and not sensor.names.isdisjoint(topics)
    ]
    return min(max(rates), frame_rate or np.inf) if rates else 0.0


def schedule(plan: BagPlan) -> Iterator[tuple[float, set[str], int]]:
    """Yield times in order with the topics that are due and the number of images among them."""
    duration, wanted = plan.parsed.duration_s, set(plan.topics)
    due: dict[float, set[str]] = {}
    images = Counter[float]()
    for sensor, times in plan.sensors:
        for moment in times:
            due.setdefault(round(moment, 9), {t_.TF.name}).update(sensor.names & wanted)
            images[round(moment, 9)] += sensor.stream.kind == 'camera'
    for moment in (*_raster(plan.pose_rate_hz, duration), duration):
        due.setdefault(round(moment, 9), {t_.TF.name})
    for moment, topics in sorted(due.items()):
        yield moment, topics, images[moment]
