"""Large campaigns: taking one up again, asking about it, and the memory that they need."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab import NAME, NOOP, LabFolder
from benchmarks.measuring import BenchmarkFailed, Run, fresh
from benchmarks.reporting import Promise, Report

POINTS = 1_000_000
#: what each command may take on that campaign, half of it done
MOST_S = 2.0
MOST_BYTES = 300_000_000
#: recorded positions that a longer axis passes over in a second, starting and checking included
LEAST_PASSED = 20_000
#: the memory of the last of SPACES, times that of the one before
MOST_GROWTH = 1.2
#: points along the axes of the spaces whose memory is compared
SPACES = ((100, 100), (1_000, 1_000), (1_000_000, 1_000_000))
#: how long each of them runs
RUN_FOR = "3s"


@dataclass(frozen=True, slots=True)
class Answer:
    """How long a command took until it had done what was asked, and its peak memory."""

    what: str
    wall_s: float
    peak_bytes: int


def measure(folder: Path, rounds: int) -> Report:
    """Run half a large campaign, then ask about it and go on with it; then compare spaces."""
    lab = LabFolder(fresh(folder))
    half = _run_half(lab)
    done = lab.succeeded()
    size_bytes = lab.database.stat().st_size
    questions: dict[str, Callable[[], Run]] = {
        "`fieldlab status`": lambda: lab.fieldlab("status", NAME),
        "`fieldlab results --head`": lambda: lab.fieldlab("results", NAME, "--head"),
        "`fieldlab resume`, to its first new trial": lambda: _resumed(lab),
    }
    answers = [_answer(what, rounds, once) for what, once in questions.items()]
    extended = _answer(
        "`fieldlab run` with an axis longer by a value, to its first new trial",
        rounds,
        lambda: _extended(lab),
    )
    begun = Answer("`fieldlab run`, interrupted at half", half.wall_s, half.peak_bytes)
    memory = [_memory(axes, folder) for axes in SPACES]
    return Report(
        name="scale",
        title=f"A campaign of {POINTS:,} points, {done:,} done ({size_bytes / 1e6:,.0f} MB),"
        " and larger spaces",
        head=("", "time", "peak memory"),
        rows=[
            [each.what, f"{each.wall_s:.2f} s", _mb(each.peak_bytes)]
            for each in (begun, *answers, extended, *memory)
        ],
        promises=_promises(answers, extended, done, memory),
    )


def _run_half(lab: LabFolder) -> Run:
    """Run a campaign until half of it is done, then interrupt it."""
    lab.define(NOOP, POINTS)
    program = lab.start("run", "experiment.json")
    while lab.number("SELECT MAX(succeeded) FROM campaigns") < POINTS // 2:
        if not program.runs:
            program.finish()
            raise BenchmarkFailed("The large campaign ended before it was interrupted")
        time.sleep(0.1)
    program.process.send_signal(signal.SIGINT)
    return program.finish(expected=(130,))


def _answer(what: str, rounds: int, once: Callable[[], Run]) -> Answer:
    runs = [once() for _ in range(rounds)]
    return Answer(
        what,
        statistics.median(each.wall_s for each in runs),
        max(each.peak_bytes for each in runs),
    )


def _resumed(lab: LabFolder) -> Run:
    """Resume for a moment; the time is that until the first new attempt began."""
    before = lab.number("SELECT MAX(sequence) FROM attempts")
    run = lab.fieldlab("resume", NAME, "--for", "0.5s")
    first = lab.moment(f"SELECT MIN(started_at) FROM attempts WHERE sequence > {before}")
    if first is None:
        raise BenchmarkFailed("`fieldlab resume` ran no trial")
    return Run(began=run.began, wall_s=first - run.began, peak_bytes=run.peak_bytes)


def _extended(lab: LabFolder) -> Run:
    """Run what is recorded and one value more; the time is that until that value's trial began."""
    last = lab.number("SELECT MAX(position) FROM trials") + 1
    lab.define(NOOP, last + 1)
    run = lab.fieldlab("run", "experiment.json")
    began = lab.moment(
        "SELECT started_at FROM attempts JOIN trials ON trials.id = trial_id"
        f" WHERE position = {last}"
    )
    if began is None:
        raise BenchmarkFailed("`fieldlab run` didn't run what is new")
    return Run(began=run.began, wall_s=began - run.began, peak_bytes=run.peak_bytes)


def _memory(axes: Sequence[int], folder: Path) -> Answer:
    points = 1
    for size in axes:
        points *= size
    lab = LabFolder(fresh(folder))
    lab.define(NOOP, *axes)
    run = lab.fieldlab("run", "experiment.json", "--for", RUN_FOR)
    done = lab.succeeded()
    what = f"`fieldlab run --for {RUN_FOR}`, {points:,} points ({done:,} done in that time)"
    return Answer(what, run.wall_s, run.peak_bytes)


def _promises(
    answers: Sequence[Answer], extended: Answer, done: int, memory: Sequence[Answer]
) -> list[Promise]:
    slowest = max(each.wall_s for each in answers)
    largest = max(each.peak_bytes for each in answers)
    growth = memory[-1].peak_bytes / memory[-2].peak_bytes
    return [
        Promise(
            what=f"status, results and resume with {POINTS // 2:,} trials done: time",
            limit=f"at most {MOST_S:g} s",
            measured=f"{slowest:.2f} s",
            kept=slowest <= MOST_S,
        ),
        Promise(
            what=f"status, results and resume with {POINTS // 2:,} trials done: memory",
            limit=f"at most {_mb(MOST_BYTES)}",
            measured=_mb(largest),
            kept=largest <= MOST_BYTES,
        ),
        Promise(
            what=f"an axis extended after {POINTS // 2:,} trials: positions passed over a second",
            limit=f"at least {LEAST_PASSED:,}",
            measured=f"{done / extended.wall_s:,.0f}",
            kept=done / extended.wall_s >= LEAST_PASSED,
        ),
        Promise(
            what="memory for a space of 10^12 points, times that for 10^6",
            limit=f"at most {MOST_GROWTH}",
            measured=f"{growth:.2f}",
            kept=growth <= MOST_GROWTH,
        ),
    ]


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
