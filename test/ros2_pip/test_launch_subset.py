"""The `launch` subset behaves like the real package."""

import os
import signal
import sys
import textwrap
import time

import pytest
from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import (
    AppendEnvironmentVariable,
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
    UnsetEnvironmentVariable,
)
from launch.conditions import (
    IfCondition,
    InvalidConditionExpressionError,
    LaunchConfigurationEquals,
    LaunchConfigurationNotEquals,
    UnlessCondition,
)
from launch.event_handlers import (
    OnExecutionComplete,
    OnProcessExit,
    OnProcessIO,
    OnProcessStart,
    OnShutdown,
)
from launch.events import Shutdown as ShutdownEvent
from launch.events import matches_action
from launch.events.process import ShutdownProcess, SignalProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import (
    AndSubstitution,
    EnvironmentVariable,
    EqualsSubstitution,
    FindExecutable,
    LaunchConfiguration,
    LocalSubstitution,
    NotEqualsSubstitution,
    NotSubstitution,
    OrSubstitution,
    PathJoinSubstitution,
    PythonExpression,
    SubstitutionFailure,
    TextSubstitution,
    ThisLaunchFileDir,
)
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch.utilities.type_utils import coerce_to_type, normalize_typed_substitution


def launch(*entities, **arguments):
    """Run entities with arguments set and return the exit code."""
    service = LaunchService(noninteractive=True)
    sets = [SetLaunchConfiguration(name, value) for name, value in arguments.items()]
    service.include_launch_description(LaunchDescription([*sets, *entities]))
    return service.run()


class Log(list):
    """Collects what actions see."""

    def note(self, *parts):
        """Return an action that appends the text of substitutions."""
        return OpaqueFunction(
            function=lambda context: self.append(
                perform_substitutions(context, normalize_to_list_of_substitutions(parts))
            )
        )

    def mark(self, value):
        """Return an action that appends a value."""
        return OpaqueFunction(function=lambda context: self.append(value))


@pytest.fixture
def log():
    return Log()


def text(substitution, **configurations):
    context = LaunchContext()
    context.launch_configurations.update(configurations)
    return perform_substitutions(context, normalize_to_list_of_substitutions(substitution))


def script(code):
    """Return the command that runs Python code."""
    return [sys.executable, '-u', '-c', textwrap.dedent(code)]


def test_arguments_have_their_default_or_the_given_value(log):
    declared = [DeclareLaunchArgument('a', default_value=['x', LaunchConfiguration('b')])]
    note = log.note(LaunchConfiguration('a'))
    assert launch(*declared, note, b='1') == 0
    assert launch(DeclareLaunchArgument('a', default_value='x'), note, a='2') == 0
    assert log == ['x1', '2']


def test_missing_argument_and_wrong_choice_fail_the_launch(log, caplog):
    assert launch(DeclareLaunchArgument('a'), log.mark('reached')) == 1
    assert 'Required launch argument "a" was not provided' in caplog.text
    choice = DeclareLaunchArgument('a', choices=['x', 'y'])
    assert launch(choice, log.mark('reached'), a='z') == 1
    assert "Valid options are: ['x', 'y']" in caplog.text
    assert log == []
    assert launch(choice, log.mark('reached'), a='y') == 0
    assert log == ['reached']


def test_declaration_checks_its_own_choices():
    with pytest.raises(RuntimeError, match='not in provided choices'):
        DeclareLaunchArgument('a', default_value='z', choices=['x'])
    with pytest.raises(RuntimeError, match='empty'):
        DeclareLaunchArgument('a', choices=[])
    argument = DeclareLaunchArgument('a', default_value='x', choices=['x'], description='one')
    assert argument.description == "one. Valid choices are: ['x']"


