"""``{name}`` in the words of a command: which parameters it uses, and whether it can be filled.

The grammar is that of ``str.format`` with names only: ``{{`` and ``}}`` are literal braces.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Collection, Iterable, Iterator

from fieldlab.definitions.hints import suggestion
from fieldlab.domain.definition import PLACEHOLDERS
from fieldlab.domain.errors import BadInput, Problem
from fieldlab.domain.fields import Key

_LITERAL = "Write {{ and }} for literal braces"


def names_in(text: str, is_name: Callable[[str], bool] = str.isidentifier) -> list[str]:
    """List the names that ``text`` asks for.

    Parameters
    ----------
    is_name
        Says what can be a name.

    Raises
    ------
    BadInput
        A brace is left open, or a placeholder holds more than a name.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        raise BadInput(f"a brace in {text!r} has no partner", remedy=_LITERAL) from None
    names = []
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if form or conversion or not is_name(name):
            whole = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise BadInput(
                f"the placeholder {{{whole}}} is not just a name",
                remedy=f"Name a parameter, such as {{size}}. {_LITERAL}",
            )
        names.append(name)
    return names


def unknown_placeholders(
    words: Iterable[tuple[Key, str]], parameters: Collection[str]
) -> Iterator[Problem]:
    """Find placeholders that name neither a parameter nor something that fieldlab fills in."""
    known = [*parameters, *sorted(PLACEHOLDERS)]
    for key, text in words:
        for name in names_in(text):
            if name in known:
                continue
            listed = ", ".join(f"{{{each}}}" for each in known[:12])
            remedy = suggestion(name, known, f"There are {listed}.")
            what = f"the placeholder {{{name}}} is no parameter of the space"
            yield Problem(what=what, remedy=f"{remedy} {_LITERAL}", key=key)
