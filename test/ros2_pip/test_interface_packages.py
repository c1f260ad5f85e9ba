"""The interface packages equal the standard definitions, and their builder."""

import json
import sys
from pathlib import Path

import pytest
from ros2_pip_tools import guard, interfaces

DEFINITIONS = Path(__file__).resolve().parents[2] / 'sim_perception/bags/msg'

HEADER = ('header', 'std_msgs/Header')
HYPOTHESES = ('results', 'sequence<vision_msgs/ObjectHypothesisWithPose>')

# Fields, in order, of vision_msgs 4 and of tf2_msgs.
STANDARD = {
    'vision_msgs/Point2D': [('x', 'double'), ('y', 'double')],
    'vision_msgs/Pose2D': [('position', 'vision_msgs/Point2D'), ('theta', 'double')],
    'vision_msgs/BoundingBox2D': [
        ('center', 'vision_msgs/Pose2D'),
        ('size_x', 'double'),
        ('size_y', 'double'),
    ],
    'vision_msgs/BoundingBox3D': [
        ('center', 'geometry_msgs/Pose'),
        ('size', 'geometry_msgs/Vector3'),
    ],
    'vision_msgs/ObjectHypothesis': [('class_id', 'string'), ('score', 'double')],
    'vision_msgs/ObjectHypothesisWithPose': [
        ('hypothesis', 'vision_msgs/ObjectHypothesis'),
        ('pose', 'geometry_msgs/PoseWithCovariance'),
    ],
    'vision_msgs/Detection2D': [
        HEADER, HYPOTHESES, ('bbox', 'vision_msgs/BoundingBox2D'), ('id', 'string'),
    ],
    'vision_msgs/Detection2DArray': [HEADER, ('detections', 'sequence<vision_msgs/Detection2D>')],
    'vision_msgs/Detection3D': [
        HEADER, HYPOTHESES, ('bbox', 'vision_msgs/BoundingBox3D'), ('id', 'string'),
    ],
    'vision_msgs/Detection3DArray': [HEADER, ('detections', 'sequence<vision_msgs/Detection3D>')],
    'vision_msgs/VisionClass': [('class_id', 'uint16'), ('class_name', 'string')],
    'vision_msgs/LabelInfo': [
        HEADER, ('class_map', 'sequence<vision_msgs/VisionClass>'), ('threshold', 'float'),
    ],
    'vision_msgs/VisionInfo': [
        HEADER,
        ('method', 'string'),
        ('database_location', 'string'),
        ('database_version', 'int32'),
    ],
    'tf2_msgs/TFMessage': [('transforms', 'sequence<geometry_msgs/TransformStamped>')],
    'tf2_msgs/TF2Error': [('error', 'uint8'), ('error_string', 'string')],
}  # fmt: skip

# As real distros show them (`ros2 topic info --verbose`): equal hashes are equal types.
DISTRO_HASHES = {
    'tf2_msgs/TFMessage': 'e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087',
    'tf2_msgs/TF2Error': 'db2485e7d6a0ec75bf087e058ee45df682acc3a621ca7780503d10aac141809a',
    'vision_msgs/Detection3DArray': (
        '793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018'
    ),
}


def message_class(name):
    package, kind = name.split('/')
    return getattr(__import__(f'{package}.msg', fromlist=[kind]), kind)


def installed_hash(name):
    package, kind = name.split('/')
    path = Path(sys.prefix, 'share', package, 'msg', f'{kind}.json')
    hashes = json.loads(path.read_text())['type_hashes']
    return {item['type_name']: item['hash_string'] for item in hashes}[f'{package}/msg/{kind}']


def test_every_definition_is_checked():
    files = {f'{path.parent.name}/{path.stem}' for path in DEFINITIONS.glob('*/*.msg')}
    assert files == set(STANDARD)


@pytest.mark.parametrize('name', STANDARD)
def test_fields_are_the_standard_ones(name):
    fields = list(message_class(name).get_fields_and_field_types().items())
    assert fields == STANDARD[name]


def test_error_codes_are_the_standard_ones():
    error = message_class('tf2_msgs/TF2Error')
    names = [
        'NO_ERRORS',
        'LOOKUP_ERROR',
        'CONNECTIVITY_ERROR',
        'EXTRAPOLATION_ERROR',
        'INVALID_ARGUMENT_ERROR',
        'TIMEOUT_ERROR',
        'TRANSFORM_ERROR',
    ]
    assert [getattr(error, name) for name in names] == list(range(7))


@pytest.mark.parametrize('name', DISTRO_HASHES)
def test_type_hashes_are_those_of_a_distro(name):
    assert installed_hash(name) == f'RIHS01_{DISTRO_HASHES[name]}'


