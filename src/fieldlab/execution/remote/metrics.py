"""What a host's processors, memory and network do during an attempt, from /proc (proc(5))."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from typing import Any

from fieldlab.domain.commands import Command

_SCRIPT = """
while :; do
    date +@%s.%N
    head -n 1 /proc/stat
    grep -E "^Mem(Total|Available):" /proc/meminfo
    cat /proc/net/dev
    sleep 1
done
"""

#: prints a sample a second until it is ended
COMMAND = Command(argv=("sh", "-c", _SCRIPT, "fieldlab-metrics"))


@dataclass(frozen=True, slots=True)
class Sample:
    """A second of a host."""

    #: Unix time on the host's clock
    time_s: float
    #: of all processors together, from 0 to 100
    cpu_percent: float
    memory_bytes: int
    received_bytes_per_s: float
    sent_bytes_per_s: float


@dataclass(slots=True)
class _Reading:
    time_s: float = 0.0
    busy: int = 0
    total: int = 0
    memory: dict[str, int] | None = None
    received: int = 0
    sent: int = 0


def samples_of(output: bytes, interface: str) -> list[Sample]:
    """Read what :data:`COMMAND` printed; of the interface, or of all but the loopback."""
    readings = [
        each for each in _readings(output.decode(errors="replace"), interface) if each.total
    ]
    samples = []
    for before, after in pairwise(readings):
        seconds = after.time_s - before.time_s
        ticks = after.total - before.total
        if seconds <= 0 or ticks <= 0 or not after.memory:
            continue
        samples.append(
            Sample(
                time_s=after.time_s,
                cpu_percent=round(100 * (after.busy - before.busy) / ticks, 2),
                memory_bytes=after.memory.get("MemTotal", 0) - after.memory.get("MemAvailable", 0),
                received_bytes_per_s=round((after.received - before.received) / seconds, 1),
                sent_bytes_per_s=round((after.sent - before.sent) / seconds, 1),
            )
        )
    return samples


def _readings(text: str, interface: str) -> Iterator[_Reading]:
    reading = _Reading()
    for line in text.splitlines():
        words = line.split()
        if line.startswith("@"):
            if reading.time_s:
                yield reading
            reading = _Reading(time_s=float(line[1:]) if _is_number(line[1:]) else 0.0, memory={})
        elif line.startswith("cpu ") and len(words) > 5 and all(map(str.isdigit, words[1:])):
            ticks = [int(each) for each in words[1:9]]
            reading.total = sum(ticks)
            reading.busy = reading.total - ticks[3] - ticks[4]  # idle, and waiting for a disk
        elif (found := re.match(r"(Mem\w+):\s+(\d+) kB", line)) and reading.memory is not None:
            reading.memory[found[1]] = int(found[2]) * 1024
        elif found := re.match(r"\s*([^\s:]+):\s*(\d+(?:\s+\d+){15})$", line):
            name, counts = found[1], found[2].split()
            if name == interface or (not interface and name != "lo"):
                reading.received += int(counts[0])
                reading.sent += int(counts[8])
    if reading.time_s:
        yield reading


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def as_csv(samples: Sequence[Sample]) -> str:
    """Write samples as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(each.name for each in fields(Sample))
    writer.writerows(astuple(each) for each in samples)
    return text.getvalue()


def columns_of(host: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """Sum an attempt up as result columns, such as ``h1_cpu_percent``."""
    if not samples:
        return {}
    name = re.sub(r"\W", "_", host)
    count = len(samples)
    return {
        f"{name}_cpu_percent": round(sum(each.cpu_percent for each in samples) / count, 2),
        f"{name}_cpu_percent_max": max(each.cpu_percent for each in samples),
        f"{name}_memory_bytes_max": max(each.memory_bytes for each in samples),
        f"{name}_received_bytes_per_s": round(
            sum(each.received_bytes_per_s for each in samples) / count, 1
        ),
        f"{name}_sent_bytes_per_s": round(
            sum(each.sent_bytes_per_s for each in samples) / count, 1
        ),
    }
