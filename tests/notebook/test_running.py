"""Running a campaign from a script, a notebook or a thread."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fieldlab
from fieldlab.domain.errors import BadInput, IllegalTransition, render_key
from tests.notebook.programs import fieldlab as command
from tests.notebook.programs import output, start, written
from tests.waiting import wait_until


def keys(error: BadInput) -> list[str]:
    return [render_key(problem.key) for problem in error.problems]


def test_a_campaign_in_a_line(here: Path) -> None:
    def respond(x: float, y: int) -> dict[str, float]:
        return {"z": x * y}

    ran = fieldlab.run(respond, matrix={"x": np.linspace(0, 1, 3), "y": range(1, 3)}, quiet=True)
    assert (ran.name, ran.state, ran.succeeded, ran.failed) == ("respond.1", "finished", 6, 0)
    frame = ran.results()
    assert frame.columns.tolist() == ["x", "y", "z"]
    assert frame["z"].tolist() == [0, 0, 0.5, 1, 1, 2]
    assert repr(ran) == "<respond.1: finished, 6 succeeded>"


def test_all_words_of_a_space(here: Path) -> None:
    ran = fieldlab.run(
        lambda a, b, c: {"s": a + b + c},
        name="words",
        matrix={"a": [1, 2, 3]},
        zip=[{"b": [10, 20], "c": [100, 200]}],
        exclude=["a == 3"],
        repeat=2,
        order="shuffled",
        seed=3,
        retry=2,
        guard="off",
        timeout="1m",
        slots=2,
        quiet=True,
    )
    assert ran.succeeded == 2 * 2 * 2
    definition = ran.campaign.definition
    assert (definition.retry.attempts, definition.timeout_s, definition.executor.slots) == (
        2,
        60,
        2,
    )
    assert not definition.guard.consecutive_failures


def test_the_space_as_a_whole(here: Path) -> None:
    space = {"blocks": [{"matrix": {"x": [1, 2]}}, {"include": [{"x": 7}]}]}
    ran = fieldlab.run(lambda x: {"y": x}, name="whole", space=space, quiet=True)
    assert sorted(ran.results()["x"]) == [1, 2, 7]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ({"matrix": {"x": []}}, ["matrix.x"]),
        ({"matrix": {"x": [1]}, "retry": "often", "guard": -1}, ["retry", "guard"]),
        ({"matrx": {"x": [1]}}, ["matrx"]),
        ({"matrix": {"x": [1]}, "space": {}}, ["space"]),
        ({"space": {"matrix": {"x": []}}}, ["space.matrix.x"]),
        ({"matrix": {"x": [1]}, "name": "two words"}, ["name"]),
        ({"matrix": {"x": [1]}, "slots": -1}, ["slots"]),
        ({"matrix": {"x": [1], "q": [1]}}, ["q"]),
        ({"matrix": {"x": [float("nan")]}}, ["matrix.x[0]"]),
    ],
)
def test_what_is_wrong_is_named_by_its_keyword(
    here: Path, words: dict[str, Any], wrong: list[str]
) -> None:
    with pytest.raises(BadInput) as raised:
        fieldlab.run(lambda x: x, **{"name": "wrong", **words}, quiet=True)
    assert keys(raised.value) == wrong
    with fieldlab.open() as lab:
        assert lab.campaigns().empty


def test_a_function_that_is_none(here: Path) -> None:
    with pytest.raises(BadInput, match="neither a function nor"):
        fieldlab.run(42, matrix={"x": [1]})  # type: ignore[arg-type]


def test_a_lambda_has_no_name(here: Path) -> None:
    with pytest.raises(BadInput, match="needs one for its experiment"):
        fieldlab.run(lambda x: x, matrix={"x": [1]})


def test_a_function_that_cannot_be_sent(here: Path) -> None:
    lock = threading.Lock()

    def locked(x: int) -> bool:
        return lock.locked()

    with pytest.raises(BadInput, match="can't be sent to other processes") as raised:
        fieldlab.run(locked, matrix={"x": [1]})
    assert keys(raised.value) == ["function"]


def test_a_definitions_file(here: Path) -> None:
    written(here, "def work(x):\n    return {'y': 2 * x}\n", "study.py")
    file = written(
        here,
        """
        name: filed
        tool: {function: study.py:work}
        space: {matrix: {x: [1, 2]}}
        """,
        "experiment.yaml",
    )
    assert fieldlab.run(file, quiet=True).results()["y"].tolist() == [2, 4]
    assert fieldlab.run(str(file), slots=1, quiet=True).name == "filed.1"
    with pytest.raises(BadInput, match="says that already") as raised:
        fieldlab.run(file, matrix={"x": [1]}, name="other")
    assert keys(raised.value) == ["matrix", "name"]


def test_a_function_of_a_module_is_named_as_in_a_definition(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    written(elsewhere, "def work(x):\n    return {'y': 2 * x}\n", "study_of_mine.py")
    monkeypatch.syspath_prepend(str(elsewhere))
    import study_of_mine  # type: ignore[import-not-found]

    ran = fieldlab.run(study_of_mine.work, matrix={"x": [1, 2]}, quiet=True)
    assert ran.campaign.definition.tool.options == {"call": "study_of_mine.py:work"}
    assert ran.results()["y"].tolist() == [2, 4]
    assert not list((here / "lab").glob("functions/*"))
    sys.modules.pop("study_of_mine")


def test_closures_partial_applications_and_methods(here: Path) -> None:
    def scaled(factor: int) -> Callable[..., dict[str, int]]:
        return lambda x: {"y": factor * x}

    class Model:
        def __init__(self) -> None:
            self.offset = 100

        def value(self, x: int) -> dict[str, int]:
            return {"y": self.offset + x}

    def power(x: int, exponent: int) -> dict[str, int]:
        return {"y": x**exponent}

    partial = functools.partial(power, exponent=3)
    for name, function, wanted in (
        ("closure", scaled(5), 10),
        ("partial", partial, 8),
        ("method", Model().value, 102),
    ):
        ran = fieldlab.run(function, name=name, matrix={"x": [2]}, quiet=True)
        assert ran.results()["y"].tolist() == [wanted], name


def test_a_changed_source_makes_a_new_version_and_a_larger_space_does_not(here: Path) -> None:
    def twice(x: int) -> dict[str, int]:
        return {"y": 2 * x}

    first = fieldlab.run(twice, name="waves", matrix={"x": [1, 2]}, quiet=True)
    larger = fieldlab.run(twice, name="waves", matrix={"x": [1, 2, 3]}, quiet=True)
    assert (first.name, larger.name) == ("waves.1", "waves.2")
    assert (larger.campaign.skipped, larger.succeeded) == (2, 1)
    assert larger.results()["y"].tolist() == [2, 4, 6]

    def thrice(x: int) -> dict[str, int]:
        return {"y": 3 * x}

    other = fieldlab.run(thrice, name="waves", matrix={"x": [1, 2]}, quiet=True)
    assert other.name == "waves.v2.1"
    assert other.results()["y"].tolist() == [3, 6]
    assert larger.results()["y"].tolist() == [2, 4, 6]


def test_failures_are_recorded_and_the_rest_goes_on(here: Path) -> None:
    def picky(x: int) -> dict[str, int]:
        if x == 2:
            raise ValueError("not two")
        return {"y": x}

    ran = fieldlab.run(picky, matrix={"x": [1, 2, 3]}, quiet=True)
    assert (ran.state, ran.succeeded, ran.failed) == ("finished", 2, 1)
    failures = ran.failures()
    assert failures["x"].tolist() == [2]
    assert 'raise ValueError("not two")' in failures["error"][0]
    assert repr(ran) == "<picky.1: finished, 2 succeeded, 1 failed>"
    assert fieldlab.run(picky, matrix={"x": [1, 2, 3]}, quiet=True).campaign.attempts == 3


def test_the_guard_stops_it_and_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(x: int) -> None:
        raise RuntimeError("always")

    ran = fieldlab.run(broken, matrix={"x": range(100)}, slots=1, guard=3, quiet=True)
    assert ran.state == "tripped"
    assert "broken.1 was paused by its guard" in capsys.readouterr().err


def test_it_works_where_an_event_loop_runs(here: Path) -> None:
    async def cell() -> fieldlab.Run:
        return fieldlab.run(lambda x: {"y": x}, name="cell", matrix={"x": [1]}, quiet=True)

    assert asyncio.run(cell()).state == "finished"


def test_it_works_in_several_threads(here: Path) -> None:
    states = {}

    def work(name: str) -> None:
        ran = fieldlab.run(lambda x: {"y": x}, name=name, matrix={"x": range(20)}, quiet=True)
        states[name] = ran.state

    threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == dict.fromkeys(("thread0", "thread1", "thread2"), "finished")


def test_a_cancelled_campaign_is_not_taken_up_by_accident(here: Path) -> None:
    def slow(x: int) -> None:
        raise ValueError

    words: dict[str, Any] = {"matrix": {"x": range(50)}, "guard": 2, "slots": 1, "quiet": True}
    assert fieldlab.run(slow, **words).state == "tripped"
    assert command(here, "cancel", "slow").returncode == 0
    with pytest.raises(IllegalTransition, match=r"retry slow\.1 --cancelled"):
        fieldlab.run(slow, **words)


SCRIPT = """
    import pathlib, sys, time
    import fieldlab

    with pathlib.Path("ran").open("a") as file:
        file.write("once\\n")
    FACTOR = 3

    def helper(x):
        return FACTOR * x

    patient = len(sys.argv) > 1

    def trial(x):
        pathlib.Path("begun").touch()
        while patient and not pathlib.Path("go").exists():
            time.sleep(0.01)
        return {"y": helper(x)}

    ran = fieldlab.run(trial, matrix={"x": range(12)}, slots=2)
    print(ran, ran.results()["y"].sum())
