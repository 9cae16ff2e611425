"""An EMS script on EMS and on fieldlab, and the same trials as bare Dask.

EMS itself isn't a package of an index: name a copy's ``src`` folder with ``BENCHMARKS_EMS``.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from benchmarks import racing, rivals
from benchmarks.lab import LabFolder
from benchmarks.measuring import ROOT, Run, run
from benchmarks.racing import Contender
from benchmarks.reporting import Report

#: the variable that names the folder with EMS's package
SOURCE = "BENCHMARKS_EMS"
#: what a trial does → its duration, ms, and how many trials each contender runs
WORK = {
    "no-op": (0, {"fieldlab": 20_000, "ems": 2_000, "dask": 20_000}),
    "10 ms": (10, {"fieldlab": 1_000, "ems": 1_000, "dask": 1_000}),
}


def measure(folder: Path, rounds: int) -> Report:
    """Race the same script on fieldlab, EMS and bare Dask, two trials at a time."""
    reports = []
    for work in WORK:
        contenders = _contenders(work)
        times = racing.race(contenders, rounds, folder)
        reports.append(racing.report("ems", "An EMS script", contenders, times, promises=[]))
    return replace(
        reports[0],
        rows=[row for report in reports for row in report.rows],
        rates={name: rate for report in reports for name, rate in report.rates.items()},
    )


def _contenders(work: str) -> list[Contender]:
    sleep_ms, trials = WORK[work]
    contenders = [
        Contender(
            name=f"fieldlab, {work}",
            records="result, trial, attempt, event; safe",
            trials=trials["fieldlab"],
            race=_script(sys.executable, "fieldlab", sleep_ms),
            count=lambda place: LabFolder(place).succeeded(),
        ),
        Contender(
            name=f"EMS on a LocalCluster, {work}",
            records="a row of results (SQLite), each minute",
            trials=trials["ems"],
            race=_script(rivals.PYTHON, "ems", sleep_ms),
            count=_rows_of_ems,
            needs=("distributed", "pandas", "SQLAlchemy"),
        ),
        Contender(
            name=f"Dask in chunks of 50, {work}",
            records="a line of a CSV; safe when all have ended",
            trials=trials["dask"],
            race=_script(rivals.PYTHON, "dask", sleep_ms),
            count=lambda place: len((place / "results.csv").read_text().splitlines()),
            needs=("distributed", "pandas"),
        ),
    ]
    return [each for each in contenders if SOURCE in os.environ or "EMS" not in each.name]


def _script(python: str, which: str, sleep_ms: int) -> Callable[[int, Path], Run]:
    def race(trials: int, place: Path) -> Run:
        argv = [python, "-m", "benchmarks.contenders.grids", which, str(sleep_ms), str(trials)]
        environment = {
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "FIELDLAB_HOME": f"{place / '.fieldlab'}",
            "FIELDLAB_DATABASE": "",
        }
        return run(argv, place, environment)

    return race


def _rows_of_ems(place: Path) -> int:
    with closing(sqlite3.connect(place / "data" / "EMS.db3")) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM grids").fetchone()
    return int(count)
