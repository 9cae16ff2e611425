"""Validators of single entries, and the short forms in which some may be written.

They raise :class:`BadInput` with a remedy, which :mod:`fieldlab.definitions.problems` takes over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from fieldlab.definitions.placeholders import names_in
from fieldlab.definitions.problems import shown
from fieldlab.domain.axis_reading import LONGEST_NAME
from fieldlab.domain.definition import MOST_SLOTS, RESERVED_COLUMNS, is_name
from fieldlab.domain.durations import parse_duration
from fieldlab.domain.errors import BadInput

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_CALL = re.compile(rf"[^:\0]+\.py(?::{_DOTTED})?|{_DOTTED}:{_DOTTED}")


def checked_name(text: str) -> str:
    """Let the name of an experiment, a project and so on pass."""
    if not is_name(text):
        raise BadInput(
            f"{text!r} can't be a name",
            remedy="Use letters, digits, '_' and '-', first a letter or digit, at most 63",
        )
    return text


def as_word(value: Any) -> Any:
    """Write a number or truth value the way a program gets it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping) and list(value.values()) == [None]:
        name = next(iter(value))
        raise BadInput(
            f"{{{name}}} without quotes is a mapping, not a placeholder",
            remedy=f'Put it in quotes: "{{{name}}}"',
        )
    return repr(value) if isinstance(value, int | float) else value


def checked_word(text: str) -> str:
    """Let a word pass that a program can be given once its placeholders are filled."""
    names_in(text)
    return text


def checked_argument(text: str) -> str:
    """Let a word of a command pass."""
    if not text:
        raise BadInput("the word is empty", remedy="Remove it, or write what it should say")
    return text


def checked_variable(text: str) -> str:
    """Let the name of an environment variable pass."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise BadInput(
            f"{text!r} can't name an environment variable",
            remedy="Use letters, digits and '_', not a digit first",
        )
    return text


def list_of_words(value: Any) -> Any:
    """Refuse a command line that only a shell could take apart."""
    if isinstance(value, str):
        words = ", ".join(f'"{word}"' for word in value.split()[:8])
        raise BadInput(
            "a command is a list of words, not one text",
            remedy=f"Write a list, such as command: [{words}]",
        )
    if value == []:
        raise BadInput(
            "the command is empty",
            remedy="Write the program and its arguments, such as command: [python3, simulate.py]",
        )
    return value


def as_seconds(value: Any) -> float:
    """Read a duration as s."""
    if not isinstance(value, int | float | str):
        raise BadInput(
            f"this must be a duration, not {shown(value)}",
            remedy='Write seconds, or text like "90s", "5m"',
        )
    return parse_duration(value)


def checked_call(text: str) -> str:
    """Let the name of a function pass; whether there is one shows when it is imported."""
    if not _CALL.fullmatch(text):
        raise BadInput(
            f"{text!r} doesn't say which function to call",
            remedy="Write package.module:function, study.py:function, or study.py",
        )
    return text


def checked_file(text: str) -> str:
    """Let the name of a result file inside the attempt's folder pass."""
    path = PurePosixPath(text)
    if "{" in text or "\0" in text:
        raise BadInput(
            "the file is a plain name inside {out}, without placeholders",
            remedy="Write its name only, such as file: result.json",
        )
    if not path.parts or path.is_absolute() or ".." in path.parts or text.endswith("/"):
        raise BadInput(
            f"{text!r} is not a file in the attempt's own folder",
            remedy="Name a file relative to {out}, such as file: result.json, and write it there",
        )
    return str(path)


def checked_beside(text: str) -> str:
    """Let the name of a file or folder beside the definition pass."""
    path = PurePosixPath(text)
    if "{" in text or "\0" in text or not path.parts or path.is_absolute() or ".." in path.parts:
        raise BadInput(
            f"{text!r} doesn't lie beside the definition",
            remedy="Name files and folders beside the definition, such as input.dat or config; "
            "what lies elsewhere must be copied or linked there, or be on the hosts already",
        )
    return str(path)


def checked_pattern(text: str) -> str:
    """Let a regular expression with one value in it pass."""
    try:
        pattern = re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadInput(
            f"the pattern can't be used: {error}", remedy="See Python's `re` for the syntax"
        ) from None
    if pattern.groups != 1 and "value" not in pattern.groupindex:
        raise BadInput(
            f"the pattern has {pattern.groups} groups, and must have one for the value",
            remedy="Put what to read in ( ), other brackets as (?: ), or name it (?P<value> )",
        )
    return text


def checked_result(text: str) -> str:
    """Let a name pass that can be a column of a results table."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) or len(text) > LONGEST_NAME:
        raise BadInput(
            f"{text!r} can't name a result",
            remedy="Use letters, digits and '_', not a digit first, at most " + str(LONGEST_NAME),
        )
    if text.lower() in RESERVED_COLUMNS:
        raise BadInput(f"fieldlab itself uses the name '{text}'", remedy="Call it something else")
    return text


def checked_slots(number: int) -> int:
    """Let a number of attempts pass that one machine can run at a time."""
    if number > MOST_SLOTS:
        raise BadInput(
            f"{number:,} attempts at a time are more than a machine can run",
            remedy=f"Write at most {MOST_SLOTS:,}; 0 is as many as there are processors",
        )
    return number


def as_list(value: Any) -> Any:
    """Read a single exit code as a list of one."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


def full_retry(value: Any) -> Any:
    """Read ``retry: 3``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"attempts": value}
    return _mapping(value, "a number of attempts", "retry: 3, or retry: {attempts: 3, delay: 5s}")


def full_guard(value: Any) -> Any:
    """Read ``guard: 10`` and ``guard: off``."""
    if value is False or value == "off":
        return {"consecutive_failures": 0}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"consecutive_failures": value}
    return _mapping(value, "a number of failures or off", "guard: 10, or guard: off")


def full_call(value: Any) -> Any:
    """Read ``function: study.py:solve``."""
    if isinstance(value, str):
        return {"call": value}
    return _mapping(value, "the name of a function", "function: study.py:solve")


def mapping_or_nothing(value: Any) -> Any:
    """Let a mapping pass, or nothing."""
    return value if value is None else _mapping(value, "a mapping", "read: {format: json}")


def _mapping(value: Any, wanted: str, example: str) -> Any:
    """Let a mapping pass where a short form is allowed too."""
    if isinstance(value, Mapping):
        return value
    raise BadInput(f"this must be {wanted}, not {shown(value)}", remedy=f"Write {example}")
