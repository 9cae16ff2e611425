"""status, watch, pause, cancel, db and doctor: what is so, and changing it from outside."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fieldlab.cli.errors import ExitCode
from fieldlab.cli.labs import complete_name
from tests.cli.program import document, finish, invoke, start, write_experiment
from tests.waiting import wait_until


@pytest.fixture
def finished(folder: Path) -> Path:
    """Stand in a lab with one finished campaign of four trials, one of which failed."""
    assert invoke("run", write_experiment(folder, "fail_on_three")).exit_code == 1
    return folder


def test_a_new_lab_has_no_campaigns(folder: Path) -> None:
    invoke("init", "--bare")
    assert "fieldlab run FILE" in invoke("status").stderr
    assert document(invoke("status", "--json")) == []


def test_status_lists_every_campaign(finished: Path) -> None:
    invoke("run", write_experiment(finished, a="[7]", name="others"))
    lines = [line.split() for line in invoke("status").stdout.splitlines()]
    assert ["sums.1", "finished", "4/4", "1"] in [line[:4] for line in lines]
    assert ["others.1", "finished", "1/1", "0"] in [line[:4] for line in lines]
    names = [each["name"] for each in document(invoke("status", "--json"))]
    assert names == ["sums.1", "others.1"]


def test_status_of_one_campaign_says_what_failed_and_where_things_are(finished: Path) -> None:
    shown = invoke("status", "sums").stdout
    assert "1 × ValueError: three is no good" in shown
    assert "table results_sums in" in shown
    assert "fieldlab retry sums.1" in shown
    details = document(invoke("status", "sums.1", "--json"))
    assert details["failures"] == [{"status": "ValueError: three is no good", "count": 1}]
    assert details["live_engines"] == []
    assert details["created_at"].endswith("+00:00")


def test_status_shows_the_engine_and_the_trials_that_run(folder: Path) -> None:
    process = start("run", write_experiment(folder, "wait"), folder=folder)

    def running() -> int:
        if not (folder / ".fieldlab" / "lab.db").exists():
            return 0
        found = invoke("status", "sums", "--json")
        return 0 if found.exit_code else int(document(found)["running"])

    wait_until(lambda: running() == 2, "two trials are recorded as running", process)
    shown = invoke("status", "sums").stdout
    assert f"process {process.pid}" in shown
    assert "a=1 for" in shown
    details = document(invoke("status", "sums", "--json"))
    assert sorted(each["parameters"]["a"] for each in details["running_trials"]) == [1, 2]
    (folder / "go").touch()
    assert finish(process)[0] == ExitCode.DONE


def test_pause_ends_a_run_elsewhere_after_its_running_trials(folder: Path) -> None:
    process = start("run", write_experiment(folder, "wait"), folder=folder)
    wait_until(lambda: len(list(folder.glob("started-*"))) == 2, "two trials run", process)
    paused = invoke("pause", "sums")
    assert paused.exit_code == ExitCode.DONE
    assert "1 process works on it and lets its running trials end" in paused.stderr
    (folder / "go").touch()
    code, _, err = finish(process)
    assert code == ExitCode.DONE
    assert "sums.1 is paused" in err
    assert "is paused" in invoke("pause", "sums").stderr  # once more changes nothing
    assert invoke("resume", "sums").exit_code == ExitCode.DONE


def test_cancel_ends_a_run_elsewhere_at_once(folder: Path) -> None:
    process = start("run", write_experiment(folder, "wait"), folder=folder)
    wait_until(lambda: len(list(folder.glob("started-*"))) == 2, "two trials run", process)
    assert document(invoke("cancel", "sums", "--json"))["state"] == "cancelled"
    _, _, err = finish(process)
    assert "sums.1 is cancelled" in err
    assert document(invoke("status", "sums", "--json"))["running"] == 0


def test_what_can_not_be_done_now_names_the_commands_to_use_instead(finished: Path) -> None:
    for command, change in (("pause", "paused"), ("cancel", "cancelled")):
        result = invoke(command, "sums")
        assert result.exit_code == ExitCode.BAD_INPUT
        assert (
            f"sums.1 is finished and can't be {change}. What can be done: `fieldlab"
            in result.stderr
        )
        assert "`fieldlab retry sums.1`" in result.stderr


def test_paths_and_commands_are_not_folded(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    place = str(finished / ".fieldlab" / "lab.db")
    for words in (["status", "sums"], ["db", "info"], ["doctor"]):
        assert place in invoke(*words).stdout
    assert "  fieldlab retry sums.1\n" in invoke("explain", "sums").stdout


def test_watch_follows_a_campaign_until_it_is_over(folder: Path) -> None:
    process = start("run", write_experiment(folder, "wait"), folder=folder)
    wait_until(lambda: len(list(folder.glob("started-*"))) == 2, "two trials run", process)
    watching = start("watch", "sums", "--every", "100ms", folder=folder)
    assert watching.stderr is not None
    assert watching.stderr.readline().startswith("sums.1: 0/4")
    (folder / "go").touch()
    assert finish(process)[0] == ExitCode.DONE
    code, _, err = finish(watching)
    assert code == ExitCode.DONE
    assert err.splitlines()[-1] == "sums.1 is finished: 4/4"


def test_watch_takes_the_newest_campaign(finished: Path) -> None:
    assert "sums.1 is finished" in invoke("watch").stderr
    assert document(invoke("watch", "--json"))["name"] == "sums.1"


def test_names_are_completed_and_quietly_nothing_without_a_lab(finished: Path) -> None:
    assert complete_name("su") == ["sums", "sums.1"]
    assert complete_name("x") == []


def test_without_a_lab_nothing_is_completed(folder: Path) -> None:
    assert complete_name("") == []


def test_db_info_counts_what_is_recorded(finished: Path) -> None:
    found = document(invoke("db", "info", "--json"))
    assert found["database"] == str(finished / ".fieldlab" / "lab.db")
    assert found["size_bytes"] > 0
    assert found["rows"] == {"experiments": 1, "campaigns": 1, "trials": 4, "attempts": 4}
    assert "lab.db" in invoke("db", "info").stdout


def test_db_upgrade_of_a_current_database_changes_nothing(finished: Path) -> None:
    assert "already" in invoke("db", "upgrade").stderr
    assert document(invoke("status", "sums", "--json"))["done"] == 4


def test_a_newer_database_is_refused_and_left_alone(finished: Path) -> None:
    path = finished / ".fieldlab" / "lab.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    for words in (["status"], ["db", "upgrade"]):
        result = invoke(*words)
        assert result.exit_code == ExitCode.INFRASTRUCTURE
        assert "has version 9999" in result.stderr
    assert invoke("doctor").exit_code == 1


def test_the_doctor_finds_a_sound_lab_sound(finished: Path) -> None:
    result = invoke("doctor", "--json")
    found = {each["check"]: each for each in document(result)}
    assert result.exit_code == ExitCode.DONE, found
    assert found["database"]["health"] == "ok"
    assert {"python", "disk", "workers", "clock", "extra polars", "extra postgres"} <= found.keys()


def test_the_doctor_finds_a_broken_profile(folder: Path) -> None:
    (folder / "fieldlab.toml").write_text("databse = 'x'\n")
    result = invoke("doctor", "--json")
    assert result.exit_code == 1
    settings = next(each for each in document(result) if each["check"] == "settings")
    assert "Did you mean 'database'?" in settings["said"]


def test_the_doctor_shows_a_plug_in_that_cannot_be_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder / "site" / "broken_tool-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-tool\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[fieldlab.tools]\nbroken = nowhere_at_all:Tool\n")
    monkeypatch.syspath_prepend(str(folder / "site"))
    result = invoke("doctor", "--json")
    assert result.exit_code == 1
    tool = next(each for each in document(result) if each["check"] == "tool broken")
    assert tool["health"] == "wrong"
    assert "nowhere_at_all" in tool["said"]


def test_a_total_that_is_only_a_bound_is_shown_as_one(folder: Path) -> None:
    file = folder / "a.yaml"
    file.write_text(
        'name: a\ntool: {command: ["true"]}\nguard: off\n'
        "space:\n  matrix: {x: {range: [1, 1000000]}, z: {range: [1, 1000000]}}\n"
        '  exclude: ["x + z > 1000000"]\n'
    )
    result = invoke("run", file, "--for", "500ms")
    assert " of at most 1,000,000,000,000 done" in result.stderr
    for words in (["status"], ["status", "a"], ["watch", "a"]):
        result = invoke(*words)
        assert "/≤1,000,000,000,000" in result.stdout + result.stderr
        assert " left" not in result.stdout.replace("rate   left", "")
    told = document(invoke("status", "a", "--json"))
    assert (told["total"], told["at_most"], told["left_s"]) == (None, 10**12, None)
