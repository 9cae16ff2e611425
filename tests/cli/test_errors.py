"""What goes wrong is said in words, with an exit code that scripts can rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlab.cli.errors import ExitCode, error_document, error_text, exit_code
from fieldlab.domain.errors import (
    BadInput,
    Conflict,
    ExecutionError,
    IllegalTransition,
    MissingExtra,
    Problem,
    StoreFull,
    StoreTooNew,
    UnknownName,
)
from tests.cli.program import finish, invoke, start, write_experiment
from tests.unprivileged import nobody, open_folder

#: modules that cost time, and that looking at a lab in SQLite needs nothing of
NOT_FOR_STATUS = {
    "alembic",
    "fieldlab.definitions",
    "fieldlab.engine.scheduler",
    "fieldlab.execution.local",
    "numpy",
    "pandas",
    "psutil",
    "pydantic",
    "rich",
    "ruamel",
    "sqlalchemy.dialects.postgresql",
    "tenacity",
}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("no"), ExitCode.BAD_INPUT),
        (UnknownName("no"), ExitCode.BAD_INPUT),
        (IllegalTransition("no"), ExitCode.BAD_INPUT),
        (MissingExtra("notebook", "Parquet"), ExitCode.BAD_INPUT),
        (StoreTooNew("no"), ExitCode.INFRASTRUCTURE),
        (StoreFull("no"), ExitCode.INFRASTRUCTURE),
        (ExecutionError("no"), ExitCode.INFRASTRUCTURE),
        (Conflict("no"), ExitCode.INFRASTRUCTURE),
        (ZeroDivisionError("no"), ExitCode.INFRASTRUCTURE),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: ExitCode) -> None:
    assert exit_code(error) == code


def test_several_problems_are_listed_each_with_its_place() -> None:
    problems = [
        Problem(what="is empty", file="a.yaml", line=3, key=("space", "matrix", "rho")),
        Problem(what="unknown key 'gaurd'", file="a.yaml", line=9, remedy="Did you mean 'guard'?"),
    ]
    text = error_text(BadInput.of(problems))
    assert text.splitlines() == [
        "Error: 2 problems",
        "  a.yaml:3: space.matrix.rho: is empty",
        "  a.yaml:9: unknown key 'gaurd'. Did you mean 'guard'?",
    ]


def test_an_error_for_programs_has_stable_keys() -> None:
    problem = Problem(what="is empty", file="a.yaml", line=3, key=("space",), remedy="Fill it")
    document = error_document(BadInput.of([problem]))
    assert document["error"] == "bad-input"
    assert document["problems"] == [
        {"what": "is empty", "file": "a.yaml", "line": 3, "key": "space", "remedy": "Fill it"}
    ]


def test_an_unforeseen_error_says_how_to_get_its_traceback() -> None:
    assert "FIELDLAB_DEBUG=1" in error_text(ZeroDivisionError("division by zero"))
    assert error_document(ZeroDivisionError())["error"] == "unexpected"
    assert "ZeroDivisionError" in error_document(ZeroDivisionError())["message"]


def test_the_debug_variable_shows_where_an_error_came_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Traceback" not in invoke("status").stderr
    monkeypatch.setenv("FIELDLAB_DEBUG", "1")
    assert "Traceback" in invoke("status").stderr


def test_a_missing_lab_is_bad_input_and_stays_missing(folder: Path) -> None:
    result = invoke("status")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "There is no lab in" in result.stderr
    assert "fieldlab init" in result.stderr
    assert list(folder.iterdir()) == []


def test_with_json_an_error_is_json_on_stderr(folder: Path) -> None:
    result = invoke("validate", "nowhere.yaml", "--json")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert result.stdout == ""
    document = json.loads(result.stderr)
    assert document["error"] == "bad-input"
    assert document["problems"][0]["file"] == "nowhere.yaml"


@pytest.mark.parametrize("words", [["statsu"], ["run"], ["run", "a.yaml", "--fro", "3"]])
def test_a_wrong_command_line_is_bad_input(folder: Path, words: list[str]) -> None:
    plain = invoke(*words)
    assert plain.exit_code == ExitCode.BAD_INPUT
    assert "Usage: fieldlab" in plain.stderr
    result = invoke(*words, "--json")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert json.loads(result.stderr)["error"] == "usage"


def test_an_unknown_campaign_gets_the_nearest_name(folder: Path) -> None:
    invoke("run", write_experiment(folder))
    result = invoke("status", "sum")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "Did you mean 'sums'?" in result.stderr


def test_a_reader_that_has_seen_enough_is_no_error(folder: Path) -> None:
    process = start("schema", folder=folder)
    assert process.stdout is not None
    process.stdout.close()  # as `| head` does
    assert process.wait(timeout=30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_program_runs_as_a_module(folder: Path) -> None:
    code, out, err = finish(start("--version", folder=folder))
    assert (code, err) == (0, "")
    assert out.startswith("fieldlab ")


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], {"sqlalchemy", "pydantic", "ruamel", "rich", "asyncio", "alembic"}),
        (["status"], NOT_FOR_STATUS - {"rich"}),
        (["status", "sums"], NOT_FOR_STATUS),
    ],
)
def test_commands_import_only_what_they_need(
    folder: Path, words: list[str], heavy: set[str]
) -> None:
    invoke("run", write_experiment(folder))
    program = (
        "import sys\n"
        "from fieldlab.cli.main import main\n"
        f"sys.argv = ['fieldlab', *{words!r}]\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


_INTERRUPTED_IMPORT = """
import signal, sys

