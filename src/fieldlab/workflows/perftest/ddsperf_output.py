"""Reading what ddsperf prints: a line each second, and no summary.

A latency is half of a round trip: a publisher has some of its samples sent back (ddsperf.c,
``process_pong``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SECOND = re.compile(
    r"^\[\d+\] (?P<time>[\d.]+)\s+size (?P<size>\d+) total (?P<total>\d+) lost (?P<lost>\d+)"
    r" delta (?P<delta>\d+) lost (?P<delta_lost>\d+) rate",
    re.MULTILINE,
)
_LATENCY = re.compile(
    r"^\[\d+\] [\d.]+\s+(?P<peer>\S+) size \d+ mean (?P<mean>[\d.]+)us min (?P<min>[\d.]+)us"
    r" 50% (?P<p50>[\d.]+)us 90% (?P<p90>[\d.]+)us 99% (?P<p99>[\d.]+)us max (?P<max>[\d.]+)us"
    r" cnt (?P<count>\d+)",
    re.MULTILINE,
)
#: a last interval shorter than this is partial, s
_WHOLE_S = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What a subscriber received since its line before."""

    #: since it started, s
    time_s: float
    size_bytes: int
    #: samples since it started
    total: int
    lost: int
    #: samples since the line before
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Throughput over whole seconds."""

    samples_per_s: float
    mbps: float


def seconds(text: str) -> list[Second]:
    """Read the lines of a subscriber, in order; each counts what all publishers sent."""
    return [
        Second(
            time_s=float(found["time"]),
            size_bytes=int(found["size"]),
            total=int(found["total"]),
            lost=int(found["lost"]),
            received=int(found["delta"]),
        )
        for found in _SECOND.finditer(text)
    ]


def throughput(found: Sequence[Second], warmup: int = 0) -> Rate | None:
    """Give the mean throughput, without the first ``warmup`` lines and a partial last second.

    Returns
    -------
    Rate or None
        None if no line is left.
    """
    begins = [0.0, *(each.time_s for each in found)]
    spans = [each.time_s - begin for each, begin in zip(found, begins, strict=False)]
    # a line after a pause stands for its second only: nothing is printed while nothing comes
    kept = [
        (each, min(span, 1.0) if span > 1.5 else span)
        for each, span in zip(found, spans, strict=True)
    ]
    kept = kept[warmup:]
    if kept and kept[-1][1] < _WHOLE_S:
        kept = kept[:-1]
    time_s = sum(span for _, span in kept)
    if time_s <= 0:
        return None
    samples = sum(each.received for each, _ in kept)
    bits = sum(each.received * each.size_bytes * 8 for each, _ in kept)
    return Rate(samples_per_s=samples / time_s, mbps=bits / time_s / 1e6)


def latencies(texts: Sequence[str]) -> Mapping[str, float | int | None]:
    """Put the latencies of all publishers' seconds and peers together.

    Means and percentiles are weighted by their samples (percentiles of all samples can't be had
    from those of parts), minimum and maximum are exact.
    """
    found = [match for text in texts for match in _LATENCY.finditer(text)]
    counts = [int(match["count"]) for match in found]
    samples = sum(counts)
    if not samples:
        return {}

    def weighted(name: str) -> float:
        values = [float(match[name]) for match in found]
        return sum(v * n for v, n in zip(values, counts, strict=True)) / samples

    return {
        "latency_mean_us": weighted("mean"),
        "latency_min_us": min(float(match["min"]) for match in found),
        "latency_max_us": max(float(match["max"]) for match in found),
        "latency_p50_us": weighted("p50"),
        "latency_p90_us": weighted("p90"),
        "latency_p99_us": weighted("p99"),
        "latency_samples": samples,
    }
