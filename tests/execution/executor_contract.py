"""What every executor keeps to, see :class:`fieldlab.ports.executor.Executor`."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.domain.parameters import sequence_from
from fieldlab.ports.executor import Batch, Executor, Setup
from tests.engine.processes import MARK, MarkedProcesses
from tests.execution.staging import Ran, command_setup, function_setup, run_batches, started
from tests.waiting import until, wait_until

#: fails, dies and works by turns
MOODY = """
import os

def work(x):
    if x % 7 == 3:
        raise ValueError(f"no {x}")
    if x % 61 == 5:
        os._exit(x % 3)
    return {"y": 2 * x}
"""
#: decided point by point while running
STREAMED = {
    "matrix": {"x": {"range": [0, 99_999]}, "y": {"range": [0, 99_999]}},
    "exclude": ["(x * x + y) % 3 == 1"],
}
COUNTED = {"matrix": {"x": {"range": [0, 9999]}}}
SLOW = """
import pathlib, time

def work(x):
    pathlib.Path(f"began{x}").touch()
    time.sleep(0.05 if x else 300)
    return {"y": x}
"""


def shuffled_parts(random_: random.Random, count: int) -> list[Sequence[int]]:
    """Cut positions into batches of random sizes: ranges, and lists in any order."""
    parts: list[Sequence[int]] = []
    start = 0
    while start < count:
        part = range(start, min(count, start + random_.choice([1, 2, 3, 10, 50])))
        parts.append(part if random_.random() < 0.5 else random_.sample(part, len(part)))
        start = part.stop
    random_.shuffle(parts)
    return parts


class ExecutorContract:
    """The suite; a subclass says which executor it is about."""

    def make(self, slots: int) -> Executor:
        """Make the executor under test."""
        raise NotImplementedError

    @pytest.mark.parametrize("patience", [0, 1, 2])
    def test_every_position_ends_in_one_way(self, folder: Path, patience: int) -> None:
        random_ = random.Random(patience)
        setup = function_setup(folder, MOODY, COUNTED, patience=patience)
        parts = shuffled_parts(random_, 400)
        ran, handed_back = Ran(), list[int]()

        async def run() -> None:
            async with started(self.make(2), setup) as executor:

                async def one(number: int, positions: Sequence[int]) -> None:
                    tries = [random_.randint(1, 5) for _ in positions]
                    numbers = [] if isinstance(positions, range) else tries
                    batch = Batch(id=number, positions=positions, numbers=numbers)
                    left = await executor.run(batch, ran.deliver)
                    handed_back.extend(positions[each] for each in left)
                    for record in ran.records:
                        if record.position in positions:
                            ordinal = list(positions).index(record.position)
                            assert record.number == batch.number(ordinal)

                await asyncio.gather(*(one(*each) for each in enumerate(parts)))

        asyncio.run(run())
        ends = Counter([record.position for record in ran.records] + handed_back)
        assert ends == Counter(range(400)), "a position was lost or doubled"
        assert bool(handed_back) == bool(patience)
        for record, rows in zip(ran.records, ran.rows, strict=True):
            x = record.position
            assert record.parameters == f'{{"x":{x}}}'
            assert record.started <= record.ended
            if x % 7 == 3:
                assert (record.status, record.state) == (f"ValueError: no {x}", "failed")
            elif x % 61 == 5:
                assert record.status == f"process died: exit code {x % 3}"
            else:
                assert (record.status, rows) == ("success", [{"x": x, "y": 2 * x}])

    def test_excluded_positions_are_counted(self, folder: Path) -> None:
        source = "import os\ndef work(x, y):\n    return os._exit(1) if y % 40 == 7 else None"
        setup = function_setup(folder, source, STREAMED)
        sequence = sequence_from(STREAMED)
        parts = shuffled_parts(random.Random(3), 300)
        ran = run_batches(self.make(2), setup, parts)
        kept = {each for each in range(300) if sequence[each] is not None}
        assert sorted(record.position for record in ran.records) == sorted(kept)
        assert ran.excluded == 300 - len(kept)

    def test_an_exclusion_that_cannot_decide_is_the_definitions_fault(self, folder: Path) -> None:
        space = {**STREAMED, "exclude": ["1 / (y - 5 + x * y % 2) > 7"]}
        setup = function_setup(folder, "def work(x, y):\n    return None", space)
        ran = Ran()

        async def run() -> None:
            async with started(self.make(1), setup) as executor:
                with pytest.raises(BadInput, match=r"can't be decided for x=0, y=5"):
                    await executor.run(Batch(id=1, positions=range(20)), ran.deliver)
                assert not await executor.run(Batch(id=2, positions=range(6, 9)), ran.deliver)

        asyncio.run(run())
        assert sorted(record.position for record in ran.records) == [0, 1, 2, 3, 4, 6, 7, 8]

    def test_draining_ends_what_runs_and_hands_back_the_rest(self, folder: Path) -> None:
        source = "import time\ndef work(x):\n    time.sleep(0.05)\n    return {'y': x}"
        setup = function_setup(folder, source, COUNTED)
        ran = Ran()

        async def run() -> list[Sequence[int]]:
            async with started(self.make(2), setup) as executor:
                running = [
                    asyncio.create_task(executor.run(Batch(id=n, positions=part), ran.deliver))
                    for n, part in enumerate([range(50), range(50, 100), range(100, 120)])
                ]
                await until(lambda: ran.records, "trials ended")
                executor.drain()
                return list(await asyncio.gather(*running))

        left = asyncio.run(run())
        assert left[2] == range(20), "a batch that waited for a slot was begun"
        assert all(record.status == "success" for record in ran.records)
        done = {record.position for record in ran.records}
        assert len(done) < 20
        back = {at + each for at, part in zip((0, 50, 100), left, strict=True) for each in part}
        assert done.isdisjoint(back)
        assert done | back == set(range(120))

    def test_what_runs_can_be_seen(self, folder: Path) -> None:
        setup = function_setup(folder, SLOW, COUNTED)

        async def run() -> None:
            async with started(self.make(2), setup) as executor:
                assert executor.running() == []
                batch = Batch(id=9, positions=[7, 0], numbers=[1, 3])
                task = asyncio.create_task(executor.run(batch, Ran().deliver))
                await until(lambda: any(r.position == 0 for r in executor.running()), "begun")
                [running] = executor.running()
                assert (running.batch, running.position, running.number) == (9, 0, 3)
                task.cancel()

        asyncio.run(run())

    def test_trials_run_at_the_same_time_on_as_many_slots(self, folder: Path) -> None:
        source = """
