"""Running a program once and measuring it: wall time, peak memory, and whether it did its job."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: the project's root: the package `benchmarks` is imported from there
ROOT = Path(__file__).resolve().parent.parent
#: characters of what a failed program printed that an error shows
TAIL = 2_000


def fresh(folder: Path) -> Path:
    """Make an empty folder for one run.

    It stays until everything is measured: for minutes after many files have been removed, ext4
    takes several times as long to make new ones.
    """
    return Path(tempfile.mkdtemp(dir=folder))


class BenchmarkFailed(Exception):
    """A contender didn't do its job, so its time means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a program, from before its start to after its end."""

    #: Unix time, s
    began: float
    wall_s: float
    #: resident memory of its largest process, bytes
    peak_bytes: int


@dataclass(slots=True, eq=False)
class Program:
    """A program that runs in a folder, its output in ``output.txt`` there."""

    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    began: float
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        stdin: Path | None = None,
    ) -> Program:
        """Start it."""
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}", **(environment or {})}
        with (
            (stdin or Path(os.devnull)).open("rb") as given,
            (folder / "output.txt").open("wb") as output,
        ):
            began = time.time()
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env=environment,
                stdin=given,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return cls(argv, folder, environment, began, process)

    @property
    def runs(self) -> bool:
        """Whether it hasn't ended yet."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, options) is None

    def finish(self, expected: Sequence[int] = (0,)) -> Run:
        """Wait for its end.

        Raises
        ------
        BenchmarkFailed
            Its exit code is none of the expected ones; the message has the end of its output.
        """
        _, status, usage = os.wait4(self.process.pid, 0)
        wall_s = time.time() - self.began
        code = self.process.returncode = os.waitstatus_to_exitcode(status)
        if code not in expected:
            printed = (self.folder / "output.txt").read_text(errors="replace")[-TAIL:]
            raise BenchmarkFailed(f"{' '.join(self.argv)} ended with {code}:\n{printed}")
        return Run(began=self.began, wall_s=wall_s, peak_bytes=usage.ru_maxrss * 1024)


def run(
    argv: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    stdin: Path | None = None,
) -> Run:
    """Run a program to its end; see :class:`Program`."""
    return Program.start(argv, folder, environment, stdin).finish()
