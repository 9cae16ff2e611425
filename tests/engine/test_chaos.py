"""Whatever is killed, whenever: nothing keeps running, and every trial is recorded exactly once."""

from __future__ import annotations

import contextlib
import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from fieldlab.domain.definition import Definition, ExecutorSpec, ToolSpec
from fieldlab.domain.policies import FailureGuard, RetryPolicy
from fieldlab.store.database import Database
from tests.engine.processes import MarkedProcesses
from tests.waiting import wait_until

#: the function under test: short, and a child process once in a while
STUDY = """
import subprocess, sys, time

def work(x, y):
    time.sleep(0.002)
    if x % 20 == 0 and y == 0:
        subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(0.05)"])
    return [{"row_sum": x + y, "part": part} for part in ("a", "b")]
"""

#: a command that leaves a process behind which has left its group
STRAY = "setsid sleep 300 & echo '{{\"z\": '$0'}}'; sleep 0.01"

#: a keeper and its guard; on other systems than Linux there is no guard
_PAIR = 2 if sys.platform == "linux" else 1

Kill = Callable[[random.Random, MarkedProcesses, subprocess.Popen[bytes]], None]


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def kill_engine(
    _random: random.Random, _marked: MarkedProcesses, engine: subprocess.Popen[bytes]
) -> None:
    engine.kill()


def kill_group(
    _random: random.Random, _marked: MarkedProcesses, engine: subprocess.Popen[bytes]
) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(engine.pid, signal.SIGKILL)


def kill_worker(
    random_: random.Random, marked: MarkedProcesses, _engine: subprocess.Popen[bytes]
) -> None:
    workers = marked.named("fieldlab.execution.worker")
    if workers:
        _kill(random_.choice(workers))


def kill_keeper(
    random_: random.Random, marked: MarkedProcesses, _engine: subprocess.Popen[bytes]
) -> None:
    """Kill the keeper or its guard; when one of them cleans up after the other, neither."""
    found = marked.named("fieldlab.execution.keeper")
    if len(found) == _PAIR:
        _kill(random_.choice(found))


def kill_engine_and_keeper(
    random_: random.Random, marked: MarkedProcesses, engine: subprocess.Popen[bytes]
) -> None:
    kill_keeper(random_, marked, engine)
    engine.kill()


#: those that end the engine, and those that it must survive
FATAL: list[Kill] = [kill_engine, kill_group, kill_engine_and_keeper]
SURVIVED: list[Kill] = [kill_worker, kill_worker, kill_worker, kill_keeper]


def definition(folder: Path, tool: ToolSpec, trials: int) -> Definition:
    return Definition(
        name="chaos",
        tool=tool,
        space={"matrix": {"x": {"range": [1, trials // 3]}, "y": [0, 1, 2]}, "order": "shuffled"},
        executor=ExecutorSpec(slots=2),
        retry=RetryPolicy(attempts=1000, infrastructure_attempts=1000),
        guard=FailureGuard(consecutive_failures=0),
        folder=str(folder),
    )


def tool_of(kind: str, folder: Path) -> tuple[ToolSpec, int]:
    if kind == "function":
        (folder / "study.py").write_text(STUDY)
        return ToolSpec(kind="function", options={"call": "study.py:work"}), 6000
    argv = ["sh", "-c", STRAY, "{x}"]
    read = {"format": "json", "file": "", "values": {}}
    return ToolSpec(kind="command", options={"argv": argv, "read": read}), 1200


@pytest.mark.parametrize("kind", ["function", "command"])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.timeout(280)
def test_kills_at_random_moments_lose_nothing_and_leave_nothing_running(
    kind: str, seed: int, database_url: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    rounds, kills_a_round = 9, 3
    random_ = random.Random(f"{kind} {seed}")
    tool, trials = tool_of(kind, folder)
    marked = MarkedProcesses(folder / "lab", database_url)
    request.addfinalizer(marked.end)
    campaign = definition(folder, tool, trials)
    for _ in range(rounds):
        engine = marked.start(campaign)
        for kill in [*random_.choices(SURVIVED, k=kills_a_round - 1), random_.choice(FATAL)]:
            time.sleep(random_.uniform(0.0, 0.4))  # the random moment itself
            kill(random_, marked, engine)
        engine.wait(30)
        wait_until(marked.gone, "everything that a killed engine started ends")
    assert marked.start(campaign).wait(120) == 0, marked.told()[-3000:]
    wait_until(marked.gone, "a finished engine leaves nothing running")
    assert_recorded_once(database_url, folder / "lab" / "status" / "chaos.1.csv", trials)


def assert_recorded_once(url: str, sheet: Path, trials: int) -> None:
    """Check that the database and the spreadsheet tell one story, without a gap or a double."""
    database = Database(url)
    with database.read() as connection:

        def one(sql: str) -> object:
            return connection.scalar(sa.text(sql))

        assert one("SELECT count(*) FROM trials") == trials
        assert one("SELECT count(*) FROM trials WHERE state <> 'succeeded'") == 0
        rows = one("SELECT count(*) FROM results_chaos")
        doubled = "SELECT count(*) FROM (SELECT 1 FROM results_chaos GROUP BY trial_id {}) AS d"
        per_trial = rows // trials if isinstance(rows, int) else 0
        assert rows == trials * per_trial
        assert one(doubled.format(f"HAVING count(*) <> {per_trial}")) == 0
        good = "SELECT count(*) FROM attempts WHERE state = 'succeeded'"
        assert one(good) == trials
        ended = one("SELECT count(*) FROM attempts")
        assert one("SELECT attempts FROM campaigns") == ended
        assert one("SELECT max(sequence) FROM attempts") == ended
        assert one("SELECT succeeded FROM campaigns") == trials
        assert one("SELECT state FROM campaigns") == "finished"
        assert one("SELECT count(*) FROM leases") == 0
        statuses = connection.scalars(
            sa.text("SELECT status FROM attempts ORDER BY sequence")
        ).all()
    database.close()
    with sheet.open(newline="") as file:
        assert [row["end_status"] for row in csv.DictReader(file)] == list(statuses)
