"""The local executor: the contract, and what is its own."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

import pytest

from fieldlab.domain.errors import ExecutionError
from fieldlab.execution import crew
from fieldlab.execution.local import LocalExecutor, processors
from fieldlab.ports.executor import AttemptRecord, Batch, Executor
from tests.execution.executor_contract import ExecutorContract
from tests.execution.staging import Ran, function_setup, run_batches, started
from tests.waiting import PATIENCE_S


class TestLocalExecutor(ExecutorContract):
    """On this machine."""

    def make(self, slots: int) -> Executor:
        return LocalExecutor(slots)


def test_a_worker_that_cannot_be_talked_to_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "REPORT_S", 0.5)
    source = """
import os, time
def work(x):
    if x == 1:
        os.closerange(3, 256)
        time.sleep(300)
"""
    setup = function_setup(folder, source, {"matrix": {"x": [1, 2]}})
    ran = run_batches(LocalExecutor(1), setup, [[0, 1]])
    assert [record.status for record in ran.records] == [
        "process died: killed by SIGKILL",
        "success",
    ]


def test_workers_share_the_processors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import os\ndef work(x):\n    return {'y': int(os.environ['OMP_NUM_THREADS'])}"
    setup = function_setup(folder, source, {"matrix": {"x": [1]}})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    alone = run_batches(LocalExecutor(1), setup, [[0]]).rows_of(0)[0]["y"]
    assert alone == processors()
    beside = run_batches(LocalExecutor(2 * processors()), setup, [[0]]).rows_of(0)[0]["y"]
    assert beside == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "13")
    assert run_batches(LocalExecutor(1), setup, [[0]]).rows_of(0)[0]["y"] == 13


#: kills the keeper, its worker's parent, or the guard above it
KEEPER_KILLER = """
import os, pathlib, signal, time

def work(x):
    if x == 3:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(300)
    time.sleep(0.05)
    return {"y": x}
"""


@pytest.mark.parametrize("slots", [1, 2])
def test_a_trial_that_kills_the_keeper_fails_alone(folder: Path, slots: int) -> None:
    """An engine tries those again that were lost with it, and so does this test."""
    setup = function_setup(folder, KEEPER_KILLER, {"matrix": {"x": {"range": [0, 19]}}})
    ended: dict[int, AttemptRecord] = {}
    deaths = 0

    async def run() -> None:
        nonlocal deaths
        async with started(LocalExecutor(slots), setup) as executor:

            async def one(position: int) -> None:
                nonlocal deaths
                ran = Ran()
                number = 1
                while position not in ended:
                    batch = Batch(id=position, positions=[position], numbers=[number])
                    await executor.run(batch, ran.deliver)
                    if ran.records[-1].failure == "infrastructure":
                        number += 1
                        deaths += position == 3
                    else:
                        ended[position] = ran.records[-1]

            await asyncio.gather(*map(one, range(20)))

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    failed = {at: each.status for at, each in ended.items() if each.status != "success"}
    assert failed == {3: "killed the keeper of its process"}
    assert ended[3].failure == "experiment"
    assert deaths <= 2


def test_keepers_that_die_one_after_the_other_are_replaced(folder: Path) -> None:
    source = """
import os, pathlib, signal, time
count = len(list(pathlib.Path(__file__).parent.glob("start-*")))
pathlib.Path(__file__).with_name(f"start-{count}").touch()
if count < 7:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(300)  # it dies with the keeper

def work(x):
    return {"y": x}
"""
    setup = function_setup(folder, source, {"matrix": {"x": {"range": [0, 3]}}})
    ran = run_batches(LocalExecutor(1), setup, [[0, 1], [2, 3]])
    assert [each.status for each in ran.records] == ["success"] * 4


#: what a trial writes to its worker's socket, as if it were a message of the worker's
FORGED = [
    '{"outcomes": 0}',
    '{"outcomes": 0, "shapes": [], "records": [[1]], "parameters": [], "excluded": 0}',
    '{"outcomes": 0, "shapes": [], "records": [], "parameters": [], "excluded": -3}',
    '{"outcomes": 7, "shapes": [], "records": [], "parameters": [], "excluded": 1}',
    '{"outcomes": 0, "shapes": 5, "records": [], "parameters": [], "excluded": 0}',
    '{"ended": 0, "unrun": 99}',
    '{"ended": 0}',
    '{"ended": 5, "unrun": 1}',
    '{"ended": 0, "unrun": 2}',
    '{"problems": 3}',
    '{"problems": [["forged", [], ""]]}',
    '{"what": "ever"}',
    "[1, 2]",
    "7",
    "null",
    "no json",
]


def test_a_trial_that_writes_to_its_workers_socket_fails_alone(folder: Path) -> None:
    source = f"""
import os, stat, struct, time
FORGED = {FORGED!r}

def work(x, then):
    if then:
        return {{"y": x}}
    body = FORGED[x].encode()
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, struct.pack("!I", len(body)) + body)
        except OSError:
            pass
    time.sleep(300)
"""
    space = {"matrix": {"x": {"range": [0, len(FORGED) - 1]}, "then": [False, True]}}
    setup = function_setup(folder, source, space)
    pairs = [[2 * each, 2 * each + 1] for each in range(len(FORGED))]
    ran = run_batches(LocalExecutor(2), setup, pairs)
    assert [ran.record(2 * each).status for each in range(len(FORGED))] == [
        "broken messages"
    ] * len(FORGED)
    assert all(ran.record(2 * each + 1).status == "success" for each in range(len(FORGED)))


def test_a_clock_that_is_set_ahead_times_no_trial_out(folder: Path) -> None:
    """The worker takes the time of day from a clock that is an hour behind the engine's."""
    source = "import time\ndef work(x):\n    time.sleep(0.5)\n    return {'y': x}"
    setup = function_setup(folder, source, {"matrix": {"x": [1, 2]}}, timeout_s=100.0)
    (folder / "sitecustomize.py").write_text(
        "import sys, time\n"
        "if 'fieldlab.execution.worker' in sys.orig_argv:\n"
        "    real = time.time\n"
        "    time.time = lambda: real() - 3600\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        ran = run_batches(LocalExecutor(1), setup, [[0, 1]])
    assert [record.status for record in ran.records] == ["success", "success"]
    assert all(record.ended < time.time() - 3000 for record in ran.records), "the clock was set"


def test_too_few_files_are_said_to_be_so(folder: Path) -> None:
    setup = function_setup(folder, "def work(x): ...", {"matrix": {"x": [1]}})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        with pytest.raises(ExecutionError, match=r"can't be started: Too many open files.*ulimit"):
            run_batches(LocalExecutor(4), setup, [[0]])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