@pytest.mark.parametrize(
    ('substitution', 'expected'),
    [
        (['a', TextSubstitution(text='b')], 'ab'),
        (LaunchConfiguration('one'), '1'),
        (LaunchConfiguration('none', default=5), '5'),
        (LaunchConfiguration('none', default=['x', LaunchConfiguration('one')]), 'x1'),
        (LaunchConfiguration(['o', 'ne']), '1'),
        (PathJoinSubstitution(['/a', LaunchConfiguration('one'), 'c']), '/a/1/c'),
        (PythonExpression(['2 * ', LaunchConfiguration('one'), ' + 1']), '3'),
        (PythonExpression(["'", LaunchConfiguration('one'), "' == 'x'"]), 'False'),
        (PythonExpression(['sqrt(16)']), '4.0'),
        (PythonExpression(['os.sep'], ['os']), '/'),
        (EnvironmentVariable('NOT_SET_ANYWHERE', default_value='d'), 'd'),
        (FindExecutable(name='sh'), '/usr/bin/sh'),
        (EqualsSubstitution('a', 'a'), 'true'),
        (EqualsSubstitution('a', 'A'), 'false'),
        (EqualsSubstitution('True', '1'), 'true'),
        (EqualsSubstitution('1.0', '1'), 'true'),
        (EqualsSubstitution(LaunchConfiguration('one'), 1), 'true'),
        (NotEqualsSubstitution('a', 'b'), 'true'),
        (NotSubstitution('true'), 'false'),
        (AndSubstitution('true', '1'), 'true'),
        (AndSubstitution('true', 'false'), 'false'),
        (OrSubstitution('false', 'true'), 'true'),
        (OrSubstitution('0', 'false'), 'false'),
    ],
)
def test_substitutions(substitution, expected):
    result = text(substitution, one='1')
    assert os.path.basename(result) == 'sh' if expected == '/usr/bin/sh' else result == expected


@pytest.mark.parametrize(
    'substitution',
    [
        LaunchConfiguration('none'),
        EnvironmentVariable('NOT_SET_ANYWHERE'),
        FindExecutable(name='no_such_program'),
        ThisLaunchFileDir(),
    ],
)
def test_impossible_substitutions_raise(substitution):
    with pytest.raises(SubstitutionFailure):
        text(substitution)


@pytest.mark.parametrize(
    ('value', 'kind', 'expected'),
    [
        ('1', int, 1),
        ('1', float, 1.0),
        ('1e3', float, 1000.0),
        ('true', bool, True),
        ('0', bool, False),
        ('1', str, '1'),
        ('[1, 2]', list[int], [1, 2]),
        ('1', None, 1),
        ('abc', None, 'abc'),
        ('', None, ''),
    ],
)
def test_text_becomes_a_typed_value(value, kind, expected):
    result = coerce_to_type(value, kind)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(('value', 'kind'), [('x', int), ('x', bool), ('{a: 1}', None)])
def test_text_of_another_type_is_refused(value, kind):
    with pytest.raises(ValueError, match=r'x|convert'):
        coerce_to_type(value, kind)
    with pytest.raises(TypeError):
        normalize_typed_substitution('text', int)


def test_conditions(log):
    def noted(condition, name):
        return GroupAction([log.mark(name)], condition=condition)

    flag = LaunchConfiguration('flag')
    code = launch(
        noted(IfCondition(flag), 'if'),
        noted(UnlessCondition(flag), 'unless'),
        noted(LaunchConfigurationEquals('name', 'x'), 'equals'),
        noted(LaunchConfigurationNotEquals('name', 'x'), 'not equals'),
        noted(LaunchConfigurationEquals('missing', None), 'missing'),
        flag='True',
        name='x',
    )
    assert code == 0
    assert log == ['if', 'equals', 'missing']
    with pytest.raises(InvalidConditionExpressionError, match='maybe'):
        IfCondition('maybe').evaluate(LaunchContext())
    assert launch(noted(IfCondition('maybe'), 'wrong')) == 1


