"""Files of rows: what is written is what other programs read back."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput, MissingExtra
from fieldlab.notebook.export import (
    FORMATS,
    ROW_GROUP,
    Column,
    format_of,
    whole_file,
    write_rows,
)

MOMENT = datetime(2026, 3, 1, 14, 30, 5, 120, tzinfo=timezone(timedelta(hours=2)))
COLUMNS = (
    Column("done", "boolean"),
    Column("count", "integer"),
    Column("ratio", "real"),
    Column("label, or name", "text"),
    Column("at", "moment"),
)
ROWS: list[tuple[Any, ...]] = [
    (True, 2**63 - 1, 0.1 + 0.2, 'comma, "quote"\nand line', MOMENT),
    (False, -1, 3, "ünïcode", MOMENT),
    (None, None, None, None, None),
    (True, 0, math.inf, "", MOMENT),
]


def written(format_name: str, rows: list[tuple[Any, ...]], columns: Any = COLUMNS) -> bytes:
    file = io.BytesIO()
    blocks = [rows[:1], [], rows[1:]]
    assert write_rows(file, format_name, columns, blocks) == len(rows)
    return file.getvalue()


def test_csv_is_rfc_4180() -> None:
    text = written("csv", ROWS[:3]).decode()
    assert text == (
        'done,count,ratio,"label, or name",at\r\n'
        'true,9223372036854775807,0.30000000000000004,"comma, ""quote""\nand line",'
        "2026-03-01T12:30:05.000120+00:00\r\n"
        "false,-1,3.0,ünïcode,2026-03-01T12:30:05.000120+00:00\r\n"
        ",,,,\r\n"
    )


def test_json_lines_are_strict_json() -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    lines = written("jsonl", ROWS).decode().splitlines()
    first, second, third, fourth = (json.loads(each, parse_constant=refuse) for each in lines)
    assert list(first) == [column.name for column in COLUMNS]
    assert (first["ratio"], first["count"]) == (0.1 + 0.2, 2**63 - 1)
    assert datetime.fromisoformat(second["at"]) == MOMENT
    assert set(third.values()) == {None}
    assert fourth["ratio"] == "Infinity"


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(written("parquet", ROWS))
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    assert [str(each) for each in frame.dtypes] == [
        "bool[pyarrow]",
        "int64[pyarrow]",
        "double[pyarrow]",
        "string[pyarrow]",
        "timestamp[us, tz=UTC][pyarrow]",
    ]
    assert frame["count"][0] == 2**63 - 1
    assert frame["ratio"][3] == math.inf
    assert frame["at"][0] == MOMENT
    assert frame.iloc[2].isna().all()


def test_parquet_keeps_every_row_of_several_groups(tmp_path: Path) -> None:
    def blocks() -> Iterator[list[tuple[int]]]:
        for start in range(0, 2 * ROW_GROUP + 10, 50_000):
            yield [(n,) for n in range(start, min(start + 50_000, 2 * ROW_GROUP + 10))]

    path = tmp_path / "rows.parquet"
    with path.open("wb") as file:
        write_rows(file, "parquet", [Column("n", "integer")], blocks())
    assert pd.read_parquet(path)["n"].tolist() == list(range(2 * ROW_GROUP + 10))


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_rows_still_make_a_file_that_can_be_read(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(written(format_name, []))
    if format_name == "csv":
        assert list(pd.read_csv(path)) == [column.name for column in COLUMNS]
    elif format_name == "parquet":
        assert list(pd.read_parquet(path)) == [column.name for column in COLUMNS]
    else:
        assert path.read_bytes() == b""


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


REALS = st.floats(allow_nan=False)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(st.tuples(REALS, TEXTS.filter(bool), st.integers(-(2**63), 2**63 - 1))))
def test_csv_gives_back_every_value(rows: list[tuple[float, str, int]]) -> None:
    columns = [Column("r", "real"), Column("t", "text"), Column("i", "integer")]
    text = written("csv", list(rows), columns).decode()
    read = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [(float(r), t, int(i)) for r, t, i in read] == rows


@given(st.lists(st.tuples(REALS.filter(math.isfinite), TEXTS)))
def test_json_lines_give_back_every_value(rows: list[tuple[float, str]]) -> None:
    columns = [Column("r", "real"), Column("t", "text")]
    lines = written("jsonl", list(rows), columns).decode().removesuffix("\n").split("\n")
    read = [json.loads(line) for line in lines if line]
    assert [(each["r"], each["t"]) for each in read] == rows


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"\[notebook\]"):
        written("parquet", ROWS)


def test_the_ending_says_the_format_unless_it_is_named() -> None:
    assert format_of("rows.CSV") == "csv"
    assert format_of("rows.txt", "jsonl") == "jsonl"
    assert format_of("-") == "csv"
    with pytest.raises(BadInput, match=r"no format 'jsnl'\. Did you mean 'jsonl'"):
        format_of("rows.jsnl")
    with pytest.raises(BadInput, match="says no format"):
        format_of("rows")
    with pytest.raises(BadInput, match="can't be written to a pipe"):
        format_of("-", "parquet")


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    with whole_file(target, force=False) as file:
        file.write(b"half")
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert names_in(tmp_path) == ["rows.csv"]
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_a_failure_nothing_half_made_stays(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "rows.csv"
    target.write_bytes(b"before")

    def write() -> None:
        with whole_file(target, force=True) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert names_in(tmp_path) == ["rows.csv"]
    assert target.read_bytes() == b"before"


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_bytes(b"before")
    with pytest.raises(BadInput, match="--force"), whole_file(target, force=False):
        pass
    with whole_file(target, force=True) as file:
        file.write(b"after")
    assert target.read_bytes() == b"after"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    with pytest.raises(BadInput, match="exists already"), whole_file(target, force=False):
        target.write_bytes(b"somebody else's")
    assert target.read_bytes() == b"somebody else's"
    assert names_in(tmp_path) == ["rows.csv"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "rows.csv"
    link.symlink_to(tmp_path / "disk" / "rows.csv")
    with whole_file(link, force=True) as file:
        file.write(b"rows")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "rows.csv").read_bytes() == b"rows"


def test_places_that_can_not_hold_a_file_are_refused(tmp_path: Path) -> None:
    for place, says in (
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "rows.csv", "no folder"),
        (Path(os.devnull), "not a plain file"),
        (Path("/proc/rows.csv"), "can't be written"),
    ):
        with pytest.raises(BadInput, match=says), whole_file(place, force=True):
            pass


def test_a_file_that_gets_too_large_leaves_nothing(tmp_path: Path) -> None:
    import resource

    target = tmp_path / "rows.csv"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with (
            pytest.raises(BadInput, match="can't be written"),
            whole_file(target, force=False) as file,
        ):
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert names_in(tmp_path) == []


def test_moments_are_in_utc() -> None:
    line = written("csv", [(MOMENT.astimezone(UTC),)], [Column("at", "moment")])
    assert line.split()[1] == b"2026-03-01T12:30:05.000120+00:00"
