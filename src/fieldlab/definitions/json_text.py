"""JSON with line numbers, and with errors that know the usual slips."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from fieldlab.definitions.documents import too_deep, unreadable
from fieldlab.domain.errors import BadInput, Problem
from fieldlab.domain.fields import Key

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class _Member(NamedTuple):
    """One entry of an object or a list: its key, and the offsets of its beginning and its value."""

    name: str | int
    begins: int
    value: int


class JsonPlaces:
    """Where things stand in a valid JSON text; found when asked for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def line(self, key: Key) -> int:
        return _line(self._text, self._find(key)[0])

    def written(self, key: Key) -> str:
        at = self._find(key)[1]
        return self._text[at : _DECODER.raw_decode(self._text, at)[1]]

    def _find(self, key: Key) -> tuple[int, int]:
        begins = value = _after_space(self._text, 0)
        for part in key:
            members = _members(self._text, value)
            found = next((member for member in members if member.name == part), None)
            if found is None:
                break
            begins, value = found.begins, found.value
        return begins, value


def parse_json(text: str, file: str) -> tuple[Any, JsonPlaces, list[Problem]]:
    """Read a JSON text.

    Returns
    -------
    tuple
        The data, its places, and a problem for every key that an object has twice.

    Raises
    ------
    BadInput
        It isn't JSON.
    """
    has_twins = False

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_twins
        data = dict(pairs)
        has_twins = has_twins or len(data) < len(pairs)
        return data

    try:
        data = json.loads(text, object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        raise _explained(text, error, file) from None
    except RecursionError:
        raise too_deep(file) from None
    except ValueError:
        raise unreadable(file, "a number has too many digits", "Write fewer") from None
    twins = list(_twins(text, _after_space(text, 0), ())) if has_twins else []
    return data, JsonPlaces(text), twins


def _members(text: str, at: int) -> Iterator[_Member]:
    """Go through the entries of the object or list at ``at`` in a text known to be valid."""
    if text[at] not in "{[":
        return
    is_object = text[at] == "{"
    at = _after_space(text, at + 1)
    number = 0
    while text[at] not in "}]":
        begins, name = at, number
        if is_object:
            name, at = _DECODER.raw_decode(text, at)
            at = _after_space(text, _after_space(text, at) + 1)
        yield _Member(name, begins, at)
        at = _after_space(text, _DECODER.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _after_space(text, at + 1)
        number += 1


def _twins(text: str, at: int, key: Key) -> Iterator[Problem]:
    lines: dict[str | int, int] = {}
    for name, begins, value in _members(text, at):
        line = _line(text, begins)
        if name in lines:
            yield Problem(
                what=f"the key '{name}' is there twice, first in line {lines[name]}",
                remedy="Keep one of them",
                key=(*key, name),
                line=line,
            )
        lines.setdefault(name, line)
        yield from _twins(text, value, (*key, name))


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _explained(text: str, error: json.JSONDecodeError, file: str) -> BadInput:
    rest = text[error.pos :].lstrip()
    before = text[: error.pos].rstrip()
    what, remedy = _slip(rest, before) or (
        f"{error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})",
        "Put it right there or in the line before, or write the definition as YAML",
    )
    return unreadable(file, f"not JSON: {what}", remedy, error.lineno)


def _slip(rest: str, before: str) -> tuple[str, str] | None:
    """Recognise what people write instead of JSON."""
    if rest.startswith("'"):
        return (
            "it has single quotes",
            "JSON needs double quotes; change them all, or rename the file to .yaml, where "
            "single quotes are allowed",
        )
    if rest.startswith(("//", "/*", "#")):
        return "it has a comment", "JSON allows none; remove it, or rename the file to .yaml"
    if (rest[:1] in ("}", "]") and before.endswith(",")) or rest.startswith(","):
        return "there is a comma too many", "Remove the comma before the bracket"
    if re.match(r"(True|False|None)\b", rest):
        return "it has a word of Python", "JSON writes true, false and null"
    if before and not rest:
        return "it ends too early", "Close every bracket and every quote"
    return None