def test_a_group_keeps_its_changes_to_itself(log, monkeypatch):
    monkeypatch.setenv('OUTER', 'o')
    monkeypatch.delenv('INNER', raising=False)
    show = log.note(
        LaunchConfiguration('a', default='-'),
        EnvironmentVariable('INNER', default_value='-'),
        EnvironmentVariable('OUTER', default_value='-'),
    )
    changes = [
        SetLaunchConfiguration('a', '2'),
        SetEnvironmentVariable('INNER', 'i'),
        AppendEnvironmentVariable('OUTER', 'p'),
        show,
    ]
    assert launch(show, GroupAction(changes), show, a='1') == 0
    assert log == ['1-o', '2io:p', '1-o']
    log.clear()
    assert launch(GroupAction([SetLaunchConfiguration('a', '2')], scoped=False), show) == 0
    assert log == ['2-o']
    log.clear()
    group = GroupAction(
        [show], forwarding=False, launch_configurations={'a': LaunchConfiguration('b')}
    )
    assert launch(SetEnvironmentVariable('OUTER', 'x'), group, show, b='3', a='1') == 0
    assert log == ['3-o', '1-x']


def test_environment_actions(log, monkeypatch):
    monkeypatch.setenv('LIST', 'b')
    code = launch(
        AppendEnvironmentVariable('LIST', 'c'),
        AppendEnvironmentVariable('LIST', 'a', prepend=True, separator='-'),
        AppendEnvironmentVariable('FRESH', 'f'),
        log.note(EnvironmentVariable('LIST'), ' ', EnvironmentVariable('FRESH')),
        UnsetEnvironmentVariable('FRESH'),
        log.note(EnvironmentVariable('FRESH', default_value='gone')),
        UnsetEnvironmentVariable('LIST'),
    )
    assert code == 0
    assert log == ['a-b:c f', 'gone']


@pytest.fixture
def inner_file(tmp_path):
    path = tmp_path / 'inner.launch.py'
    path.write_text(
        textwrap.dedent("""
        from launch import LaunchDescription
        from launch.actions import DeclareLaunchArgument, SetLaunchConfiguration
        from launch.substitutions import LaunchConfiguration, ThisLaunchFileDir

        def generate_launch_description():
            return LaunchDescription([
                DeclareLaunchArgument('needed', description='must be given'),
                DeclareLaunchArgument('optional', default_value='o'),
                SetLaunchConfiguration(
                    'result', [LaunchConfiguration('needed'), LaunchConfiguration('optional')]),
                SetLaunchConfiguration('folder', ThisLaunchFileDir()),
            ])
        """)
    )
    return path


def test_included_files_get_arguments_and_give_configurations(log, inner_file, caplog):
    source = PythonLaunchDescriptionSource([str(inner_file.parent), '/inner.launch.py'])
    include = IncludeLaunchDescription(
        source, launch_arguments={'needed': LaunchConfiguration('x')}.items()
    )
    note = log.note(LaunchConfiguration('result'), ' ', LaunchConfiguration('folder'))
    assert launch(include, note, x='1') == 0
    assert log == [f'1o {inner_file.parent}']
    assert launch(IncludeLaunchDescription(str(inner_file))) == 1
    assert "missing required argument 'needed'" in caplog.text


def test_arguments_of_nested_files_are_found(inner_file):
    include = IncludeLaunchDescription(str(inner_file))
    own = DeclareLaunchArgument('own')
    maybe = GroupAction([DeclareLaunchArgument('maybe')], condition=IfCondition('true'))
    description = LaunchDescription([own, GroupAction([include]), maybe])
    found = {item.name: item for item in description.get_launch_arguments()}
    assert list(found) == ['own', 'needed', 'optional', 'maybe']
    assert [item._conditionally_included for item in found.values()] == [False] * 3 + [True]


def test_a_file_without_a_description_is_refused(tmp_path, caplog):
    path = tmp_path / 'empty.launch.py'
    path.write_text('')
    assert launch(IncludeLaunchDescription(str(path))) == 1
    assert 'generate_launch_description' in caplog.text


