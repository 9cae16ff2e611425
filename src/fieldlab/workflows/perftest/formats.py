"""Reading what RTI Perftest writes: a table of intervals, and a summary where it finished.

The format varies between versions and with what was captured, and all of these are met: a blank
line or a banner before a table, "(us)" or "(μs)", "Ave" or "Avg", "Length" or "Sample Size", values
so wide that no space is left after a comma, decimals in builds that count nanoseconds, several runs
in one file (``-outputFile`` appends), a last line that was being written when the program ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: a column of the tables, without its unit, in lower case → what it is called here
_COLUMNS = {
    "latency": "latency_us",
    "average": "mean_us",
    "std": "std_us",
    "min": "min_us",
    "max": "max_us",
    "50%": "p50_us",
    "90%": "p90_us",
    "99%": "p99_us",
    "99.99%": "p9999_us",
    "99.9999%": "p999999_us",
    "total samples": "samples_total",
    "samples/s": "samples_per_s",
    "average samples/s": "mean_samples_per_s",
    "mbps": "mbps",
    "average mbps": "mean_mbps",
    "lost samples": "samples_lost",
    "lost samples (%)": "loss_percent",
}
_LENGTHS = ("length (bytes)", "sample size (bytes)")
#: unit in a heading → µs
_UNITS = {"ns": 1e-3, "ms": 1e3}
_UNIT = re.compile(r"\s*\(([^)%\s]{0,2}s)\)")
#: a line of a table, also one that was cut off
_NUMBERS = re.compile(r"[\s\d.,+\-eEinfaINFA]+")
#: what a database keeps as an integer, and what no count of bytes or samples reaches
LARGEST = 2**63 - 1

Interval = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one participant wrote; of a file that holds several runs, the last."""

    #: "latency" (a publisher) or "throughput" (a subscriber); "" where no table was found
    kind: str = ""
    datalen_bytes: int | None = None
    #: column → value; a line each
    intervals: Sequence[Interval] = ()
    #: column → value; None: the run didn't finish
    summary: Interval | None = None
    #: runs in the file
    runs: int = 0
    #: lines inside tables that can't be read, counted from 1
    broken: Sequence[int] = ()
    #: why the first of them can't be
    flaw: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether there is data and a summary."""
        return bool(self.intervals) and self.summary is not None

    @property
    def fault(self) -> str:
        """What is missing; nothing if all is there."""
        if not self.kind:
            return "no table"
        if self.summary is None:
            return "no summary: the run did not finish"
        return "" if self.intervals else "no intervals"

    def best(self) -> Interval:
        """Give the summary, or what the last interval says of all before where there is none."""
        if self.summary is not None:
            return self.summary
        if not self.intervals:
            return {}
        last = self.intervals[-1]
        return {name: last[name] for name in _RUNNING if name in last}


#: columns of an interval that speak of everything since the beginning
_RUNNING = (
    "mean_us",
    "std_us",
    "min_us",
    "max_us",
    "samples_total",
    "mean_samples_per_s",
    "mean_mbps",
    "samples_lost",
    "loss_percent",
)


@dataclass(slots=True)
class _Run:
    """One run as it is being read."""

    kind: str
    datalen_bytes: int | None = None
    intervals: list[Interval] = field(default_factory=list)
    summary: Interval | None = None
    broken: list[int] = field(default_factory=list)
    flaw: str = ""

    def refuse(self, line: int, why: str) -> None:
        """Note a line that can't be read."""
        self.broken.append(line)
        self.flaw = self.flaw or f"line {line}: {why}"


@dataclass(frozen=True, slots=True)
class _Heading:
    """The first line of a table."""

    #: name and factor of each column; the first is the length
    columns: Sequence[tuple[str, float]]
    is_summary: bool
    kind: str

    def read(self, line: str) -> dict[str, float] | None:
        """Read a line of the table; None if it isn't one."""
        values = line.split(",")
        if len(values) != len(self.columns):
            return None
        row = {}
        for (name, factor), text in zip(self.columns, values, strict=True):
            number = _number(text)
            if number is None:
                return None
            row[name] = number * factor if factor != 1.0 else number
        return row


def parse(content: bytes | str) -> Report:
    """Read a file of Perftest, or its captured output."""
    text = content if isinstance(content, str) else content.decode("utf-8-sig", errors="replace")
    runs: list[_Run] = []
    heading: _Heading | None = None
    title = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if (found := _heading(line, title)) is not None:
            heading = found
            if not found.is_summary or not runs or runs[-1].kind != found.kind:
                runs.append(_Run(found.kind))
        elif heading is not None and line.strip():
            heading = _take(heading, line, number, runs[-1])
        elif runs and runs[-1].intervals:
            heading = None  # a blank line ends a table
        title = line.strip() or title
    if not runs:
        return Report()
    last = runs[-1]
    return Report(
        kind=last.kind,
        datalen_bytes=last.datalen_bytes,
        intervals=tuple(last.intervals),
        summary=last.summary,
        runs=len(runs),
        broken=tuple(last.broken),
        flaw=last.flaw,
    )


def _take(heading: _Heading, line: str, number: int, run: _Run) -> _Heading | None:
    """Add a line to the run that it belongs to; give the table that goes on after it."""
    row = heading.read(line)
    if row is None:
        if not _NUMBERS.fullmatch(line):
            return heading  # free text of a captured output
        run.refuse(number, "it doesn't hold a number for each column")
        return heading
    length = row.pop("length_bytes")
    if not 0 <= length <= LARGEST:  # neither for nan
        run.refuse(number, f"the length is {length:g} bytes")
        return heading
    run.datalen_bytes = int(length)
    if heading.is_summary:
        run.summary = row
        return None
    run.intervals.append(row)
    return heading


def _heading(line: str, title: str) -> _Heading | None:
    names = [" ".join(name.split()) for name in line.split(",")]
    if len(names) < 3 or names[0].lower() not in _LENGTHS:
        return None
    columns: list[tuple[str, float]] = [("length_bytes", 1.0)]
    for name in names[1:]:
        unit = _UNIT.search(name)
        plain = re.sub(r"\b(ave|avg)\b", "average", _UNIT.sub("", name).strip().lower())
        plain = " ".join(plain.split())
        factor = _UNITS.get(unit[1].lower(), 1.0) if unit else 1.0
        columns.append((_COLUMNS.get(plain, plain), factor))
    known = {name for name, _ in columns}
    kind = "throughput" if known & {"mean_mbps", "samples_total"} else "latency"
    per_interval = {"latency": "latency_us", "throughput": "samples_per_s"}[kind]
    is_summary = "summary" in title.lower() or per_interval not in known
    return _Heading(columns, is_summary, kind)


def _number(text: str) -> float | None:
    plain = text.strip()
    try:
        number = float(plain)
    except ValueError:
        return None
    if not abs(number) <= LARGEST:  # nan, too
        return number
    try:
        return int(plain)
    except ValueError:
        return number
