"""Words for names that are not known: what was probably meant, and what there is."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence of an error: ``unknown WHAT 'NAME'; did you mean ...? known: ...``.

    Args:
        what: kind of name, such as ``class``.
        name: as it was given.
        known: the names that there are.
    """
    names = list(known)
    lower = {one.lower(): one for one in names}
    close = get_close_matches(name.lower(), lower, n=2)
    hint = ' or '.join(repr(lower[one]) for one in close)
    return (
        f'unknown {what} {name!r}; '
        + (f'did you mean {hint}? ' if hint else '')
        + (f'known: {", ".join(names)}')
    )
