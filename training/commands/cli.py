"""Command line ``sim-perception``, also ``python -m training``.

torch is imported only by the verbs that need it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from training.commands import evaluate
from training.commands.ablate import ablate
from training.commands.average import average
from training.commands.calibrate import calibrate
from training.commands.convert import convert
from training.commands.crops import crops
from training.commands.curriculum import curriculum
from training.commands.demo import demo
from training.commands.export import export
from training.commands.inspect import inspect
from training.commands.label import label
from training.commands.recipe import recipe
from training.commands.resimulate import resimulate
from training.commands.script import end
from training.commands.shape import shape
from training.commands.simulate import simulate
from training.commands.sizes import sizes
from training.commands.train import train
from training.commands.translate import translate
from training.commands.verb import Resumable, Training, Verb, Verbs
from training.commands.view import view

PROGRAM = 'sim-perception'
_MODULE = 'python -m training'

app = typer.Typer(
    name=PROGRAM,
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={'help_option_names': ['-h', '--help']},
)

for panel, kind, verbs in (
    ('Look', Verb, (demo, inspect, view, sizes)),
    ('Simulate', Resumable, (simulate,)),
    ('Simulate', Verb, (resimulate, translate)),
    ('Train', Training, (train,)),
    ('Train', Resumable, (recipe,)),
    ('Train', Verb, (average, calibrate, export, shape)),
    ('Label', Resumable, (label, crops, curriculum)),
    ('Label', Verb, (convert,)),
    ('Evaluate', Resumable, (ablate,)),
):
    for verb in verbs:
        app.command(cls=kind, rich_help_panel=panel)(verb)
app.add_typer(evaluate.app, name='evaluate', rich_help_panel='Evaluate')


@app.callback()
def options(
    debug: Annotated[bool, typer.Option('--debug', help='Show tracebacks of errors.')] = False,
) -> None:
    """Simulate data, look at it, train networks on it, evaluate and export them."""


def main() -> None:
    """Run a verb; every error is one message.

    Exit status 2: what a user can mend; 1: what nobody foresaw; 130: Ctrl-C.
    """
    try:
        app(prog_name=_program())
    except Exception as error:
        if '--debug' in sys.argv:
            raise
        end(error)


def _program() -> str:
    """Return how this was started; shells complete the words of a program, not of a module."""
    completes = any('completion' in word for word in sys.argv[1:2])
    return PROGRAM if completes or Path(sys.argv[0]).stem == PROGRAM else _MODULE
