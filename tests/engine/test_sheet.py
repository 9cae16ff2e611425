"""The status spreadsheet equals the database, whatever has happened to the file."""

from __future__ import annotations

import csv
import json
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldlab.domain.ids import Value, canonical, trial_name
from fieldlab.engine.sheet import COLUMNS, StatusSheet
from fieldlab.ports.store import EndedAttempt
from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore
from tests.store.staging import HandEngine, definition, running

texts = st.text(st.characters(codec="utf-8"), max_size=12)
values: st.SearchStrategy[Value] = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts, st.none()
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
points = st.dictionaries(names, values, max_size=3)


@st.composite
def attempts(draw: st.DrawFn) -> EndedAttempt:
    second = draw(st.integers(0, 59))
    return EndedAttempt(
        started_at=f"2026-01-31 23:59:{second:02d}.000001",
        ended_at=f"2026-01-31 23:59:{second:02d}.123456",
        parameters=canonical(draw(points)),
        repeat=draw(st.integers(1, 3)),
        pings=0,
        ssh_checks=draw(st.integers(0, 2)),
        status=draw(st.sampled_from(["success", "exit code 3", 'a "b", c', "two\r\nlines"])),
        number=draw(st.integers(1, 4)),
    )


def some(count: int, status: str = "success") -> list[EndedAttempt]:
    return [
        EndedAttempt("2026-01-31 23:59:59.000000", "2026-01-31 23:59:59.500000",
                     f'{{"x":{at}}}', 1, 0, 0, status, 1)
        for at in range(count)
    ]  # fmt: skip


class Ended:
    """Stands for the database: attempts that ended, and more as time goes by."""

    def __init__(self, attempts: list[EndedAttempt]) -> None:
        self.attempts = attempts

    def __call__(self, after: int) -> Iterator[EndedAttempt]:
        return iter(self.attempts[after:])


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *found = csv.reader(file)
    assert tuple(header) == COLUMNS
    return found


def expected(attempts: list[EndedAttempt]) -> list[list[str]]:
    return [
        [
            each.started_at,
            each.ended_at,
            trial_name(each.parameters, each.repeat),
            str(each.pings),
            str(each.ssh_checks),
            " ".join(each.status.split()),
            str(each.number),
        ]
        for each in attempts
    ]


def test_the_columns_are_those_that_people_know(tmp_path: Path) -> None:
    path = tmp_path / "status" / "probe.1.csv"
    assert StatusSheet(path, Ended(some(1))).sync() == 1
    assert path.read_bytes().split(b"\r\n") == [
        b"start_timestamp,end_timestamp,test_name,pings_count,ssh_check_count,end_status,"
        b"attempt_number",
        b"2026-01-31 23:59:59.000000,2026-01-31 23:59:59.500000,x=0,0,0,success,1",
        b"",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    all_attempts=st.lists(attempts(), max_size=8),
    events=st.lists(
        st.one_of(
            st.tuples(st.just("grow"), st.integers(0, 4)),
            st.tuples(st.just("cut"), st.integers(0, 10**6)),
            st.tuples(st.just("garbage"), st.integers(1, 30)),
            st.tuples(st.just("delete"), st.just(0)),
            st.tuples(st.sampled_from(["one", "two", "new"]), st.just(0)),
        ),
        max_size=12,
    ),
)
def test_a_sync_makes_the_file_true_again(
    tmp_path: Path, all_attempts: list[EndedAttempt], events: list[tuple[str, int]]
) -> None:
    path = tmp_path / "status.csv"
    path.unlink(missing_ok=True)
    ended = Ended([])
    sheets = {"one": StatusSheet(path, ended), "two": StatusSheet(path, ended)}
    for event, number in [*events, ("one", 0), ("two", 0)]:
        if event == "grow":
            ended.attempts = all_attempts[: len(ended.attempts) + number]
        elif event in ("one", "two", "new"):
            sheet = sheets.get(event) or StatusSheet(path, ended)
            assert sheet.sync() == len(ended.attempts)
            assert rows(path) == expected(ended.attempts)
        elif event == "delete":
            path.unlink(missing_ok=True)
        elif path.exists():
            content = path.read_bytes()
            if event == "cut":
                path.write_bytes(content[: number % (len(content) + 1)])
            else:
                path.write_bytes(content + b"2026-01-31 garbage, not a whole line"[:number])


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 2500])
def test_every_byte_that_may_be_last(tmp_path: Path, size: int) -> None:
    ended = Ended(some(size))
    path = tmp_path / "status.csv"
    StatusSheet(path, ended).sync()
    whole = path.read_bytes()
    for cut in {0, 1, 50, len(whole) // 2, len(whole) - 2, len(whole) - 1}:
        path.write_bytes(whole[: max(cut, 0)])
        assert StatusSheet(path, ended).sync() == size
        assert path.read_bytes() == whole


def test_a_file_of_another_database_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "status.csv"
    StatusSheet(path, Ended(some(20, "of the lab that was deleted"))).sync()
    for fresh in (some(3), some(20), some(25), []):
        assert StatusSheet(path, Ended(fresh)).sync() == len(fresh)
        assert rows(path) == expected(fresh)


def test_another_file_of_that_name_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "status.csv"
    path.write_text("my,own,table\n1,2,3\n")
    StatusSheet(path, Ended(some(2))).sync()
    assert rows(path) == expected(some(2))


def test_engines_that_write_at_the_same_time_write_each_row_once(tmp_path: Path) -> None:
    path = tmp_path / "status.csv"
    ended = Ended([])
    gate = threading.Barrier(3, timeout=20)

    def write() -> None:
        sheet = StatusSheet(path, ended)
        gate.wait()
        for _ in range(40):
            ended.attempts = some(len(ended.attempts) + 3)
            sheet.sync()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    StatusSheet(path, ended).sync()
    assert rows(path) == expected(ended.attempts)


def test_a_disk_that_fills_up_in_the_middle_of_a_row_is_made_good_later(tmp_path: Path) -> None:
    path = tmp_path / "status.csv"
    ended = Ended(some(10))
    sheet = StatusSheet(path, ended)
    sheet.sync()
    ended.attempts = some(400)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, hard))
    try:
        with pytest.raises(OSError, match=r"[Ss]pace|too large"):
            sheet.sync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == size + 1000
    assert sheet.sync() == 400
    assert rows(path) == expected(ended.attempts)


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="status"):
        StatusSheet(tmp_path / "status" / "probe.csv", Ended([])).sync()


