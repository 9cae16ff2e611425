"""The local executor: the contract, and what is its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlab.execution import crew
from fieldlab.execution.local import LocalExecutor, processors
from fieldlab.ports.executor import Executor
from tests.execution.executor_contract import ExecutorContract
from tests.execution.staging import function_setup, run_batches


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
