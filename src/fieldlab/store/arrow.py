"""Many rows as Arrow columns, without a Python object per row and column outliving its block.

SQLite's rows come straight off the driver and are turned into columns a block at a time.
PostgreSQL writes them as CSV, which Arrow reads: several times as fast as rows of Python objects.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Dialect

from fieldlab.domain.errors import MissingExtra
from fieldlab.store.extracts import Extract

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

#: rows that become columns together: few enough to stay in a processor's cache
BLOCK = 4_000


def arrow_table(extract: Extract) -> pa.Table:
    """Read all rows of an extract.

    Returns
    -------
    pyarrow.Table
        A column each, of the types bool, int64, double, string and timestamp[us, tz=UTC]; what is
        missing is null.

    Raises
    ------
    MissingExtra
        pyarrow isn't installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra("notebook", "Reading results into a DataFrame") from error
    schema = pa.schema([(name, _types()[type_]) for name, type_ in extract.columns])
    read = _SOURCES[extract.connection.dialect.name]
    batches = itertools.chain.from_iterable(
        read(extract.connection, query, schema) for query in extract.queries
    )
    with _wrapped(extract.connection), _uncollected():
        return pa.Table.from_batches(batches, schema)


def _types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "boolean": pa.bool_(),
        "integer": pa.int64(),
        "real": pa.float64(),
        "text": pa.string(),
        "moment": pa.timestamp("us", tz="UTC"),
    }


def _from_sqlite(
    connection: sa.Connection, query: sa.Select[Any], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    # a column of reals may hold integers: it was widened when the first real came
    columns = [
        sa.cast(column, sa.REAL).label(column.name) if pa.types.is_floating(field.type) else column
        for column, field in zip(query.selected_columns, schema, strict=True)
    ]
    query = query.with_only_columns(*columns, maintain_column_froms=True)
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(_written(query, connection.dialect))
        while rows := cursor.fetchmany(BLOCK):
            values = zip(*rows, strict=True)
            arrays = [_array(each, field.type) for each, field in zip(values, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """Turn what SQLite holds into what its column means: 0 and 1, moments as text."""
    import pyarrow as pa

    if pa.types.is_boolean(type_):
        return pa.array(values, pa.int8()).cast(type_)
    if pa.types.is_timestamp(type_):
        return pa.array(values, pa.string()).cast(pa.timestamp(type_.unit)).cast(type_)
    return pa.array(values, type_)


def _from_postgresql(
    connection: sa.Connection, query: sa.Select[Any], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    from pyarrow import csv
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    # with this style of parameters, of which there are none, a name's percent sign stays one
    dialect = PGDialect_psycopg(paramstyle="named")  # type: ignore[no-untyped-call]
    copy_out = f"COPY ({_written(query, dialect)}) TO STDOUT (FORMAT csv)"
    read = csv.ReadOptions(column_names=schema.names, block_size=1 << 24)
    parse = csv.ParseOptions(newlines_in_values=True)
    convert = csv.ConvertOptions(
        column_types=schema,
        # what is missing is written as nothing, an empty text as ""
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )
    with closing(connection.connection.cursor()) as cursor, cursor.copy(copy_out) as copy:
        rows = iter(copy)  # the protocol has a message for each row
        while block := b"".join(itertools.islice(rows, BLOCK)):
            yield from csv.read_csv(pa.BufferReader(block), read, parse, convert).to_batches()


def _written(query: sa.Select[Any], dialect: Dialect) -> str:
    """Write a query as SQL with its values in it: numbers of campaigns, which fieldlab gave."""
    return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


@contextmanager
def _wrapped(connection: sa.Connection) -> Iterator[None]:
    """Let the driver's errors pass as SQLAlchemy's, which the database explains."""
    driver = connection.dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        raise exc.DBAPIError.instance(None, None, error, driver.Error) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from going through rows, none of which is cyclic."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_SOURCES: dict[
    str, Callable[[sa.Connection, sa.Select[Any], pa.Schema], Iterator[pa.RecordBatch]]
] = {"sqlite": _from_sqlite, "postgresql": _from_postgresql}
