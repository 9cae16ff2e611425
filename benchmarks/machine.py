"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import statistics
import time
from importlib.metadata import version
from pathlib import Path


def describe(folder: Path) -> dict[str, str]:
    """Describe the machine, and the disk that a folder is on."""
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "disk": f"{_file_system(folder)}; 4 KiB written safely (fsync) take"
        f" {_fsync_ms(folder):.2f} ms",
        "system": f"{_system()}, Linux {platform.release()}",
        "software": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
        f" fieldlab {version('fieldlab')}",
    }


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "")


def _file_system(folder: Path) -> str:
    """Name the file system of the longest mount point that the folder is below."""
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    below = [(len(at), kind) for _, at, kind in mounts if folder.resolve().is_relative_to(at)]
    return max(below)[1]


def _fsync_ms(folder: Path) -> float:
    """Measure what a durable commit costs at least (median of 50), ms."""
    path = folder / "fsync"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            started = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(took) * 1e3
