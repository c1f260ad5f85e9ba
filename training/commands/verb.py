"""What all verbs have in common: examples in --help, what was meant, and a way on after Ctrl-C."""

from __future__ import annotations

from typing import Any, ClassVar

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from sim_perception.suggestions import unknown
from training.commands.telling import telling
from training.engine.command import INTERRUPTED

_EXAMPLES = 'Examples:'
# Words that options had before; scripts may still use them.
_FORMER = {'--output': '--out', '--runs': '--out', '--start': '--checkpoint'}
# What these verbs took as their first word before it became an option.
_FORMER_WORD = {'calibrate': '--checkpoint', 'export': '--checkpoint', 'resimulation': '--data'}


class Verb(TyperCommand):
    """A verb; what follows ``Examples:`` in its docstring is shown at the end of its help."""

    again: ClassVar[str] = 'the same command begins again'
    """What to do after Ctrl-C."""

    def __init__(self, *args: Any, help: str | None = None, **options: Any) -> None:
        text, _, examples = (help or '').partition(_EXAMPLES)
        self.examples = [' '.join(line.split()) for line in examples.splitlines() if line.strip()]
        """Commands as a person would type them."""
        if self.examples:
            options['epilog'] = '\n\n'.join([_EXAMPLES, *map(escape, self.examples)])
        paragraphs = (' '.join(one.split()) for one in text.split('\n\n'))
        super().__init__(*args, help='\n\n'.join(paragraphs).strip(), **options)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; former words are understood, misspelt ones told what was meant."""
        known = [name for one in self.params for name in one.opts if name.startswith('--')]
        word = _FORMER_WORD.get(self.name or '')
        if word is not None and args and not args[0].startswith('-'):
            args = [word, *args]
        args = [_renamed(argument, known) for argument in args]
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # click's own or the copy of it within typer, by version
            if type(error).__name__ == 'NoSuchOption' and hasattr(error, 'possibilities'):
                error.possibilities = None
                error.message = unknown('option', error.option_name, known)  # type: ignore[attr-defined]
            raise

    def invoke(self, ctx: Any) -> Any:
        """Do it; Ctrl-C ends it with a sentence."""
        try:
            with telling(ctx.info_name):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            say_stopped(self.again)
            raise typer.Exit(INTERRUPTED) from None


class Resumable(Verb):
    """A verb that keeps what is done."""

    again = 'what is done is kept, and the same command goes on'


class Training(Verb):
    """A verb that keeps the state of a training."""

    again = 'the same command with --resume goes on from the newest state that was saved'


class Verbs(TyperGroup):
    """A group of verbs."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb; a misspelt one is told what was meant."""
        if args and self.get_command(ctx, args[0]) is None and args[0][:1] != '-':
            ctx.fail(unknown('verb', args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def say_stopped(again: str) -> None:
    """Print the sentence after Ctrl-C."""
    Console(stderr=True, soft_wrap=True).print(f'[bold]stopped[/]: {again}', highlight=False)


def _renamed(argument: str, known: list[str]) -> str:
    """Return an argument with an option's present name for a former one."""
    name, equals, value = argument.partition('=')
    present = _FORMER.get(name)
    return present + equals + value if present in known and name not in known else argument
