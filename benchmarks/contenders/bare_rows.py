"""The bare limit for all rows that fieldlab writes: a pool of two processes, and ``executemany``.

The folder holds ``lab.db``, a lab in which fieldlab has run one trial. That trial's rows are the
pattern of the others, so the tables, their indexes and their constraints are fieldlab's own.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from benchmarks.contenders.bare_results import chunks, connect, insert
from benchmarks.contenders.noop import noop

#: ids of the first trial here: behind those that the lab has
FIRST_ID = 1_000


class Pattern(NamedTuple):
    """One row that each trial has."""

    table: str
    columns: tuple[str, ...]
    #: the one trial's values; those of the columns that `chunk_values` gives are replaced
    values: tuple[object, ...]


def patterns(connection: sqlite3.Connection) -> list[Pattern]:
    """Read the rows of the lab's only trial, in an order that the foreign keys allow."""
    (results,) = connection.execute("SELECT results_table FROM experiments").fetchone()
    wanted = {
        "trials": "1",
        "attempts": "1",
        "events": "entity IN ('trial', 'attempt')",
        results: "1",
    }
    found = []
    for table, condition in wanted.items():
        rows = connection.execute(f'SELECT * FROM "{table}" WHERE {condition}')
        columns = tuple(column[0] for column in rows.description)
        found += [Pattern(table, columns, row) for row in rows]
    return found


def chunk_values(xs: range) -> dict[str, Iterable[object]]:
    """Run a chunk of trials; give what differs from trial to trial, by the column's name."""
    starts, ends, ys, parameters, prints = [], [], [], [], []
    for x in xs:
        text = json.dumps({"x": x}, separators=(",", ":"))
        parameters.append(text)
        prints.append(hashlib.sha256(text.encode()).hexdigest()[:20])
        starts.append(moment())
        ys.append(noop(x)["y"])
        ends.append(moment())
    ids = range(xs.start + FIRST_ID, xs.stop + FIRST_ID)
    return {
        **dict.fromkeys(("trial_id", "entity_id", "sequence", "position"), ids),
        **dict.fromkeys(("ended_at", "at", "recorded_at"), ends),
        "started_at": starts,
        "fingerprint": prints,
        "parameters": parameters,
        "x": xs,
        "y": ys,
    }


def moment() -> str:
    """Write the present moment as fieldlab's tables have it."""
    return datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None).isoformat(" ")


def run(pattern: list[Pattern], xs: range) -> list[list[tuple[object, ...]]]:
    """Run a chunk of trials, in a process of the pool; give the rows of each pattern."""
    values = chunk_values(xs)
    return [rows_like(each, values) for each in pattern]


def rows_like(pattern: Pattern, values: Mapping[str, Iterable[object]]) -> list[tuple[object, ...]]:
    """Repeat a row with the values of other trials."""
    own: dict[str, Iterable[object]] = {}
    if pattern.table == "trials":
        own = {"id": values["trial_id"]}
    elif pattern.table == "events":
        own = {"id": repeat(None)}
    known = {**values, **own}
    columns = (
        known.get(name, repeat(value))
        for name, value in zip(pattern.columns, pattern.values, strict=True)
    )
    return list(zip(*columns, strict=False))


def main() -> None:
    """Run so many trials, their rows into the lab."""
    trials, folder = int(sys.argv[1]), Path(sys.argv[2])
    with closing(connect(folder / "lab.db")) as connection:
        pattern = patterns(connection)
        with ProcessPoolExecutor(2) as pool:
            for tables in pool.map(partial(run, pattern), chunks(trials)):
                connection.execute("BEGIN IMMEDIATE")
                for each, rows in zip(pattern, tables, strict=True):
                    insert(connection, each.table, len(each.columns), rows)
                connection.execute("COMMIT")


if __name__ == "__main__":
    main()
