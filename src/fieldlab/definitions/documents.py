"""What the readers of YAML, JSON and TOML hand on: plain data that knows where it was written."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fieldlab.domain.errors import BadInput, Problem
from fieldlab.domain.fields import Key, key_part

#: values in one definition, aliases written out; a longer list is better computed
MOST_VALUES = 200_000
#: of an integer that Python still writes in decimals
_MOST_BITS = 14_000
#: lists and mappings inside each other
DEEPEST = 40


class Places(Protocol):
    """Where the parts of a document stand. A key that doesn't exist has its parent's place."""

    def line(self, key: Key) -> int:
        """Give the line, counted from 1; 0 when it isn't known."""
        ...

    def written(self, key: Key) -> str:
        """Give the text of a single value as it was written; "" when it isn't known."""
        ...


class Nowhere:
    """The places of data that didn't come from a text."""

    def line(self, key: Key) -> int:
        return 0

    def written(self, key: Key) -> str:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One definition as written: plain data (JSON types, finite numbers) and its places."""

    data: Mapping[str, Any]
    places: Places = field(default_factory=Nowhere)
    file: str = ""
    #: values that couldn't be kept; in ``data`` None stands for them
    problems: tuple[Problem, ...] = ()

    def located(self, problem: Problem) -> Problem:
        """Add file and line to a problem that only has a key."""
        return Problem(
            what=problem.what,
            remedy=problem.remedy,
            key=problem.key,
            file=self.file,
            line=problem.line or self.places.line(problem.key),
        )


def unreadable(file: str, what: str, remedy: str, line: int = 0) -> BadInput:
    """Make the error for a text that can't be read at all."""
    return BadInput.of([Problem(what=what, remedy=remedy, file=file, line=line)])


def too_deep(file: str, line: int = 0) -> BadInput:
    """Make the error for lists in lists in lists."""
    return unreadable(
        file,
        f"lists and mappings are nested more than {DEEPEST} deep",
        "Close the brackets where they belong, or flatten what is nested",
        line,
    )


class Plainer:
    """Turns what a parser gives into JSON types, noting what can't be one."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0
        self.problems: list[Problem] = []

    def plain(self, value: Any, key: Key = ()) -> Any:
        """Give a copy in JSON types; None stands for a value that isn't one."""
        self._count += 1
        if self._count > MOST_VALUES:
            raise too_many(self._file)
        if len(key) > DEEPEST:
            raise too_deep(self._file)
        if isinstance(value, Mapping):
            return {
                self._name(name, key): self.plain(item, (*key, key_part(name)))
                for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.plain(item, (*key, number)) for number, item in enumerate(value)]
        return self._scalar(value, key)

    def _name(self, name: object, key: Key) -> str:
        if isinstance(name, str):
            return self._text(name, (*key, name))
        self._note((*key, key_part(name)), f"the key {name!r} is not text", "Put it in quotes")
        return key_part(name)

    def _scalar(self, value: Any, key: Key) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            self._note(
                key,
                f"{value} is not a finite number",
                "Leave it out, or write it as text in quotes if your program reads that",
            )
            return None
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            self._note(key, "a number has too many digits", "Write fewer")
            return None
        # Subclasses, such as those of numpy and of enum, become what they stand for.
        for kind in (bool, int, float):
            if isinstance(value, kind):
                return kind(value)
        if isinstance(value, str):
            return self._text(str.__str__(value), key)
        if value is not None:
            self._note(key, *_not_plain(value))
        return None

    def _text(self, text: str, key: Key) -> str:
        fault = unstorable(text)
        if fault:
            self._note(key, f"the text {fault}", "Remove it")
        return text

    def _note(self, key: Key, what: str, remedy: str) -> None:
        self.problems.append(Problem(what=what, remedy=remedy, key=key))


def unstorable(text: str) -> str:
    """Say what keeps a text from being stored; nothing if it can be."""
    if "\0" in text:
        return "has a NUL character, which no database takes"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"has half a character, U+{ord(text[error.start]):04X}, which no database takes"
    return ""


def too_many(file: str) -> BadInput:
    """Make the error for a definition that is longer than one can be."""
    return unreadable(
        file,
        f"the definition has more than {MOST_VALUES:,} values (aliases count every time)",
        "Compute long axes: range, linspace, logspace, or 'sample' for random points",
    )


def _not_plain(value: object) -> tuple[str, str]:
    if isinstance(value, datetime.date | datetime.time):
        return f"{value} is read as a date or time", f'Put it in quotes: "{value}"'
    if hasattr(value, "tolist"):
        return f"a {type(value).__name__} is not plain data", "Convert it: .tolist()"
    return (
        f"a value of type {type(value).__name__} can't stand in a definition",
        "Use text, numbers, true or false, lists and mappings",
    )
