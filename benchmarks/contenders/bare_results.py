"""The bare limit for results alone: a pool of two processes, and ``executemany`` into SQLite."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

from benchmarks.contenders.noop import noop

#: trials that a process runs at a time, and that one commit holds
CHUNK = 2_000


def chunks(trials: int) -> list[range]:
    """Cut 0, 1, 2 … into what one process runs at a time."""
    return [range(at, min(at + CHUNK, trials)) for at in range(0, trials, CHUNK)]


def connect(path: Path) -> sqlite3.Connection:
    """Open a database with the settings that fieldlab uses."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def insert(
    connection: sqlite3.Connection, table: str, columns: int, rows: Iterable[tuple[object, ...]]
) -> None:
    """Insert rows at the driver's speed."""
    marks = ", ".join("?" * columns)
    connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)


def run(xs: range) -> list[tuple[int, int]]:
    """Run a chunk of trials, in a process of the pool."""
    return [(x, noop(x)["y"]) for x in xs]


def main() -> None:
    """Run so many trials, their results into ``results.db``."""
    trials, folder = int(sys.argv[1]), Path(sys.argv[2])
    with closing(connect(folder / "results.db")) as connection, ProcessPoolExecutor(2) as pool:
        connection.execute("CREATE TABLE results (x INTEGER PRIMARY KEY, y INTEGER)")
        for rows in pool.map(run, chunks(trials)):
            connection.execute("BEGIN IMMEDIATE")
            insert(connection, "results", 2, rows)
            connection.execute("COMMIT")


if __name__ == "__main__":
    main()
