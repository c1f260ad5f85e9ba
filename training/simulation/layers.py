"""What a simulated bag may hold, by the names of ``--layers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_perception.bags import topics as t_

if TYPE_CHECKING:
    from sim_perception.simulator.scenario import Scenario

#: What ``--layers`` may name, and the topics each stands for. The camera's calibration, the
#: transforms and the label names are always there.
LAYER_TOPICS = {
    'rgb': (t_.IMAGE,),
    'depth': (t_.DEPTH,),
    'semantic': (t_.SEMANTIC,),
    'instance': (t_.INSTANCE,),
    'normals': (t_.NORMALS,),
    'flow': (t_.FLOW,),
    'objects': (t_.OBJECTS, t_.OBJECTS_2D, t_.OBJECT_STATES, t_.TRAFFIC_LIGHTS),
    'lidar': (t_.POINTS,),
}
ALL_LAYERS = ','.join(LAYER_TOPICS)

_ALWAYS = (t_.TF_STATIC, t_.LABEL_INFO, t_.TF, t_.CAMERA_INFO)


def parse_layers(
    layers: str, image_format: str, scenario: Scenario | None = None
) -> tuple[str, ...]:
    """Return the topic names of a comma-separated list of layers, of all sensors of a scenario.

    Raises:
        ValueError: for an unknown layer or image format, listing the known ones.
    """
    # --help shows ALL_LAYERS; it need not wait for scipy.
    from sim_perception.bags.rig_topics import rig_topics, sensor_topics

    if image_format not in ('raw', 'jpeg'):
        raise ValueError(f'unknown image format {image_format!r}; choose raw or jpeg')
    names = [name.strip() for name in layers.split(',') if name.strip()]
    unknown = [name for name in names if name not in LAYER_TOPICS]
    if unknown or not names:
        raise ValueError(f'unknown layers {", ".join(unknown)!r}; choose from {ALL_LAYERS}')
    wanted = {*_ALWAYS, *(topic for name in names for topic in LAYER_TOPICS[name])}
    if image_format == 'jpeg' and t_.IMAGE in wanted:
        wanted = (wanted - {t_.IMAGE}) | {t_.IMAGE_COMPRESSED}
    if scenario is None or not scenario.sensors:
        return tuple(name for name, topic in t_.TOPICS.items() if topic in wanted)
    found = {topic.name for topic in wanted & {*t_.STATIC_TOPICS, *t_.POSE_TOPICS}}
    for sensor in sensor_topics(scenario):
        found |= {mine.name for topic, mine in sensor.own.items() if topic in wanted}
    return tuple(name for name in rig_topics(scenario) if name in found)
