"""joblib with two processes, and a CSV that is safe on the disk only at the end."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

from joblib import Parallel, delayed  # type: ignore[import-not-found,unused-ignore]

from benchmarks.contenders.noop import noop


def main() -> None:
    """Run so many trials, their results into ``results.csv``."""
    trials, folder = int(sys.argv[1]), Path(sys.argv[2])
    results = Parallel(n_jobs=2, return_as="generator")(delayed(noop)(x) for x in range(trials))
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("x", "y"))
        writer.writerows((x, result["y"]) for x, result in enumerate(results))
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