def test_the_sheet_of_a_campaign_is_what_its_database_says(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url)
    store = SqlStore(database)
    engine = HandEngine(store, running(store, definition(attempts=2)))
    path = tmp_path / "probe.1.csv"
    sheet = StatusSheet(path, lambda after: store.ended_attempts(engine.campaign.id, after))
    assert sheet.sync() == 0
    engine.acquire()
    engine.end(4, 2)
    engine.fail(7, status="exit code 3")
    engine.record()
    assert sheet.sync() == 3
    engine.acquire()
    engine.end(7)
    engine.record()
    assert sheet.sync() == 4
    assert [[row[2], *row[5:]] for row in rows(path)] == [
        ["x=4", "success", "1"],
        ["x=2", "success", "1"],
        ["x=7", "exit code 3", "1"],
        ["x=7", "success", "2"],
    ]
    assert all(len(row[0]) == 26 and row[0] <= row[1] for row in rows(path))
    database.close()


@given(point=points, repeat=st.integers(1, 3))
def test_a_trial_is_named_by_its_parameters(point: dict[str, Value], repeat: int) -> None:
    text = canonical(point)
    words = []
    for name, value in json.loads(text).items():
        shown = " ".join(value.split()) if isinstance(value, str) else json.dumps(value)
        words.append(f"{name}={shown}")
    if repeat > 1 or not words:
        words.append(f"#{repeat}")
    assert trial_name(text, repeat) == " ".join(words)


@pytest.mark.parametrize(
    ("point", "repeat", "name"),
    [
        ({"delta": 0.5, "rho": 0.1}, 1, "delta=0.5 rho=0.1"),
        ({"delta": 0.5}, 2, "delta=0.5 #2"),
        ({}, 1, "#1"),
        ({"mode": "a b", "on": True, "none": None}, 1, "mode=a b none=null on=true"),
        ({"size": 1e300, "n": 10.0}, 1, "n=10 size=1e+300"),
        ({"sep": ":"}, 1, "sep=:"),
        ({"a": ":", "b": ","}, 1, "a=: b=,"),
    ],
    ids=str,
)
def test_names_of_trials(point: dict[str, Value], repeat: int, name: str) -> None:
    assert trial_name(canonical(point), repeat) == name


def test_half_a_surrogate_pair_does_not_stop_it(tmp_path: Path) -> None:
    path = tmp_path / "status.csv"
    odd = some(1)[0]._replace(parameters='{"x":"cut \\ud800 off"}')
    StatusSheet(path, Ended([odd])).sync()
    assert rows(path)[0][2] == "x=cut \\ud800 off"
