"""AutoPerf's status spreadsheets: what is done, and which rows are broken."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import canonical, trial_name
from fieldlab.domain.trials import FailureClass
from fieldlab.ports.store import EndedAttempt
from fieldlab.workflows.perftest.ess import StatusFile, read_ess
from fieldlab.workflows.perftest.naming import ess_rows
from fieldlab.workflows.perftest.parameters import TestName
from fieldlab.workflows.perftest.statuses import STATUSES
from tests.workflows.perftest.autoperf import status_row, write_ess
from tests.workflows.staging import shared_data

ONE = "30SEC_100B_1PUB_1SUB_REL_UC_0DUR_100LC"
TWO = "30SEC_100B_1PUB_2SUB_REL_UC_0DUR_100LC"


def test_a_real_spreadsheet() -> None:
    found = read_ess(shared_data("autoperf-ess", "good_ess_1.csv"))
    assert (len(found.rows), len(found.done()), found.problems) == (50, 10, ())
    first = found.rows[0]
    assert str(first.test) == "95SEC_235B_40PUB_49SUB_BE_UC_1DUR_627LC"
    assert (first.status, first.attempt, first.pings, first.ssh_checks) == ("success", 1, 3, 1)
    assert str(first.started_at) == "2024-01-01 10:01:54"
    assert first.line == 2


def test_a_test_is_done_if_any_of_its_tries_succeeded(tmp_path: Path) -> None:
    path = write_ess(
        tmp_path,
        status_row(ONE, "timeout"),
        status_row(ONE, attempt="2"),
        status_row(TWO, "ping_check_fail"),
    )
    assert read_ess(path).done() == {TestName.parse(ONE)}


@pytest.mark.parametrize("status", STATUSES)
def test_every_known_status_has_its_fault(tmp_path: Path, status: str) -> None:
    (row,) = read_ess(write_ess(tmp_path, status_row(ONE, status))).rows
    assert row.failure == STATUSES[status]
    assert row.succeeded == (status in ("success", "punctual"))


def test_a_status_that_nobody_knows_is_run_again(tmp_path: Path) -> None:
    (row,) = read_ess(write_ess(tmp_path, status_row(ONE, "odd"))).rows
    assert row.failure is FailureClass.EXPERIMENT


def test_the_seeds_columns(tmp_path: Path) -> None:
    heading = (
        "start timestamp,end timestamp,test name,pings count,ssh check count,end status,attempt #"
    )
    path = write_ess(tmp_path, status_row(ONE).removesuffix(","), heading=heading)
    (row,) = read_ess(path).rows
    assert (row.attempt, row.status) == (1, "success")


BROKEN = [
    (status_row("30SEC_oops"), "test_name: '30SEC_oops' is not the name of a test"),
    (status_row(ONE, ""), "end_status: the test has no end status"),
    (status_row(ONE, start="soon"), "start_timestamp: 'soon' is no moment"),
    (status_row(ONE, pings="many"), "pings_count: 'many' is no count"),
    (status_row(ONE, attempt="-1"), "attempt_number: '-1' is no count"),
    (status_row("9" * 5000 + ONE), "test_name: '9999"),
    (status_row(f'"{ONE}\n"'), "test_name: '30SEC"),
    (status_row(ONE, pings="9" * 400), "pings_count: '9999"),
    (status_row(ONE, pings="9" * 5000), "pings_count: '9999"),
    (status_row(ONE, qos='"{"'), "qos_settings: the settings can't be read"),
    (status_row(ONE, qos='"{[]:1}"'), "qos_settings: the settings can't be read"),
    (status_row(ONE, qos="-" * 9000 + "1"), "qos_settings: the settings can't be read"),
    (status_row(ONE, qos="-" * 20000 + "1"), "qos_settings: the settings can't be read"),
    (
        status_row(ONE, qos="\"{'pub_count': 0x" + "f" * 5000 + '}"'),
        "qos_settings: pub_count is a huge number in qos_settings",
    ),
    (
        status_row(ONE, qos="\"{'pub_count': 7}\""),
        "qos_settings: pub_count is 7 in qos_settings and 1 in the test's name",
    ),
    ("2024-01-01 10:01:54,2024-01-01", "the row has 2 fields, and the heading 8"),
]


@pytest.mark.parametrize(("row", "said"), BROKEN)
def test_broken_rows_are_told_with_line_and_remedy_and_others_are_read(
    tmp_path: Path, row: str, said: str
) -> None:
    path = write_ess(tmp_path, status_row(TWO), row, status_row(TWO))
    found = read_ess(path)
    assert len(found.rows) == 2
    (problem,) = found.problems
    assert f"{path}:3: {said}" in str(problem)
    assert problem.remedy


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "a,b\n1,2\n", "has no column 'test_name'"),
        ("a.txt", "", "is no status spreadsheet that can be read"),
        ("a.parquet", "not parquet", "can't be read"),
    ],
)
def test_what_is_no_spreadsheet(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput) as caught:
        read_ess(tmp_path / name)
    assert said in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        read_ess(tmp_path / "a.csv")


ROWS = [
    {"experiment_name": ONE, "end_status": "success", "attempt": 1},
    {"experiment_name": TWO, "end_status": "timeout", "attempt": 1},
]


def test_jsonl_of_later_versions(tmp_path: Path) -> None:
    path = tmp_path / "ess.jsonl"
    path.write_text("\n".join([*map(json.dumps, ROWS), "{oops", "[]"]))
    found = read_ess(path)
    check(found)
    assert [each.line for each in found.problems] == [3, 4]


def test_broken_rows_of_jsonl_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "ess.jsonl"
    deep = '{"test_name": ' + "[" * 100_000
    huge = json.dumps({**ROWS[0], "attempt": 10**399})
    path.write_text("\n".join([json.dumps(ROWS[0]), deep, huge, json.dumps(ROWS[1])]))
    found = read_ess(path)
    check(found)
    assert [each.line for each in found.problems] == [2, 3]
    deep_said, huge_said = map(str, found.problems)
    assert "lists and objects are nested too deep" in deep_said
    assert "attempt_number: 1000" in huge_said
    assert "… is no count. Write a number from 0 up" in huge_said


def test_parquet_whose_columns_are_called_alike(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table.append_column("attempt", pa.array([2, 2])), tmp_path / "ess.parquet")
    with pytest.raises(BadInput, match="can't be read"):
        read_ess(tmp_path / "ess.parquet")


def test_csv_without_an_end_of_its_heading(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not CSV"):
        read_ess(write_ess(tmp_path, heading="x" * 200_000))


HUGE = "{'pub_count': 0x" + "f" * 5000 + "}"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from([ONE, ONE + "\n", "success", 10**400, "9" * 5000, "{[]: 1}", HUGE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
NAMES = ("test_name", "end_status", "attempt_number", "pings_count", "end_time", "qos_settings")
OBJECTS = st.fixed_dictionaries(
    {"test_name": st.just(ONE) | VALUES, "end_status": VALUES},
    optional=dict.fromkeys(NAMES[2:], VALUES),
)
DEEP = st.integers(1, 2000).map(lambda n: "[" * n + "]" * n)
LINES = st.one_of(
    OBJECTS.map(json.dumps),
    st.text(),
    DEEP,
    st.builds('{{"test_name": "{}", "end_status": 1, "attempt": {}}}'.format, st.just(ONE), DEEP),
)
CELLS = st.text() | st.sampled_from([ONE, "success", '"', "\n", "1e400", "9" * 400, "{[]:1}"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(
    st.binary(),
    st.lists(LINES).map("\n".join),
    st.lists(st.lists(CELLS, min_size=6, max_size=6).map(",".join)).map("\n".join),
)
def test_any_file_is_read_or_bad_input(folder: Path, content: bytes, lines: str, rows: str) -> None:
    written = {
        "a.csv": content,
        "a.jsonl": content,
        "a.parquet": content,
        "b.jsonl": lines.encode(errors="replace"),
        "b.csv": f"{','.join(NAMES)}\n{rows}".encode(errors="replace"),
    }
    for name, each in written.items():
        (folder / name).write_bytes(each)
        try:
            found = read_ess(folder / name)
        except BadInput:
            continue
        assert all(problem.remedy and problem.line for problem in found.problems)
        assert all(map(str, found.problems))


def test_parquet_of_later_versions(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "ess.parquet")
    check(read_ess(tmp_path / "ess.parquet"))


def check(found: StatusFile) -> None:
    assert len(found.rows) == 2
    assert found.done() == {TestName.parse(ONE)}


@pytest.mark.parametrize("ending", ["", " #2"])
def test_fieldlabs_own_names_are_read(tmp_path: Path, ending: str) -> None:
    point = {**TestName.parse(ONE).point(), "site": "lab two", "zone": "a=b"}
    name = trial_name(canonical(point), 1) + ending
    found = read_ess(write_ess(tmp_path, status_row(name)))
    assert found.problems == ()
    assert found.done() == {TestName.parse(ONE)}


def test_a_name_that_lacks_a_parameter_says_how_to_get_it(tmp_path: Path) -> None:
    (problem,) = read_ess(write_ess(tmp_path, status_row("pub_count=1 sub_count=2"))).problems
    assert "duration_secs is missing" in problem.what
    assert "fieldlab perftest ess" in problem.remedy


def test_attempts_become_autoperfs_rows() -> None:
    point = {key: value for key, value in TestName.parse(ONE).point().items() if key != "pub_count"}
    attempt = EndedAttempt(
        started_at="2026-01-31 23:59:59.123456",
        ended_at="2026-02-01 00:01:00.000000",
        parameters=canonical({**point, "site": "x"}),
        repeat=1,
        pings=2,
        ssh_checks=1,
        status="bad\nresult",
        number=3,
    )
    (row,) = ess_rows([attempt], {"pub_count": 1, "executable": "perftest_cpp"})
    assert row[:7] == ("2026-01-31 23:59:59", "2026-02-01 00:01:00", ONE, 2, 1, "bad result", 3)
    assert ast.literal_eval(str(row[7])) == TestName.parse(ONE).point()
    with pytest.raises(BadInput, match="pub_count is missing"):
        list(ess_rows([attempt], {}))
