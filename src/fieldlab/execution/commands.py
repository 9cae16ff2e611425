"""The command tool: a program, arguments with ``{parameter}`` placeholders, how it is read."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from fieldlab.domain.commands import Command
from fieldlab.domain.definition import PLACEHOLDERS
from fieldlab.domain.errors import BadResult
from fieldlab.domain.ids import Point, Value
from fieldlab.domain.trials import FailureClass, Row
from fieldlab.ports.tool import STDOUT, Judgement, Outcome, Place, Plan

#: how R writes a missing number
NOT_AVAILABLE = "NA"


class CommandTool:
    """Runs a program for each point; see :class:`fieldlab.ports.tool.Tool`.

    Parameters
    ----------
    options
        ``argv``, ``environment``, ``directory`` ("experiment" or "attempt"), ``success`` (exit
        codes), and ``read``: None, or how results are read (``format``, ``file``, ``values``).
    """

    def __init__(self, options: Mapping[str, Any], timeout_s: float = 0.0) -> None:
        self._argv: list[str] = list(options["argv"])
        self._environment: dict[str, str] = dict(options.get("environment") or {})
        self._in_attempt = options.get("directory") == "attempt"
        self._success = frozenset(options.get("success") or (0,))
        self._read: Mapping[str, Any] | None = options.get("read")
        self._timeout_s = timeout_s
        words = [*self._argv, *self._environment.values()]
        self._writes = (
            self._in_attempt
            or any("{out}" in word for word in words)
            or bool(self._read and self._read.get("file"))
        )

    def plan(self, point: Point, place: Place) -> Plan:
        names: dict[str, Value] = {**_placeholders(place), **point}
        texts = {name: as_text(value) for name, value in names.items()}
        argv = [word.format_map(texts) for word in self._argv]
        if "/" in argv[0]:  # from where the definition lies, wherever the command runs
            argv[0] = str(PurePath(place.here, argv[0]))
        command = Command(
            argv=tuple(argv),
            environment={name: word.format_map(texts) for name, word in self._environment.items()},
            directory=place.out if self._in_attempt else place.here,
            timeout_s=self._timeout_s,
        )
        reads = (self._source(),) if self._read else ()
        return Plan.of(command, reads=reads, writes=self._writes)

    def _source(self) -> str:
        return (self._read or {}).get("file") or STDOUT

    def judge(self, outcome: Outcome) -> Judgement:
        if outcome.exit.timed_out:
            return Judgement(
                status="timeout",
                failure=FailureClass.EXPERIMENT,
                explanation=f"The command was {outcome.exit}. `timeout` in the definition sets it.",
            )
        if outcome.exit.code in self._success:
            return Judgement(status="success")
        return Judgement(
            status=str(outcome.exit),
            failure=FailureClass.EXPERIMENT,
            explanation=f"The command ended with {outcome.exit}.",
        )

    def parse(self, outcome: Outcome) -> list[Row]:
        if self._read is None:
            return [{}]
        source = self._source()
        if source not in outcome.files:
            raise BadResult(
                f"The command wrote no file '{source}'",
                remedy="Let it write to {out}/" + source + ", or set `directory: attempt`",
            )
        text = outcome.files[source].decode("utf-8-sig", errors="replace")
        try:
            return _READERS[self._read["format"]](text, self._read)
        except (ValueError, RecursionError, csv.Error) as error:
            if isinstance(error, BadResult):
                raise
            shown = text[:200].strip()
            raise BadResult(
                f"{source} is not {self._read['format'].upper()}: {error}; it begins: {shown!r}"
            ) from error


def _placeholders(place: Place) -> dict[str, Value]:
    return {name: getattr(place, name) for name in PLACEHOLDERS}


def as_text(value: Value) -> str:
    """Write a parameter's value the way it stands on a command line: ``0.1``, ``true``, ``abc``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _json(text: str, _read: Mapping[str, Any]) -> list[Row]:
    data = json.loads(text)
    rows = data if isinstance(data, list) else [data]
    return [_object(row, place) for place, row in enumerate(rows)]


def _jsonl(text: str, _read: Mapping[str, Any]) -> list[Row]:
    lines = [line for line in text.splitlines() if line.strip()]
    return [_object(json.loads(line), place) for place, line in enumerate(lines)]


def _object(row: Any, place: int) -> Row:
    if not isinstance(row, dict):
        raise BadResult(
            f"Result {place} is {json.dumps(row)[:80]}, not an object",
            remedy='Print objects such as {"error": 0.1}, one or a list of them',
        )
    return row


def _csv(text: str, _read: Mapping[str, Any]) -> list[Row]:
    rows = []
    reader = csv.DictReader(io.StringIO(text.lstrip("\r\n")), strict=True)
    names = [name.strip() for name in reader.fieldnames or ()]
    if len(set(names)) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise BadResult(
            f"The header of the CSV names '{doubled}' twice",
            remedy="Give every column a name of its own",
        )
    for row in reader:
        if None in row or None in row.values():
            raise BadResult(
                f"Line {reader.line_num} of the CSV has another number of fields than its header"
            )
        rows.append({name.strip(): as_value(value) for name, value in row.items()})
    return [_without_na(row, _numeric(rows)) for row in rows]


def _numeric(rows: list[Row]) -> set[str]:
    """Find the columns in which all is numbers, but for R's NA."""
    found: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            if value != NOT_AVAILABLE and value is not None:
                found.setdefault(name, set()).add(type(value))
    return {name for name, types in found.items() if types <= {int, float}}


def _without_na(row: Row, numeric: set[str]) -> Row:
    return {
        name: None if value == NOT_AVAILABLE and name in numeric else value
        for name, value in row.items()
    }


def _regex(text: str, read: Mapping[str, Any]) -> list[Row]:
    row: Row = {}
    for name, pattern in read["values"].items():
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise BadResult(f"Nothing matches the pattern of '{name}': {pattern}")
        group = "value" if "value" in found.re.groupindex else 1
        row[name] = as_value(found[group] or "")
    return [row]


_READERS = {"json": _json, "jsonl": _jsonl, "csv": _csv, "regex": _regex}


def as_value(text: str) -> Value:
    """Read a field of text as the number it says, or leave it: ``3``, ``2.5e-3``, ``abc``."""
    plain = text.strip()
    if re.fullmatch(r"[+-]?\d+", plain):
        return int(plain)
    try:
        return (
            float(plain)
            if re.fullmatch(r"[+-]?[\d.]+([eE][+-]?\d+)?|[+-]?(inf|nan)", plain, re.IGNORECASE)
            else plain or None
        )
    except ValueError:
        return plain
