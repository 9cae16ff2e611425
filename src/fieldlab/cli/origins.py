"""What is said about where attempts come from: the code, the person, the process."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

from fieldlab.cli.output import joined
from fieldlab.domain.provenance import Origin, left_out

#: digits of a commit in a table
DIGITS = 8


def place_text(origin: Origin) -> str:
    """Say where attempts ran: on which machine, in which process."""
    return f"{origin.host}, process {origin.pid}"


def commit_text(commit: str | None, dirty: bool | None) -> str:
    """Write a commit in a table; a plus sign says that there were changes."""
    return f"{(commit or '')[:DIGITS]}{'+' if dirty else ''}"


def command_text(words: Sequence[str]) -> str:
    """Write a command line as people type it: without the interpreter in front of fieldlab."""
    if len(words) > 1 and PurePath(words[1]).name == "fieldlab":
        words = ["fieldlab", *words[2:]]
    return shlex.join(words)


def origin_lines(origin: Origin) -> list[str]:
    """Say where an attempt comes from, in lines."""
    by = f"by {origin.user}" if origin.user else ""
    with_ = f"with `{command_text(origin.command_line)}`" if origin.command_line else ""
    in_ = f"in {origin.directory}" if origin.directory else ""
    lines = [f"on {place_text(origin)}", joined([by, with_, in_], " ")]
    code = origin.provenance.code if origin.provenance else None
    if code is not None:
        lines.append(f"code {code}")
        lines += [f"the patch of its changes leaves out {each}" for each in left_out(origin.patch)]
    return [line for line in lines if line]


def code_texts(origins: Iterable[Origin]) -> list[str]:
    """Name the states of the code, each once."""
    known = (each.provenance.code for each in origins if each.provenance)
    return list(dict.fromkeys(str(code) for code in known if code))


def people_texts(origins: Iterable[Origin]) -> list[str]:
    """Name who ran something, and on which machine, each once."""
    return list(dict.fromkeys(joined([each.user, each.host], " on ") for each in origins))


def origin_document(origin: Origin) -> dict[str, Any]:
    """Write an origin for programs, without the long list of packages."""
    document = origin.document()
    document["environment"].pop("packages", None)
    return {**document, "patch": origin.patch or None}
