"""Contenders doing the same job, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import rivals
from benchmarks.measuring import BenchmarkFailed, Run, fresh
from benchmarks.reporting import Promise, Report

#: trials of the short runs, which tell what starting costs
FEW = 2
#: part of a run that the trials must take for their rate to mean anything
LEAST_PART = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something that runs trials."""

    name: str
    #: what it leaves behind of each trial
    records: str
    trials: int
    #: run so many trials in an empty folder
    race: Callable[[int, Path], Run]
    #: count the trials of which that folder has a record
    count: Callable[[Path], int]
    #: packages and programs that it needs
    needs: Sequence[str] = ()
    #: trials of the short run
    few: int = FEW

    def missing(self) -> list[str]:
        """List what isn't installed."""
        return [name for name in self.needs if rivals.version(name) is None]


@dataclass(slots=True)
class Times:
    """How long a contender took, round by round."""

    contender: Contender
    many_s: list[float] = field(default_factory=list)
    few_s: list[float] = field(default_factory=list)

    @property
    def wall_s(self) -> float:
        """Median time of a whole run."""
        return statistics.median(self.many_s)

    @property
    def start_s(self) -> float:
        """Median time of a run of hardly any trials."""
        return statistics.median(self.few_s)

    @property
    def rate(self) -> float:
        """Trials per second of a whole run."""
        return self.contender.trials / self.wall_s

    @property
    def steady_rate(self) -> float | None:
        """Trials per second once it runs; None when starting hides what trials take."""
        further_s = self.wall_s - self.start_s
        if further_s < LEAST_PART * self.wall_s:
            return None
        return (self.contender.trials - self.contender.few) / further_s


def race(contenders: Sequence[Contender], rounds: int, folder: Path) -> list[Times]:
    """Let the contenders run in turns, so that whatever else the machine does hits them all.

    Raises
    ------
    BenchmarkFailed
        One has recorded another number of trials than it was told to run.
    """
    times = [Times(each) for each in contenders if not each.missing()]
    for _ in range(rounds):
        for each in times:
            each.few_s.append(_once(each.contender, each.contender.few, folder))
            each.many_s.append(_once(each.contender, each.contender.trials, folder))
    return times


def _once(contender: Contender, trials: int, folder: Path) -> float:
    place = fresh(folder)
    wall_s = contender.race(trials, place).wall_s
    counted = contender.count(place)
    if counted != trials:
        raise BenchmarkFailed(f"{contender.name} recorded {counted} of {trials} trials")
    return wall_s


def report(
    name: str,
    title: str,
    contenders: Sequence[Contender],
    times: Sequence[Times],
    promises: Sequence[Promise],
) -> Report:
    """Tabulate a race; the first contender is the one that the others are compared with."""
    ours = times[0]
    taken = {each.contender.name: each for each in times}
    head = (
        "",
        "recorded of each trial",
        "trials",
        "whole run",
        "of that to start",
        "trials/s, whole run",
        "trials/s, once started",
        "fieldlab's rate is … times that",
    )
    return Report(
        name=name,
        title=title,
        head=head,
        rows=[
            [_label(each), each.records, f"{each.trials:,}", *_cells(taken.get(each.name), ours)]
            for each in contenders
        ],
        promises=promises,
        rates={each.contender.name: each.steady_rate or each.rate for each in times},
    )


def _label(contender: Contender) -> str:
    versions = [version for name in contender.needs if (version := rivals.version(name))]
    return " ".join([contender.name, *versions[:1]])


def _cells(times: Times | None, ours: Times) -> list[str]:
    if times is None:
        return ["not installed", "", "", "", ""]
    return [
        f"{times.wall_s:.2f} s",
        f"{times.start_s:.2f} s",
        f"{times.rate:,.0f}",
        f"{times.steady_rate:,.0f}" if times.steady_rate else "",
        _compared(ours.steady_rate, times.steady_rate) if times is not ours else "",
    ]


def _compared(ours: float | None, theirs: float | None) -> str:
    return ratio(ours / theirs) if ours and theirs else ""


def ratio(value: float) -> str:
    """Write how many times something is something else, to two figures."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
