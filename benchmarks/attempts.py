"""One attempt over ssh: what it costs beside the tool, and how well hosts start together."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.hosts import EXECUTOR
from benchmarks.lab import TRUE, LabFolder
from benchmarks.machines import HOSTS, machines, write_profile
from benchmarks.measuring import fresh
from benchmarks.reporting import Report
from fieldlab.domain.commands import Command
from fieldlab.hosts.ssh import SshHost
from fieldlab.sandbox import Sandbox

#: attempts of one round
ATTEMPTS = 300
#: starts of one round
STARTS = 50
#: tools and executors: alone; all hosts at the same time; one attempt over all hosts
ALONE = {"ssh": {"site": "sandbox", "slots": 1}}
OUTPUT = {"command": ["sh", "-c", "echo {x} > {out}/file"]}


def measure(folder: Path, rounds: int) -> Report:
    """Run campaigns of next to nothing, one attempt at a time and eight; start eight together."""
    alone: list[float] = []
    writing: list[float] = []
    beside: list[float] = []
    skews: list[float] = []
    with machines() as sandbox:
        for _ in range(rounds):
            alone += _between(sandbox, fresh(folder), TRUE, ALONE)
            writing += _between(sandbox, fresh(folder), OUTPUT, ALONE)
            beside += _between(sandbox, fresh(folder), TRUE, EXECUTOR)
            skews += asyncio.run(_skews(sandbox))
    return Report(
        name="attempts",
        title="One attempt on a host, and a start on 8 hosts",
        head=("", "number", "half within", "95 of 100 within"),
        rows=[
            _row("from one attempt of `true` to the next, one at a time", alone),
            _row("the same, which brings a file back", writing),
            _row("from one attempt of `true` to the next on a host, 8 at a time", beside),
            _row("from the first start to the last, of 8 that start together", skews),
        ],
    )


def _row(what: str, times_s: Sequence[float]) -> list[str]:
    hundredths = statistics.quantiles(times_s, n=100)
    return [what, f"{len(times_s):,}", f"{_ms(hundredths[49])} ms", f"{_ms(hundredths[94])} ms"]


def _ms(time_s: float) -> str:
    return f"{time_s * 1e3:.1f}"


def _between(
    sandbox: Sandbox,
    place: Path,
    tool: dict[str, list[str]],
    executor: Mapping[str, object],
) -> list[float]:
    """Run a campaign; the times from the start of an attempt to that of the next on its host, s.

    What holding hosts and committing cost is in them, too.
    """
    lab = LabFolder(place)
    write_profile(sandbox, place)
    lab.define(tool, ATTEMPTS, executor=executor)
    lab.fieldlab("run", "experiment.json")
    starts: dict[str, list[float]] = {}
    with closing(sqlite3.connect(lab.database)) as connection:
        for hosts, started in connection.execute("SELECT hosts, started_at FROM attempts"):
            starts.setdefault(hosts, []).append(datetime.fromisoformat(started).timestamp())
    return [after - before for each in starts.values() for before, after in pairwise(sorted(each))]


async def _skews(sandbox: Sandbox) -> list[float]:
    """Start a program on all hosts together; the times from the first start to the last, s.

    The hosts are on one machine, so that they have one clock.
    """
    site = sandbox.site()
    hosts = [SshHost(spec, site) for spec in site.hosts]
    found = []
    try:
        for _ in range(STARTS):
            gate = asyncio.Barrier(HOSTS)
            ran = await asyncio.gather(
                *(host.run(Command(argv=("true",)), start=gate) for host in hosts)
            )
            found.append(max(each.started for each in ran) - min(each.started for each in ran))
    finally:
        await asyncio.gather(*(host.close() for host in hosts))
    return found
