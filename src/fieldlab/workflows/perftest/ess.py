"""Reading status spreadsheets: CSV, and the JSONL and Parquet of later versions of AutoPerf.

Those that fieldlab writes itself are read too.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fieldlab.domain.errors import BadInput, MissingExtra, Problem
from fieldlab.domain.trials import FailureClass
from fieldlab.workflows.perftest.naming import test_of
from fieldlab.workflows.perftest.parameters import TestName
from fieldlab.workflows.perftest.statuses import STATUSES

#: what a column may be called, in lower case with "_" for every sign
_COLUMNS = {
    "started_at": ("start_timestamp", "start_time"),
    "ended_at": ("end_timestamp", "end_time"),
    "test": ("test_name", "experiment_name", "name"),
    "pings": ("pings_count", "ping_count"),
    "ssh_checks": ("ssh_check_count", "ssh_checks_count"),
    "status": ("end_status", "status"),
    "attempt": ("attempt_number", "attempt", "attempt_"),
    "qos": ("qos_settings",),
}
_REQUIRED = ("test", "status")
_LONGEST_SETTINGS = 10_000
_LONGEST_SHOWN = 100
FORMATS = (".csv", ".jsonl", ".json", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One row of a spreadsheet: one try at a test."""

    test: TestName
    status: str
    #: counted from 1, the heading included in CSV
    line: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    pings: int | None = None
    ssh_checks: int | None = None
    attempt: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the test needn't be run again."""
        return self.failure is None

    @property
    def failure(self) -> FailureClass | None:
        """Whose fault it was; a status that nobody knows is taken for the test's."""
        return STATUSES.get(self.status, FailureClass.EXPERIMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFile:
    """A spreadsheet: the rows that can be read, and what is wrong with the others."""

    rows: Sequence[StatusRow]
    problems: Sequence[Problem]

    def done(self) -> set[TestName]:
        """List the tests that have succeeded, in any of their tries."""
        return {row.test for row in self.rows if row.succeeded}


def read_ess(path: Path) -> StatusFile:
    """Read a status spreadsheet.

    Raises
    ------
    BadInput
        There is no such file, it has another format, or a column that is needed is missing.
    MissingExtra
        Reading Parquet needs pyarrow.
    """
    rows: list[StatusRow] = []
    problems: list[Problem] = []
    for line, cells in _records(path, problems):
        faults: list[tuple[str, str, str]] = []
        try:
            row = _row(line, cells, faults)
        except RecursionError:
            row = None
            faults.append(("test_name", "lists and mappings are nested too deep", _BROKEN))
        problems.extend(
            Problem(what=what, remedy=remedy, key=(column,), file=str(path), line=line)
            for column, what, remedy in faults
        )
        if row is not None and not faults:
            rows.append(row)
    return StatusFile(rows=tuple(rows), problems=tuple(problems))


def _records(path: Path, problems: list[Problem]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Go through the rows of any format: line, meaning → cell."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise BadInput(
            f"{path} is no status spreadsheet that can be read",
            remedy=f"Name a file that ends in {', '.join(FORMATS)}",
        )
    if ending == ".parquet":
        return _parquet(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}", remedy="Check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        remedy = "Name the status spreadsheet that AutoPerf wrote"
        raise BadInput(f"{path} can't be read: {error}", remedy=remedy) from None
    return (_csv if ending == ".csv" else _jsonl)(text, str(path), problems)


def _csv(text: str, file: str, problems: list[Problem]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(text.splitlines(keepends=True))
    try:
        heading = next(reader, [])
    except csv.Error as error:
        raise BadInput(f"{file} is not CSV: {error}", remedy=_HEADING) from None
    meanings = _meanings(heading, file)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problems.append(Problem(what=f"not CSV: {error}", remedy=_BROKEN, file=file, line=line))
            continue
        if cells is None:
            return
        if len(cells) == len(heading):
            yield line, dict(zip(meanings, cells, strict=True))
        elif cells:
            what = f"the row has {len(cells)} fields, and the heading {len(heading)}"
            problems.append(Problem(what=what, remedy=_BROKEN, file=file, line=line))


_HEADING = "Is it a status spreadsheet of AutoPerf? Its first line names the columns"
_BROKEN = "Put the row right, or remove it: its test is then run again"


def _jsonl(
    text: str, file: str, problems: list[Problem]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, written in enumerate(text.splitlines(), start=1):
        if not written.strip():
            continue
        try:
            row = json.loads(written)
        except (ValueError, RecursionError) as error:
            deep = isinstance(error, RecursionError)
            what = "lists and objects are nested too deep" if deep else f"not JSON: {error}"
            problems.append(Problem(what=what, remedy=_BROKEN, file=file, line=line))
            continue
        if not isinstance(row, dict):
            problems.append(
                Problem(what="the row is no object", remedy=_BROKEN, file=file, line=line)
            )
            continue
        yield line, dict(zip(_meanings(list(row), f"{file}:{line}"), row.values(), strict=True))


def _parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtra("notebook", "Reading Parquet") from None
    try:
        table = pq.read_table(path)
        rows = table.to_pylist()
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise BadInput(f"{path} can't be read: {error}", remedy="Is it a Parquet file?") from None
    meanings = _meanings(table.column_names, str(path))
    for line, row in enumerate(rows, start=1):
        yield line, dict(zip(meanings, row.values(), strict=True))


def _meanings(heading: Sequence[str], file: str) -> list[str]:
    """Tell what each column means; one that means nothing keeps its name.

    Raises
    ------
    BadInput
        A column that is needed isn't there.
    """
    known = {name: meaning for meaning, names in _COLUMNS.items() for name in names}
    plain = [re.sub(r"[^a-z0-9]+", "_", name.strip().lower()) for name in heading]
    found = [known.get(name, name) for name in plain]
    for meaning in _REQUIRED:
        if meaning not in found:
            raise BadInput(
                f"{file} has no column '{_COLUMNS[meaning][0]}'",
                remedy=_HEADING,
            )
    return found


def _row(
    line: int, cells: Mapping[str, Any], faults: list[tuple[str, str, str]]
) -> StatusRow | None:
    try:
        test = test_of(str(cells["test"] or "").strip(" \t"))
    except BadInput as error:
        faults.append(("test_name", error.what, error.remedy))
        return None
    status = str(cells["status"] or "").strip().lower()
    if not status:
        faults.append(("end_status", "the test has no end status", _BROKEN))
    qos = _settings(cells.get("qos"), faults)
    differing = [name for name, value in test.point().items() if qos.get(name, value) != value]
    if differing:
        name = differing[0]
        there = _shown(qos[name])
        what = f"{name} is {there} in qos_settings and {test.point()[name]} in the test's name"
        faults.append(("qos_settings", what, _BROKEN))
    return StatusRow(
        test=test,
        status=status,
        line=line,
        started_at=_moment(cells.get("started_at"), "start_timestamp", faults),
        ended_at=_moment(cells.get("ended_at"), "end_timestamp", faults),
        pings=_count(cells.get("pings"), "pings_count", faults),
        ssh_checks=_count(cells.get("ssh_checks"), "ssh_check_count", faults),
        attempt=_count(cells.get("attempt"), "attempt_number", faults),
    )


def _settings(value: Any, faults: list[tuple[str, str, str]]) -> Mapping[str, Any]:
    """Read the settings of a test: a mapping, or one written as Python does."""
    if isinstance(value, str) and value.strip():
        try:
            if len(value) > _LONGEST_SETTINGS:  # longer ones can overflow Python's own stack
                raise ValueError("too long")
            value = ast.literal_eval(value.strip())
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            faults.append(("qos_settings", "the settings can't be read", _BROKEN))
            return {}
    return value if isinstance(value, Mapping) else {}


def _shown(value: Any) -> str:
    try:
        shown = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a huge number"
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"


def _moment(value: Any, column: str, faults: list[tuple[str, str, str]]) -> datetime | None:
    if value is None or value == "" or isinstance(value, datetime):
        return value or None
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        faults.append((column, f"{_shown(value)} is no moment", "Write 2024-01-31 12:00:00"))
        return None


def _count(value: Any, column: str, faults: list[tuple[str, str, str]]) -> int | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
        if number >= 0 and number.is_integer():
            return int(number)
    except (ValueError, TypeError, OverflowError):
        pass
    faults.append((column, f"{_shown(value)} is no count", "Write a number from 0 up"))
    return None
