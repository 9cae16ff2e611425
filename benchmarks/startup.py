"""How long commands take that do hardly anything."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import rivals
from benchmarks.lab import NAME, NOOP, LabFolder
from benchmarks.measuring import fresh, run
from benchmarks.reporting import Promise, Report

#: fewer runs than that say little about so short a time
LEAST_ROUNDS = 10
#: the others take seconds
OTHERS_ROUNDS = 3
HELP, STATUS = "fieldlab --help", "fieldlab status"
#: what they may take, s
LIMITS_S = {HELP: 0.2, STATUS: 0.5}


def measure(folder: Path, rounds: int) -> Report:
    """Start fieldlab and others by turns, and take the median."""
    lab = LabFolder(fresh(folder))
    lab.define(NOOP, 100)
    lab.fieldlab("run", "experiment.json")
    commands: dict[str, Sequence[str]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        HELP: ["--help"],
        STATUS: ["status", NAME],
        "snakemake --help": [rivals.script("snakemake"), "--help"],
        "mlflow --help": [rivals.script("mlflow"), "--help"],
        "optuna --help": [rivals.script("optuna"), "--help"],
    }
    missing = {name for name in commands if _is_missing(name)}
    took: dict[str, list[float]] = {name: [] for name in commands if name not in missing}
    for done in range(max(rounds, LEAST_ROUNDS)):
        for name, times in took.items():
            argv = commands[name]
            ours = name in LIMITS_S
            if not ours and done >= OTHERS_ROUNDS:
                continue
            times.append((lab.fieldlab(*argv) if ours else run(argv, lab.path)).wall_s)
    medians = {name: statistics.median(times) for name, times in took.items()}
    return Report(
        name="startup",
        title="Commands that do hardly anything",
        head=("", "median time"),
        rows=[
            [f"`{name}`", f"{medians[name]:.3f} s" if name in medians else "not installed"]
            for name in commands
        ],
        promises=[
            Promise(
                what=f"time of `{name}`",
                limit=f"at most {limit_s} s",
                measured=f"{medians[name]:.3f} s",
                kept=medians[name] <= limit_s,
            )
            for name, limit_s in LIMITS_S.items()
        ],
    )


def _is_missing(command: str) -> bool:
    name = command.split(maxsplit=1)[0]
    return name in ("snakemake", "mlflow", "optuna") and rivals.version(name) is None
