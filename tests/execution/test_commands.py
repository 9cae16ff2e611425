"""The command tool by itself: what it plans for a point, how it judges and reads what came out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.commands import Command, ExitStatus
from fieldlab.domain.errors import BadResult
from fieldlab.domain.ids import Point
from fieldlab.domain.trials import FailureClass
from fieldlab.execution.commands import CommandTool, as_text
from fieldlab.execution.reading import as_value
from fieldlab.ports.tool import STDOUT, Outcome, Place, Plan

PLACE = Place(here="/lab", out="/lab/.fieldlab/a/outputs", fingerprint="0f1e", repeat=2, attempt=3)


def plan(argv: list[str], point: Point | None = None, **options: Any) -> Plan:
    return CommandTool({"argv": argv, **options}).plan(point or {}, PLACE)


def command(argv: list[str], point: Point | None = None, **options: Any) -> Command:
    return plan(argv, point, **options).processes[0].command


def parse(output: str | bytes, file: str = "", **read: Any) -> list[dict[str, Any]]:
    content = output if isinstance(output, bytes) else output.encode()
    tool = CommandTool({"argv": ["x"], "read": {"file": file, "values": {}, **read}})
    return tool.parse(Outcome(exits={"": ExitStatus(code=0)}, files={file or STDOUT: content}))


def test_placeholders_are_filled() -> None:
    argv = [
        "run",
        "--x={x}",
        "{y}{x}",
        "{{x}}",
        "{attempt}/{repeat}/{fingerprint}",
        "{here}",
        "{out}",
    ]
    point: Point = {"x": 0.1, "y": "a b;$(c)*"}
    assert command(argv, point).argv == (
        "run",
        "--x=0.1",
        "a b;$(c)*0.1",
        "{x}",
        "3/2/0f1e",
        "/lab",
        PLACE.out,
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, ""),
        (3, "3"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (1e22, "1e+22"),
        (2.0, "2.0"),
        ("{x}", "{x}"),
        ("--flag", "--flag"),
        ("", ""),
        ("žluť", "žluť"),
    ],
)
def test_values_on_a_command_line(value: bool | float | str | None, text: str) -> None:
    assert as_text(value) == text
    assert command(["p", "{v}"], {"v": value}).argv == ("p", text)


def test_the_environment_has_placeholders_too() -> None:
    made = command(["p"], {"x": 2}, environment={"THREADS": "{x}", "WHERE": "{out}"})
    assert made.environment == {"THREADS": "2", "WHERE": PLACE.out}


@pytest.mark.parametrize(
    ("options", "directory", "writes"),
    [
        ({}, "/lab", False),
        ({"directory": "experiment"}, "/lab", False),
        ({"directory": "attempt"}, PLACE.out, True),
        ({"environment": {"TMP": "{out}"}}, "/lab", True),
        ({"read": {"format": "json", "file": "r.json", "values": {}}}, "/lab", True),
        ({"read": {"format": "json", "file": "", "values": {}}}, "/lab", False),
    ],
)
def test_the_folder_it_runs_in(options: dict[str, Any], directory: str, writes: bool) -> None:
    made = plan(["p"], **options)
    assert (made.processes[0].command.directory, made.writes) == (directory, writes)


@pytest.mark.parametrize(
    ("success", "status", "failure", "word"),
    [
        (None, ExitStatus(code=0), None, "success"),
        (None, ExitStatus(code=3), FailureClass.EXPERIMENT, "exit code 3"),
        (None, ExitStatus(code=-11), FailureClass.EXPERIMENT, "killed by SIGSEGV"),
        (None, ExitStatus(code=-99), FailureClass.EXPERIMENT, "killed by signal 99"),
        ([0, 3], ExitStatus(code=3), None, "success"),
        ([3], ExitStatus(code=0), FailureClass.EXPERIMENT, "exit code 0"),
        ([0], ExitStatus(code=0, timed_out=True, duration_s=2), FailureClass.EXPERIMENT, "timeout"),
    ],
)
def test_the_exit_is_judged(
    success: list[int] | None, status: ExitStatus, failure: FailureClass | None, word: str
) -> None:
    judged = CommandTool({"argv": ["x"], "success": success}).judge(Outcome(exits={"": status}))
    assert (judged.failure, judged.status) == (failure, word)
    assert bool(judged.explanation) == bool(failure)


@pytest.mark.parametrize(
    ("form", "text", "rows"),
    [
        ("json", '{"a": 1, "b": [1]}', [{"a": 1, "b": [1]}]),
        ("json", '[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ("json", " \n[]\n", []),
        ("json", '{"a": Infinity}', [{"a": math.inf}]),
        ("jsonl", '{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("jsonl", "", []),
        ("csv", "a,b\n1,x\n2.5,\n", [{"a": 1, "b": "x"}, {"a": 2.5, "b": None}]),
        ("csv", "\r\n a , b \r\n1,\" q\"\"uote \"\r\n", [{"a": 1, "b": 'q"uote'}]),
        ("csv", "\ufeffa,b\n1,2\n", [{"a": 1, "b": 2}]),
        ("csv", "a\n", []),
        ("csv", "a,b\n\n1,2\n\n", [{"a": 1, "b": 2}]),
        ("csv", 'a\n"two\nlines"\n', [{"a": "two\nlines"}]),
    ],
)  # fmt: skip
def test_results_are_read(form: str, text: str, rows: list[dict[str, Any]]) -> None:
    assert parse(text, format=form) == rows


@pytest.mark.parametrize(
    ("form", "text", "why"),
    [
        ("json", "", "stdout is not JSON"),
        ("json", "Loading…\n{}", "stdout is not JSON: .*begins: 'Loading…"),
        ("json", '{"a": 1}{"a": 2}', "stdout is not JSON: Extra data"),
        ("json", "3", "Result 0 is 3, not an object.*Print objects such as"),
        ("json", '[{"a": 1}, "b"]', 'Result 1 is "b", not an object'),
        ("json", "[" * 200_000, "stdout is not JSON"),
        ("json", "1" * 10_000, "stdout is not JSON"),
        ("jsonl", '{"a": 1}\n{"a": ', "stdout is not JSONL"),
        ("jsonl", '{"a": 1}\n[1]', r"Result 1 is \[1\], not an object"),
        ("csv", "a,b\n1\n", "Line 2 of the CSV has another number of fields"),
        ("csv", "a,b\n1,2,3\n", "Line 2 of the CSV"),
        ("csv", 'a,b\n1,"2\n', "stdout is not CSV"),
        ("csv", 'a,b\n1,"2"x\n', "stdout is not CSV"),
        ("csv", "a,b,a\n1,2,3\n", "names 'a' twice"),
        ("csv", "a, a\n1,2\n", "names 'a' twice"),
        ("csv", "a\n" + "x" * 200_000, "field larger than"),
    ],
    ids=lambda each: str(each)[:20],
)
def test_results_that_cannot_be_read_are_explained(form: str, text: str, why: str) -> None:
    with pytest.raises(BadResult, match=why) as caught:
        parse(text, format=form)
    assert len(str(caught.value)) < 1000


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    with pytest.raises(BadResult, match="stdout is not JSON"):
        parse(b"\x80\xff\x00", format="json")
    assert parse(b'{"a": "\xff"}', format="json") == [{"a": "\ufffd"}]


@pytest.mark.parametrize(
    ("values", "text", "row"),
    [
        ({"t": r"took (\d+) ms"}, "it took 12 ms", {"t": 12}),
        ({"t": r"^avg (?P<value>\S+) (us)"}, "max 9 us\navg 2.5e-3 us", {"t": 2.5e-3}),
        ({"a": r"a=(\w*)", "b": r"b=(\w+)"}, "b=x a=", {"a": None, "b": "x"}),
        ({"t": r"took(?: (\d+))?"}, "took", {"t": None}),
        ({"t": r"(?s)one(.*)three"}, "one\n two \nthree", {"t": "two"}),
    ],
)
def test_values_are_found_by_patterns(
    values: dict[str, str], text: str, row: dict[str, Any]
) -> None:
    assert parse(text, format="regex", values=values) == [row]


def test_a_pattern_that_matches_nothing_is_named() -> None:
    with pytest.raises(BadResult, match=r"Nothing matches the pattern of 'rate': rate=\(\.\+\)"):
        parse("speed=3", format="regex", values={"rate": "rate=(.+)"})


def test_a_file_is_read_instead_of_the_output() -> None:
    assert parse('{"a": 1}', file="deep/r.json", format="json") == [{"a": 1}]
    tool = CommandTool({"argv": ["x"], "read": {"format": "json", "file": "r.json", "values": {}}})
    assert tool.plan({}, PLACE).processes[0].reads == ("r.json",)
    with pytest.raises(BadResult, match=r"wrote no file 'r.json'. Let it write to {out}/r.json"):
        tool.parse(Outcome(exits={"": ExitStatus(code=0)}, files={}))


def test_without_read_a_success_is_one_row() -> None:
    tool = CommandTool({"argv": ["x"]})
    assert tool.plan({}, PLACE).processes[0].reads == ()
    assert tool.parse(Outcome(exits={"": ExitStatus(code=0)})) == [{}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        (" -3 ", -3),
        ("+3", 3),
        ("03", 3),
        ("2.5", 2.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("1e3", 1000.0),
        ("-1E-3", -0.001),
        ("inf", math.inf),
        ("-Infinity", "-Infinity"),
        ("", None),
        ("  ", None),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("1,5", "1,5"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("true", "true"),
        ("2026-01-31", "2026-01-31"),
        ("e5", "e5"),
    ],
)
def test_fields_of_text_become_numbers(text: str, value: object) -> None:
    found = as_value(text)
    assert found == value
    assert type(found) is type(value)


@given(value=st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_from_their_text(value: float) -> None:
    assert as_value(as_text(value)) == value


@given(text=st.text())
def test_any_text_is_some_value(text: str) -> None:
    if len(text) < 4000:
        as_value(text)


@given(st.binary(max_size=200), st.sampled_from(["json", "jsonl", "csv"]))
def test_any_output_is_read_or_explained(output: bytes, form: str) -> None:
    try:
        rows = parse(output, format=form)
    except BadResult:
        return
    assert all(isinstance(row, dict) for row in rows)