def test_processes_get_environment_folder_and_words(log, tmp_path, monkeypatch):
    monkeypatch.setenv('INHERITED', 'i')
    code = 'import os; print(os.environ.get("INHERITED"), os.environ["ADDED"], os.getcwd())'
    seen = {}

    def collect(event):
        seen[event.pid] = seen.get(event.pid, '') + event.text.decode()

    process = ExecuteProcess(
        cmd=[sys.executable, '-c', code],
        cwd=str(tmp_path),
        additional_env={'ADDED': LaunchConfiguration('x')},
    )
    alone = ExecuteProcess(cmd=['/bin/sh', '-c', 'echo $INHERITED.$ADDED'], env={'ADDED': 'e'})
    shell = ExecuteProcess(cmd=['echo', '$((1 + 1))'], shell=True)
    listen = RegisterEventHandler(OnProcessIO(on_stdout=collect))
    assert launch(listen, process, alone, shell, x='a') == 0
    assert sorted(seen.values()) == ['.e\n', '2\n', f'i a {tmp_path}\n']


def test_output_goes_where_it_is_sent(capsys):
    command = ['sh', '-c', 'echo out; echo err >&2; printf unfinished']
    assert launch(ExecuteProcess(cmd=command, output='screen', name='talker')) == 0
    shown = capsys.readouterr().out
    for word in ('out', 'err', 'unfinished'):
        assert any(
            line.startswith('[talker-') and line.endswith(word) for line in shown.splitlines()
        )
    assert launch(ExecuteProcess(cmd=command)) == 0
    shown = capsys.readouterr().out
    assert '] err' in shown
    assert '] out' not in shown
    assert launch(ExecuteProcess(cmd=command, output={'stderr': 'log'})) == 0
    assert '] err' not in capsys.readouterr().out
    assert launch(ExecuteProcess(cmd=command, output='nowhere')) == 1


EXITED = 'launch.events.process.ProcessExited'


def test_exit_handlers_see_process_and_code(log):
    first = ExecuteProcess(cmd=['sh', '-c', 'exit 3'])
    second = ExecuteProcess(cmd=['true'])

    def on_exit(event, context):
        log.append((event.action is first, event.returncode, event.pid > 0))
        return [log.mark('next')]

    code = launch(
        RegisterEventHandler(OnProcessExit(target_action=first, on_exit=on_exit)),
        RegisterEventHandler(OnProcessStart(target_action=second, on_start=[log.mark('started')])),
        first,
        RegisterEventHandler(
            OnProcessExit(target_action=first, on_exit=[second], handle_once=True)
        ),
        RegisterEventHandler(
            OnProcessExit(
                target_action=lambda action: action is second,
                on_exit=[log.note(LocalSubstitution('event.name'))],
            )
        ),
        RegisterEventHandler(OnShutdown(on_shutdown=[log.mark('shutdown')])),
    )
    assert code == 0
    assert log == [(True, 3, True), 'next', 'started', EXITED, 'shutdown']
    assert first.return_code == 3


def test_execution_complete_is_told(log):
    process = ExecuteProcess(cmd=['true'])
    told = RegisterEventHandler(
        OnExecutionComplete(target_action=process, on_completion=[log.mark('complete')])
    )
    assert launch(told, process) == 0
    assert log == ['complete']


def test_the_end_of_a_required_process_ends_the_others(until):
    forever = ExecuteProcess(cmd=['sleep', '1000'])
    required = ExecuteProcess(cmd=['true'], on_exit=[Shutdown(reason='it was required')])
    begin = time.monotonic()
    assert launch(forever, required) == 0
    assert time.monotonic() - begin < 60
    assert forever.return_code == -signal.SIGINT