def test_type_hashes_agree_with_an_independent_implementation():
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    for path in sorted(DEFINITIONS.glob('*/*.msg')):
        name = f'{path.parent.name}/msg/{path.stem}'
        types = get_types_from_msg(path.read_text(), name)
        store.register({key: value for key, value in types.items() if key not in store.types})
    for name in STANDARD:
        package, kind = name.split('/')
        assert store.hash_rihs01(f'{package}/msg/{kind}') == installed_hash(name)


def test_messages_survive_the_wire():
    from rclpy.serialization import deserialize_message, serialize_message

    hypothesis = message_class('vision_msgs/ObjectHypothesisWithPose')()
    hypothesis.hypothesis.class_id = 'car'
    hypothesis.hypothesis.score = 0.25
    detection = message_class('vision_msgs/Detection3D')(id='7', results=[hypothesis])
    detection.bbox.size.x = 4.5
    array = message_class('vision_msgs/Detection3DArray')(detections=[detection])
    array.header.frame_id = 'odom'
    assert deserialize_message(serialize_message(array), type(array)) == array


@pytest.fixture
def definitions(tmp_path):
    for name, content in {
        'b_msgs/Two.msg': 'a_msgs/One[] ones\nstd_msgs/Header header\nTwo2 own\n',
        'b_msgs/Two2.msg': 'b_msgs/Two3 own # geometry_msgs/Pose is no field here\n',
        'b_msgs/Two3.msg': 'float64[3] x\n',
        'a_msgs/One.msg': 'geometry_msgs/Point p\n',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_packages_are_built_after_those_they_use(definitions):
    packages = interfaces.find_packages(definitions)
    assert list(packages) == ['a_msgs', 'b_msgs']
    assert interfaces.dependencies('b_msgs', packages['b_msgs']) == {'a_msgs', 'std_msgs'}


def test_a_change_of_a_definition_is_noticed(definitions):
    files = interfaces.find_packages(definitions)['a_msgs']
    before = interfaces.digest(files)
    assert interfaces.digest(files) == before
    files[0].write_text('geometry_msgs/Point q\n')
    assert interfaces.digest(files) != before
    assert not interfaces.is_current('a_msgs', files)


def test_what_is_up_to_date_is_not_built_again(capsys, monkeypatch):
    monkeypatch.setattr(interfaces, 'build', lambda *_: pytest.fail('built again'))
    assert interfaces.main([str(DEFINITIONS)]) == 0
    assert capsys.readouterr().out.count('up to date') == 2


def test_a_folder_without_definitions_is_reported(tmp_path, capsys):
    assert interfaces.main([str(tmp_path)]) == 1
    assert 'no message definitions' in capsys.readouterr().err


def test_missing_tools_are_named(definitions, capsys, monkeypatch):
    monkeypatch.setattr(interfaces.shutil, 'which', lambda *_, **__: None)
    assert interfaces.main([str(definitions)]) == 1
    assert 'apt install' in capsys.readouterr().err


@pytest.mark.slow
def test_a_failing_build_shows_why_and_leaves_nothing(definitions, capsys):
    (definitions / 'a_msgs/One.msg').write_text('no_such_msgs/Type x\n')
    assert interfaces.main([str(definitions)]) == 1
    assert 'no_such_msgs' in capsys.readouterr().err
    assert not interfaces.stamp_path('a_msgs').exists()


def test_a_sourced_distro_is_refused(tmp_path, capsys, monkeypatch):
    prefix = str(tmp_path)
    assert guard.refusal(sys.prefix, {}) is None
    assert guard.refusal(sys.prefix, {'AMENT_PREFIX_PATH': f'{sys.prefix}:{prefix}'}) is None
    assert 'jazzy' in guard.refusal(sys.prefix, {'ROS_DISTRO': 'jazzy'})
    index = tmp_path / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True)
    (index / 'rclpy').touch()
    assert prefix in guard.refusal(sys.prefix, {'AMENT_PREFIX_PATH': prefix})
    monkeypatch.setenv('ROS_DISTRO', 'kilted')
    assert interfaces.main([str(DEFINITIONS)]) == 1
    assert 'kilted' in capsys.readouterr().err


def test_a_real_launch_package_is_refused(tmp_path, monkeypatch):
    (tmp_path / 'launch-3.8.0.dist-info').mkdir()
    (tmp_path / 'launch-3.8.0.dist-info/METADATA').write_text('Name: launch\nVersion: 3.8.0\n')
    monkeypatch.setattr(guard.sysconfig, 'get_path', lambda _: str(tmp_path))
    assert 'real `launch`' in guard.refusal(sys.prefix, {})
