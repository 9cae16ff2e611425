"""One real table of results per experiment, with typed columns that grow as new keys appear."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.definition import MOST_COLUMNS, RESERVED_COLUMNS
from fieldlab.ports.executor import Shape
from fieldlab.store.bulk import chunks, insert_rows
from fieldlab.store.tables import BigInteger, UtcTimestamp, experiments, result_columns

#: bytes that one row may take on a page of PostgreSQL (8 KiB) beside fieldlab's own columns
WIDEST_ROW = 8_000
#: bytes of a column's name; PostgreSQL cuts longer ones off
LONGEST_NAME = 59

#: the columns that every results table begins with
FIXED = ("trial_id", "row", "campaign_id", "attempt", "repeat", "recorded_at")

TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "boolean": sa.Boolean(),
    "integer": BigInteger,
    "real": sa.Double(),
    "text": sa.Text(),
    # nothing but missing values so far
    "": sa.Double(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A value column of a results table."""

    name: str
    #: "parameter" or "result"
    kind: str
    #: a key of TYPES
    type: str


def table_name(experiment: str, version: int) -> str:
    """Name the results table of an experiment: ``results_<name>``, later versions with ``_v2``."""
    plain = re.sub(r"[^a-z0-9_]", "_", experiment.lower())
    return f"results_{plain}"[:55] + (f"_v{version}" if version > 1 else "")


