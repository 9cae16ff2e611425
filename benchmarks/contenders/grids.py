"""One EMS script, on EMS, on fieldlab, or as bare Dask: ``python -m … WHICH SLEEP_MS TRIALS``."""

from __future__ import annotations

import os
import sys
import time
import types
from pathlib import Path
from typing import Any

import pandas as pd

SLOTS = 2
#: trials of one bare Dask task
CHUNK = 50


def instance(x: int, sleep_ms: float) -> pd.DataFrame:
    """Do nothing for a while; give a row with its parameters, as EMS wants it."""
    if sleep_ms:
        time.sleep(sleep_ms / 1e3)
    return pd.DataFrame({"x": [x], "sleep_ms": [sleep_ms], "y": [2 * x]})


def chunk(xs: list[int], sleep_ms: float) -> pd.DataFrame:
    """Do many trials in one task."""
    return pd.concat([instance(x, sleep_ms) for x in xs])


def on_ems(experiment: dict[str, Any], client: Any) -> None:
    """Run it as its authors do. What only BigQuery and Cloud SQL need is left empty."""
    for name in ("pandas_gbq", "google", "google.cloud", "google.cloud.sql", "pg8000"):
        sys.modules[name] = types.ModuleType(name)
    for name, member in (
        ("pandas_gbq.exceptions", "GenericGBQException"),
        ("google.cloud.sql.connector", "Connector"),
        ("google.oauth2", "service_account"),
        ("pg8000.dbapi", "Connection"),
    ):
        module = sys.modules[name] = types.ModuleType(name)
        setattr(
            module, member, type(member, (Exception,), {"credentials": None, "Credentials": None})
        )
    sys.modules["pandas_gbq"].exceptions = sys.modules["pandas_gbq.exceptions"]  # type: ignore[attr-defined]
    sys.path.insert(0, os.environ["BENCHMARKS_EMS"])
    from EMS.manager import do_on_cluster  # type: ignore[import-not-found]

    do_on_cluster(experiment, instance, client)


def on_dask(experiment: dict[str, Any], client: Any) -> None:
    """Run it in chunks, and append each to a CSV."""
    from distributed import as_completed  # type: ignore[import-not-found,unused-ignore]

    (grid,) = experiment["params"]
    xs, (sleep_ms,) = grid["x"], grid["sleep_ms"]
    chunks = [xs[at : at + CHUNK] for at in range(0, len(xs), CHUNK)]
    futures = client.map(chunk, chunks, sleep_ms=sleep_ms)
    with Path("results.csv").open("w") as file:
        for _, frame in as_completed(futures, with_results=True):
            frame.to_csv(file, header=False)
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    """Run the script's grid."""
    which, sleep_ms, trials = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    grid = {"x": list(range(trials)), "sleep_ms": [sleep_ms]}
    experiment = {"table_name": "grids", "params": [grid]}
    if which == "fieldlab":
        from fieldlab import do_on_cluster

        do_on_cluster(experiment, instance, quiet=True, slots=SLOTS)
        return
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=SLOTS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        (on_ems if which == "ems" else on_dask)(experiment, client)


if __name__ == "__main__":
    main()
