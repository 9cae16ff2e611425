"""The results tables: columns that come with the data, and names that nobody foresaw."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fieldlab.domain.definition import MOST_COLUMNS, RESERVED_COLUMNS
from fieldlab.ports.executor import Shape
from fieldlab.ports.store import Campaign
from fieldlab.store.database import Database
from fieldlab.store.results import LONGEST_NAME, ResultsTable
from fieldlab.store.sql_store import SqlStore, results_of
from tests.store.staging import TYPES, HandEngine, attempts_of, definition, running
from tests.store.staging import results_of as rows_of


class Recorder:
    """Records one trial after the other, each with the given result."""

    def __init__(self, store: SqlStore, name: str = "probe") -> None:
        self.store = store
        self.engine = HandEngine(store, running(store, definition(name), positions=None))

    @property
    def campaign(self) -> Campaign:
        return self.engine.campaign

    def record(self, *results: Mapping[str, Any]) -> str:
        """Record a trial; the error that it was refused with, or nothing."""
        [lease] = self.engine.acquire(1).leases
        self.engine.end(lease.start, results=results)
        self.engine.record()
        return str(attempts_of(self.store, self.campaign)[-1]["error"] or "")

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in rows_of(self.store, self.campaign)]

    def columns(self) -> dict[str, tuple[str, str]]:
        with self.store.database.read() as connection:
            loaded = results_of(connection, self.campaign).load(connection)
        return {column.name: (column.kind, column.type) for column in loaded}


@pytest.fixture
def recorder(store: SqlStore) -> Recorder:
    return Recorder(store)


def test_columns_appear_with_the_data(recorder: Recorder) -> None:
    recorder.record({"a": 1})
    recorder.record({"b": "text"})
    recorder.record({"b": "more", "a": 2, "c": False})
    assert recorder.columns() == {
        "x": ("parameter", "integer"),
        "a": ("result", "integer"),
        "b": ("result", "text"),
        "c": ("result", "boolean"),
    }
    assert recorder.column("a") == [1, None, 2]
    assert recorder.column("b") == [None, "text", "more"]
    assert recorder.column("c") == [None, None, False]


def test_parameters_come_before_results(recorder: Recorder) -> None:
    recorder.record({"a": 1})
    [row] = rows_of(recorder.store, recorder.campaign)
    assert list(row)[:2] == ["x", "a"]
    assert list(row)[2:] == ["trial_id", "row", "campaign_id", "attempt", "repeat", "recorded_at"]


def test_integers_give_way_to_reals_and_stay_what_they_were(recorder: Recorder) -> None:
    recorder.record({"y": 3})
    recorder.record({"y": -(2**53)})
    assert recorder.columns()["y"] == ("result", "integer")
    recorder.record({"y": 2.5})
    recorder.record({"y": 7})
    recorder.record({"y": 1e300})
    assert recorder.columns()["y"] == ("result", "real")
    assert recorder.column("y") == [3, -(2**53), 2.5, 7, 1e300]


def test_widening_in_one_commit(recorder: Recorder) -> None:
    recorder.record({"y": 3}, {"y": 0.25}, {"y": None})
    assert recorder.column("y") == [3, 0.25, None]


@pytest.mark.parametrize(
    "value",
    [True, 2**62 + 1, -7, 0.5, 12.0, "123", "1e5", " 7", "text", "", "0x10", "nan"],
    ids=repr,
)
def test_a_column_of_missing_values_takes_any_type_later(recorder: Recorder, value: Any) -> None:
    recorder.record({"y": None})
    assert recorder.columns()["y"] == ("result", "")
    assert recorder.record({"y": value}) == ""
    recorder.record({"y": None})
    found = recorder.column("y")
    assert found == [None, value, None]
    assert type(found[1]) is type(value)
    assert recorder.columns()["y"] == ("result", TYPES[type(value)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("text", 1),
        (1, "text"),
        (1.5, "text"),
        (True, 1),
        (1, True),
        (1.5, False),
        (True, "yes"),
        (True, 0.5),
    ],
    ids=repr,
)
def test_another_type_is_refused_with_advice(recorder: Recorder, first: Any, second: Any) -> None:
    recorder.record({"y": first})
    before = recorder.columns()
    refusal = recorder.record({"y": second, "new": 1})
    assert "Result 'y' changes type" in refusal
    assert "use another name" in refusal
    assert recorder.columns() == before, "nothing may remain of what was refused"
    assert recorder.column("y") == [first]


@pytest.mark.parametrize("name", sorted(RESERVED_COLUMNS | {"Trial_ID", "ROW"}))
def test_names_that_fieldlab_needs_are_refused(recorder: Recorder, name: str) -> None:
    assert "Rename it" in recorder.record({name: 1})
    assert recorder.column("x") == []


@pytest.mark.parametrize("name", ["xmin", "xmax", "cmin", "cmax", "ctid", "tableoid", "XMAX"])
def test_names_that_postgresql_needs_are_refused_by_both(recorder: Recorder, name: str) -> None:
    assert "Rename it" in recorder.record({name: 1})
    assert recorder.record({"y": 1}) == ""


@pytest.mark.parametrize(
    ("names", "told"), [(("Time", "time"), "'time'"), (("λ", "Λ"), "'Λ'")], ids=str
)
def test_names_that_differ_in_case_only_are_refused(
    recorder: Recorder, names: tuple[str, str], told: str
) -> None:
    recorder.record({names[0]: 1})
    refusal = recorder.record({names[1]: 2})
    assert f"{told} differs from '{names[0]}' in case only" in refusal
    assert "in case only" in recorder.record({"A": 1, "a": 2})
    assert recorder.column(names[0]) == [1]


WEIRD = (
    "a b",
    "100%",
    "%s",
    "%%",
    "%(x)s",
    ":name",
    "a:b:c",
    "p0",
    '"',
    '""',
    "'",
    "`",
    "[x]",
    "a.b",
    "a;DROP TABLE trials;--",
    "{column}",
    "{0}",
    "\\",
    "\\:",
    "select",
    "order",
    "1",
    "é",
    "größe",
    "\N{GRINNING FACE}",
    "?",
    "$1",
    "rowid",
    "oid",
    "id",
    "state",
    "*",
    "-",
    " ",
    "n" * LONGEST_NAME,
    "é" * (LONGEST_NAME // 2),
)


@pytest.mark.parametrize("name", WEIRD)
def test_any_printable_name_can_be_a_column(recorder: Recorder, name: str) -> None:
    assert recorder.record({name: None}) == ""
    assert recorder.record({name: 1}) == ""
    assert recorder.record({name: 2.5}) == ""
    assert recorder.record({name: 3.5, "other": "%"}) == ""
    assert recorder.column(name) == [None, 1, 2.5, 3.5]


def test_all_weird_names_at_once(recorder: Recorder) -> None:
    row = {name: number for number, name in enumerate(WEIRD)}
    assert recorder.record(row) == ""
    [found] = rows_of(recorder.store, recorder.campaign)
    assert {name: found[name] for name in row} == row


@pytest.mark.parametrize(
    "name",
    ["", "a\nb", "tab\t", "\0", "\x7f", "\u200b", "\ud800", "n" * (LONGEST_NAME + 1), "é" * 30],
    ids=ascii,
)
def test_names_that_cannot_be_columns_are_refused(recorder: Recorder, name: str) -> None:
    assert "can't name a column" in recorder.record({name: 1, "new": 1})
    assert "new" not in recorder.columns()
    assert recorder.record({"y": 1}) == ""


def test_a_thousand_columns_and_not_one_more(recorder: Recorder) -> None:
    room = MOST_COLUMNS - 1  # x is there
    assert recorder.record({f"c{n}": n for n in range(room)}) == ""
    refusal = recorder.record({"one_more": 1})
    assert f"would have {MOST_COLUMNS + 1} columns" in refusal
    assert "list of rows" in refusal
    assert recorder.record({"c7": 8}) == ""
    assert recorder.column("c7") == [7, 8]


def test_a_row_too_wide_from_the_start_leaves_the_table_narrow(recorder: Recorder) -> None:
    assert "would have 1502 columns" in recorder.record({f"c{n}": n for n in range(1501)})
    assert recorder.columns() == {}


def test_what_is_not_a_number_is_missing_by_the_time_it_arrives(recorder: Recorder) -> None:
    """Executors turn NaN to None, as SQLite would; a column of reals knows that it is one."""
    recorder.record({"y": 0.5})
    recorder.record({"y": None})
    recorder.record({"y": float("inf")})
    assert recorder.column("y") == [0.5, None, float("inf")]
    assert recorder.columns()["y"] == ("result", "real")


def test_two_engines_learn_of_each_others_columns(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(2)]
    one, two = (Recorder(SqlStore(database)) for database in databases)
    for recorder, result in (
        (one, {"a": 1}),
        (two, {"a": 2, "b": 1}),
        (one, {"a": 0.5}),
        (two, {"a": 3}),
        (one, {"b": 2, "c": "text"}),
        (two, {"c": "more", "a": 1.5}),
    ):
        assert recorder.record(result) == ""
    assert one.column("a") == [1, 2, 0.5, 3, None, 1.5]
    assert two.column("c") == [None, None, None, None, "text", "more"]
    for database in databases:
        database.close()


def test_two_campaigns_of_one_experiment_grow_its_table_at_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(2)]
    stores = [SqlStore(database) for database in databases]
    engines = [
        HandEngine(store, running(store, definition(points=points)), shift=100 * points)
        for points, store in enumerate(stores, 10)
    ]
    barrier = threading.Barrier(2, timeout=20)
    failures: list[BaseException] = []

    def work(engine: HandEngine) -> None:
        try:
            engine.acquire()
            for round_ in range(10):
                engine.end(round_, results=[{f"c{round_}": round_, "y": round_ + 0.5}])
                barrier.wait()
                engine.record()
        except BaseException as error:
            failures.append(error)
            barrier.abort()
            raise

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(rows_of(stores[0], engines[0].campaign)) == 20
    for database in databases:
        database.close()


def test_a_column_that_was_rolled_back_is_added_again(database: Database) -> None:
    store = SqlStore(database)
    recorder = Recorder(store)
    recorder.record({"y": 1})
    with database.begin() as connection:
        table = results_of(connection, recorder.campaign)
        assert table.adapt(connection, Shape(("x", "y"), ("integer", "integer")), {"x"}) == ""
    with database.engine.connect() as connection, connection.begin() as transaction:
        table.adapt(connection, Shape(("x", "z"), ("integer", "text")), {"x"})
        transaction.rollback()
    assert "z" not in recorder.columns()
    assert recorder.record({"z": 0.5}) == ""
    assert recorder.columns()["z"] == ("result", "real")


def test_other_programs_read_plain_columns(recorder: Recorder) -> None:
    recorder.record({"flag": True, "count": 2, "share": 0.25, "label": "a"})
    recorder.record({"flag": None, "count": 3, "share": None, "label": None})
    query = sa.text('SELECT x, flag, count, share, label FROM "results_probe" ORDER BY x')
    with recorder.store.database.read() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    assert rows == [(0, True, 2, 0.25, "a"), (1, None, 3, None, None)]


def test_a_missing_value_is_null_for_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    recorder = Recorder(SqlStore(database))
    recorder.record({"late": None})
    recorder.record({"late": "007"})
    database.close()
    plain = sqlite3.connect(path)
    try:
        found = plain.execute("SELECT late, typeof(late) FROM results_probe ORDER BY x").fetchall()
    finally:
        plain.close()
    assert found == [(None, "null"), ("007", "text")]


def test_rows_can_be_counted_and_limited(recorder: Recorder) -> None:
    recorder.record({"y": 1}, {"y": 2}, {"y": 3})
    with recorder.store.database.read() as connection:
        table: ResultsTable = results_of(connection, recorder.campaign)
        assert table.count(connection) == 3
        assert len(connection.execute(table.select(connection, limit=2)).all()) == 2


def test_a_refused_row_takes_its_record_along_and_leaves_no_column(recorder: Recorder) -> None:
    assert "has the name of a column" in recorder.record({"y": "text"}, {"attempt": 1})
    assert recorder.record({"y": 1.5}) == ""
    assert recorder.columns()["y"] == ("result", "real")
