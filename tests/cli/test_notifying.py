"""`notify test`, heralds under `actors run`, and what doctor says of messages to people."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlab.cli.errors import ExitCode
from tests.cli.program import document, finish, invoke, start, write_experiment
from tests.outlets.receivers import HttpReceiver
from tests.waiting import wait_until


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


def name(folder: Path, *urls: str, more: str = "") -> None:
    """Name whom to tell."""
    (folder / "fieldlab.toml").write_text(f"[notify]\nurls = {list(urls)}\n{more}\n")


def test_a_test_message_goes_to_everybody(folder: Path, http: HttpReceiver) -> None:
    name(folder, http.url, "nonsense://word")
    result = invoke("notify", "test", "--json")
    assert result.exit_code == ExitCode.INFRASTRUCTURE
    good, bad = document(result)
    assert good == {"to": f"json://localhost:{http.port}", "sent": True, "error": None}
    assert (bad["to"], bad["sent"]) == ("nonsense", False)
    assert "not one that can be used" in bad["error"]
    assert http.titles == ["fieldlab: a test"]
    name(folder, http.url)
    shown = invoke("notify", "test")
    assert (shown.exit_code, shown.stdout) == (0, f"json://localhost:{http.port}  sent\n")


def test_with_nobody_to_tell_it_is_said_how_to_name_somebody(folder: Path) -> None:
    for words in (["notify", "test"], ["actors", "run", "--notify"]):
        result = invoke(*words)
        assert result.exit_code == ExitCode.BAD_INPUT
        assert "[notify] of fieldlab.toml" in result.stderr
    assert invoke("actors", "run").exit_code == ExitCode.BAD_INPUT


def test_mistakes_in_the_profile_stop_every_command(folder: Path) -> None:
    name(folder, more="progress = [150]")
    result = invoke("status")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert f"{folder}/fieldlab.toml: notify.progress: must be percentages" in result.stderr


def test_doctor_says_who_can_be_told(folder: Path, http: HttpReceiver) -> None:
    assert "notify test" not in invoke("doctor").stdout
    name(folder, http.url, "nonsense://word")
    result = invoke("doctor", "--json")
    found = [each for each in document(result) if each["check"] == "notify"]
    assert [each["health"] for each in found] == ["ok", "wrong"]
    assert f"json://localhost:{http.port};" in found[0]["said"]
    assert not http.received


def test_a_run_tells_how_it_ended(folder: Path, http: HttpReceiver) -> None:
    name(folder, http.url)
    ran = start("run", write_experiment(folder), folder=folder)
    assert finish(ran)[0] == 0
    # on a busy machine it may have left that to the next one
    assert invoke("actors", "run", "--notify", "--until-idle").exit_code == 0
    assert http.titles == ["fieldlab: sums.1 finished"]


@pytest.mark.parametrize("more", [[], ["--processes"]])
def test_heralds_run_alone_and_tell_the_rest_when_they_end(
    folder: Path, http: HttpReceiver, more: list[str]
) -> None:
    name(folder, http.url, more='digest = "10m"')
    heralds = start("actors", "run", "--notify", *more, folder=folder)
    wait_until(lambda: "notify.json" in invoke("actors").stdout, "the herald runs", heralds)
    write_experiment(folder)
    (folder / "fieldlab.toml").rename(folder / "away.toml")  # this run tells nobody itself
    assert invoke("run", "experiment.yaml").exit_code == 0
    wait_until(lambda: '"in_work": 1' in invoke("actors", "--json").stdout, "it gathers", heralds)
    assert not http.received
    heralds.send_signal(signal.SIGTERM)
    assert finish(heralds)[0] == 0
    assert http.titles == ["fieldlab: sums.1 finished"]
