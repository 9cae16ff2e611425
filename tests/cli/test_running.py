"""run, resume and retry: exit codes, what is said, and what interruptions leave."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

from fieldlab.cli.errors import ExitCode
from tests.cli.program import document, finish, invoke, start, write_experiment
from tests.waiting import wait_until


def attempts_per_trial(folder: Path) -> list[int]:
    """Count how many times each trial succeeded, as the database has it."""
    with sqlite3.connect(folder / ".fieldlab" / "lab.db") as connection:
        rows = connection.execute(
            "SELECT count(*) FROM attempts WHERE state = 'succeeded' GROUP BY trial_id"
        ).fetchall()
    connection.close()
    return [count for (count,) in rows]


def started(folder: Path, number: int) -> bool:
    """Say whether that many trials of the waiting function have started."""
    return len(list(folder.glob("started-*"))) >= number


def running() -> int:
    """Count the trials that the database has as running."""
    return int(document(invoke("status", "sums", "--json"))["running"])


def start_waiting(folder: Path) -> subprocess.Popen[str]:
    """Start a campaign whose two slots are held by trials that wait for a file called go."""
    process = start("run", write_experiment(folder, "wait"), folder=folder)
    wait_until(lambda: started(folder, 2), "two trials run", process)
    return process


def test_a_run_ends_in_a_summary_that_says_what_to_do_next(folder: Path) -> None:
    result = invoke("run", write_experiment(folder))
    assert result.exit_code == ExitCode.DONE
    assert result.stdout == ""
    assert "sums.1 is finished: 4 trials succeeded" in result.stderr
    assert str(folder / ".fieldlab" / "status" / "sums.1.csv") in result.stderr
    assert "fieldlab results sums.1" in result.stderr


def test_with_json_the_summary_is_all_there_is_on_stdout(folder: Path) -> None:
    result = invoke("run", write_experiment(folder), "--json")
    summary = document(result)
    assert (summary["state"], summary["succeeded"], summary["total"]) == ("finished", 4, 4)
    assert summary["run"]["attempts"] == 4
    assert summary["results_table"] == "results_sums"
    assert Path(summary["sheet"]).exists()


def test_running_again_does_nothing_and_says_so(folder: Path) -> None:
    file = write_experiment(folder)
    invoke("run", file)
    again = invoke("run", file)
    assert again.exit_code == ExitCode.DONE
    assert "Nothing to do: all 4 trials of sums.1 are recorded" in again.stderr
    assert attempts_per_trial(folder) == [1, 1, 1, 1]
    assert "Nothing to do" in invoke("resume", "sums").stderr


def test_failed_trials_are_told_with_their_reasons_and_can_be_retried(folder: Path) -> None:
    file = write_experiment(folder, "fail_on_three")
    result = invoke("run", file)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "3 trials succeeded, 1 failed" in result.stderr
    assert "1 × ValueError: three is no good" in result.stderr
    assert "fieldlab explain sums.1" in result.stderr

    again = invoke("run", file)
    assert again.exit_code == ExitCode.SOME_FAILED
    assert "`fieldlab retry sums.1` for the 1 failed" in again.stderr

    (folder / "mended").touch()
    retried = invoke("retry", "sums", "--json")
    assert retried.exit_code == ExitCode.DONE
    summary = document(retried)
    assert (summary["succeeded"], summary["failed"]) == (4, 0)
    assert summary["run"]["attempts"] == 1


def test_failures_that_a_larger_space_leaves_behind_are_told(folder: Path) -> None:
    invoke("run", write_experiment(folder, "fail_on_three"))
    file = write_experiment(folder, "fail_on_three", a="[1, 2, 3, 4, 5]")
    said = invoke("plan", file).stdout
    assert "1 of them failed: `fieldlab retry sums.1` tries them again" in said
    larger = invoke("run", file)
    assert larger.exit_code == ExitCode.SOME_FAILED
    assert "1 trial succeeded, 4 were recorded before, 1 of them as failed" in larger.stderr
    assert "fieldlab retry sums.1" in larger.stderr
    assert "1 of them failed" in invoke("plan", file).stdout
    assert document(invoke("status", "sums", "--json"))["failed_before"] == {"sums.1": 1}
    again = invoke("resume", "sums")
    assert again.exit_code == ExitCode.SOME_FAILED
    assert "`fieldlab retry sums.1` for the 1 failed" in again.stderr

    (folder / "mended").touch()
    assert invoke("retry", "sums.1").exit_code == ExitCode.DONE
    assert invoke("run", file).exit_code == ExitCode.DONE


def test_failures_that_a_space_has_no_more_are_not_told(folder: Path) -> None:
    invoke("run", write_experiment(folder, "fail_on_three"))
    result = invoke("run", write_experiment(folder, "fail_on_three", a="[1, 2, 4, 5]"))
    assert result.exit_code == ExitCode.DONE
    assert "3 were recorded before (" in result.stderr


def test_retry_can_queue_for_later(folder: Path) -> None:
    invoke("run", write_experiment(folder, "fail_on_three"))
    (folder / "mended").touch()
    queued = invoke("retry", "sums", "--no-run", "--json")
    assert document(queued) == {"name": "sums.1", "queued": 1}
    assert document(invoke("status", "sums", "--json"))["queued"] == 1
    assert invoke("resume", "sums").exit_code == ExitCode.DONE


def test_retry_without_failed_trials_says_so(folder: Path) -> None:
    invoke("run", write_experiment(folder))
    result = invoke("retry", "sums")
    assert result.exit_code == ExitCode.DONE
    assert "sums.1 has no failed trials" in result.stderr


def test_the_guard_has_its_exit_code_and_resume_goes_on(folder: Path) -> None:
    file = write_experiment(folder, "fail", a="{range: [1, 100000]}", more="guard: 3")
    result = invoke("run", file)
    assert result.exit_code == ExitCode.TRIPPED
    assert "sums.1 was paused by its guard: 3 attempts failed in a row (the last: " in result.stderr
    assert "fieldlab resume sums.1" in result.stderr
    assert document(invoke("status", "sums", "--json"))["state"] == "tripped"
    before = document(invoke("status", "sums", "--json"))["done"]
    assert invoke("resume", "sums").exit_code == ExitCode.TRIPPED
    assert document(invoke("status", "sums", "--json"))["done"] > before


def test_a_time_limit_pauses_and_naming_the_campaign_goes_on(folder: Path) -> None:
    file = write_experiment(folder, a="{range: [1, 1000000]}, b: {range: [1, 1000000]}")
    result = invoke("run", file, "--for", "500ms", "--json")
    assert result.exit_code == ExitCode.DONE, result.stderr
    first = document(result)
    assert first["state"] == "paused"
    assert "ran for 0.5 s" in first["note"]
    second = document(invoke("run", "sums", "--for", "500ms", "--json"))
    assert second["name"] == first["name"]
    assert second["done"] > first["done"] > 0


def test_a_wrong_duration_starts_nothing(folder: Path) -> None:
    result = invoke("run", write_experiment(folder), "--for", "soon")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "8h" in result.stderr
    assert not (folder / ".fieldlab").exists()


def test_a_tool_that_cannot_be_used_leaves_no_campaign(folder: Path) -> None:
    result = invoke("run", write_experiment(folder, "missing"))
    assert result.exit_code == ExitCode.BAD_INPUT
    assert not (folder / ".fieldlab").exists()


def test_slots_can_be_set_for_one_run(folder: Path) -> None:
    process = start("run", write_experiment(folder, "wait"), "--slots", "3", folder=folder)
    wait_until(lambda: started(folder, 3), "three trials run", process)
    engines = document(invoke("status", "sums", "--json"))["live_engines"]
    assert [(each["pid"], each["slots"]) for each in engines] == [(process.pid, 3)]
    (folder / "go").touch()
    assert finish(process)[0] == ExitCode.DONE


def test_a_name_that_is_neither_file_nor_campaign_is_explained(folder: Path) -> None:
    invoke("init", "--bare")
    result = invoke("run", "nothing")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "no file 'nothing' and no campaign of that name" in result.stderr


def test_without_a_lab_a_name_may_have_been_meant_as_a_file(folder: Path) -> None:
    result = invoke("run", "nothing")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "There is neither a file 'nothing' nor a lab here" in result.stderr
    assert list(folder.iterdir()) == []


def test_a_tool_that_cannot_be_used_is_named_with_its_line(folder: Path) -> None:
    file = write_experiment(folder, "missing")
    for command in ("validate", "run"):
        assert f"{file}:2: tool.function: " in invoke(command, file).stderr


def test_a_project_that_the_lab_does_not_have_is_named_with_its_line(folder: Path) -> None:
    file = write_experiment(folder, more="project: waves")
    result = invoke("run", file, "--json")
    assert result.exit_code == ExitCode.BAD_INPUT
    error = json.loads(result.stderr)
    assert error["error"] == "unknown-name"
    assert (error["problems"][0]["line"], error["problems"][0]["key"]) == (5, "project")


def test_a_link_that_changes_only_in_the_definition_is_told(folder: Path) -> None:
    file = write_experiment(folder, a="[1]")
    invoke("run", file)
    invoke("project", "add", "waves")
    file = write_experiment(folder, a="[1]", more="project: waves")
    change = "fieldlab experiment edit sums --project waves"
    assert f"The project of sums stays empty, whatever the definition says: `{change}` changes" in (
        invoke("run", file).stderr
    )
    assert change in invoke("plan", file).stdout
    assert invoke(*change.split()[1:]).exit_code == 0
    assert "whatever the definition says" not in invoke("run", file).stderr


def test_one_interrupt_lets_the_running_trials_end(folder: Path) -> None:
    process = start_waiting(folder)
    process.send_signal(signal.SIGINT)
    (folder / "go").touch()
    code, out, err = finish(process)
    assert code == ExitCode.INTERRUPTED
    assert out == ""
    assert "Waiting for the running trials to end" in err
    assert "sums.1 was interrupted" in err
    status = document(invoke("status", "sums", "--json"))
    assert (status["state"], status["running"]) == ("paused", 0)
    assert status["succeeded"] >= 2
    assert invoke("resume", "sums").exit_code == ExitCode.DONE
    assert attempts_per_trial(folder) == [1, 1, 1, 1]


def test_a_second_interrupt_ends_the_running_trials(folder: Path) -> None:
    process = start_waiting(folder)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "once more stops them" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code, _, _ = finish(process)
    assert code == ExitCode.INTERRUPTED
    (folder / "go").touch()
    resumed = invoke("resume", "sums", "--json")
    assert document(resumed)["state"] == "finished"
    # being ended is not the trials' own failure: they are tried again
    assert (document(resumed)["succeeded"], document(resumed)["failed"]) == (4, 0)


def test_a_termination_signal_is_an_interrupt(folder: Path) -> None:
    process = start_waiting(folder)
    process.terminate()
    (folder / "go").touch()
    assert finish(process)[0] == ExitCode.INTERRUPTED


def test_after_a_kill_status_says_interrupted_and_resume_completes(folder: Path) -> None:
    process = start_waiting(folder)
    os.kill(process.pid, signal.SIGKILL)
    assert finish(process)[0] == -signal.SIGKILL
    shown = invoke("status")
    assert "interrupted" in shown.stdout
    assert "fieldlab resume sums.1" in shown.stderr
    (folder / "go").touch()
    resumed = invoke("resume", "sums", "--json")
    assert resumed.exit_code == ExitCode.DONE, resumed.stderr
    assert document(resumed)["succeeded"] == 4
    assert attempts_per_trial(folder) == [1, 1, 1, 1]


def test_right_after_a_kill_the_doctor_finds_nothing_left_over(folder: Path) -> None:
    process = start_waiting(folder)
    os.kill(process.pid, signal.SIGKILL)
    result = invoke("doctor", "--json")
    finish(process)
    workers = next(each for each in document(result) if each["check"] == "workers")
    assert workers["health"] == "ok", workers


def test_a_cancelled_campaign_is_taken_up_again_only_by_retry(folder: Path) -> None:
    process = start_waiting(folder)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    assert invoke("cancel", "sums").exit_code == ExitCode.DONE
    assert document(invoke("status", "sums", "--json"))["running"] == 0
    for words in (["resume", "sums"], ["run", "sums"], ["retry", "sums"]):
        refused = invoke(*words)
        assert refused.exit_code == ExitCode.BAD_INPUT
        assert "fieldlab retry sums.1 --cancelled" in refused.stderr
    (folder / "go").touch()
    revived = invoke("retry", "sums", "--cancelled", "--json")
    assert revived.exit_code == ExitCode.DONE, revived.stderr
    assert document(revived)["succeeded"] == 4


def test_cancelled_trials_that_were_queued_again_are_resumed(folder: Path) -> None:
    process = start_waiting(folder)
    wait_until(lambda: running() == 2, "they are recorded as running", process)
    invoke("cancel", "sums")
    finish(process)
    queued = invoke("retry", "sums", "--cancelled", "--no-run")
    assert "Run them with `fieldlab resume sums.1`" in queued.stderr
    assert "fieldlab resume sums.1" in invoke("status", "sums").stdout
    (folder / "go").touch()
    resumed = invoke("resume", "sums", "--json")
    assert resumed.exit_code == ExitCode.DONE, resumed.stderr
    assert document(resumed)["succeeded"] == 4


def test_a_cancelled_campaign_without_cancelled_trials_is_taken_up_again(folder: Path) -> None:
    file = write_experiment(folder, a="{range: [1, 1000000]}, b: {range: [1, 1000000]}")
    invoke("run", file, "--for", "300ms")
    invoke("cancel", "sums")
    before = document(invoke("status", "sums", "--json"))["done"]
    assert "retry sums.1 --cancelled` runs what it hasn't come to yet" in (
        invoke("retry", "sums", "--cancelled", "--no-run").stderr
    )
    assert invoke("retry", "sums", "--cancelled", "--for", "300ms").exit_code == ExitCode.DONE
    assert document(invoke("status", "sums", "--json"))["done"] > before


def test_retrying_what_was_not_begun_says_so(folder: Path) -> None:
    file = write_experiment(folder, a="{range: [1, 1000000]}")
    invoke("run", file, "--for", "300ms")
    invoke("cancel", "sums")
    left = 1_000_000 - document(invoke("status", "sums", "--json"))["done"]
    retried = invoke("retry", "sums", "--cancelled", "--for", "100ms")
    assert retried.exit_code == ExitCode.DONE
    assert (
        f"sums.1 has no cancelled trials; it goes on with {left:,} that it hasn't come to yet"
        in retried.stderr
    )
