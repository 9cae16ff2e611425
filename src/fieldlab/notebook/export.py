"""Writing rows to a file, piece by piece, so that memory doesn't grow with their number.

======= ==========================================================================
csv     RFC 4180, UTF-8: a header, CRLF, true and false, missing values empty
jsonl   an object per line; infinities are the texts "Infinity" and "-Infinity"
parquet typed columns, compressed; it needs pyarrow
======= ==========================================================================

Floats are written with as many digits as it takes to read the same float back. Moments are in UTC,
ISO 8601 with microseconds.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from fieldlab.domain.errors import (
    BadInput,
    FieldlabError,
    MissingExtra,
    StoreFull,
    nearest,
    sentences,
)
from fieldlab.domain.ids import uuid7

FORMATS = ("csv", "jsonl", "parquet")
#: rows that a Parquet file keeps together
ROW_GROUP = 100_000

#: rows of values, in the order of the columns
Block = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column to write."""

    name: str
    #: "boolean", "integer", "real", "text" or "moment" (a datetime with its zone)
    type: str


class Writer(Protocol):
    """Writes rows in one format."""

    def write(self, rows: Block) -> None: ...

    def close(self) -> None:
        """Write what is still held back; the file itself stays open."""
        ...


def format_of(path: str, named: str = "") -> str:
    """Choose the format: the one that is named, or the one that the file's ending says.

    Raises
    ------
    BadInput
        There is no such format, or it can't go where it should.
    """
    ending = Path(path).suffix[1:].lower()
    chosen = named.lower() or ("csv" if path == "-" else ending)
    if chosen not in FORMATS:
        remedy = nearest(chosen, FORMATS) or f"Formats: {', '.join(FORMATS)}"
        raise BadInput(
            f"There is no format '{chosen}'" if chosen else f"'{path}' says no format",
            remedy=sentences(remedy, "--format says it for any file name"),
            key=("format",),
        )
    if chosen == "parquet" and path == "-":
        raise BadInput("Parquet can't be written to a pipe", remedy="Name a file, or use csv")
    return chosen


def write_rows(
    file: BinaryIO,
    format_name: str,
    columns: Sequence[Column],
    blocks: Iterable[Block],
    on_rows: Callable[[int], object] = lambda _: None,
) -> int:
    """Write all rows.

    Parameters
    ----------
    format_name
        One of FORMATS.
    on_rows
        Told after each block how many rows have been written.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    MissingExtra
        The format needs a library that isn't installed.
    """
    writer = _WRITERS[format_name](file, columns)
    written = 0
    try:
        for block in blocks:
            writer.write(block)
            written += len(block)
            on_rows(written)
    finally:
        writer.close()
    return written


