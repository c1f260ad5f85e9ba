"""Log output of a launch and of its processes: the screen and a file per launch."""

from __future__ import annotations

import datetime
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

_FORMAT = '[{levelname}] [{name}]: {message}'
_SOURCES = ('both', 'stdout', 'stderr')
_NAMED_OUTPUTS: dict[str, dict[str, set[str]]] = {
    'screen': {'both': {'screen'}},
    'log': {'both': {'log'}, 'stderr': {'screen'}},
    'both': {'both': {'log', 'screen'}},
    'own_log': {'both': {'own_log'}},
    'full': {'both': {'screen', 'log', 'own_log'}},
}


class _ScreenHandler(logging.Handler):
    """Writes to whatever sys.stdout is at that time."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(self.format(record) + '\n')
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            pass  # the reader has gone; the log file still gets everything


class LaunchConfig:
    """The handlers, shared by all loggers of the process."""

    def __init__(self) -> None:
        self.level = logging.INFO
        self._directory: Path | None = None
        self._handlers: dict[tuple[str, bool], logging.Handler] = {}

    @property
    def log_dir(self) -> str:
        """Return the folder of this launch's log files, made when first asked for."""
        if self._directory is None:
            home = os.environ.get('ROS_HOME') or str(Path.home() / '.ros')
            root = os.environ.get('ROS_LOG_DIR') or str(Path(home) / 'log')
            stamp = datetime.datetime.now().strftime('%Y-%m-%d-%H-%M-%S-%f')
            self._directory = Path(root) / f'{stamp}-{socket.gethostname()}-{os.getpid()}'
            self._directory.mkdir(parents=True, exist_ok=True)
        return str(self._directory)

    def handler(self, destination: str, raw: bool) -> logging.Handler:
        """Return the handler for 'screen' or a file name; raw ones write only the message."""
        key = (destination, raw)
        if key not in self._handlers:
            if destination == 'screen':
                handler: logging.Handler = _ScreenHandler()
            else:
                handler = logging.FileHandler(Path(self.log_dir) / destination, encoding='utf-8')
            prefix = '' if destination == 'screen' else '{created:.7f} '
            style = '{message}' if raw else prefix + _FORMAT
            handler.setFormatter(logging.Formatter(style, style='{'))
            self._handlers[key] = handler
        return self._handlers[key]

    def reset(self) -> None:
        """Close the log files; later messages go into a new folder."""
        for handler in self._handlers.values():
            for logger in list(logging.root.manager.loggerDict.values()):
                if isinstance(logger, logging.Logger):
                    logger.removeHandler(handler)
            handler.close()
        self._handlers.clear()
        self._directory = None


launch_config = LaunchConfig()


def _configured(name: str, destinations: set[str], raw: bool) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.setLevel(launch_config.level)
    wanted = [launch_config.handler(destination, raw) for destination in sorted(destinations)]
    if logger.handlers != wanted:
        logger.handlers = wanted
    return logger


def get_logger(name: str | None = None) -> logging.Logger:
    """Return a logger that writes to the screen and the launch's log file."""
    return _configured(name or 'launch', {'screen', 'launch.log'}, raw=False)


def _normalize(config: Any) -> dict[str, set[str]]:
    """Return the destinations of 'both', 'stdout' and 'stderr'."""
    if isinstance(config, str):
        if config not in _NAMED_OUTPUTS:
            raise ValueError(f"'{config}' is no output; use one of {', '.join(_NAMED_OUTPUTS)}")
        return {source: _NAMED_OUTPUTS[config].get(source, set()) for source in _SOURCES}
    unknown = set(config) - set(_SOURCES)
    if unknown:
        raise ValueError(f'{unknown} are no output sources; use {", ".join(_SOURCES)}')
    return {
        source: {config[source]}
        if isinstance(config.get(source), str)
        else set(config.get(source, ()))
        for source in _SOURCES
    }


def get_output_loggers(
    process_name: str, output_config: Any
) -> tuple[logging.Logger, logging.Logger]:
    """Return the loggers for a process's standard output and error.

    Args:
        process_name: unique name of the process.
        output_config: 'screen', 'log', 'both', 'own_log', 'full', or a dict from
            'stdout' / 'stderr' / 'both' to 'screen', 'log', 'own_log' or sets of them.
    """
    config = _normalize(output_config)
    loggers = []
    for source in ('stdout', 'stderr'):
        files = {
            'screen': 'screen',
            'log': 'launch.log',
            'own_log': f'{process_name}-{source}.log',
        }
        destinations = {files[target] for target in config['both'] | config[source]}
        loggers.append(_configured(f'{process_name}-{source}', destinations, raw=True))
    return loggers[0], loggers[1]
