"""Files from a host: what fieldlab takes to bring them here, beside rsync by itself."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import rivals
from benchmarks.machines import machines
from benchmarks.measuring import BenchmarkFailed, fresh, run
from benchmarks.racing import ratio
from benchmarks.reporting import Promise, Report
from fieldlab.hosts.ssh import SshHost
from fieldlab.sandbox import Sandbox

#: times the time of rsync that fieldlab promises
MOST = 1.3
HOST = "h1"
FOLDER = "/experiments/files"
FILES = 1_000
LARGE_BYTES = 1 << 30
#: what there is to fetch: by its name, the folder and what makes it there
LOADS = {
    f"{FILES:,} files of 1 KiB": (
        f"{FOLDER}/many",
        f"mkdir -p {FOLDER}/many && cd {FOLDER}/many && for n in $(seq {FILES}); do "
        "head -c 1024 /dev/urandom > $n; done",
    ),
    "a file of 1 GiB": (
        f"{FOLDER}/large",
        f"mkdir -p {FOLDER}/large && head -c {LARGE_BYTES} /dev/urandom > {FOLDER}/large/file",
    ),
}


def measure(folder: Path, rounds: int) -> Report:
    """Fetch many small files and a large one, by turns with rsync."""
    if rivals.version("rsync") is None:
        raise BenchmarkFailed("rsync isn't installed: nothing to compare with")
    rows, promises = [], []
    with machines(1, disk="1500M") as sandbox:
        for what, (source, program) in LOADS.items():
            made = sandbox.run(HOST, ["sh", "-c", program], timeout_s=300)
            if made.returncode:
                raise BenchmarkFailed(f"{what} can't be made: {made.stderr}")
            ours, theirs = _by_turns(sandbox, source, folder, rounds)
            times = statistics.median(ours) / statistics.median(theirs)
            rows.append([what, _seconds(ours), _seconds(theirs), ratio(times)])
            promises.append(
                Promise(
                    what=f"fetching {what}: time, times that of bare rsync",
                    limit=f"at most {MOST}",
                    measured=ratio(times),
                    kept=times <= MOST,
                )
            )
    return Report(
        name="fetching",
        title="Files from a host",
        head=("", "fieldlab", f"rsync {rivals.version('rsync')}", "times as long"),
        rows=rows,
        promises=promises,
    )


def _seconds(times_s: list[float]) -> str:
    return f"{statistics.median(times_s):.3f} s"


def _by_turns(
    sandbox: Sandbox, source: str, folder: Path, rounds: int
) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_timed(lambda place: _fieldlab(sandbox, source, place), folder))
        theirs.append(_timed(lambda place: _rsync(sandbox, source, place), folder))
    return ours, theirs


def _timed(fetch: Callable[[Path], float], folder: Path) -> float:
    place = fresh(folder)
    took_s = fetch(place)
    what_came = sum(each.stat().st_size for each in (place / "files").iterdir())
    if what_came not in (FILES * 1024, LARGE_BYTES):
        raise BenchmarkFailed("Not all of it has arrived")
    if what_came == LARGE_BYTES:
        shutil.rmtree(place)  # else it fills the disk
    return took_s


def _fieldlab(sandbox: Sandbox, source: str, place: Path) -> float:
    """Fetch as an attempt does: the connection has been there since the campaign began."""

    async def fetch() -> float:
        site = sandbox.site()
        host = SshHost(site.hosts[0], site)
        await host.check()
        began = time.monotonic()
        await host.fetch(source, place / "files")
        took_s = time.monotonic() - began
        await host.close()
        return took_s

    return asyncio.run(fetch())


def _rsync(sandbox: Sandbox, source: str, place: Path) -> float:
    argv = ["rsync", "-a", "-e", f"ssh -F {sandbox.ssh_config}", f"{HOST}:{source}/", "files/"]
    return run(argv, place).wall_s
