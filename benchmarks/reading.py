"""Reading results into data frames, beside pandas.read_sql: time and memory, on both databases."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.contenders.wide import ROWS
from benchmarks.lab import LabFolder
from benchmarks.measuring import Run, fresh, run
from benchmarks.racing import ratio
from benchmarks.reporting import Promise, Report
from tests.postgres import PostgresServer

TRIALS = 10_000
WIDE = {"function": "benchmarks.contenders.wide:spread"}
#: way of `contenders.read_frame` → what the table calls it
WAYS = {
    "fieldlab": "`lab.results(…)`",
    "fieldlab_polars": "`lab.results(…, 'polars')`",
    "read_sql": "`pandas.read_sql`, SQLAlchemy",
    "read_sql_plain": "`pandas.read_sql`, sqlite3",
}
#: what fieldlab's frames are promised to be at least as good as
RIVAL = "read_sql"


@dataclass(slots=True)
class Reads:
    """How one way of reading did on one database, round by round."""

    way: str
    database: str
    many: list[Run] = field(default_factory=list)
    few: list[Run] = field(default_factory=list)

    @property
    def wall_s(self) -> float:
        """Median time of a whole program."""
        return statistics.median(each.wall_s for each in self.many)

    @property
    def start_s(self) -> float:
        """Median time of a program that reads the rows of one trial."""
        return statistics.median(each.wall_s for each in self.few)

    @property
    def read_s(self) -> float:
        """Time that the rows took."""
        return self.wall_s - self.start_s

    @property
    def read_bytes(self) -> int:
        """Memory that the rows took at the peak."""
        return max(each.peak_bytes for each in self.many) - min(
            each.peak_bytes for each in self.few
        )


def measure(folder: Path, rounds: int) -> Report:
    """Record the same results in both databases, and let all ways of reading take turns."""
    with _postgresql() as server:
        labs = {"SQLite": [_recorded(folder, trials, "") for trials in (TRIALS, 1)]}
        if server is not None:
            urls = [server.create(name) for name in ("many", "few")]
            labs["PostgreSQL"] = [
                _recorded(folder, trials, url)
                for trials, url in zip((TRIALS, 1), urls, strict=True)
            ]
        reads = [
            Reads(way, database)
            for database in labs
            for way in WAYS
            if database == "SQLite" or not way.endswith("plain")
        ]
        for _ in range(rounds):
            for each in reads:
                many, few = labs[each.database]
                each.few.append(_read(each.way, few, ROWS, folder))
                each.many.append(_read(each.way, many, TRIALS * ROWS, folder))
    return Report(
        name="reading",
        title=f"{TRIALS * ROWS:,} rows of 12 columns, into a data frame",
        head=("", "database", "whole program", "of that to start", "reading", "memory of the rows"),
        rows=[
            [
                WAYS[each.way],
                each.database,
                f"{each.wall_s:.2f} s",
                f"{each.start_s:.2f} s",
                f"{each.read_s:.2f} s",
                f"{each.read_bytes / 1e6:,.0f} MB",
            ]
            for each in reads
        ],
        promises=[promise for database in labs for promise in _promises(reads, database)],
    )


def _promises(reads: Sequence[Reads], database: str) -> Iterator[Promise]:
    ours, theirs = (
        next(each for each in reads if (each.way, each.database) == (way, database))
        for way in ("fieldlab", RIVAL)
    )
    pairs = {
        "time": (ours.read_s, theirs.read_s),
        "memory": (ours.read_bytes, theirs.read_bytes),
    }
    for what, (mine, other) in pairs.items():
        yield Promise(
            what=f"a DataFrame from {database}: {what}, times that of pandas.read_sql",
            limit="at most 1",
            measured=ratio(mine / other),
            kept=mine <= other,
        )


@contextmanager
def _postgresql() -> Iterator[PostgresServer | None]:
    """Start a server of its own, if its programs are installed."""
    try:
        server = PostgresServer(durable=True)
    except pytest.skip.Exception:
        yield None
        return
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _recorded(folder: Path, trials: int, url: str) -> str:
    """Record the results of so many trials; give the database's URL."""
    lab = LabFolder(fresh(folder), url)
    lab.define(WIDE, trials)
    lab.fieldlab("run", "experiment.json")
    return url or f"sqlite:///{lab.database}"


def _read(way: str, url: str, rows: int, folder: Path) -> Run:
    argv = [sys.executable, "-m", "benchmarks.contenders.read_frame", way, url, f"{rows}"]
    return run(argv, folder)
