"""Trials that run a command: what the command gets, how it may end, and what is left of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from fieldlab.domain.parameters import sequence_from
from fieldlab.execution.local import LocalExecutor
from fieldlab.execution.runners import LARGEST_FILE
from fieldlab.ports.executor import AttemptRecord, Batch
from tests.engine.processes import MARK, MarkedProcesses
from tests.execution.staging import Ran, command_setup, run_batches, started

JSON = {"format": "json", "file": "", "values": {}}
#: runs the parameter `script`; in it, $1 is {out} and $2 is {here}
SHELL = ["sh", "-c", "{script}", "sh", "{out}", "{here}"]


def run_scripts(folder: Path, *scripts: str, timeout_s: float = 0.0, **options: object) -> Ran:
    """Run shell scripts, one trial each: two at a time."""
    setup = command_setup(
        folder, SHELL, {"matrix": {"script": list(scripts)}}, timeout_s=timeout_s, **options
    )
    return run_batches(LocalExecutor(2), setup, [[each] for each in range(len(scripts))])


def folder_of(folder: Path, record: AttemptRecord) -> Path:
    return folder / "attempts" / record.fingerprint / str(record.number)


def test_a_command_gets_what_the_definition_says(folder: Path) -> None:
    argv = ["sh", "-c", 'printf \'{{"x": "%s", "t": "%s", "cwd": "%s"}}\' "$1" "$T" "$PWD"']
    setup = command_setup(
        folder,
        [*argv, "sh", "{x}"],
        {"matrix": {"x": ["a b", "$HOME;*", "--x"]}},
        environment={"T": "<{x}>"},
        read=JSON,
    )
    ran = run_batches(LocalExecutor(1), setup, [range(3)])
    texts = ["a b", "$HOME;*", "--x"]
    assert [rows[0]["t"] for rows in ran.rows] == [f"<{text}>" for text in texts]
    assert {rows[0]["cwd"] for rows in ran.rows} == {str(folder)}


def test_a_parameter_that_the_command_prints_again_is_compared(folder: Path) -> None:
    space = {"matrix": {"x": [1], "y": [1, 2]}}
    setup = command_setup(folder, ["echo", '{{"x": {y}}}'], space, read=JSON)
    ran = run_batches(LocalExecutor(1), setup, [range(2)])
    assert [record.status for record in ran.records] == ["success", "bad result"]
    assert "Result 'x' is 2, but the parameter of that name is 1" in ran.records[1].error


def test_its_folder_keeps_what_it_wrote(folder: Path) -> None:
    script = 'echo hello; echo oh >&2; pwd; echo data > result.txt; echo more > "$1/more.txt"'
    ran = run_scripts(folder, script, directory="attempt")
    attempt = folder_of(folder, ran.records[0])
    assert (attempt / "stdout").read_text() == f"hello\n{attempt / 'outputs'}\n"
    assert (attempt / "stderr").read_text() == "oh\n"
    assert json.loads((attempt / "params.json").read_text()) == {"script": script}
    assert sorted(each.name for each in (attempt / "outputs").iterdir()) == [
        "more.txt",
        "result.txt",
    ]


def test_a_command_that_writes_nothing_has_no_folder_for_it(folder: Path) -> None:
    setup = command_setup(folder, ["true"], {"matrix": {"x": [1]}})
    ran = run_batches(LocalExecutor(1), setup, [[0]])
    names = sorted(each.name for each in folder_of(folder, ran.records[0]).iterdir())
    assert names == ["params.json", "stderr", "stdout"]


def test_its_standard_input_is_empty(folder: Path) -> None:
    ran = run_scripts(folder, "wc -c; read line || echo end")
    assert (folder_of(folder, ran.records[0]) / "stdout").read_text().split() == ["0", "end"]


ENDS = [
    ("echo out; echo err >&2; exit 3", "exit code 3", 3, "stdout:\nout\nstderr:\nerr"),
    ("kill -SEGV $$", "killed by SIGSEGV", -11, "The command ended with killed by SIGSEGV."),
    ("seq 100000; exit 1", "exit code 1", 1, "stdout (its end):"),
    ("printf 'a\\000\\377b'; exit 1", "exit code 1", 1, "stdout:\na?\ufffdb"),
    ("kill -9 $PPID; sleep 300", "process died: killed by SIGKILL", -9, "workers.log"),
    ("kill -9 0", "killed by SIGKILL", -9, ""),
    ('cd "$1/../.." && rm -r 1', "success", 0, ""),
    ("true", "success", 0, ""),
]


def test_how_it_ended_is_recorded(folder: Path) -> None:
    ran = run_scripts(folder, *(script for script, *_ in ENDS), directory="attempt")
    for position, (_, status, code, error) in enumerate(ENDS):
        record = ran.record(position)
        assert (record.status, record.exit_code) == (status, code)
        assert record.failure == ("" if status == "success" else "experiment")
        assert error in record.error
        assert len(record.error) < 10_000


def test_the_error_shows_the_command(folder: Path) -> None:
    ran = run_scripts(folder, "exit 5", "echo why >&2; exit 6" + " " * 100_000)
    assert 'command: "sh" "-c" "exit 5" "sh" "' in ran.record(0).error
    assert 'command: "sh" "-c" "echo why' in ran.record(1).error
    assert "stderr:\nwhy" in ran.record(1).error
    assert len(ran.record(1).error) < 10_000


UNSTARTED = {
    "./absent": "FileNotFoundError: ",
    "./plain": "PermissionError: ",
    "./bare": "OSError: [Errno 8] Exec format error",
    ".": "PermissionError: ",
    "x" * 5000: "OSError: [Errno 36] File name too long",
    "a\0b": "ValueError: embedded null byte",
    "\ud800": "UnicodeEncodeError: ",
}


def test_a_command_that_cannot_start_is_the_experiments_fault(folder: Path) -> None:
    (folder / "plain").touch()
    (folder / "bare").write_text("exit 0\n")
    (folder / "bare").chmod(0o755)
    setup = command_setup(folder, ["{x}"], {"matrix": {"x": [*UNSTARTED, "true"]}})
    ran = run_batches(LocalExecutor(1), setup, [range(len(UNSTARTED) + 1)])
    for record, status in zip(ran.records, UNSTARTED.values(), strict=False):
        assert record.status.startswith(status)
        assert (record.state, record.failure) == ("failed", "experiment")
        assert record.error
    assert ran.records[-1].status == "success"


def test_too_long_an_argument_is_the_experiments_fault(folder: Path) -> None:
    [record] = run_scripts(folder, "true" + " " * 3_000_000).records
    assert record.status.startswith("OSError: [Errno 7] Argument list too long")
    assert record.failure == "experiment"
    assert len(record.error) < 1000


def test_a_result_file_is_read_from_the_attempts_own_folder(folder: Path) -> None:
    (folder / "r.json").write_text('{"y": "from the definition\'s folder"}')
    ran = run_scripts(
        folder,
        'echo \'{"y": 1}\' > "$1/r.json"',
        "echo no file",
        'mkdir "$1/r.json"',
        'mkfifo "$1/r.json"',
        f'truncate -s {LARGEST_FILE + 1} "$1/r.json"',
        'printf "\\377" > "$1/r.json"',
        read={**JSON, "file": "r.json"},
    )
    assert ran.rows_of(0)[0]["y"] == 1
    for position in (1, 2, 3):
        assert "wrote no file 'r.json'" in ran.record(position).error
    assert "stdout:\nno file" in ran.record(1).error
    assert "'r.json' has 64.0 MiB, more than the 64 MiB that are read" in ran.record(4).error
    assert "r.json is not JSON" in ran.record(5).error
    for position in range(1, 6):
        record = ran.record(position)
        assert (record.status, record.failure, record.exit_code) == ("bad result", "verdict", 0)


def test_text_in_parameters_does_not_lead_out_of_the_attempts_folder(folder: Path) -> None:
    values = ["../../x", "/etc", "a/../../b", "{out}", "."]
    argv = ["sh", "-c", 'echo mine > "$1/r"', "sh", "{out}", "{name}"]
    setup = command_setup(folder, argv, {"matrix": {"name": values}})
    before = {each.name for each in folder.iterdir()}
    ran = run_batches(LocalExecutor(1), setup, [range(len(values))])
    assert {each.name for each in folder.iterdir()} - before == {"attempts"}
    for record in ran.records:
        assert (folder_of(folder, record) / "outputs" / "r").read_text() == "mine\n"
    names = {each.name for each in (folder / "attempts").iterdir()}
    assert names == {"workers.log", *(record.fingerprint for record in ran.records)}


def run_twice(folder: Path, script: str, numbers: Sequence[int]) -> list[AttemptRecord]:
    setup = command_setup(folder, SHELL, {"matrix": {"script": [script]}})
    ran = Ran()

    async def run() -> None:
        async with started(LocalExecutor(1), setup) as executor:
            for number in numbers:
                batch = Batch(id=number, positions=[0], numbers=[number])
                assert not await executor.run(batch, ran.deliver)

    asyncio.run(run())
    return ran.records


def test_every_attempt_has_a_folder_of_its_own(folder: Path) -> None:
    first, second = run_twice(folder, 'ls "$1"; touch "$1/mark"', [1, 2])
    for record in (first, second):
        assert (folder_of(folder, record) / "stdout").read_text() == ""
        assert (folder_of(folder, record) / "outputs" / "mark").exists()


def test_what_a_lost_attempt_left_is_gone_when_it_is_made_again(folder: Path) -> None:
    first, again = run_twice(folder, 'ls "$1"; mkdir "$1/mark"; chmod 0 "$1/mark"', [1, 1])
    assert (first.status, again.status) == ("success", "success")
    assert (folder_of(folder, again) / "stdout").read_text() == ""


def test_a_folder_that_became_a_link_is_not_followed(folder: Path) -> None:
    precious = folder / "precious"
    precious.mkdir()
    (precious / "data").touch()
    script = f'cd "$1/../.." && rm -r 1 && ln -s {precious} 1'
    first, again = run_twice(folder, script, [1, 1])
    assert first.status == "success"
    assert again.failure == "infrastructure"
    assert "can't be made" in again.error
    assert (precious / "data").exists()


#: each starts processes with the mark and goes beyond its time limit, or leaves them behind
STUBBORN = {
    "sleeps": "sleep 300",
    "with children": "sleep 300 & sleep 300 & wait",
    "a grandchild that ignores SIGTERM": "sh -c \"trap '' TERM; sleep 300; sleep 301\" & wait",
    "a grandchild that left the group": "setsid sh -c \"trap '' TERM; sleep 300\" & sleep 300",
    "a daemon": "(setsid sleep 300 &) & sleep 300",
    "ignores SIGTERM": "trap '' TERM; while :; do sleep 1; done",
    "stops itself": "kill -STOP $$",
}
LEFT_BEHIND = {
    "a child": "sleep 300 &",
    "a child with the output": "sleep 300 & echo '{}'",
    "a child that ignores SIGTERM": "trap '' TERM; sleep 300 &",
    "a daemon": "setsid sh -c 'setsid sleep 300 & sleep 301' &",
    "a fork bomb of ten": "for i in 1 2 3 4 5 6 7 8 9 10; do setsid sleep 300 & done",
}


def test_time_limits_end_everything_that_the_command_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = MarkedProcesses(folder / "lab", "")
    monkeypatch.setenv(MARK, marked.mark)
    setup = command_setup(
        folder, SHELL, {"matrix": {"script": list(STUBBORN.values())}}, timeout_s=0.5
    )
    ran = Ran()

    async def run() -> None:
        async with started(LocalExecutor(7), setup) as executor:
            batches = [Batch(id=n, positions=[n]) for n in range(len(STUBBORN))]
            await asyncio.gather(*(executor.run(each, ran.deliver) for each in batches))
            assert not marked.named("sleep"), "something outlived its attempt"

    asyncio.run(run())
    for position, name in enumerate(STUBBORN):
        record = ran.record(position)
        assert (record.status, record.failure) == ("timeout", "experiment"), name
        assert "stopped at its time limit after" in record.error
        if name in ("sleeps", "with children", "a daemon"):
            assert record.ended - record.started < 4, f"{name} was not asked politely"


def test_what_a_command_leaves_behind_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = MarkedProcesses(folder / "lab", "")
    monkeypatch.setenv(MARK, marked.mark)
    setup = command_setup(folder, SHELL, {"matrix": {"script": list(LEFT_BEHIND.values())}})
    ran = Ran()

    async def run() -> None:
        async with started(LocalExecutor(1), setup) as executor:
            for position in range(len(LEFT_BEHIND)):
                await executor.run(Batch(id=position, positions=[position]), ran.deliver)
                assert not marked.named("sleep"), "something outlived its attempt"

    asyncio.run(run())
    assert [record.status for record in ran.records] == ["success"] * len(LEFT_BEHIND)
    assert all(record.ended - record.started < 4 for record in ran.records)


def test_a_flood_of_output_stays_on_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = MarkedProcesses(folder / "lab", "")
    monkeypatch.setenv(MARK, marked.mark)
    flood = "head -c 200000000 /dev/zero"
    scripts = [flood, f"{flood} >&2; exit 1", "true"]
    setup = command_setup(folder, SHELL, {"matrix": {"script": scripts}}, read={**JSON})
    ran = Ran()

    async def run() -> int:
        async with started(LocalExecutor(1), setup) as executor:
            await executor.run(Batch(id=1, positions=[0, 1]), ran.deliver)
            return most_memory(marked.named("fieldlab.execution.worker"))

    assert asyncio.run(run()) < 100e6
    assert "'stdout' has 190.7 MiB, more than the 64 MiB that are read" in ran.record(0).error
    assert ran.record(1).status == "exit code 1"
    assert len(ran.record(1).error) < 10_000
    assert (folder_of(folder, ran.record(1)) / "stderr").stat().st_size == 200_000_000


def most_memory(processes: list[psutil.Process]) -> int:
    """Read the largest resident size that the processes have had, in bytes."""
    texts = [Path(f"/proc/{each.pid}/status").read_text() for each in processes]
    found = [re.search(r"VmHWM:\s+(\d+) kB", text) for text in texts]
    return max(int(each[1]) * 1024 for each in found if each)


def test_a_folder_that_cannot_be_made_is_not_the_experiments_fault(folder: Path) -> None:
    space = {"matrix": {"x": [1, 2]}}
    setup = command_setup(folder, ["true"], space)
    trial = sequence_from(space)[0]
    assert trial is not None
    (folder / "attempts").mkdir()
    (folder / "attempts" / trial.fingerprint).touch()
    ran = run_batches(LocalExecutor(1), setup, [[0, 1]])
    assert [record.failure for record in ran.records] == ["infrastructure", ""]
    assert "can't be made" in ran.records[0].error


def test_exit_codes_are_kept_with_bad_results(folder: Path) -> None:
    ran = run_scripts(folder, "echo nothing; exit 3", success=[3], read=JSON)
    assert (ran.records[0].status, ran.records[0].exit_code) == ("bad result", 3)


def test_a_failed_command_is_not_blamed_for_its_long_output(folder: Path) -> None:
    ran = run_scripts(folder, f"head -c {LARGEST_FILE + 1} /dev/zero; exit 3", read=JSON)
    assert ran.records[0].status == "exit code 3"
