"""Words for names that are not known: what was probably meant, and what there is."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, get_args


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence of an error: ``unknown WHAT 'NAME'; did you mean ...? known: ...``.

    Args:
        what: kind of name, such as ``class``.
        name: as it was given.
        known: the names that there are.
    """
    names = list(known)
    hint = meant(name, names)
    return f'unknown {what} {name!r}; {hint + " " if hint else ""}known: {", ".join(names)}'


def meant(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean ...?`` with the nearest of some names, '' if none is near."""
    lower = {one.lower(): one for one in known}
    word = name.lower()
    parts = [one for one in lower if len(word) > 2 and word in one]
    close = get_close_matches(word, lower, n=2) or parts[:2]
    return f'did you mean {" or ".join(repr(lower[one]) for one in close)}?' if close else ''


def unknown_key(what: str, model: Any, path: Sequence[int | str]) -> str:
    """Return the sentence about a key that a pydantic model does not have.

    Args:
        what: kind of key, such as ``field``.
        model: the class that was validated.
        path: of the key within it, as pydantic's errors have it.
    """
    *parents, key = (str(part) for part in path if not isinstance(part, int))
    for parent in parents:
        field = getattr(model, 'model_fields', {}).get(parent)
        model = None if field is None else _only_model(field.annotation)
    known = getattr(model, 'model_fields', {})
    return unknown(what, key, known) if known else f'unknown {what}; check its spelling'


def _only_model(annotation: Any) -> Any:
    """Return the model within a type such as ``list[Model] | None``, None if there are several."""
    if hasattr(annotation, 'model_fields'):
        return annotation
    found = {model for inner in get_args(annotation) if (model := _only_model(inner)) is not None}
    return found.pop() if len(found) == 1 else None


class Parser(argparse.ArgumentParser):
    """argparse's parser, which says of a misspelt option what was meant."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse all arguments; exits with a message where one is not known."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            known = [one for one in self._option_string_actions if one.startswith('--')]
            self.error(unknown('option', rest[0].partition('=')[0], known))
        return found