"""


def test_a_script_without_a_guard_for_its_main_module(here: Path) -> None:
    script = written(here, SCRIPT)
    assert output(script) == "<trial.1: finished, 12 succeeded> 198\n"
    assert (here / "ran").read_text() == "once\n", "the workers don't run the script"


def begun(here: Path) -> subprocess.Popen[str]:
    """Start the script; its first trials run, and end when the file `go` is there."""
    process = start(written(here, SCRIPT), "patient")
    wait_until((here / "begun").exists, "a trial runs", process)
    return process


def test_ctrl_c_lets_the_running_trials_end_and_the_script_too(here: Path) -> None:
    process = begun(here)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Waiting for the running trials to end" in process.stderr.readline()
    (here / "go").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt: go on with `fieldlab resume trial.1`" in err
    status = json.loads(command(here, "status", "trial", "--json").stdout)
    assert status["state"] == "paused"
    assert 0 < status["succeeded"] < 12
    assert status["attempts"] == status["succeeded"], "none was cut off"


def test_a_second_ctrl_c_ends_the_running_trials(here: Path) -> None:
    process = begun(here)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Waiting" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    status = json.loads(command(here, "status", "trial", "--json").stdout)
    assert (status["state"], status["succeeded"]) == ("paused", 0)


def test_a_killed_script_is_resumed_from_the_command_line(here: Path) -> None:
    process = begun(here)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    (here / "go").touch()
    resumed = command(here, "resume", "trial")
    assert resumed.returncode == 0, resumed.stderr
    status = json.loads(command(here, "status", "trial", "--json").stdout)
    assert (status["state"], status["succeeded"]) == ("finished", 12)


def test_a_lost_function_is_explained(here: Path) -> None:
    def lost(x: int) -> None:
        raise ValueError

    fieldlab.run(lost, matrix={"x": range(50)}, guard=2, slots=1, quiet=True)
    for pickle in (here / "lab" / "functions").iterdir():
        pickle.unlink()
    resumed = command(here, "resume", "lost")
    assert resumed.returncode == 2
    assert "lost' isn't in the lab's folder" in resumed.stderr
    assert "again" in resumed.stderr
