"""What the command lines of verbs and of example scripts share: errors as one message."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from sim_perception.extras import HOMES, install_line
from training.commands.verb import Verb
from training.engine.command import VerbError

FORESEEN = (
    ValueError, OSError, ImportError, FloatingPointError, MemoryError,
    sqlite3.Error, VerbError,
)  # fmt: skip
"""Errors that a user can mend."""


def run_script(main: Callable[..., None]) -> None:
    """Run a function as a command, as ``typer.run`` does; errors that a user can mend are one
    message and exit status 2, as those of verbs.
    """
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command(cls=Verb, context_settings={'help_option_names': ['-h', '--help']})(main)
    try:
        app()
    except FORESEEN as error:
        end(error)


def end(error: Exception) -> NoReturn:
    """Print an error as one message and exit.

    Exit status 2: what a user can mend; 1: what nobody foresaw.
    """
    foreseen = isinstance(error, FORESEEN)
    message = f'[bold red]error:[/] {escape(_in_words(error, foreseen))}'
    Console(stderr=True, soft_wrap=True).print(message, highlight=False)
    sys.exit(2 if foreseen else 1)


def _in_words(error: Exception, foreseen: bool) -> str:
    """Return one line about an error."""
    text = str(error) if foreseen else repr(error)
    if isinstance(error, ModuleNotFoundError) and error.name in HOMES:
        return f'{text}; install it with: {install_line([error.name])}'
    if isinstance(error, MemoryError):
        return f'not enough memory: {text}'
    if any(word in text for word in ('No space left', 'disk is full')):
        return f'{text}; free some space and run the same command again'
    return text if foreseen else f'{text}, which nobody foresaw; --debug shows where'
