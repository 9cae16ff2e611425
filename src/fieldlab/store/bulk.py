"""Many rows at once, at the driver's speed.

SQLAlchemy writes the statement, for either database, and converts the values; the rows go to the
driver's ``executemany`` as tuples. That is several times as fast as rows as dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from fieldlab.store.tables import UtcTimestamp

#: values in one IN (…) list
IN_LIMIT = 500

Converter = Callable[[Any], Any]


@lru_cache
def _positional(name: str) -> Dialect:
    """Give a dialect that writes values as ``?`` or ``%s``, in the order of the tuple."""
    # only the one in use is imported: reading commands answer sooner
    if name == "sqlite":
        from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

        return SQLiteDialect_pysqlite(paramstyle="qmark")
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    return PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]


def insert_rows(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    *,
    ignore_existing: bool = False,
) -> int:
    """Insert tuples, their values in the order of ``columns``.

    Returns
    -------
    int
        Rows inserted: fewer than given when some existed and ``ignore_existing`` is set.
    """
    if not rows:
        return 0
    writing = _inserting(connection.dialect.name, table, tuple(columns), ignore_existing)
    return writing.execute(connection, rows)


def _insert(dialect: str, table: sa.Table, *, ignore_existing: bool) -> sa.Insert:
    if not ignore_existing:
        return sa.insert(table)
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table).on_conflict_do_nothing()


def update_rows(
    connection: sa.Connection,
    table: sa.Table,
    match: Sequence[str],
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> int:
    """Update one row per tuple: first the values to match, then the values to set.

    Returns
    -------
    int
        Rows that matched.
    """
    if not rows:
        return 0
    writing = _updating(connection.dialect.name, table, tuple(match), tuple(columns))
    return writing.execute(connection, rows)


@dataclass(frozen=True, slots=True)
class _Writing:
    """A statement as the driver takes it: making one costs more than writing a few rows."""

    text: str
    #: for each value of the statement its place in a row
    order: list[int]
    converters: list[Converter | None]

    @classmethod
    def of(
        cls, dialect: Dialect, statement: sa.UpdateBase, columns: Sequence[sa.Column[Any]]
    ) -> _Writing:
        """Compile a statement whose values are bound as ``p0``, ``p1`` …, one per column."""
        compiled = statement.compile(dialect=dialect)
        order = [int(name[1:]) for name in compiled.positiontup or ()]
        return cls(str(compiled), order, [_converter(columns[i], dialect) for i in order])

    def execute(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Write the rows; tell how many were affected."""
        if any(self.converters) or self.order != list(range(len(self.order))):
            # by column, not by row: only the few columns that need it cost anything
            given = list(zip(*rows, strict=True))
            rows = list(
                zip(
                    *(
                        given[i] if convert is None else map(convert, given[i])
                        for i, convert in zip(self.order, self.converters, strict=True)
                    ),
                    strict=True,
                )
            )
        return connection.exec_driver_sql(self.text, list(rows)).rowcount


@lru_cache
def _inserting(
    dialect: str,
    table: sa.Table,
    columns: tuple[str, ...],
    ignore_existing: bool,
) -> _Writing:
    statement = _insert(dialect, table, ignore_existing=ignore_existing)
    statement = statement.values({name: sa.bindparam(f"p{i}") for i, name in enumerate(columns)})
    return _Writing.of(_positional(dialect), statement, [table.c[name] for name in columns])


@lru_cache
def _updating(
    dialect: str, table: sa.Table, match: tuple[str, ...], columns: tuple[str, ...]
) -> _Writing:
    # bound by place, as a column (the state) may be matched and set
    statement = (
        sa.update(table)
        .where(*(table.c[name] == sa.bindparam(f"p{i}") for i, name in enumerate(match)))
        .values({name: sa.bindparam(f"p{i}") for i, name in enumerate(columns, len(match))})
    )
    named = [table.c[name] for name in (*match, *columns)]
    return _Writing.of(_positional(dialect), statement, named)


def _converter(column: sa.Column[Any], dialect: Dialect) -> Converter | None:
    if isinstance(column.type, UtcTimestamp):
        return column.type.bulk_converter(dialect)
    processor: Converter | None = column.type.dialect_impl(dialect).bind_processor(dialect)
    return processor


def chunks(values: Sequence[Any], size: int = IN_LIMIT) -> Sequence[Sequence[Any]]:
    """Cut a sequence into pieces that fit into an IN (…) list."""
    return [values[i : i + size] for i in range(0, len(values), size)]
