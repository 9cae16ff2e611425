"""Which trial a user means: digits of its fingerprint, or its parameters as in the spreadsheet."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.domain.errors import BadInput, UnknownName, nearest
from fieldlab.domain.ids import FINGERPRINT_DIGITS, Point, Value, fingerprint

if TYPE_CHECKING:
    import sqlalchemy as sa

    from fieldlab.ports.store import Campaign
    from fieldlab.store.queries import TrialView

#: words of one command line that may mean a number or text are tried in so many ways
_MOST_READINGS = 64
_SPELLINGS: dict[str, Value] = {"True": True, "False": False, "None": None}

TrialWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TRIAL]",
        help="First digits of a fingerprint, or every parameter: delta=0.5 rho=0.1 '#2'.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Untouched:
    """Parameters of which nothing is recorded."""

    #: every way of reading them, the likeliest first: a word may be a number or text
    readings: Sequence[Point]
    #: counted from 1
    repeat: int


def find_trial(
    connection: sa.Connection, campaign: Campaign, names: Sequence[str], words: Sequence[str]
) -> TrialView | Untouched:
    """Find the trial that the words name.

    Parameters
    ----------
    names
        The parameters of the campaign's space.

    Raises
    ------
    UnknownName
        The digits fit no trial, or several; a parameter doesn't exist.
    BadInput
        The words are neither digits nor all parameters.
    """
    from fieldlab.store import queries

    text = " ".join(words).strip()
    if "=" not in text and "#" not in text:
        _check_digits(text, names)
        trial = queries.find_trial(connection, campaign, text.lower())
        if trial is None:
            raise UnknownName(
                f"No trial of {campaign.experiment} that has run begins with '{text}'",
                remedy=f"Name one that hasn't by its parameters: {_example(names)}",
            )
        return trial
    readings, repeat = read_parameters(text, names)
    for point in readings:
        trial = queries.find_trial(connection, campaign, fingerprint(point, repeat))
        if trial is not None:
            return trial
    return Untouched(readings=readings, repeat=repeat)


def _check_digits(text: str, names: Sequence[str]) -> None:
    from fieldlab.store.queries import SHORTEST_FINGERPRINT

    if not re.fullmatch(r"[0-9a-fA-F]+", text) or len(text) > FINGERPRINT_DIGITS:
        raise BadInput(
            f"'{text}' names no trial",
            remedy=f"Give first digits of its fingerprint, or its parameters: {_example(names)}",
        )
    if len(text) < SHORTEST_FINGERPRINT:
        raise BadInput(
            f"'{text}' is too short for a fingerprint",
            remedy=f"Give at least {SHORTEST_FINGERPRINT} digits",
        )


def _example(names: Sequence[str]) -> str:
    return " ".join(f"{name}=…" for name in names) or "'#1'"


def read_parameters(text: str, names: Sequence[str]) -> tuple[Sequence[Point], int]:
    """Read ``delta=0.5 rho=0.1 #2``: every way of reading the parameters, and which repeat.

    Raises
    ------
    BadInput
        A parameter is missing, unknown, or given twice.
    """
    repeat = 1
    if found := re.search(r"(?:^|\s)#([1-9][0-9]{0,17})$", text):
        repeat, text = int(found[1]), text[: found.start()].strip()
    given = _split(text, names)
    missing = [name for name in names if name not in given]
    if missing:
        raise BadInput(
            f"A trial is named by all its parameters; {', '.join(missing)} is missing",
            remedy=f"Write {_example(names)}",
        )
    choices = [_values(given[name]) for name in names]
    readings = itertools.islice(itertools.product(*choices), _MOST_READINGS)
    return [dict(zip(names, values, strict=True)) for values in readings], repeat


def _split(text: str, names: Sequence[str]) -> dict[str, str]:
    """Cut the text where a parameter's name and an equals sign stand; values may hold spaces."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    starts = list(re.finditer(rf"(?:^|(?<=\s))({known})=", text)) if names else []
    before = text[: starts[0].start()] if starts else text
    if before.strip():
        word = before.partition("=")[0].strip()
        raise UnknownName(
            f"There is no parameter '{word}'",
            remedy=nearest(word, names) or f"Parameters: {', '.join(names) or 'none'}",
        )
    given: dict[str, str] = {}
    ends = [*(start.start() for start in starts[1:]), len(text)]
    for start, end in zip(starts, ends, strict=False):
        if start[1] in given:
            raise BadInput(f"The parameter '{start[1]}' is given twice", remedy="Give it once")
        given[start[1]] = text[start.end() : end].strip()
    return given


def _values(word: str) -> list[Value]:
    """Read a word as the number, truth value or null that it looks like, and as text."""
    try:
        value = json.loads(word, parse_constant=str)
    except ValueError:
        plain = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", word, re.ASCII)
        value = float(word) if plain else _SPELLINGS.get(word, word)
    if isinstance(value, dict | list) or value == word:
        return [word]
    text = value if isinstance(value, str) else word  # in quotes it can only be text
    return [text] if isinstance(value, str) else [value, text]