class ResultsTable:
    """The results table of one experiment, as far as this process knows it."""

    def __init__(self, experiment_id: int, name: str) -> None:
        self.experiment_id = experiment_id
        self.name = name
        self._columns: dict[str, Column] = {}

    def create(self, connection: sa.Connection) -> None:
        """Make the empty table."""
        self._table(()).create(connection, checkfirst=True)

    def _table(self, columns: Sequence[Column]) -> sa.Table:
        return sa.Table(
            self.name,
            sa.MetaData(),
            sa.Column("trial_id", BigInteger, primary_key=True, autoincrement=False),
            # counted from 0 within the trial
            sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("campaign_id", sa.Integer, nullable=False),
            sa.Column("attempt", sa.Integer, nullable=False),
            sa.Column("repeat", sa.Integer, nullable=False),
            sa.Column("recorded_at", UtcTimestamp, nullable=False),
            *(sa.Column(column.name, TYPES[column.type]) for column in columns),
            sqlite_with_rowid=False,
        )

    def load(self, connection: sa.Connection) -> list[Column]:
        """Read which columns there are, in the order in which they appeared."""
        found = connection.execute(
            sa.select(result_columns.c.name, result_columns.c.kind, result_columns.c.type)
            .where(result_columns.c.experiment_id == self.experiment_id)
            .order_by(result_columns.c.ordinal)
        )
        self._columns = {name: Column(name, kind, type_ or "") for name, kind, type_ in found}
        return list(self._columns.values())

    def fits(self, shape: Shape) -> bool:
        """Whether rows of this shape can be inserted as the table is known to be."""
        return all(
            name in self._columns and (not type_ or _holds(self._columns[name].type, type_))
            for name, type_ in zip(*shape, strict=True)
        )

    def refusal(self, connection: sa.Connection, shape: Shape) -> str:
        """Say why a shape can't be recorded as the table is now; empty if it can."""
        if not self.fits(shape):
            self.load(connection)
            problem = self._refusal(shape)
            if problem:
                return problem
        if connection.dialect.name == "postgresql" and _width(shape) > WIDEST_ROW:
            return (
                f"A row of {len(shape.names)} values is too wide for PostgreSQL."
                " Return a list of rows instead of one wide row"
            )
        return ""

    def adapt(self, connection: sa.Connection, shape: Shape, parameters: Collection[str]) -> str:
        """Make the table fit a shape: add columns, widen integers to reals.

        Parameters
        ----------
        shape
            Names and types of the values.
        parameters
            Which of the names are parameters; the others are results.

        Returns
        -------
        str
            Empty, or why the shape can't be recorded and what to do; then nothing changed.
        """
        if self.fits(shape):
            return ""
        self._lock(connection)
        self.load(connection)
        problem = self._refusal(shape)
        if problem:
            return problem
        kinds = ("result", "parameter")
        for name, type_ in zip(*shape, strict=True):
            known = self._columns.get(name)
            if known is None:
                self.add(connection, Column(name, kinds[name in parameters], type_))
            elif type_ and not _holds(known.type, type_):
                self._retype(connection, known, type_)
        return ""

    def _lock(self, connection: sa.Connection) -> None:
        """Let one campaign at a time change the table. SQLite has one writer anyway."""
        connection.execute(
            sa.select(experiments.c.id)
            .where(experiments.c.id == self.experiment_id)
            .with_for_update(key_share=True)
        )

    def _refusal(self, shape: Shape) -> str:
        folded = {name.lower(): name for name in self._columns}
        for name, type_ in zip(*shape, strict=True):
            known = self._columns.get(name)
            if known is None:
                problem = _bad_name(name, folded)
                if problem:
                    return problem
                folded[name.lower()] = name
            elif type_ and not _holds(known.type, type_) and not _widens(known.type, type_):
                return (
                    f"Result '{name}' changes type: it has been {known.type} so far and is"
                    f" {type_} now. Return one type always, or use another name"
                )
        if len(folded) > MOST_COLUMNS:
            return (
                f"The results would have {len(folded)} columns, {MOST_COLUMNS} are possible."
                " Return a list of rows instead of one wide row"
            )
        return ""

    def table(self) -> sa.Table:
        """Describe the table with the columns that it is known to have."""
        return self._table(list(self._columns.values()))

    def add(self, connection: sa.Connection, column: Column) -> None:
        """Add a column to the table and to the catalogue."""
        # SQLite would turn the text 007 into a number in a column that was declared as one
        untyped = not column.type and connection.dialect.name == "sqlite"
        sql_type = "" if untyped else _sql_type(connection, column.type)
        self._alter(connection, f"ADD COLUMN {_quoted(column.name)} {sql_type}")
        connection.execute(
            sa.insert(result_columns).values(
                experiment_id=self.experiment_id,
                name=column.name,
                kind=column.kind,
                type=column.type or None,
                ordinal=len(self._columns),
            )
        )
        self._columns[column.name] = column

    def _alter(self, connection: sa.Connection, change: str) -> None:
        sql = f"ALTER TABLE {_quoted(self.name)} {change}"
        connection.execute(sa.text(sql.replace(":", "\\:")))

    def _retype(self, connection: sa.Connection, known: Column, type_: str) -> None:
        """Give a column a wider type. SQLite's columns take any value: the catalogue is enough."""
        if connection.dialect.name != "sqlite":
            wide = _sql_type(connection, type_)
            name = _quoted(known.name)
            old = name if known.type else "NULL"
            self._alter(connection, f"ALTER COLUMN {name} TYPE {wide} USING {old}::{wide}")
        connection.execute(
            sa.update(result_columns)
            .where(
                result_columns.c.experiment_id == self.experiment_id,
                result_columns.c.name == known.name,
            )
            .values(type=type_)
        )
        self._columns[known.name] = Column(known.name, known.kind, type_)

    def insert(
        self, connection: sa.Connection, shape: Shape, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Insert rows: the values of FIXED, then those of the shape."""
        insert_rows(
            connection,
            self._table([self._columns[name] for name in shape.names]),
            (*FIXED, *shape.names),
            rows,
        )

    def select(self, connection: sa.Connection, limit: int | None = None) -> sa.Select[Any]:
        """Select rows in the order of their trials: parameters, results, then fieldlab's own."""
        columns = self.load(connection)
        table = self._table(columns)
        ordered = [column.name for column in columns if column.kind == "parameter"]
        ordered += [column.name for column in columns if column.kind == "result"]
        query = sa.select(
            *(table.c[name] for name in ordered), *(table.c[name] for name in FIXED)
        ).order_by(table.c.trial_id, table.c.row)
        return query if limit is None else query.limit(limit)

    def rows_of(
        self, connection: sa.Connection, trial_ids: Sequence[int]
    ) -> dict[int, list[dict[str, Any]]]:
        """Read the results of some trials, without their parameters, by trial."""
        columns = [column for column in self.load(connection) if column.kind == "result"]
        table = self._table(columns)
        query = sa.select(table.c.trial_id, *(table.c[column.name] for column in columns))
        names = [column.name for column in columns]
        found: dict[int, list[dict[str, Any]]] = {}
        for some in chunks(trial_ids):
            wanted = query.where(table.c.trial_id.in_(some)).order_by(table.c.trial_id, table.c.row)
            for trial_id, *values in connection.execute(wanted):
                found.setdefault(trial_id, []).append(dict(zip(names, values, strict=True)))
        return found

    def count(self, connection: sa.Connection) -> int:
        """Count the rows."""
        return connection.scalar(sa.select(sa.func.count()).select_from(self._table(()))) or 0


def _width(shape: Shape) -> int:
    """Estimate the bytes of a row on a PostgreSQL page, where long texts are pointers."""
    return sum(18 if type_ == "text" else 8 for type_ in shape.types)


def _sql_type(connection: sa.Connection, type_: str) -> str:
    return TYPES[type_].compile(connection.dialect)


def _quoted(name: str) -> str:
    """Quote an identifier, which may come from a user, the way the SQL standard does."""
    # not by SQLAlchemy's preparer: it doubles percent signs, and its text construct does so again
    return '"' + name.replace('"', '""') + '"'


def _holds(column: str, value: str) -> bool:
    """Whether a column of one type holds a value of another as it is."""
    return column == value or (column == "real" and value == "integer")


def _widens(column: str, value: str) -> bool:
    """Whether a column can be given the value's type without losing what it holds."""
    return column == "" or (column == "integer" and value == "real")


def _bad_name(name: str, taken: dict[str, str]) -> str:
    if name.lower() in RESERVED_COLUMNS:
        return f"Result '{name}' has the name of a column that the database writes. Rename it"
    if name.lower() in taken:
        return (
            f"Result '{name}' differs from '{taken[name.lower()]}' in case only, which SQL columns"
            " don't tell apart. Rename one"
        )
    if not name or not name.isprintable() or len(name.encode()) > LONGEST_NAME:
        return f"Result {name!r} can't name a column. Use at most {LONGEST_NAME} printable letters"
    return ""


def stream(
    connection: sa.Connection, query: sa.Select[Any], size: int = 10_000
) -> Generator[Sequence[sa.Row[Any]], None, None]:
    """Read a query in pieces, so that memory doesn't grow with the number of rows."""
    streaming = connection.execution_options(stream_results=True, yield_per=size)
    with streaming.execute(query) as result:
        yield from result.partitions()
