"""``{name}`` and ``{role.address}`` in the words of a tool's commands."""

from __future__ import annotations

import string
from collections.abc import Collection, Mapping

from fieldlab.definitions import placeholders
from fieldlab.domain.errors import BadInput, nearest

_LITERAL = "Write {{ and }} for literal braces"


def names_in(text: str) -> list[str]:
    """List the names that a text asks for.

    Raises
    ------
    BadInput
        A brace has no partner, or a placeholder is more than a name.
    """
    return placeholders.names_in(text, _is_name)


def _is_name(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def unknown_in(text: str, known: Collection[str]) -> tuple[str, str] | None:
    """Find the first placeholder that nothing fills: its name, and what to do."""
    for name in names_in(text):
        if name not in known:
            listed = ", ".join(f"{{{each}}}" for each in list(known)[:12])
            return name, f"{nearest(name, known) or f'There are {listed}.'} {_LITERAL}"
    return None


def filled(text: str, values: Mapping[str, str]) -> str:
    """Fill a text in.

    Raises
    ------
    BadInput
        It asks for what isn't there.
    """
    unknown = unknown_in(text, values)
    if unknown is not None:
        name, remedy = unknown
        raise BadInput(f"Nothing fills the placeholder {{{name}}} in {text!r}", remedy=remedy)
    parts = string.Formatter().parse(text)
    return "".join(literal + (values[name] if name else "") for literal, name, _, _ in parts)