wanted = sys.argv[1]

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from importlib.metadata import distribution
scripts = distribution("fieldlab").entry_points.select(group="console_scripts", name="fieldlab")
main = next(iter(scripts)).load()
sys.argv[1:] = ["status"]
main()
"""


@pytest.mark.parametrize("module", ["typer", "fieldlab.cli.state", "fieldlab.app"])
def test_an_interrupt_while_modules_are_imported_is_quiet(module: str, folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_IMPORT, module],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (ExitCode.INTERRUPTED, "", "")


@pytest.mark.parametrize(
    "words",
    [
        ["export", "sums", "-"],
        ["status"],
        ["status", "--json"],
        ["results", "sums"],
        ["results", "sums", "--json"],
        ["schema"],
        ["--help"],
        ["status", "--help"],
    ],
)
def test_output_that_cant_be_written_is_said(words: list[str], folder: Path) -> None:
    assert invoke("run", write_experiment(folder)).exit_code == ExitCode.DONE
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "fieldlab", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == ExitCode.INFRASTRUCTURE
    assert "The output can't be written: No space left on device" in ended.stderr
    assert "fault of fieldlab" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_messages_that_cant_be_written_stop_nothing(folder: Path) -> None:
    file = write_experiment(folder)
    with Path("/dev/full").open("w") as full:
        for words, code in ((["run", file], ExitCode.DONE), (["status", "x"], ExitCode.BAD_INPUT)):
            ended = subprocess.run(
                [sys.executable, "-m", "fieldlab", *map(str, words)],
                stdout=subprocess.PIPE,
                stderr=full,
                check=False,
            )
            assert ended.returncode == code


def test_words_that_are_no_text_are_refused(folder: Path) -> None:
    for words in (["resume", "\udcff\udcfe"], ["project", "add", "a", "--note", "\udcff"]):
        result = invoke(*words)
        assert result.exit_code == ExitCode.BAD_INPUT
        assert "on the command line is not in UTF-8" in result.stderr


@pytest.mark.parametrize("command", [["status"], ["init", "a"], ["run", "a.yaml"], ["run", "a"]])
def test_a_folder_that_was_deleted_is_said(command: list[str], folder: Path) -> None:
    gone = folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    result = invoke(*command)
    os.chdir(folder)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert result.stderr == (
        "Error: The folder that you are in was deleted. Go to one that exists, with `cd`\n"
    )


@pytest.mark.parametrize("variable", ["FIELDLAB_DATABASE", "FIELDLAB_HOME"])
def test_names_that_no_file_can_have_are_said(
    variable: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "sqlite:///" if variable == "FIELDLAB_DATABASE" else ""
    monkeypatch.setenv(variable, f"{start}{folder}/{'0' * 300}")
    for words in (["status"], ["db", "upgrade"], ["plan", write_experiment(folder)]):
        result = invoke(*words)
        assert result.exit_code == ExitCode.BAD_INPUT
        assert "No database can lie at" in result.stderr
        assert "File name too long" in result.stderr
        assert variable in result.stderr
    assert invoke("doctor").exit_code == ExitCode.SOME_FAILED
    assert invoke("run", "0" * 300).exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("variable", ["FIELDLAB_DATABASE", "FIELDLAB_HOME"])
def test_a_closed_folder_above_the_lab_is_said(
    variable: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_folder() as place:
        closed = place / "closed"
        (closed / "lab").mkdir(parents=True)
        closed.chmod(0o700)
        start = "sqlite:///" if variable == "FIELDLAB_DATABASE" else ""
        monkeypatch.setenv(variable, f"{start}{closed}/lab/lab.db")
        monkeypatch.chdir(place)
        with nobody():
            result = invoke("status")
    assert result.exit_code == ExitCode.INFRASTRUCTURE
    assert "can't be reached: Permission denied. Check the permissions" in result.stderr
