"""An action that runs a process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import signal
from collections.abc import Iterable, Mapping
from typing import Any

import launch.logging

from ..action import Action
from ..event import Event
from ..event_handler import EventHandler
from ..event_handlers import OnProcessExit, OnShutdown
from ..events import Shutdown, matches_action
from ..events.process import (
    ProcessExited,
    ProcessStarted,
    ProcessStderr,
    ProcessStdout,
    ShutdownProcess,
    SignalProcess,
)
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..substitution import SomeSubstitutionsType, Substitution
from ..substitutions import LaunchConfiguration
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from .event_actions import EmitEvent, OpaqueFunction
from .timer_action import TimerAction

_counter = itertools.count(1)
_READ_SIZE = 1 << 16


class ExecuteProcess(Action):
    """Runs a command; the launch waits for it, logs its output and ends it on shutdown.

    On shutdown the process gets SIGINT (not when that came from a terminal, which sends it to
    the whole group), SIGTERM after `sigterm_timeout` seconds and SIGKILL `sigkill_timeout`
    seconds later.
    """

    def __init__(
        self,
        *,
        cmd: Iterable[SomeSubstitutionsType],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: Mapping[Any, Any] | None = None,
        additional_env: Mapping[Any, Any] | None = None,
        shell: bool = False,
        sigterm_timeout: SomeSubstitutionsType | None = None,
        sigkill_timeout: SomeSubstitutionsType | None = None,
        output: Any = 'log',
        output_format: str = '[{this.process_details[name]}] {line}',
        log_cmd: bool = False,
        on_exit: Any = None,
        respawn: Any = False,
        respawn_delay: float | None = None,
        respawn_max_retries: int = -1,
        **kwargs,
    ) -> None:
        """Describe the process.

        Args:
            cmd: the program and its arguments.
            prefix: words before the command, such as a debugger; by default the launch
                configuration 'launch-prefix'.
            name: label of the process; by default the program's name.
            cwd: working directory.
            env: the environment, in place of the launch's.
            additional_env: variables on top of the environment.
            shell: run the words, joined, by a shell.
            sigterm_timeout: seconds from SIGINT to SIGTERM.
            sigkill_timeout: seconds from SIGTERM to SIGKILL.
            output: see launch.logging.get_output_loggers.
            output_format: of a line of output.
            log_cmd: log the command.
            on_exit: actions, or a function (event, context) that returns them.
            respawn: start the process again when it has ended.
            respawn_delay: seconds to wait before that.
            respawn_max_retries: how often, without end if negative.
            **kwargs: of Action.
        """
        super().__init__(**kwargs)
        normalize = normalize_to_list_of_substitutions
        self.cmd: list[list[Substitution]] = [normalize(part) for part in cmd]
        self.__prefix = normalize(
            LaunchConfiguration('launch-prefix', default='') if prefix is None else prefix
        )
        self.__name = None if name is None else normalize(name)
        self.__cwd = None if cwd is None else normalize(cwd)
        self.__env = None if env is None else dict(env)
        self.__additional_env = dict(additional_env or {})
        self.__shell = shell
        self.__timeouts = [
            normalize(LaunchConfiguration(key, default='5') if value is None else value)
            for key, value in (
                ('sigterm_timeout', sigterm_timeout),
                ('sigkill_timeout', sigkill_timeout),
            )
        ]
        output = os.environ.get('OVERRIDE_LAUNCH_PROCESS_OUTPUT', output)
        self.__output = output if isinstance(output, Mapping) else normalize(output)
        self.__output_format = output_format
        self.__log_cmd = log_cmd
        self.__on_exit = on_exit
        self.__respawn = normalize_typed_substitution(respawn, bool)
        self.__respawn_delay = respawn_delay or 0.0
        self.__retries_left = respawn_max_retries
        self.__details: dict[str, Any] | None = None
        self.__process: asyncio.subprocess.Process | None = None
        self.__completed: asyncio.Future | None = None
        self.__shutdown: asyncio.Event | None = None
        self.__shutdown_begun = False
        self.__timers: list[TimerAction] = []

    @property
    def process_details(self) -> dict[str, Any] | None:
        """Return name, cmd, cwd, env and pid of the process, None before it is executed."""
        return self.__details

    @property
    def return_code(self) -> int | None:
        """Return the exit code, None while the process runs."""
        return None if self.__process is None else self.__process.returncode

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the fixed actions of on_exit."""
        return self.__on_exit if isinstance(self.__on_exit, list) else []

    def get_asyncio_future(self) -> asyncio.Future | None:
        """Return what is done when the process has ended for good."""
        return self.__completed

    def execute(self, context: LaunchContext) -> None:
        """Start the process.

        Raises:
            RuntimeError: the action is executed a second time.
        """
        if self.__details is not None:
            raise RuntimeError(
                f"ExecuteProcess action '{self.__details['name']}': executed more than once"
            )
        self.__details = self.__prepare(context)
        if context.is_shutdown:
            return
        output = self.__output
        if not isinstance(output, Mapping):
            output = perform_substitutions(context, output)
        name = self.__details['name']
        loggers = launch.logging.get_output_loggers(name, output)
        self.__logger = launch.logging.get_logger(name)
        self.__register_handlers(context)
        self.__completed = context.asyncio_loop.create_future()
        self.__shutdown = asyncio.Event()
        # Also when a later entity of the same visit fails, the launch shall wait for the end.
        context.add_completion_future(self.__completed)
        respawn = perform_typed_substitution(context, self.__respawn, bool)
        self.__task = context.asyncio_loop.create_task(self.__run(context, respawn, loggers))

    def __prepare(self, context: LaunchContext) -> dict[str, Any]:
        """Perform the substitutions and return the process's details."""

        def text(value: SomeSubstitutionsType) -> str:
            return perform_substitutions(context, normalize_to_list_of_substitutions(value))

        command = [text(part) for part in self.cmd]
        name = os.path.basename(command[0]) if self.__name is None else text(self.__name)
        base = dict(context.environment) if self.__env is None else {}
        for variables in (self.__env or {}, self.__additional_env):
            base.update({text(key): text(value) for key, value in variables.items()})
        return {
            'name': f'{name}-{next(_counter)}',
            'cmd': shlex.split(text(self.__prefix)) + command,
            'cwd': None if self.__cwd is None else text(self.__cwd),
            'env': base,
        }

    def __register_handlers(self, context: LaunchContext) -> None:
        handlers = [
            EventHandler(
                matcher=lambda event: (
                    isinstance(event, ShutdownProcess) and event.process_matcher(self)
                ),
                entities=OpaqueFunction(function=lambda ctx: self.__begin_shutdown(ctx, True)),
            ),
            EventHandler(
                matcher=lambda event: (
                    isinstance(event, SignalProcess) and event.process_matcher(self)
                ),
                entities=OpaqueFunction(function=self.__on_signal),
            ),
            OnShutdown(on_shutdown=self.__on_shutdown),
        ]
        if self.__on_exit is not None:
            handlers.append(OnProcessExit(target_action=self, on_exit=self.__on_exit))
        for handler in handlers:
            context.register_event_handler(handler)

    async def __run(self, context: LaunchContext, respawn: bool, loggers: tuple) -> None:
        """Run the process, again and again where it is to respawn."""
        try:
            while True:
                started = await self.__run_once(context, loggers)
                if not (started and respawn) or self.__retries_left == 0:
                    return
                self.__retries_left -= 1
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.__shutdown.wait(), self.__respawn_delay)
                if self.__shutdown.is_set() or context.is_shutdown:
                    return
        finally:
            for timer in self.__timers:
                timer.cancel()
            if not self.__completed.done():
                self.__completed.set_result(None)

    async def __run_once(self, context: LaunchContext, loggers: tuple) -> bool:
        """Run the process to its end; return whether it could be started."""
        details = self.__details
        command = details['cmd']
        if self.__shutdown.is_set():
            return False
        if self.__log_cmd:
            self.__logger.info("process details: cmd='%s', cwd='%s'", command, details['cwd'])
        # The input too: a terminal is for who launched, not for several processes at once.
        pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), asyncio.subprocess.PIPE)
        where = {'cwd': details['cwd'], 'env': details['env']}
        try:
            if self.__shell:
                start = asyncio.create_subprocess_shell(' '.join(command), **pipes, **where)
            else:
                start = asyncio.create_subprocess_exec(*command, **pipes, **where)
            self.__process = await start
        except (OSError, ValueError) as error:
            self.__logger.error('cannot execute %s: %s', command, error)
            return False
        process = self.__process
        details['pid'] = process.pid
        self.__logger.info('process started with pid [%d]', process.pid)
        context.emit_event_sync(ProcessStarted(action=self, **details))
        if self.__shutdown_begun:  # it was asked to end while it was starting
            self.__shutdown_begun = False
            context.emit_event_sync(ShutdownProcess(process_matcher=matches_action(self)))
        readers = [
            self.__forward(context, process.stdout, ProcessStdout, loggers[0]),
            self.__forward(context, process.stderr, ProcessStderr, loggers[1]),
        ]
        # A grandchild may keep the pipes open, so that the end of output is no sign of the end.
        reading = asyncio.ensure_future(asyncio.gather(*readers))
        code = await process.wait()
        await asyncio.wait([reading], timeout=1.0)
        reading.cancel()
        if code == 0:
            self.__logger.info('process has finished cleanly [pid %d]', process.pid)
        else:
            self.__logger.error(
                "process has died [pid %d, exit code %d, cmd '%s'].",
                process.pid,
                code,
                ' '.join(command),
            )
        context.emit_event_sync(ProcessExited(returncode=code, action=self, **details))
        return True

    async def __forward(
        self, context: LaunchContext, stream: Any, event: Any, logger: Any
    ) -> None:
        """Log a stream of the process line by line and emit what comes as events."""
        rest = b''
        while data := await stream.read(_READ_SIZE):
            context.emit_event_sync(event(text=data, action=self, **self.__details))
            *lines, rest = (rest + data).split(b'\n')
            for line in lines:
                self.__log_line(logger, line)
        if rest:
            self.__log_line(logger, rest)

    def __log_line(self, logger: Any, line: bytes) -> None:
        text = line.decode(errors='replace').rstrip('\r')
        logger.info('%s', self.__output_format.format(line=text, this=self))

    def __on_shutdown(self, event: Event, context: LaunchContext) -> list | None:
        assert isinstance(event, Shutdown)
        return self.__begin_shutdown(context, not event.due_to_sigint or context.noninteractive)

    def __begin_shutdown(self, context: LaunchContext, send_sigint: bool) -> list | None:
        """Return the actions that end the process, once."""
        if self.__shutdown_begun or self.__completed is None or self.__completed.done():
            return None
        self.__shutdown_begun = True
        self.__shutdown.set()
        if self.__process is None:
            return None
        first, second = (
            float(perform_substitutions(context, timeout)) for timeout in self.__timeouts
        )
        self.__timers = [
            self.__escalation(first, signal.SIGTERM),
            self.__escalation(first + second, signal.SIGKILL),
        ]
        actions: list[Action] = list(self.__timers)
        if send_sigint:
            actions.append(self.__signal_action(signal.SIGINT))
        return actions

    def __escalation(self, seconds: float, number: signal.Signals) -> TimerAction:
        def warn(_context: LaunchContext) -> None:
            self.__logger.error(
                "process did not end within %g seconds, escalating to '%s'", seconds, number.name
            )

        return TimerAction(
            period=seconds,
            actions=[OpaqueFunction(function=warn), self.__signal_action(number)],
            cancel_on_shutdown=False,
        )

    def __signal_action(self, number: signal.Signals) -> EmitEvent:
        return EmitEvent(
            event=SignalProcess(signal_number=number, process_matcher=matches_action(self))
        )

    def __on_signal(self, context: LaunchContext) -> None:
        event: SignalProcess = context.locals.event
        if self.__process is None:
            raise RuntimeError('Signal event received before execution.')
        if self.__process.returncode is not None:
            return
        self.__logger.info("sending signal '%s' to process", event.signal_name)
        try:
            self.__process.send_signal(event.signal)
        except ProcessLookupError:
            self.__logger.debug('the process had ended already')
