"""The topics of a vehicle's sensors: those of the table, and the same of further sensors.

What the first camera sees is told under ``/ground_truth``, of another one under its own
``/NAME/ground_truth``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from sim_perception.bags import topics as t_
from sim_perception.simulator.rig import Stream
from sim_perception.simulator.scenario import Scenario

_PLAIN = {t_.IMAGE: 'image_raw', t_.CAMERA_INFO: 'camera_info', t_.POINTS: 'points'}


@dataclass(frozen=True)
class SensorTopics:
    """The topics of one sensor.

    Attributes:
        stream: what it sends.
        own: its topics, by those of the table that have the same contents.
    """

    stream: Stream
    own: dict[t_.Topic, t_.Topic]

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of its topics."""
        return frozenset(topic.name for topic in self.own.values())


def sensor_topics(scenario: Scenario) -> tuple[SensorTopics, ...]:
    """Return the topics of each sensor, in the order of the scenario's streams."""
    streams = enumerate(scenario.streams)
    return tuple(_topics_of(stream, number == 0) for number, stream in streams)


def rig_topics(scenario: Scenario) -> dict[str, t_.Topic]:
    """Return every topic of a simulation by name; those of ``t_.TOPICS`` without a list."""
    if not scenario.sensors:
        return t_.TOPICS
    own = [mine for sensor in sensor_topics(scenario) for mine in sensor.own.values()]
    label_info = replace(t_.LABEL_INFO, frame_id=scenario.streams[0].frame_id)
    every = (t_.TF_STATIC, label_info, *t_.POSE_TOPICS, *own, t_.CLOCK)
    return {topic.name: topic for topic in every}


def _topics_of(stream: Stream, first: bool) -> SensorTopics:
    named = dict(stream.topics)
    table = t_.CAMERA_TOPICS if stream.kind == 'camera' else t_.LIDAR_TOPICS
    own = {}
    for topic in table:
        if topic in _PLAIN:
            name = named[_PLAIN[topic]]
        elif topic is t_.IMAGE_COMPRESSED:
            name = f'{named["image_raw"]}/compressed'
        else:
            name = topic.name if first else f'/{stream.name}{topic.name}'
        of_sensor = topic.frame_id in (t_.CAMERA_FRAME, t_.LIDAR_FRAME)
        own[topic] = replace(
            topic, name=name, frame_id=stream.frame_id if of_sensor else topic.frame_id
        )
    return SensorTopics(stream, own)
