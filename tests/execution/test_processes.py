"""Whoever is killed: nothing that was started keeps running, and the others carry on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fieldlab.domain.definition import Definition, ExecutorSpec, ToolSpec
from fieldlab.domain.policies import FailureGuard, RetryPolicy
from fieldlab.store.database import Database
from tests.engine.processes import MarkedProcesses
from tests.waiting import wait_until

SCRIPT = "trap '' TERM; sleep 300 & setsid sh -c \"trap '' TERM; sleep 301; sleep 302\""
#: what one trial has running: two shells, and a sleep below each
BELOW = 2
STUDY = f"""
import subprocess

def work(x):
    subprocess.run(["sh", "-c", {SCRIPT!r}])
"""


@pytest.fixture
def marked(folder: Path) -> Iterator[MarkedProcesses]:
    database = f"sqlite:///{folder / 'lab.db'}"
    Database(database).upgrade()
    processes = MarkedProcesses(folder / "lab", database)
    yield processes
    for process in processes.alive():
        process.kill()


def start(
    marked: MarkedProcesses, folder: Path, kind: str, slots: int = 1
) -> subprocess.Popen[bytes]:
    """Start an engine, and wait until every slot has a trial with processes of its own."""
    (folder / "study.py").write_text(STUDY)
    options: dict[str, dict[str, object]] = {
        "function": {"call": "study.py:work"},
        "command": {"argv": ["sh", "-c", SCRIPT]},
    }
    engine = marked.start(
        Definition(
            name="kills",
            tool=ToolSpec(kind=kind, options=options[kind]),
            space={"matrix": {"x": {"range": [1, 50]}}},
            executor=ExecutorSpec(slots=slots),
            retry=RetryPolicy(attempts=100, infrastructure_attempts=100),
            guard=FailureGuard(consecutive_failures=0),
            folder=str(folder),
        )
    )
    wait_until(lambda: len(sleeping(marked)) == BELOW * slots, "the trials run")
    return engine


def keepers(
    marked: MarkedProcesses, engine: subprocess.Popen[bytes]
) -> tuple[psutil.Process, psutil.Process]:
    """Give the guard and the keeper, its child."""
    [guard] = [
        each for each in marked.named("fieldlab.execution.keeper") if each.ppid() == engine.pid
    ]
    [keeper] = [
        each for each in marked.named("fieldlab.execution.keeper") if each.ppid() == guard.pid
    ]
    return guard, keeper


def sleeping(marked: MarkedProcesses) -> set[psutil.Process]:
    found = set()
    for process in marked.named("sleep"):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "sleep":
                found.add(process)
    return found


@pytest.mark.parametrize(
    ("kind", "number"),
    [("function", signal.SIGKILL), ("command", signal.SIGKILL), ("function", signal.SIGHUP)],
)
def test_an_engine_that_dies_takes_everything_along(
    marked: MarkedProcesses, folder: Path, kind: str, number: signal.Signals
) -> None:
    engine = start(marked, folder, kind, slots=2)
    engine.send_signal(number)
    assert engine.wait(30) == -number
    wait_until(marked.gone, "everything that the engine started ends")


@pytest.mark.parametrize("kind", ["function", "command"])
def test_a_worker_that_dies_takes_its_trial_along_and_is_replaced(
    marked: MarkedProcesses, folder: Path, kind: str
) -> None:
    engine = start(marked, folder, kind, slots=1)
    [worker] = marked.named("fieldlab.execution.worker")
    before = sleeping(marked)
    worker.kill()
    wait_until(lambda: not before & sleeping(marked), "its trial ends")
    wait_until(lambda: len(sleeping(marked)) == BELOW, "another worker takes the next trial")
    assert marked.named("fieldlab.execution.worker") != [worker]
    engine.kill()
    engine.wait()
    wait_until(marked.gone, "everything ends")


@pytest.mark.parametrize("kind", ["function", "command"])
@pytest.mark.parametrize("victim", [0, 1], ids=["guard", "keeper"])
def test_a_keeper_that_dies_takes_everything_along_and_is_replaced(
    marked: MarkedProcesses, folder: Path, kind: str, victim: int
) -> None:
    engine = start(marked, folder, kind, slots=2)
    both = keepers(marked, engine)
    before = sleeping(marked)
    both[victim].kill()
    wait_until(lambda: not before & sleeping(marked), "what it kept ends")
    wait_until(lambda: len(sleeping(marked)) == 2 * BELOW, "the trials are tried again")
    assert set(marked.named("fieldlab.execution.keeper")).isdisjoint(both)
    engine.kill()
    engine.wait()
    wait_until(marked.gone, "everything ends")


@pytest.mark.parametrize("kind", ["function", "command"])
@pytest.mark.parametrize("victim", [0, 1], ids=["guard", "keeper"])
def test_keeper_and_engine_die_together(
    marked: MarkedProcesses, folder: Path, kind: str, victim: int
) -> None:
    engine = start(marked, folder, kind, slots=2)
    killed = keepers(marked, engine)[victim]
    killed.suspend()
    engine.kill()
    killed.kill()
    engine.wait()
    wait_until(marked.gone, "everything ends")


@pytest.mark.parametrize("victim", [0, 1], ids=["guard", "keeper"])
def test_an_engine_ends_although_its_keeper_is_suspended(
    marked: MarkedProcesses, folder: Path, victim: int
) -> None:
    engine = start(marked, folder, "function", slots=1)
    keepers(marked, engine)[victim].suspend()
    engine.send_signal(signal.SIGINT)
    wait_until(lambda: "to end" in marked.told(), "it was told to end")
    engine.send_signal(signal.SIGINT)
    engine.wait(30)
    wait_until(marked.gone, "everything ends")


def test_an_engine_that_is_stopped_and_killed_takes_everything_along(
    marked: MarkedProcesses, folder: Path
) -> None:
    engine = start(marked, folder, "function", slots=1)
    engine.send_signal(signal.SIGSTOP)
    engine.kill()
    engine.wait()
    wait_until(marked.gone, "everything ends")
