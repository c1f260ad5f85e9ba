"""Recipes: stages in order, each from the best weights before it, resumed when they die."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from simulated_bags import simulate_bag
from typer.testing import CliRunner

from sim_perception.files import read_json
from training.commands import cli
from training.engine.command import VerbError
from training.engine.config import ConfigError, load_config
from training.engine.state import list_states
from training.tasks import recipe
from training.tasks.recipe import RECIPE_FOLDER, best_weights, load_recipe, run_recipe

SCENARIO = """
domain: clean
duration_s: 0.5
camera: {width: 160, height: 96, horizontal_fov_deg: 75}
lidar: null
street: {building_density: 0.2, furniture_density: 0.1}
traffic: {vehicles_per_km: 20, pedestrians_per_km: 10, cyclists_per_km: 0}
"""


def invoke(*arguments: str) -> None:
    """Run a verb in this process: starting Python is what takes the time."""
    result = CliRunner().invoke(cli.app, list(arguments))
    if result.exit_code != 0:
        raise RuntimeError(str(result.exception))


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('recipe')
    return simulate_bag(folder / 'bag', SCENARIO, layers='rgb,depth,semantic', frame_rate=4.0)


@pytest.fixture
def file(bag, tmp_path) -> str:
    path = tmp_path / 'recipe.yaml'
    best = f'validation.data={{here: "bag:{bag}"}}'
    stages = [
        {'name': 'one', 'config': 'smoke', 'overrides': [best, 'validation.every_steps=1',
                                                         'validation.best={here/abs_rel: -1}']},
        {'name': 'two', 'config': 'smoke', 'overrides': ['steps=2']},
    ]  # fmt: skip
    changes = [f'data.bags=["{bag}"]', 'steps=3', 'device=cpu', 'model.pretrained=false']
    path.write_text(yaml.safe_dump({'overrides': changes, 'stages': stages}))
    return str(path)


def test_a_recipe_goes_on_through_deaths_and_time_limits(file, tmp_path, monkeypatch):
    calls: list[tuple[str, ...]] = []

    def dies_once(*arguments: str) -> None:
        calls.append(arguments)
        invoke(*arguments, *(['--max-minutes', '0'] if len(calls) == 1 else []))
        if len(calls) == 1:
            raise VerbError('killed')

    monkeypatch.setattr(recipe, 'run_verb', dies_once)
    runs = tmp_path / 'runs'
    assert run_recipe(file, runs, max_minutes=0) is None
    assert calls == []
    assert run_recipe(file, runs) == runs / 'two' / 'checkpoint'
    outputs = [argument for call in calls for argument in call if argument.startswith('output=')]
    assert outputs == [f'output={runs / name}' for name in ('one', 'one', 'two')]
    assert list_states(runs / 'one')[-1].name == 'step_00000003'
    # the second stage began with the weights of the first that scored best
    started = load_config(runs / 'two' / 'config.yaml')
    assert started.model['init'] == str(runs / 'one' / 'best') == str(best_weights(runs / 'one'))
    assert read_json(runs / 'one' / 'best.json')['step'] in (1, 2, 3)
    assert started.checkpoint.every_minutes <= 10
    # finished stages are not begun again
    run_recipe(file, runs)
    assert len(calls) == 3


def test_a_stage_that_never_gets_on_is_given_up(file, tmp_path, monkeypatch):
    calls = []

    def dies(*arguments: str) -> None:
        calls.append(arguments)
        raise VerbError('killed')

    monkeypatch.setattr(recipe, 'run_verb', dies)
    with pytest.raises(VerbError, match='killed'):
        run_recipe(file, tmp_path / 'runs')
    assert len(calls) == recipe.TRIES


def test_bad_recipes_say_what_is_wrong(tmp_path):
    with pytest.raises(ConfigError, match="unknown recipe 'none'; known: depth_segmentation"):
        load_recipe('none')
    path = tmp_path / 'twice.yaml'
    path.write_text('stages: [{name: a, config: smoke}, {name: a, config: smoke}]')
    with pytest.raises(ConfigError, match='one name'):
        load_recipe(str(path))


@pytest.mark.parametrize('path', sorted(RECIPE_FOLDER.glob('*.yaml')), ids=lambda p: p.stem)
def test_shipped_recipes_can_be_configured(path):
    shipped = load_recipe(path.stem)
    for stage in shipped.stages:
        config = load_config(stage.config, [*shipped.overrides, *stage.overrides])
        chosen = {name.split('/')[0] for name in config.validation.best}
        assert chosen <= set(config.validation.data)
