"""Looking at what has been recorded: results, export, attempts."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import fieldlab
from fieldlab.cli.errors import ExitCode
from tests.cli.program import (
    document,
    finish,
    invoke,
    start,
    write_experiment,
)
from tests.waiting import wait_until

SOURCE = Path(fieldlab.__file__).parent.parent

VALUES = """\
def measure(n):
    if n == 4:
        raise ValueError("four is no good")
    return {
        "ratio": n / 3,
        "even": n % 2 == 0,
        "label": "a, b" if n == 2 else None,
        "bound": float("inf") if n == 3 else 1.5,
    }
"""


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have a lab in which four trials have run, the last of which failed."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "values.py").write_text(VALUES)
    (folder / "values.yaml").write_text(
        "name: values\n"
        "tool: {function: 'values.py:measure'}\n"
        "space: {matrix: {n: [1, 2, 3, 4]}}\n"
        "executor: {local: {slots: 1}}\n"
    )
    code, _, err = finish(start("run", "values.yaml", folder=folder))
    assert code == 1, err
    return folder


@pytest.fixture
def lab(module_lab: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(module_lab)
    yield module_lab
    for left in module_lab.glob("out*"):
        left.unlink()


def test_results_are_a_table_of_parameters_and_results(lab: Path) -> None:
    lines = invoke("results", "values").stdout.splitlines()
    assert lines[0].split() == ["n", "ratio", "even", "label", "bound"]
    assert lines[2].split() == ["1", repr(1 / 3), "false", "1.5"]
    assert lines[3].split() == ["2", repr(2 / 3), "true", "a,", "b", "1.5"]
    assert lines[4].split() == ["3", "1.0", "false", "inf"]
    assert len(lines) == 5


def test_all_columns_are_shown_when_asked_for(lab: Path) -> None:
    heading = invoke("results", "values", "--all-columns").stdout.splitlines()[0].split()
    assert heading[:5] == ["n", "ratio", "even", "label", "bound"]
    assert set(heading[5:]) == {
        "trial_id", "row", "campaign_id", "attempt", "repeat", "recorded_at", "commit", "dirty",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "rows"),
    [(["--head"], 3), (["--head", "2"], 2), (["--head", "--json"], 3), (["--head", "1"], 1)],
)
def test_head_shows_the_first_rows(lab: Path, words: list[str], rows: int) -> None:
    result = invoke("results", "values", *words, *([] if "--json" in words else ["--json"]))
    assert [row["n"] for row in document(result)] == [1, 2, 3][:rows]


def test_a_shortened_table_says_how_many_rows_there_are(lab: Path) -> None:
    result = invoke("results", "values", "--head", "2")
    assert len(result.stdout.splitlines()) == 4
    assert "The first 2 of 3 rows" in result.stderr
    assert "fieldlab export values" in result.stderr
    assert invoke("results", "--head", "values").exit_code == 0
    assert invoke("results", "values", "--head", "0").exit_code == 2


def test_a_terminal_shows_a_screenful_and_few_digits(folder: Path) -> None:
    (folder / "thirds.py").write_text("def third(n):\n    return {'ratio': n / 3}\n")
    (folder / "thirds.yaml").write_text(
        "name: thirds\ntool: {function: 'thirds.py:third'}\n"
        "space: {matrix: {n: {range: [1, 60]}}}\n"
    )
    assert finish(start("run", "thirds.yaml", folder=folder))[0] == 0
    shown = on_terminal(["results", "thirds"], folder)
    assert "0.333333\r\n" in shown
    assert "The first 50 of 60 rows. --head N shows more" in shown
    assert len([line for line in shown.splitlines() if line.strip()[:1].isdecimal()]) == 50
    assert "The first" not in on_terminal(["results", "thirds", "--head", "60"], folder)


def on_terminal(words: list[str], folder: Path) -> str:
    """Run the program on a terminal of its own; what it shows there."""
    controller, terminal = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "dumb", "COLUMNS": "80"}
    with subprocess.Popen(
        [sys.executable, "-m", "fieldlab", *words],
        cwd=folder,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ):
        os.close(terminal)
        shown = b""
        with os.fdopen(controller, "rb", buffering=0) as screen, contextlib.suppress(OSError):
            while part := screen.read(4096):  # ends with an error when the program has
                shown += part
    return shown.decode()


def test_results_for_programs_are_strict_json(lab: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    rows = json.loads(invoke("results", "values", "--json").stdout, parse_constant=refuse)
    assert rows[1] == {"n": 2, "ratio": 2 / 3, "even": True, "label": "a, b", "bound": 1.5}
    assert (rows[2]["bound"], rows[0]["label"]) == ("Infinity", None)


def test_the_reader_of_a_pipe_may_leave(lab: Path) -> None:
    process = start("results", "values", "--json", folder=lab)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_every_format_holds_the_same_rows(lab: Path) -> None:
    for ending in ("csv", "jsonl", "parquet"):
        result = invoke("export", "values", f"out.{ending}", "--json")
        assert document(result) == {
            "file": str(lab / f"out.{ending}"),
            "format": ending,
            "rows": 3,
        }
    frames = [
        pd.read_csv("out.csv"),
        pd.read_json("out.jsonl", lines=True),
        pd.read_parquet("out.parquet"),
    ]
    for frame in frames:
        assert frame["n"].tolist() == [1, 2, 3]
        assert frame["ratio"].tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
        assert frame["even"].tolist() == [False, True, False]
        assert frame["label"].isna().tolist() == [True, False, True]
        assert frame["bound"].astype(float).tolist() == [1.5, 1.5, float("inf")]
        assert frame["repeat"].tolist() == [1, 1, 1]


def test_an_export_replaces_a_file_only_by_force(lab: Path) -> None:
    (lab / "out.csv").write_text("mine")
    refused = invoke("export", "values", "out.csv")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert (lab / "out.csv").read_text() == "mine"
    assert invoke("export", "values", "out.csv", "--force").exit_code == 0
    assert (lab / "out.csv").read_text().startswith("n,ratio")


def test_a_dash_is_standard_output(lab: Path) -> None:
    code, out, err = finish(start("export", "values", "-", folder=lab))
    assert (code, err) == (0, "")
    assert [row["n"] for row in csv.DictReader(io.StringIO(out))] == ["1", "2", "3"]
    lines = invoke("export", "values", "-", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["n"] for line in lines] == [1, 2, 3]


def test_attempts_and_trials_are_exported_too(lab: Path) -> None:
    attempts = list(
        csv.DictReader(
            io.StringIO(invoke("export", "values", "-", "--what", "attempts").stdout, newline="")
        )
    )
    assert [row["state"] for row in attempts] == ["succeeded"] * 3 + ["failed"]
    assert [row["sequence"] for row in attempts] == ["1", "2", "3", "4"]
    assert attempts[3]["status"] == "ValueError: four is no good"
    assert "values.py" in attempts[3]["error"]
    trials = list(
        csv.DictReader(
            io.StringIO(invoke("export", "values.1", "-", "--what", "trials").stdout, newline="")
        )
    )
    assert [json.loads(row["parameters"]) for row in trials] == [{"n": n} for n in (1, 2, 3, 4)]
    assert {row["campaign"] for row in trials} == {"values.1"}


def test_a_wrong_format_is_refused_before_anything_is_written(lab: Path) -> None:
    for file in ("out.xlsx", "out"):
        assert invoke("export", "values", file).exit_code == 2
        assert not (lab / file).exists()


def test_a_terminated_export_leaves_nothing_half_made(lab: Path, tmp_path: Path) -> None:
    # a reader that waits keeps the export from going on
    pipe = tmp_path / "slow"
    os.mkfifo(pipe)
    script = (
        "import sys, signal, pathlib\n"
        "from fieldlab.cli.main import main\n"
        "from fieldlab.notebook import export\n"
        "write = export.CsvWriter.write\n"
        "def slow(self, rows):\n"
        "    write(self, rows); self._file.flush()\n"
        f"    open({str(pipe)!r}, 'w').close()\n"
        "    signal.pause()\n"
        "export.CsvWriter.write = slow\n"
        "sys.argv = ['fieldlab', 'export', 'values', 'out.csv']\n"
        "main()\n"
    )
    process = start_script(script, lab)
    pipe.read_bytes()  # returns when the first rows have been written
    assert any(each.name.endswith(".part") for each in lab.iterdir())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert not [each for each in lab.iterdir() if "out.csv" in each.name]


def start_script(script: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen([sys.executable, "-c", script], cwd=folder, env=environment)


def test_attempts_are_listed_the_newest_first(lab: Path) -> None:
    listed = document(invoke("attempts", "values", "--json"))
    assert [each["parameters"]["n"] for each in listed] == [4, 3, 2, 1]
    failed = document(invoke("attempts", "values", "--failed", "--json"))
    assert [each["status"] for each in failed] == ["ValueError: four is no good"]
    shown = invoke("attempts", "values", "--limit", "2")
    assert "n=4" in shown.stdout
    assert "n=2" not in shown.stdout
    assert "The newest 2" in shown.stderr


def test_campaigns_of_one_experiment_share_their_results(folder: Path) -> None:
    invoke("run", write_experiment(folder, a="[1, 2]"))
    invoke("run", write_experiment(folder, a="[1, 2, 3]"))
    assert [row["a"] for row in document(invoke("results", "sums", "--json"))] == [1, 2, 3]
    assert [row["a"] for row in document(invoke("results", "sums.1", "--json"))] == [1, 2]
    assert [row["a"] for row in document(invoke("results", "sums.2", "--json"))] == [3]
    both = invoke("export", "sums", "-", "--what", "attempts", "--format", "jsonl").stdout
    assert [json.loads(line)["campaign"] for line in both.splitlines()] == [
        "sums.1", "sums.1", "sums.2",
    ]  # fmt: skip


def test_before_anything_has_run_there_is_nothing_to_show(folder: Path) -> None:
    process = start("run", write_experiment(folder, "wait", a="[1]"), folder=folder)
    wait_until((folder / "started-1").exists, "the trial has begun", process)
    assert document(invoke("results", "sums", "--json")) == []
    empty = invoke("results", "sums")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "No results have been recorded yet" in empty.stderr
    assert document(invoke("attempts", "sums", "--failed", "--json")) == []
    (folder / "go").touch()
    assert finish(process)[0] == 0


def test_an_unknown_experiment_comes_with_the_nearest(lab: Path) -> None:
    for command in (["results"], ["attempts"], ["logs"], ["explain"], ["export"]):
        words = [*command, "valves", *(["out.csv"] if command == ["export"] else [])]
        result = invoke(*words)
        assert result.exit_code == 2
        assert "'values'" in result.stderr


WIDE = """\
def measure(a, b):
    if a > 1:
        raise (ValueError if a < 9 else KeyError)(f"{a} is no good, " + "and so on " * 20)
    return {f"quantity_{n}": 1234567890123 + n for n in range(8)} | {"text": "y" * 100}
