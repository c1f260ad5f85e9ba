"""Where a recording of rerun goes: a window, a page of a local web server, or a file."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sim_perception.viewer.sdk import rerun_sdk

APPLICATION = 'sim_perception'
WEB_PORT = 9090
DATA_PORT = 9876
_HOST = '127.0.0.1'
_PATIENCE_S = 60.0
SHOW = ('auto', 'window', 'web')


class OutputError(ValueError):
    """There is no place for the viewer; the message says what to do."""


@dataclass
class Output:
    """An open recording.

    Attributes:
        recording: the ``rerun.RecordingStream``.
        where: in words, where it can be seen.
        url: of the page, or ''.
        process: the window's or the page's, or None.
    """

    recording: Any
    where: str
    url: str = ''
    process: subprocess.Popen[bytes] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the window was closed or the page's server is gone."""
        return self.process is not None and self.process.poll() is not None

    def flush(self) -> None:
        """Send what waits, unless there is nobody to take it."""
        if not self.has_ended:
            self.recording.flush(timeout_sec=_PATIENCE_S)

    def close(self) -> None:
        """Send what waits and end the recording: a file is whole then, a page ends."""
        self.flush()
        self.recording.disconnect()
        if self.url and self.process is not None:
            _end(self.process)


def has_display() -> bool:
    """Return whether windows can be opened here."""
    if sys.platform in ('darwin', 'win32'):
        return True
    return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def program(name: str) -> str:
    """Return how to call a program that is beside Python: by its name if the shell finds it."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and Path(found).resolve() == beside.resolve():
        return name
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def open_output(
    blueprint: Any, save: str = '', show: str = 'auto', web_port: int = WEB_PORT
) -> Output:
    """Return a recording that is written to the file ``save``, or shown if that is empty.

    Raises:
        OutputError, OSError: see ``open_file`` and ``open_viewer``.
    """
    return open_file(Path(save), blueprint) if save else open_viewer(blueprint, show, web_port)


def open_file(path: Path, blueprint: Any) -> Output:
    """Return a recording that is written to a ``.rrd`` file.

    Raises:
        OutputError: for another ending.
        OSError: if it cannot be written.
    """
    if path.suffix != '.rrd':
        raise OutputError(f'{path} must end with .rrd, which the viewer opens')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open('wb').close()  # says plainly why it cannot be written, if so
    recording = _recording()
    recording.save(str(path), default_blueprint=blueprint)
    return Output(recording, f'open it with: {program("rerun")} {path}')


def open_viewer(
    blueprint: Any, show: str = 'auto', web_port: int = WEB_PORT, memory: str = '1GiB'
) -> Output:
    """Return a recording that is shown while it is made.

    Args:
        blueprint: the layout.
        show: ``window``, ``web`` for a page on this machine, or ``auto``: a window where there is
            a display.
        web_port: of the page; the data take a free one.
        memory: how much of the recording the page keeps for those who open it later.

    Raises:
        OutputError: if no port is free, or the viewer does not start.
    """
    data_port = _free_port(DATA_PORT)
    if show == 'window' or (show == 'auto' and has_display()):
        process = _start(data_port, '--hide-welcome-screen')
        return Output(_connected(data_port, blueprint), 'shown in a window', process=process)
    port = _free_port(web_port, data_port)
    process = _start(
        *(data_port, '--serve-web', '--web-viewer-port', str(port)),
        *('--server-memory-limit', memory),
    )
    url = f'http://localhost:{port}/?url={quote(_address(data_port), safe="")}'
    recording = _connected(data_port, blueprint)
    return Output(recording, f'open {url} in a browser', url, process)


def _start(data_port: int, *options: str) -> subprocess.Popen[bytes]:
    """Start rerun's own program for this machine alone; the SDK would serve the whole network.

    Raises:
        OutputError: if it ends at once or takes too long.
    """
    command = [sys.executable, '-m', 'rerun', '--bind', _HOST, '--port', str(data_port), *options]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for us, who tell it when to end
        )
        end = time.monotonic() + _PATIENCE_S
        while not _answers(data_port):
            if process.poll() is not None or time.monotonic() > end:
                _end(process)
                said.seek(0)
                text = said.read().decode(errors='replace').strip().splitlines()[-3:]
                raise OutputError(
                    f'the viewer did not start: {" ".join(text) or "it said nothing"}; without a '
                    'screen or its driver take the page: --web, or show:=web'
                )
            time.sleep(0.05)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program with what it has started: rerun's Python starts another."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_HOST, port)) == 0


def _address(port: int) -> str:
    return f'rerun+http://{_HOST}:{port}/proxy'


def _connected(port: int, blueprint: Any) -> Any:
    recording = _recording()
    recording.connect_grpc(_address(port), default_blueprint=blueprint)
    return recording


def _recording() -> Any:
    return rerun_sdk().RecordingStream(APPLICATION)


def _free_port(wanted: int, taken: int = 0) -> int:
    """Return a port of this machine if it is free, else a free one near it.

    Raises:
        OutputError: if there is none.
    """
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            # As servers do: a port whose last connections still fade away is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
        if port != taken:
            return port
    raise OutputError(f'ports {wanted} to {wanted + 49} are taken; choose another with --port')
