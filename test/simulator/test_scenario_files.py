"""Scenario files: shipped ones load, wrong values give one clear message."""

import pytest

from sim_perception.simulator.scenario import (
    ScenarioError,
    load_scenario,
    parse_scenario,
    scenario_names,
)
from sim_perception.simulator.street.draws import draw_camera, draw_environment, draw_sensor

EXPECTED = {'clean', 'target', 'training', 'training_worn', 'occlusion', 'dusk', 'rain', 'demo'}


def test_the_shipped_scenarios_load():
    assert set(scenario_names()) >= EXPECTED
    for name in scenario_names():
        scenario = load_scenario(name)
        assert scenario.name == name


def test_domains_differ():
    assert load_scenario('clean').domain == 'clean'
    assert load_scenario('target').domain == 'target'
    assert draw_sensor(load_scenario('target')).shot_noise > 0
    assert draw_environment(load_scenario('dusk')).lamps > 0.3
    assert draw_environment(load_scenario('rain')).rain > 0


def test_overrides_merge_and_reach_inside():
    scenario = load_scenario('target', seed=9, camera={'width': 320}, **{'camera.height': 96})
    assert (scenario.seed, scenario.camera.width, scenario.camera.height) == (9, 320, 96)
    assert scenario.camera.vignetting == load_scenario('target').camera.vignetting


def test_a_number_is_a_range_of_one_value():
    scenario = parse_scenario({'camera': {'horizontal_fov_deg': 90}})
    camera, _ = draw_camera(scenario)
    assert camera.fx == pytest.approx(camera.width / 2)


def test_ranges_are_drawn_from_the_seed():
    spans = {'camera': {'horizontal_fov_deg': [50, 90]}}
    focal = {draw_camera(parse_scenario({**spans, 'seed': s}))[0].fx for s in range(4)}
    assert len(focal) == 4
    assert draw_camera(parse_scenario({**spans, 'seed': 1}))[0].fx in focal


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [
        ({'street': {'lane_width_m': 9}}, ['street.lane_width_m', '9', '2.6', '4.5']),
        ({'street': {'lane_width_m': [4, 3]}}, ['street.lane_width_m', 'must not exceed']),
        ({'street': {'lane_width_m': 'wide'}}, ['street.lane_width_m', 'wide', 'number']),
        ({'street': {'land_use': 'moon'}}, ['street.land_use', 'moon', 'centre']),
        ({'weather': {'fog': 1}}, ['weather.fog', 'unknown field']),
        ({'weather': {'season': []}}, ['weather.season']),
        ({'camera': {'width': -1}}, ['camera.width', '-1', '16']),
        ({'camera': {'supersampling': 3}}, ['camera.supersampling', '3']),
        ({'lidar': {'rings': 0}}, ['lidar.rings', '0', '1']),
        ({'domain': 'cloudy'}, ['domain', 'cloudy', 'clean']),
        ({'seed': -1}, ['seed', '-1']),
        ({'duration_s': 0}, ['duration_s', '0']),
        ({'frame_rate_hz': float('nan')}, ['frame_rate_hz', 'nan']),
        ({'camera': {'exposure': float('inf')}}, ['camera.exposure', 'inf']),
        ({'randomisation': {'color': 2}}, ['randomisation.color', '2']),
    ],
)
def test_wrong_values_are_named(wrong, words):
    with pytest.raises(ScenarioError) as caught:
        parse_scenario({'name': 'mine', **wrong})
    message = str(caught.value)
    assert "'mine'" in message
    for word in words:
        assert word in message, message


def test_all_wrong_values_are_named_at_once():
    with pytest.raises(ScenarioError, match=r'seed.*domain|domain.*seed'):
        parse_scenario({'seed': -1, 'domain': 'x'})


def test_unknown_names_list_the_known_ones():
    with pytest.raises(FileNotFoundError, match='clean'):
        load_scenario('no_such_scenario')


def test_broken_files_are_refused(tmp_path):
    path = tmp_path / 'broken.yaml'
    path.write_text('street: [')
    with pytest.raises(ScenarioError, match='not valid YAML'):
        load_scenario(path)
    path.write_text('- just\n- a list\n')
    with pytest.raises(ScenarioError, match='mapping'):
        load_scenario(path)
