"""Reading results out of what a program wrote: JSON, lines of JSON, CSV, patterns."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Any

from fieldlab.domain.errors import BadResult
from fieldlab.domain.ids import Value
from fieldlab.domain.trials import Row

#: how R writes a missing number
NOT_AVAILABLE = "NA"


def read_rows(content: bytes, source: str, read: Mapping[str, Any]) -> list[Row]:
    """Read the rows of a file.

    Parameters
    ----------
    source
        What errors call the file.
    read
        ``format``, and for "regex" ``values``: result → pattern.

    Raises
    ------
    BadResult
        It isn't in that format.
    """
    text = content.decode("utf-8-sig", errors="replace")
    try:
        return _READERS[read["format"]](text, read)
    except (ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, BadResult):
            raise
        shown = text[:200].strip()
        raise BadResult(
            f"{source} is not {read['format'].upper()}: {error}; it begins: {shown!r}"
        ) from error


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
