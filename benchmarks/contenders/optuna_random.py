"""Optuna: random search, its trials in SQLite."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna  # type: ignore[import-not-found,unused-ignore]

from benchmarks.contenders.noop import noop


def objective(trial: Any) -> float:
    """Run one trial."""
    return noop(trial.suggest_int("x", 0, 1_000_000_000))["y"]


def main() -> None:
    """Run so many trials, recorded in ``optuna.db``."""
    trials, folder = int(sys.argv[1]), Path(sys.argv[2])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'optuna.db'}", sampler=optuna.samplers.RandomSampler(seed=1)
    )
    study.optimize(objective, n_trials=trials)


if __name__ == "__main__":
    main()