import pathlib, time
def work(x):
    pathlib.Path(f"here{x}").touch()
    until = time.monotonic() + 20
    while not pathlib.Path(f"here{1 - x}").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
"""
        setup = function_setup(folder, source, COUNTED)
        ran = run_batches(self.make(2), setup, [[0], [1]])
        assert [record.status for record in ran.records] == ["success", "success"]

    def test_a_tool_that_cannot_be_used_is_refused_and_nothing_runs(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        marked = MarkedProcesses(folder / "lab", "")
        monkeypatch.setenv(MARK, marked.mark)
        wrong: list[tuple[Any, Callable[..., Setup], str]] = [
            ("def wrok(x): ...", function_setup, "Did you mean 'wrok'"),
            ("def work(y): ...", function_setup, "take the parameter 'x'"),
            ("1 / 0", function_setup, "ZeroDivisionError"),
            (["no-such-program"], command_setup, "no program 'no-such-program'"),
            (["./absent.sh"], command_setup, "chmod"),
        ]

        async def refused(setup: Setup, hint: str) -> None:
            with pytest.raises(BadInput, match=hint):
                async with started(self.make(1), setup):
                    pass

        for tool, describe, hint in wrong:
            asyncio.run(refused(describe(folder, tool, COUNTED), hint))
        assert marked.gone()

    @pytest.mark.parametrize("deed", ["sleeps", "refuses to end", "computes"])
    def test_stopping_ends_everything(
        self, deed: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        marked = MarkedProcesses(folder / "lab", "")
        monkeypatch.setenv(MARK, marked.mark)
        source = f"""
import os, pathlib, re, signal, subprocess, time
def work(x):
    subprocess.Popen(["sleep", "300"])
    subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM; sleep 301; sleep 302"])
    pathlib.Path("began").touch()
    if {deed!r} == "sleeps":
        time.sleep(300)
    if {deed!r} == "refuses to end":
        while True:
            try:
                time.sleep(300)
            except BaseException:
                pass
    re.match("(a+)+b", "a" * 60)
"""
        setup = function_setup(folder, source, COUNTED)
        ran = Ran()

        async def run() -> None:
            async with started(self.make(1), setup) as executor:
                batch = Batch(id=1, positions=range(5))
                task = asyncio.create_task(executor.run(batch, ran.deliver))
                await until((folder / "began").exists, "the trial began")
                await until(lambda: len(marked.named("sleep")) >= 3, "its children run")
                await executor.stop()
                assert marked.gone(), "something outlived stop()"
                task.cancel()

        asyncio.run(run())
        assert not ran.records, "a trial that was stopped has not failed"

    def test_stopping_an_idle_executor_ends_what_its_trials_left(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        marked = MarkedProcesses(folder / "lab", "")
        monkeypatch.setenv(MARK, marked.mark)
        source = """
import os, subprocess
def work(x):
    subprocess.Popen(["setsid", "sleep", "300"])
    if os.fork() == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", "301"])
"""
        setup = function_setup(folder, source, COUNTED)
        ran = run_batches(self.make(1), setup, [[0, 1, 2]])
        assert [record.status for record in ran.records] == ["success"] * 3
        wait_until(marked.gone, "nothing is left")
