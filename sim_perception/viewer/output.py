"""Where a recording of rerun goes: a window, a page of a local web server, or a file."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sim_perception.viewer.sdk import rerun_sdk

APPLICATION = 'sim_perception'
WEB_PORT = 9090
DATA_PORT = 9876
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
    """

    recording: Any
    where: str
    url: str = ''

    def close(self) -> None:
        """Send what waits and end the recording: a file is whole then, a page ends."""
        self.recording.flush()
        self.recording.disconnect()


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
        OutputError: if the port is taken.
    """
    recording = _recording()
    if show == 'window' or (show == 'auto' and has_display()):
        recording.spawn(default_blueprint=blueprint, hide_welcome_screen=True)
        return Output(recording, 'shown in a window')
    port, data_port = _free_port(web_port), _free_port(DATA_PORT)
    data = recording.serve_grpc(
        grpc_port=data_port, default_blueprint=blueprint, server_memory_limit=memory
    )
    rerun_sdk().serve_web_viewer(web_port=port, open_browser=False, connect_to=data)
    url = f'http://localhost:{port}/?url={quote(data, safe="")}'
    return Output(recording, f'open {url} in a browser', url)


def _recording() -> Any:
    return rerun_sdk().RecordingStream(APPLICATION)


def _free_port(wanted: int) -> int:
    """Return a port of this machine if it is free, else a free one near it.

    Raises:
        OutputError: if there is none.
    """
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            try:
                probe.bind(('', port))
            except OSError:
                continue
        return port
    raise OutputError(f'ports {wanted} to {wanted + 49} are taken; choose another with --port')