@contextlib.contextmanager
def whole_file(target: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open a file that appears under its name when it is whole, or not at all.

    Raises
    ------
    BadInput
        It can't be written there, or exists and ``force`` isn't set; what was there stays.
    StoreFull
        No space is left; nothing half-made stays.
    """
    target = Path(os.path.realpath(target))
    _check_target(target, force=force)
    part = target.with_name(f".{target.name[:100]}.{uuid7()}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if force:
            part.replace(target)
        else:
            _appear(part, target)
    except FieldlabError:
        raise
    except OSError as error:
        raise _refusal(target, error) from error
    finally:
        part.unlink(missing_ok=True)


def _check_target(target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise BadInput(f"{target} is a folder", remedy="Name a file in it", key=("file",))
    if target.exists() and not target.is_file():
        raise BadInput(
            f"{target} is not a plain file", remedy="Use - for standard output", key=("file",)
        )
    if target.exists() and not force:
        raise _taken(target)
    if not target.parent.is_dir():
        raise BadInput(f"There is no folder {target.parent}", remedy="Make it first", key=("file",))


def _taken(target: Path) -> BadInput:
    return BadInput(
        f"{target} exists already",
        remedy="--force replaces it; or choose another name",
        key=("file",),
    )


def _appear(part: Path, target: Path) -> None:
    """Give the file its name, unless that has been taken meanwhile."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError:  # not every file system has links
        part.replace(target)


def _refusal(target: Path, error: OSError) -> FieldlabError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(
            f"No space is left for {target}", remedy="Free some, or write to another disk"
        )
    return BadInput(
        f"{target} can't be written: {error.strerror or error}",
        remedy="Choose another place",
        key=("file",),
    )


class CsvWriter:
    """Writes comma-separated values, see the top of the file."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file = file
        self._converters = [_CSV[column.type] for column in columns]
        self._write([[column.name for column in columns]])

    def write(self, rows: Block) -> None:
        self._write(_converted(rows, self._converters))

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self._file.write(text.getvalue().encode())

    def close(self) -> None:
        pass


class JsonLinesWriter:
    """Writes an object per line, see the top of the file."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file = file
        self._names = [column.name for column in columns]
        self._converters = [_JSON[column.type] for column in columns]
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

    def write(self, rows: Block) -> None:
        lines = (
            self._encode(dict(zip(self._names, row, strict=True))) + "\n"
            for row in _converted(rows, self._converters)
        )
        self._file.write("".join(lines).encode())

    def close(self) -> None:
        pass


class ParquetWriter:
    """Writes Apache Parquet with pyarrow, in groups of rows."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        try:
            import pyarrow as pa  # type: ignore[import-untyped]
            import pyarrow.parquet as pq  # type: ignore[import-untyped]
        except ImportError as error:
            raise MissingExtra("notebook", "Writing Parquet") from error
        types = {
            "boolean": pa.bool_(),
            "integer": pa.int64(),
            "real": pa.float64(),
            "text": pa.string(),
            "moment": pa.timestamp("us", tz="UTC"),
        }
        self._arrow = pa
        self._schema = pa.schema([(column.name, types[column.type]) for column in columns])
        self._converters = [float if column.type == "real" else None for column in columns]
        self._parquet = pq.ParquetWriter(file, self._schema)
        self._held: list[Any] = []

    def write(self, rows: Block) -> None:
        if not rows:
            return
        arrays = [
            self._arrow.array(values, type=field.type)
            for values, field in zip(_columns(rows, self._converters), self._schema, strict=True)
        ]
        self._held.append(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        if sum(batch.num_rows for batch in self._held) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._parquet.write_table(self._arrow.Table.from_batches(self._held, self._schema))
        self._held = []

    def close(self) -> None:
        self._flush()
        self._parquet.close()


_WRITERS: dict[str, Callable[[BinaryIO, Sequence[Column]], Writer]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}

#: makes one value of a column, which isn't None, ready to be written
Converter = Callable[[Any], Any]


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _finite(value: float) -> float | str | None:
    number = float(value)
    if math.isfinite(number):
        return number
    return None if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


# a column of reals may hold integers: it was widened when the first real came
_CSV: dict[str, Converter | None] = {
    "boolean": lambda value: "true" if value else "false",
    "integer": None,
    "real": float,
    "text": None,
    "moment": _moment,
}
_JSON: dict[str, Converter | None] = {
    "boolean": bool,
    "integer": None,
    "real": _finite,
    "text": None,
    "moment": _moment,
}


def _columns(rows: Block, converters: Sequence[Converter | None]) -> list[Sequence[Any]]:
    """Convert by column: only those that need it cost anything."""
    given = zip(*rows, strict=True)
    return [
        values
        if convert is None
        else [None if value is None else convert(value) for value in values]
        for convert, values in zip(converters, given, strict=True)
    ]


def _converted(rows: Block, converters: Sequence[Converter | None]) -> Iterable[Sequence[Any]]:
    return zip(*_columns(rows, converters), strict=True) if rows else ()


def json_values(columns: Sequence[Column], rows: Block) -> Iterator[dict[str, Any]]:
    """Give rows as objects of what JSON can say."""
    names = [column.name for column in columns]
    for row in _converted(rows, [_JSON[column.type] for column in columns]):
        yield dict(zip(names, row, strict=True))
