from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from sim_perception.taxonomy import Taxonomy, load_taxonomy

CAMVID = ('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car',
          'pedestrian', 'bicyclist')  # fmt: skip


def test_every_class_has_an_own_colour_and_the_needed_names_exist() -> None:
    taxonomy = load_taxonomy()
    assert {
        'sky', 'building', 'pole', 'road', 'sidewalk', 'vegetation', 'terrain', 'sign', 'fence',
        'car', 'truck', 'pedestrian', 'cyclist', 'billboard',
    } <= set(taxonomy.names)  # fmt: skip
    assert len({c.color for c in taxonomy.classes}) == len(taxonomy)
    palette = taxonomy.palette()
    for i, c in enumerate(taxonomy.classes):
        assert tuple(palette[i]) == c.color
    assert not palette[taxonomy.ignore_id].any()


def test_camvid_mapping_covers_its_eleven_classes_in_its_order() -> None:
    taxonomy = load_taxonomy()
    assert taxonomy.camvid_names == CAMVID
    lut = taxonomy.camvid_lut()
    assert set(lut[: len(taxonomy)]) == set(range(11))
    assert lut[taxonomy.id_of('sidewalk')] == CAMVID.index('pavement')
    assert lut[taxonomy.id_of('truck')] == CAMVID.index('car')
    assert (lut[len(taxonomy) :] == 255).all()


def test_things_are_the_countable_classes() -> None:
    taxonomy = load_taxonomy()
    things = {taxonomy.names[i] for i in taxonomy.thing_ids}
    assert things == {'car', 'truck', 'pedestrian', 'cyclist'}


def test_yaml_round_trip(tmp_path: Path) -> None:
    taxonomy = load_taxonomy()
    path = tmp_path / 'taxonomy.yaml'
    path.write_text(yaml.safe_dump(taxonomy.to_dict()))
    again = load_taxonomy(path)
    assert again == taxonomy
    np.testing.assert_array_equal(again.palette(), taxonomy.palette())


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match='known: road'):
        load_taxonomy().id_of('unicorn')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'classes': [{'name': 'a'}]}, 'malformed'),
        ({'classes': [{'name': 'a', 'color': [1, 2, 3], 'kind': 'both'}]}, 'malformed'),
        ({'classes': [{'name': 'a', 'color': [1, 2, 3], 'kind': 'thing'}] * 2}, 'unique'),
        (
            {'classes': [{'name': 'a', 'color': [1, 2, 3], 'kind': 'thing', 'camvid': 'z'}]},
            'unknown CamVid',
        ),
        (
            {
                'ignore_id': 0,
                'classes': [{'name': 'a', 'color': [1, 2, 3], 'kind': 'thing'}],
            },
            'more classes',
        ),
    ],
)
def test_malformed_taxonomies_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Taxonomy.from_dict({'name': 't', 'camvid': [], **change})
