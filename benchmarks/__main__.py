"""Measure what fieldlab promises: ``python -m benchmarks [NAME …]``."""

from __future__ import annotations

import argparse
import compileall
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks import (
    attempts,
    bus,
    commands,
    consumers,
    ems,
    fetching,
    functions,
    hosts,
    machine,
    reading,
    reporting,
    rivals,
    scale,
    standing,
    startup,
)
from benchmarks.measuring import ROOT, BenchmarkFailed
from benchmarks.reporting import Report

BENCHMARKS: dict[str, Callable[[Path, int], Report]] = {
    "functions": functions.measure,
    "commands": commands.measure,
    "ems": ems.measure,
    "scale": scale.measure,
    "startup": startup.measure,
    "reading": reading.measure,
    "bus": bus.measure,
    "consumers": consumers.measure,
    "standing": standing.measure,
    "hosts": hosts.measure,
    "attempts": attempts.measure,
    "fetching": fetching.measure,
}
#: how long to look whether the machine is at rest, s
BUSY_S = 3.0
README = ROOT / "benchmarks" / "README.md"
PICTURE = ROOT / "docs" / "images" / "benchmarks.png"


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print tables, and write them into the README if asked to; give the exit status."""
    chosen = _parser().parse_args(words)
    if chosen.install:
        rivals.install()
    names = chosen.names or list(BENCHMARKS)
    # a first start that compiles would be measured otherwise
    compileall.compile_dir(ROOT / "src", quiet=1)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            reports = [_measure(name, Path(folder), chosen.rounds) for name in names]
    except BenchmarkFailed as error:
        print(f"Nothing was measured: {error}", file=sys.stderr)
        return 1
    for report in reports:
        report.save(chosen.folder)
    reporting.show(reports)
    if chosen.write:
        found = [Report.load(chosen.folder, name) for name in BENCHMARKS]
        known = [report for report in found if report is not None]
        reporting.write(README, machine.describe(chosen.folder), known)
        reporting.picture(PICTURE, known)
    return 0 if all(each.kept for report in reports for each in report.promises) else 1


def _measure(name: str, folder: Path, rounds: int) -> Report:
    print(f"{name} …", file=sys.stderr)
    busy = psutil.cpu_percent(interval=BUSY_S)
    return replace(BENCHMARKS[name](folder, rounds), busy=busy)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME",
                        help=f"which of {', '.join(BENCHMARKS)}; all if absent")  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=5, help="medians are of so many (%(default)s)"
    )
    parser.add_argument("--write", action="store_true", help="write the README and the picture")
    parser.add_argument("--install", action="store_true", help="install the other tools first")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench",
                        help="where to work: the disk there is what is measured")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
