"""Copying a lab from one database to another: from SQLite to PostgreSQL, or back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import sqlalchemy as sa

from fieldlab.domain.errors import BadInput
from fieldlab.store import tables
from fieldlab.store.bulk import insert_rows, update_rows
from fieldlab.store.bus_tables import messages
from fieldlab.store.database import Database
from fieldlab.store.results import FIXED, ResultsTable, stream

#: all tables, the bus's among them
_ALL = messages.metadata
#: written while a results table gets its columns
_CATALOGUE = tables.result_columns


def copy_lab(
    source: Database, target: Database, on_rows: Callable[[str, int], object]
) -> dict[str, int]:
    """Copy all that a lab's database holds, as it is at one moment, in one transaction.

    Parameters
    ----------
    target
        Has its tables, and nothing in them.
    on_rows
        Told after each piece which table it was, and how many of its rows are copied.

    Returns
    -------
    dict of str to int
        Rows of each table.

    Raises
    ------
    BadInput
        The target holds a lab already; it is left as it is.
    StoreError
        One of the databases can't be used; the target is left as it was.
    """
    with source.read() as old, target.begin() as new:
        _require_empty(new, target)
        new.execute(sa.delete(tables.counters))
        copied = {}
        for table in _ALL.sorted_tables:
            if table is not _CATALOGUE:
                copied[table.name] = _copy(old, new, table, on_rows)
                _continue_numbers(new, table)
        for experiment_id, name in old.execute(
            sa.select(tables.experiments.c.id, tables.experiments.c.results_table)
        ).all():
            copied[name] = _copy_results(old, new, ResultsTable(experiment_id, name), on_rows)
        return copied


def _require_empty(connection: sa.Connection, database: Database) -> None:
    for table in _ALL.sorted_tables:
        if table is tables.counters:
            continue
        if connection.scalar(sa.select(sa.exists().select_from(table))):
            raise BadInput(
                f"The database {database.place} holds a lab already",
                remedy="Make an empty one, and name that",
                key=("url",),
            )


def _copy(
    old: sa.Connection,
    new: sa.Connection,
    table: sa.Table,
    on_rows: Callable[[str, int], object],
) -> int:
    # a row that names another one of its own table gets that name when both are there
    inner = [each.parent.name for each in table.foreign_keys if each.column.table is table]
    names = [column.name for column in table.c if column.name not in inner]
    done = _copy_columns(old, new, (table, table), names, on_rows)
    for name in inner:
        links = old.execute(
            sa.select(table.c.id, table.c[name]).where(table.c[name].is_not(None))
        ).all()
        update_rows(new, table, ("id",), (name,), [tuple(link) for link in links])
    return done


def _copy_results(
    old: sa.Connection,
    new: sa.Connection,
    results: ResultsTable,
    on_rows: Callable[[str, int], object],
) -> int:
    columns = results.load(old)
    twin = ResultsTable(results.experiment_id, results.name)
    twin.create(new)
    for column in columns:
        twin.add(new, column)
    names = (*FIXED, *(column.name for column in columns))
    return _copy_columns(old, new, (results.table(), twin.table()), names, on_rows)


def _copy_columns(
    old: sa.Connection,
    new: sa.Connection,
    tables_: tuple[sa.Table, sa.Table],
    names: Sequence[str],
    on_rows: Callable[[str, int], object],
) -> int:
    """Copy columns from a table of the old database to one of the new; how many rows."""
    origin, target = tables_
    done = 0
    with closing(stream(old, sa.select(*(origin.c[name] for name in names)))) as pieces:
        for rows in pieces:
            insert_rows(new, target, names, [tuple(row) for row in rows])
            done += len(rows)
            on_rows(origin.name, done)
    return done


def _continue_numbers(connection: sa.Connection, table: sa.Table) -> None:
    """Let PostgreSQL number further rows behind those that were copied; SQLite does anyway."""
    if connection.dialect.name != "postgresql" or "id" not in table.c:
        return
    sequence = connection.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, "id")))
    last = connection.scalar(sa.select(sa.func.max(table.c.id)))
    if sequence and last is not None:
        connection.execute(sa.select(sa.func.setval(sequence, last)))
