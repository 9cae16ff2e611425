"""What commands write: documents to stdout for programs, messages to stderr for people."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import typer

#: the option that every command has
Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


def write_json(document: object) -> None:
    """Write one JSON document to stdout.

    Strict JSON (RFC 8259): NaN becomes null, infinities become the texts "Infinity" and
    "-Infinity". Moments are ISO 8601 in UTC.
    """
    typer.echo(to_json(document))


def to_json(document: object) -> str:
    """Write a document as JSON text; see :func:`write_json`."""
    return json.dumps(plain(document), ensure_ascii=False, allow_nan=False)


def plain(value: object) -> Any:
    """Turn a value into what JSON can say."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)  # decimals, dates, paths


def say(text: str) -> None:
    """Tell people something, on stderr; that nobody reads it is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        typer.echo(text, err=True)


def show(text: str) -> None:
    """Write lines for people to stdout.

    None is folded, however narrow the screen: paths and commands are to be copied whole.
    """
    typer.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def show_facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Show names and what is to be said about each; pairs that say nothing are left out."""
    said = [(name, text) for name, text in pairs if text]
    width = max((len(name) for name, _ in said), default=0) + 2
    for name, text in said:
        for place, line in enumerate(text.splitlines()):
            show(typer.style(f"{'' if place else name:<{width}}", dim=True) + line)


#: how a campaign's state looks
STATE_COLOURS = {
    "running": "cyan",
    "finished": "green",
    "tripped": "red",
    "interrupted": "red",
    "paused": "yellow",
    "cancelled": "bright_black",
}


def in_colour(state: str) -> str:
    """Write a campaign's state in its colour."""
    return typer.style(state, fg=STATE_COLOURS.get(state))


def is_terminal() -> bool:
    """Whether messages go to somebody who watches."""
    return sys.stderr.isatty()


def count(number: int | None) -> str:
    """Write a number of things, with thousands separators."""
    return "?" if number is None else f"{number:,}"


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: ``1 trial``, ``2,000 trials``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def local_time(moment: datetime | None) -> str:
    """Write a moment in this machine's time zone, to the second."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def joined(parts: Iterable[str], separator: str = ", ") -> str:
    """Join the parts that aren't empty."""
    return separator.join(part for part in parts if part)