"""


@pytest.fixture
def narrow(folder: Path) -> Path:
    """Have results, failures and names that are wide for a screen of 80 columns."""
    (folder / "wide.py").write_text(WIDE)
    (folder / "wide.yaml").write_text(
        "name: rather-long-experiment-name-here\ntool: {function: 'wide.py:measure'}\nguard: off\n"
        "space: {matrix: {a: [1, 2, 3, 4, 9], b: [some text that is long]}}\n"
    )
    assert invoke("run", "wide.yaml").exit_code == ExitCode.SOME_FAILED
    return folder


NAME = "rather-long-experiment-name-here"


def test_columns_that_a_screen_has_no_room_for_are_counted_not_clipped(narrow: Path) -> None:
    shown = on_terminal(["results", NAME, "--all-columns"], narrow)
    assert "1234567890123" in shown
    assert "…" not in shown
    assert "more columns for a wider screen: " in shown
    table = shown.partition("more columns")[0].splitlines()[:-1]
    assert [line for line in table if len(line.rstrip()) > 80] == []


def test_attempts_take_a_line_each_on_a_terminal(narrow: Path) -> None:
    shown = on_terminal(["attempts", NAME], narrow)
    lines = [line for line in shown.splitlines() if "a=" in line]
    assert len(lines) == 5
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert "ValueError: " in shown
    assert "and so on" not in shown
    assert "and so on and so on" in invoke("attempts", NAME).stdout


def test_attempts_show_first_what_tells_them_apart(folder: Path) -> None:
    (folder / "wide.yaml").write_text(
        f"name: {NAME}\ntool: {{command: ['true']}}\n"
        "space: {matrix: {aaa: [some text that is long], bbb: [17], zzz: [1, 2]}, repeat: 2}\n"
    )
    assert invoke("run", "wide.yaml").exit_code == ExitCode.DONE
    shown = on_terminal(["attempts", NAME], folder)
    told = re.findall(r"#\d zzz=\d aaa=some", shown)
    assert sorted(told) == [f"#{n} zzz={z} aaa=some" for n in (1, 2) for z in (1, 2)]
    assert "aaa=some text that is long bbb=17 zzz=1 #2" in invoke("attempts", NAME).stdout


def test_names_and_counts_of_a_status_are_never_folded(narrow: Path) -> None:
    shown = on_terminal(["status"], narrow)
    assert f"{NAME}.1" in shown
    assert "5/5" in shown
    assert "started" not in shown
    assert "started" in invoke("status").stdout


def test_failures_are_told_by_kind(narrow: Path) -> None:
    assert "3 × ValueError\n" in invoke("status", NAME).stdout
    assert "1 × KeyError: '9 is no good" in invoke("status", NAME).stdout