def test_an_error_ends_all_processes_and_is_the_exit_code(log, caplog):
    forever = ExecuteProcess(cmd=['sleep', '1000'])

    def fail(event, context):
        raise RuntimeError('the camera is gone')

    assert launch(forever, ExecuteProcess(cmd=['false'], on_exit=fail)) == 1
    assert forever.return_code == -signal.SIGINT
    assert 'the camera is gone' in caplog.text
    broken = OpaqueFunction(function=lambda context: 1 / 0)
    never = ExecuteProcess(cmd=['sleep', '1000'])
    assert launch(never, broken, log.mark('never')) == 1
    assert never.return_code is None  # the launch was over before it began
    assert log == []


def test_a_program_that_does_not_exist_is_reported(caplog):
    assert launch(ExecuteProcess(cmd=['/no/such/program'])) == 0
    assert 'cannot execute' in caplog.text


STUBBORN = """
    import signal, sys, time
    for name in sys.argv[1:]:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    print('ready')
    time.sleep(1000)
"""


@pytest.mark.parametrize(
    ('ignored', 'last'),
    [
        (['SIGINT'], signal.SIGTERM),
        (['SIGINT', 'SIGTERM'], signal.SIGKILL),
    ],
)
def test_processes_that_do_not_listen_are_ended_harder(ignored, last):
    process = ExecuteProcess(
        cmd=[*script(STUBBORN), *ignored], sigterm_timeout='0.2', sigkill_timeout='0.2'
    )
    ready = OnProcessIO(target_action=process, on_stdout=lambda event: [Shutdown()])
    assert launch(RegisterEventHandler(ready), process) == 0
    assert process.return_code == -last


def test_one_process_can_be_signalled_or_ended(log):
    first = ExecuteProcess(cmd=['sleep', '1000'])
    second = ExecuteProcess(cmd=['sleep', '1000'])
    matcher = matches_action(first)
    signal_first = SignalProcess(signal_number=signal.SIGTERM, process_matcher=matcher)
    end_second = ShutdownProcess(process_matcher=matches_action(second))
    code = launch(
        RegisterEventHandler(
            OnProcessStart(target_action=first, on_start=[EmitEvent(event=signal_first)])
        ),
        RegisterEventHandler(
            OnProcessStart(target_action=second, on_start=[EmitEvent(event=end_second)])
        ),
        first,
        second,
    )
    assert code == 0
    assert (first.return_code, second.return_code) == (-signal.SIGTERM, -signal.SIGINT)


def test_respawn_ends_after_the_retries(log):
    process = ExecuteProcess(
        cmd=['false'], respawn=True, respawn_delay=0.01, respawn_max_retries=2,
        on_exit=[log.mark('exit')],
    )  # fmt: skip
    assert launch(process) == 0
    assert log == ['exit'] * 3


def test_a_process_is_executed_once_only(caplog):
    process = ExecuteProcess(cmd=['true'])
    assert launch(process, process) == 1
    assert 'executed more than once' in caplog.text


def test_timers_fire_in_order_and_end_with_the_launch(log):
    code = launch(
        TimerAction(period=0.2, actions=[log.mark('late')]),
        TimerAction(period=LaunchConfiguration('p'), actions=[log.mark('early')]),
        p='0.05',
    )
    assert code == 0
    assert log == ['early', 'late']
    log.clear()
    begin = time.monotonic()
    code = launch(
        TimerAction(period=1000.0, actions=[log.mark('never')]),
        EmitEvent(event=ShutdownEvent(reason='test')),
    )
    assert code == 0
    assert log == []
    assert time.monotonic() - begin < 60


def test_log_info_writes_the_message(caplog):
    assert launch(LogInfo(msg=['value ', LaunchConfiguration('a')]), a='1') == 0
    assert 'value 1' in caplog.messages


def test_wrong_targets_are_refused():
    with pytest.raises(TypeError, match='callable'):
        OnProcessExit(target_action='text', on_exit=[])
    with pytest.raises(TypeError, match='callable'):
        OpaqueFunction(function='text')
    with pytest.raises(TypeError):
        normalize_to_list_of_substitutions(5)
