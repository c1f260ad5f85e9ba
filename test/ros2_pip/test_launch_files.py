"""The launch files of the package, and `ros2 launch` with its signals and exit codes."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / 'launch').glob('*.launch.py'))


def process_is_gone(pid):
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == 'Z'


def wait_for_pid(ros2, process):
    """Return what the launched process says of itself, once it listens to signals."""
    for line in ros2.lines(process):
        if said := re.search(r'\] pid (\d+) ', line):
            return int(said.group(1))
    raise AssertionError('the process did not start')


@pytest.fixture
def launch_file(tmp_path):
    """A launch file with one argument and a process that tells its pid."""
    path = tmp_path / 'own.launch.py'
    path.write_text(
        textwrap.dedent(f"""
        from launch import LaunchDescription
        from launch.actions import DeclareLaunchArgument, ExecuteProcess
        from launch.substitutions import LaunchConfiguration

        CODE = '''
        import os, sys, time
        try:
            print('pid', os.getpid(), sys.argv[1], 'terminal', sys.stdin.isatty(), flush=True)
            time.sleep(1000)
        except KeyboardInterrupt:
            print('interrupted', flush=True)
        '''

        def generate_launch_description():
            return LaunchDescription([
                DeclareLaunchArgument('word', default_value='none', description='to be said'),
                ExecuteProcess(
                    cmd=[{sys.executable!r}, '-c', __import__('textwrap').dedent(CODE),
                         LaunchConfiguration('word')],
                    output='screen'),
            ])
        """)
    )
    return path


@pytest.fixture
def running(ros2, launch_file):
    """`ros2 launch`, the pid of its process and what it has printed so far."""
    process = ros2.start('launch', launch_file, 'word:=hello')
    return process, wait_for_pid(ros2, process)


def test_ctrl_c_reaches_the_process_once_and_is_no_failure(ros2, running):
    process, child = running
    code, output = ros2.interrupt(process)
    assert code == 0
    assert output.count('interrupted\n') == 1
    assert output.count('sending signal') == 1
    assert process_is_gone(child)


def test_terminate_leaves_no_process_behind(ros2, running):
    process, child = running
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'interrupted\n' in output
    assert process_is_gone(child)


def test_ctrl_c_in_a_terminal_comes_from_the_terminal(ros2, launch_file):
    """With a terminal the whole group gets SIGINT, and the launch must not send another."""
    primary, secondary = os.openpty()
    process = ros2.start('launch', launch_file, stdin=secondary)
    os.close(secondary)
    said = next(line for line in ros2.lines(process) if '] pid ' in line)
    assert 'terminal False' in said, 'it is for who launched, as the original has it'
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    os.close(primary)
    assert process.returncode == 0
    assert output.count('interrupted\n') == 1
    assert 'sending signal' not in output


def test_arguments_are_shown_and_misspelt_ones_noticed(ros2, launch_file):
    code, output = ros2.run('launch', launch_file, '--show-args')
    assert code == 0
    assert "    'word':\n        to be said\n        (default: 'none')\n" in output
    process = ros2.start('launch', launch_file, 'wort:=hello')
    lines = []
    for line in ros2.lines(process):
        lines.append(line)
        if ' pid ' in line:
            break
    ros2.interrupt(process)
    assert "argument 'wort' is not declared" in lines[0]
    assert "did you mean 'word'?" in lines[0]


def test_wrong_uses_of_launch_are_explained(ros2, tmp_path):
    broken = tmp_path / 'broken.launch.py'
    broken.write_text('1 / 0')
    uses = {
        ('no_such_package', 'a.launch.py'): 'package not found',
        (tmp_path / 'none.launch.py',): 'does not exist',
        ('rclpy', 'none.launch.py'): "'none.launch.py' is not there",
        ('rclpy',): 'name the launch file',
        (broken,): 'ZeroDivisionError',
        (FILES[0], 'word'): 'write NAME:=VALUE',
    }
    started = {words: ros2.start('launch', *words) for words in uses}
    for words, process in started.items():
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert uses[words] in output


def test_a_sourced_distro_is_not_mixed_in(ros2):
    code, output = ros2.run('topic', 'list', env={**os.environ, 'ROS_DISTRO': 'jazzy'})
    assert code == 1
    assert 'jazzy' in output


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_shipped_launch_files_describe_their_arguments(path, ros2):
    code, output = ros2.run('launch', path, '--show-args')
    assert code == 0
    assert 'no description given' not in output


def test_a_delay_of_zero_is_left_out_since_rosbag2_refuses_it():
    from sim_perception.ros.launching import play_options

    def words(delay):
        return play_options({'rate': '1.0', 'start_offset': '0.0', 'delay': delay}, loop=False)

    for zero in ('0', '0.0', '0.00'):
        assert '--delay' not in words(zero)
    for delay in ('3.0', '0.5', '10', 'soon'):
        assert words(delay)[-2:] == ['--delay', delay]
    assert play_options({}, loop=True)[-1] == '--loop'


def test_rviz_shows_topics_that_are_documented_in_any_namespace():
    import yaml

    config = yaml.safe_load((ROOT / 'config/rviz/pipeline.rviz').read_text())
    shown = [
        display['Topic']['Value']
        for display in config['Visualization Manager']['Displays']
        if 'Topic' in display
    ]
    documented = (ROOT / 'docs/reference.md').read_text()
    assert {'detector_3d/markers', 'auto_labeler/meshes', 'tracker/markers'} <= set(shown)
    for topic in shown:
        assert not topic.startswith('/'), 'would not follow the namespace'
        assert topic in documented, topic


SEGMENT = 'import rclpy; rclpy.init(); rclpy.create_node("big"); input()'


@pytest.mark.ros
def test_transport_settings_give_fast_dds_a_large_segment(monkeypatch, until):
    from launch import LaunchContext

    from sim_perception.ros.launching import transport_settings

    names = ('FASTDDS_DEFAULT_PROFILES_FILE', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_')
    for name in names:
        monkeypatch.setenv(name, 'of the user')
    settings = transport_settings()
    for action in settings:
        action.execute(LaunchContext())
    assert [os.environ[name] for name in names] == ['of the user'] * 3
    for name in names:
        monkeypatch.delenv(name)
    for action in transport_settings():
        action.execute(LaunchContext())
    assert os.environ['FASTDDS_DEFAULT_PROFILES_FILE'].endswith('config/fastdds.xml')
    process = subprocess.Popen([sys.executable, '-c', SEGMENT], stdin=subprocess.PIPE)
    try:
        maps = Path(f'/proc/{process.pid}/maps')

        def segment_sizes():
            lines = [line.split() for line in maps.read_text().splitlines()]
            mapped = {words[-1] for words in lines if '/dev/shm/fast' in words[-1]}
            return [Path(name).stat().st_size for name in mapped if Path(name).exists()]

        until(lambda: any(size >= 16 * 2**20 for size in segment_sizes()), 'the segment')
    finally:
        process.communicate(b'\n', timeout=60)


@pytest.fixture(scope='module')
def small_checkpoint(tmp_path_factory):
    """A checkpoint with random weights: what flows is tested here, not how good it is."""
    from sim_perception.inference.preprocess import PreprocessConfig
    from sim_perception.models.checkpoint import save_checkpoint
    from sim_perception.models.depth_segmentation import (
        DepthSegmentationConfig,
        DepthSegmentationNet,
    )
    from sim_perception.taxonomy import load_taxonomy

    taxonomy = load_taxonomy()
    config = DepthSegmentationConfig(
        classes=len(taxonomy), depth_channels=(16, 8), semantic_channels=(16, 8)
    )
    return save_checkpoint(
        tmp_path_factory.mktemp('models') / 'small',
        DepthSegmentationNet(config),
        taxonomy=taxonomy,
        preprocess=PreprocessConfig(size=(64, 32)).to_dict(),
    )


@pytest.fixture
def small_run(tmp_path):
    """Arguments of a short run with small images."""
    params = tmp_path / 'small.param.yaml'
    params.write_text(
        '/**/simulator: {ros__parameters: {width: 128, height: 64, duration: 1.0}}\n'
    )
    return [f'params_file:={params}']


@pytest.fixture
def temporary(tmp_path):
    """An environment with an empty folder for temporary files."""
    folder = tmp_path / 'temporary'
    folder.mkdir()
    # what torch compiles is kept on purpose
    return {
        **os.environ, 'TMPDIR': str(folder), 'TORCHINDUCTOR_CACHE_DIR': str(tmp_path / 'torch')
    }  # fmt: skip


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.parametrize('container', ['false', 'true'])
def test_the_pipeline_runs_to_the_end_and_is_recorded(
    ros2, small_checkpoint, small_run, tmp_path, temporary, container
):
    from rosbags.rosbag2 import Reader

    bag = tmp_path / 'bag'
    code, output = ros2.run(
        *('launch', ROOT / 'launch/pipeline.launch.py', f'container:={container}'),
        *('namespace:=robot1', 'frame_prefix:=robot1/'),
        # five nodes in one process skip most frames of a second on a slow machine
        f'rate:={0.25 if container == "true" else 1.0}',
        *(f'checkpoint:={small_checkpoint}', f'record:={bag}', *small_run),
        *('tracker:=true', 'detections:=ground_truth/objects', 'sensor_frame:=base_link'),
        *('auto_labeler:=true', 'image_boxes:=ground_truth/objects_2d', 'detector:=true'),
        deadline=240,
        env=temporary,
    )
    assert code == 0, output
    with Reader(bag) as reader:
        counts = {item.topic: item.msgcount for item in reader.connections}
    assert counts['/robot1/camera/image_raw'] >= 1
    assert counts['/robot1/ground_truth/depth'] >= 1
    assert counts['/tf_static'] >= 1
    assert '/robot1/ground_truth/normals' not in counts
    if container == 'false':  # the source waits for the others, so that none is late
        assert counts['/robot1/depth_segmentation/depth/image'] >= 1
        assert counts['/robot1/tracker/tracks'] >= 1
        assert '/robot1/auto_labeler/labels' in counts
        assert '/robot1/detector_3d/detections' in counts
    assert not list(Path(temporary['TMPDIR']).iterdir()), 'files that nobody removed'


@pytest.mark.ros
@pytest.mark.slow
def test_every_file_of_one_node_brings_it_to_work(
    ros2, small_checkpoint, small_run, tmp_path, until
):
    """All in one launch, each as it is; they end together."""
    import rclpy
    from lifecycle_msgs.srv import GetState
    from rclpy.node import Node

    pytest.importorskip('rerun', reason='the extra `view` is not installed')
    nodes = [
        'simulator', 'depth_segmentation', 'tracker', 'auto_labeler', 'detector_3d', 'viewer',
    ]  # fmt: skip
    files = [ROOT / 'launch' / f'{name}.launch.py' for name in [*nodes, 'record']]
    arguments = {
        'checkpoint': str(small_checkpoint), 'params_file': small_run[0].partition(':=')[2],
        'loop': 'true', 'bag': str(tmp_path / 'bag'), 'topics': '/tf_static /clock',
        'save': str(tmp_path / 'seen.rrd'),
    }  # fmt: skip
    together = tmp_path / 'together.launch.py'
    together.write_text(
        textwrap.dedent(f"""
        from launch import LaunchDescription
        from launch.actions import GroupAction, IncludeLaunchDescription
        from launch.launch_description_sources import PythonLaunchDescriptionSource

        def generate_launch_description():
            return LaunchDescription([
                GroupAction([IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(path), launch_arguments={arguments}.items())])
                for path in {[str(path) for path in files]}
            ])
        """)
    )
    assert {path.name for path in FILES} == {path.name for path in files} | {
        'pipeline.launch.py',
        'replay.launch.py',
    }
    process = ros2.start('launch', together, 'sigterm_timeout:=60')
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = Node('observer', context=context)
        clients = {name: node.create_client(GetState, f'/{name}/get_state') for name in nodes}
        executor = rclpy.executors.SingleThreadedExecutor(context=context)

        def active(name):
            if not clients[name].service_is_ready():
                return False
            asked = clients[name].call_async(GetState.Request())
            rclpy.spin_until_future_complete(node, asked, executor, timeout_sec=2)
            return asked.done() and asked.result().current_state.label == 'active'

        for name in nodes:
            until(lambda name=name: active(name), f'{name} at work', 400)
        code, output = ros2.interrupt(process)
    finally:
        rclpy.shutdown(context=context)
    assert code == 0, output
    assert 'Traceback' not in output
    assert 'SIGTERM' not in output
    assert list((tmp_path / 'bag').glob('*.mcap'))
    assert (tmp_path / 'seen.rrd').stat().st_size > 0


@pytest.mark.ros
@pytest.mark.slow
def test_a_node_that_cannot_be_configured_fails_the_launch(ros2, small_run, tmp_path):
    code, output = ros2.run(
        *('launch', ROOT / 'launch/pipeline.launch.py', f'checkpoint:={tmp_path}/none'),
        *small_run,
        deadline=240,
    )
    assert code == 1
    assert '/depth_segmentation could not be configured' in output


@pytest.fixture
def camera_bag(tmp_path):
    """A bag of a small raw camera, without QoS, as many converters write them."""
    import numpy as np
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    path = tmp_path / 'camera'
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            kind: writer.add_connection(topic, f'sensor_msgs/msg/{kind}', typestore=store)
            for topic, kind in (
                ('/camera/image_raw', 'Image'),
                ('/camera/camera_info', 'CameraInfo'),
            )
        }
        for i in range(20):
            stamp = 10**18 + i * 10**8
            time = types['builtin_interfaces/msg/Time'](*divmod(stamp, 10**9))
            header = types['std_msgs/msg/Header'](time, 'camera_optical_frame')
            pixels = np.full(32 * 64 * 3, i, np.uint8)
            image = types['sensor_msgs/msg/Image'](header, 32, 64, 'rgb8', 0, 64 * 3, pixels)
            k = np.array([40.0, 0, 32, 0, 40, 16, 0, 0, 1])
            info = types['sensor_msgs/msg/CameraInfo'](
                header, 32, 64, 'plumb_bob', np.zeros(5), k, np.eye(3).ravel(),
                np.insert(k, [3, 6, 9], 0.0), 0, 0,
                types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
            )  # fmt: skip
            for kind, message in (('CameraInfo', info), ('Image', image)):
                data = store.serialize_cdr(message, f'sensor_msgs/msg/{kind}')
                writer.write(connections[kind], stamp, data)
    return path


@pytest.mark.ros
@pytest.mark.slow
def test_a_bag_is_replayed_through_the_nodes(ros2, small_checkpoint, camera_bag, tmp_path):
    from rosbags.rosbag2 import Reader

    out = tmp_path / 'out'
    code, output = ros2.run(
        *('launch', ROOT / 'launch/replay.launch.py', f'bag:={camera_bag}'),
        *(f'checkpoint:={small_checkpoint}', f'record:={out}'),
        deadline=240,
    )
    assert code == 0, output
    with Reader(out) as reader:
        counts = {item.topic: item.msgcount for item in reader.connections}
    assert counts['/depth_segmentation/depth/image'] >= 5
    assert counts['/clock'] >= 5
    code, output = ros2.run('launch', ROOT / 'launch/replay.launch.py', f'bag:={tmp_path}/none')
    assert code == 1
    assert 'does not exist' in output
