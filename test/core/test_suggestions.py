"""What was meant by a misspelt name: one sentence for scenarios, topics, keys and configs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from sim_perception.bags import topics as t_
from sim_perception.bags.errors import MissingTopicError
from sim_perception.bags.messages import StampedMessage
from sim_perception.bags.reader import BagReader
from sim_perception.bags.writer import BagWriter
from sim_perception.simulator.scenario import ScenarioError, parse_scenario
from sim_perception.suggestions import meant, unknown_key
from training.engine.config import ConfigError, load_config


def test_near_names_are_meant_and_others_are_not() -> None:
    assert meant('Scenarioo', ['scenario', 'seed']) == "did you mean 'scenario'?"
    assert meant('zebra', ['scenario', 'seed']) == ''


class Inner(BaseModel):
    """A part."""

    width: int = 0


class Outer(BaseModel):
    """A whole."""

    parts: list[Inner] | None = None
    either: Inner | str = ''


def test_keys_of_models_within_lists() -> None:
    assert unknown_key('key', Outer, ('parts', 3, 'widht')) == (
        "unknown key 'widht'; did you mean 'width'? known: width"
    )
    assert unknown_key('key', Outer, ('part',)).endswith("'parts'? known: parts, either")
    assert unknown_key('key', Outer, ('nowhere', 'widht')) == 'unknown key; check its spelling'


@pytest.mark.parametrize(
    ('change', 'answer'),
    [
        ('step=3', "unknown key 'step'; did you mean 'steps'?"),
        ('schedule.warmup_step=3', "did you mean 'warmup_steps'?"),
    ],
)
def test_keys_of_configs(change: str, answer: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config('smoke', [change])
    assert answer in str(error.value)


def test_names_of_configs() -> None:
    with pytest.raises(ConfigError, match="unknown config 'smok'; did you mean 'smoke'"):
        load_config('smok')


def test_fields_of_scenarios() -> None:
    with pytest.raises(ScenarioError, match=r"weather.fog: unknown field 'fog'; did you mean"):
        parse_scenario({'weather': {'fog': 1}})


def test_topics_of_bags(tmp_path: Path) -> None:
    name = t_.POINTS.name
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write(StampedMessage(name, 1, memoryview(b'\0\1\0\0')))
    wrong = pytest.raises(MissingTopicError, match=rf"did you mean '{name}'\? it has {name}")
    with BagReader(tmp_path / 'bag') as bag, wrong:
        bag.require(f'{name}s')
    with pytest.raises(KeyError, match='did you mean'):
        t_.topic(f'{name}s')
