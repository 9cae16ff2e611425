"""MLflow: one run with one parameter and one metric per trial, in SQLite."""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow  # type: ignore[import-not-found,unused-ignore]

from benchmarks.contenders.noop import noop


def main() -> None:
    """Run so many trials, recorded in ``mlflow.db``."""
    trials, folder = int(sys.argv[1]), Path(sys.argv[2])
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("noop")
    for x in range(trials):
        with mlflow.start_run():
            mlflow.log_param("x", x)
            mlflow.log_metric("y", noop(x)["y"])


if __name__ == "__main__":
    main()
