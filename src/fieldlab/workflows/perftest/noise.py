"""The network noise of an AutoPerf campaign as a definition's plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fieldlab.domain.durations import parse_duration
from fieldlab.domain.errors import BadInput
from fieldlab.workflows.options import Options
from fieldlab.workflows.perftest.spellings import naming

_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "loss_percent": ("packet_loss",),
    "duplicate_percent": ("packet_duplication",),
    "corrupt_percent": ("packet_corruption",),
    "rate": ("bandwidth_rate", "bw_rate"),
    "delay": ("delay",),
}
_DELAY = ("value", "variation", "correlation", "distribution")
_DISTRIBUTIONS = ("normal", "uniform", "pareto", "paretonormal")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%?")
_RATE = re.compile(r"\d+(\.\d+)?\s*[kmg]?bit", re.IGNORECASE)


def read_noise(part: Options) -> dict[str, Any]:
    """Read what is done to the packets; what does nothing is left out."""
    known = naming(part, _SPELLINGS)
    noise: dict[str, Any] = {}
    for meaning in ("loss_percent", "duplicate_percent", "corrupt_percent"):
        if meaning in known and (percent := _percent(part, known[meaning])):
            noise[meaning] = percent
    if "rate" in known and (rate := read_rate(part, known["rate"])):
        noise["rate"] = rate
    if "delay" in known:
        noise |= _delay(part.part("delay"))
    return noise


def read_rate(part: Options, name: str) -> str:
    """Read a bandwidth as ``tc`` writes it: "1mbit"; "" if there is no limit."""
    value = part.get(name)
    if value in (None, "", 0, "0"):
        return ""
    if isinstance(value, str) and _RATE.fullmatch(value.strip()):
        rate = value.strip().replace(" ", "").lower()
        return "" if re.match(r"0+(\.0*)?[a-z]", rate) else rate
    part.note(f"{value!r} is no bandwidth", 'Write it with its unit, as in "6mbit"', name)
    return ""


def _delay(part: Options) -> dict[str, Any]:
    part.only(*_DELAY)
    delay_ms, jitter_ms = _milliseconds(part, "value"), _milliseconds(part, "variation")
    correlation = _percent(part, "correlation")
    distribution = part.get("distribution") or ""
    if distribution and distribution not in _DISTRIBUTIONS:
        part.note(
            f"there is no distribution {distribution!r}",
            f"One of: {', '.join(_DISTRIBUTIONS)}",
            "distribution",
        )
    if not delay_ms:
        if jitter_ms:
            part.note("a variation needs a delay to vary", "Write value as well", "variation")
        return {}
    noise: dict[str, Any] = {"delay_ms": delay_ms}
    if jitter_ms:  # without it, correlation and distribution say nothing
        noise["jitter_ms"] = jitter_ms
        if correlation:
            noise["correlation_percent"] = correlation
        if distribution and distribution != "uniform":
            noise["distribution"] = distribution
    return noise


def _percent(part: Options, name: str) -> float:
    value = part.get(name)
    if value in (None, ""):
        return 0.0
    found = None if isinstance(value, bool) else _PERCENT.fullmatch(str(value).strip())
    if found is None or float(found[1]) > 100:
        part.note(f"{value!r} is no percentage", 'Write it as in "10%"', name)
        return 0.0
    return float(found[1])


def _milliseconds(part: Options, name: str) -> float:
    value = part.get(name)
    if value in (None, "", "0"):
        return 0.0
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return parse_duration(f"{value} ms") * 1000
        if isinstance(value, str):
            return round(parse_duration(value) * 1000, 6)
    except BadInput:
        pass
    part.note(f"{value!r} is no delay", 'Write it with its unit, as in "10ms"', name)
    return 0.0
