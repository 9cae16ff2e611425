"""No-op functions: what each system adds to every trial."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks import racing, rivals
from benchmarks.lab import NOOP, LabFolder
from benchmarks.measuring import Run, fresh, run
from benchmarks.racing import Contender, Times, ratio
from benchmarks.reporting import Promise, Report

#: trials per second that fieldlab promises
LEAST_RATE = 10_000
#: how many times as long as the bare limit it may take
MOST_TIMES = 4
BARE = "bare limit, all rows"


def measure(folder: Path, rounds: int) -> Report:
    """Race fieldlab against the bare limit, joblib, Optuna and MLflow."""
    seed = LabFolder(fresh(folder))
    seed.define(NOOP, 1)
    seed.fieldlab("run", "experiment.json")
    contenders = _contenders(seed)
    times = racing.race(contenders, rounds, folder)
    return racing.report(
        "functions",
        "No-op functions",
        contenders,
        times,
        promises=_promises(times),
    )


def _contenders(seed: LabFolder) -> list[Contender]:
    return [
        Contender(
            name="fieldlab",
            records="result, trial, attempt, event; safe",
            trials=100_000,
            race=_fieldlab,
            count=lambda place: LabFolder(place).succeeded(),
        ),
        Contender(
            name=BARE,
            records="the same rows in the same tables; safe",
            trials=100_000,
            race=lambda trials, place: _bare_rows(seed, trials, place),
            count=lambda place: _count(place / "lab.db", "trials") - 1,
        ),
        Contender(
            name="bare limit, results only",
            records="a row of two numbers; safe",
            trials=100_000,
            race=_script(sys.executable, "bare_results"),
            count=lambda place: _count(place / "results.db", "results"),
        ),
        Contender(
            name="joblib",
            records="a line of a CSV; safe when all have ended",
            trials=100_000,
            race=_script(rivals.PYTHON, "joblib_csv"),
            count=lambda place: len((place / "results.csv").read_text().splitlines()) - 1,
            needs=("joblib",),
        ),
        Contender(
            name="Optuna (RandomSampler)",
            records="trial, parameter, value (SQLite); safe",
            trials=500,
            race=_script(rivals.PYTHON, "optuna_random"),
            count=lambda place: _count(place / "optuna.db", "trials WHERE state = 'COMPLETE'"),
            needs=("optuna",),
        ),
        Contender(
            name="MLflow",
            records="run, parameter, metric (SQLite); safe",
            trials=100,
            race=_script(rivals.PYTHON, "mlflow_runs"),
            count=lambda place: _count(place / "mlflow.db", "runs WHERE status = 'FINISHED'"),
            needs=("mlflow",),
        ),
    ]


def _fieldlab(trials: int, place: Path) -> Run:
    lab = LabFolder(place)
    lab.define(NOOP, trials)
    return lab.fieldlab("run", "experiment.json")


def _bare_rows(seed: LabFolder, trials: int, place: Path) -> Run:
    with (
        closing(sqlite3.connect(seed.database)) as source,
        closing(sqlite3.connect(place / "lab.db")) as target,
    ):
        source.backup(target)
    return _script(sys.executable, "bare_rows")(trials, place)


def _script(python: str, contender: str) -> Callable[[int, Path], Run]:
    def race(trials: int, place: Path) -> Run:
        module = f"benchmarks.contenders.{contender}"
        return run([python, "-m", module, f"{trials}", f"{place}"], place)

    return race


def _count(database: Path, rows: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute(f"SELECT COUNT(*) FROM {rows}").fetchone()
    return int(count)


def _promises(times: list[Times]) -> list[Promise]:
    ours = times[0]
    bare = next(each for each in times if each.contender.name == BARE)
    return [
        Promise(
            what="no-op functions a second, each recorded safely",
            limit=f"at least {LEAST_RATE:,}",
            measured=f"{ours.rate:,.0f}",
            kept=ours.rate >= LEAST_RATE,
        ),
        Promise(
            what="time of the same trials, times that of the bare limit",
            limit=f"at most {MOST_TIMES}",
            measured=ratio(ours.wall_s / bare.wall_s),
            kept=ours.wall_s <= MOST_TIMES * bare.wall_s,
        ),
    ]
