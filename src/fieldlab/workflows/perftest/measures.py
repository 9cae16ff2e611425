"""From what the participants of a test wrote to its one row of results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fieldlab.domain.trials import FailureClass, Row
from fieldlab.ports.tool import Judgement
from fieldlab.workflows.perftest.formats import LARGEST, Report
from fieldlab.workflows.perftest.statuses import COUNT_MISMATCH, EMPTY_FILE, SUCCESS

#: of a publisher's summary, in the order of the results
LATENCIES = ("mean", "std", "min", "max", "p50", "p90", "p99", "p9999", "p999999")
#: columns of the results
RESULTS = frozenset(
    {
        *(f"latency_{name}_us" for name in LATENCIES),
        "latency_samples",
        "throughput_mbps",
        "throughput_mean_mbps",
        "samples_per_s",
        "samples_total",
        "samples_lost",
        "loss_percent",
    }
)
#: files that are named in an explanation
_MOST_NAMED = 5


def verdict(reports: Mapping[str, Report | None], expected: int) -> Judgement:
    """Judge the files of a test as AutoPerf does, by reading them.

    Parameters
    ----------
    reports
        Participant → what it wrote: publisher 0 and every subscriber; None: no file.
    expected
        Files that there should be: one more than subscribers.
    """
    missing = [name for name, report in reports.items() if report is None]
    there = len(reports) - len(missing)
    if there < expected:
        named = f": {_listed(missing)} wrote none" if missing else ""
        return Judgement(
            status=COUNT_MISMATCH,
            failure=FailureClass.VERDICT,
            explanation=f"{there} of {expected} files are there{named}.",
        )
    faults = {name: _fault(report) for name, report in reports.items() if report is not None}
    bad = [f"{name} ({fault})" for name, fault in faults.items() if fault]
    if bad:
        return Judgement(
            status=EMPTY_FILE,
            failure=FailureClass.VERDICT,
            explanation=f"Not every file holds data and a summary: {_listed(bad)}.",
        )
    return Judgement(status=SUCCESS)


def _fault(report: Report) -> str:
    if report.fault:
        return report.fault
    assert report.summary is not None
    if report.kind == "throughput" and not report.summary.get("samples_total"):
        return "no sample was received"
    return ""


def flaws_of(reports: Mapping[str, Report | None]) -> list[str]:
    """Say of each file which of its lines can't be read, and why; of many files, the first."""
    flawed = {name: each for name, each in reports.items() if each is not None and each.flaw}
    said = []
    for name, report in list(flawed.items())[:_MOST_NAMED]:
        more = len(report.broken) - 1
        also = f", and {more} more lines can't be read" if more else ""
        said.append(f"{name}: {report.flaw}{also}.")
    more = len(flawed) - _MOST_NAMED
    return [*said, f"So it is with {more} more files."] if more > 0 else said


def row_of(publisher: Report | None, subscribers: Sequence[Report]) -> Row:
    """Make the row of a test.

    Latencies are those of publisher 0's summary. ``throughput_mbps``, ``samples_per_s``,
    ``samples_total`` and ``samples_lost`` are sums over the subscribers, ``throughput_mean_mbps``
    is the mean. What nobody wrote, or what is no finite number, is None.
    """
    latency = publisher.best() if publisher is not None else {}
    row: Row = {f"latency_{name}_us": _real(latency.get(f"{name}_us")) for name in LATENCIES}
    best = [each.best() for each in subscribers]
    throughput, counted = _sum(best, "mean_mbps"), sum("mean_mbps" in each for each in best)
    total, lost = _whole(_sum(best, "samples_total")), _whole(_sum(best, "samples_lost"))
    row["throughput_mbps"] = None if throughput is None else round(float(throughput), 6)
    row["throughput_mean_mbps"] = None if throughput is None else round(throughput / counted, 6)
    row["samples_per_s"] = _real(_sum(best, "mean_samples_per_s"))
    row["samples_total"] = total
    row["samples_lost"] = lost
    row["loss_percent"] = loss_percent(total, lost)
    return row


def loss_percent(received: float | None, lost: float | None) -> float | None:
    """Give the part of the samples that were sent and never came, %."""
    if received is None or lost is None or received + lost <= 0:
        return None
    return 100.0 * lost / (received + lost)


def _real(value: float | None) -> float | None:
    """Make a real of a number: a column has one type, whether or not a file has decimals."""
    return None if value is None or not math.isfinite(value) else float(value)


def _whole(value: float | None) -> int | None:
    return None if value is None or not 0 <= value <= LARGEST else int(value)


def _sum(rows: Sequence[Mapping[str, float]], name: str) -> float | None:
    values = [row[name] for row in rows if name in row]
    total = sum(values) if values else None
    return total if total is not None and math.isfinite(total) else None


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
