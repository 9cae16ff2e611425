"""Noise on a network while a trial runs, in the terms of netem (tc-netem(8))."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.domain.ids import Point

#: of the delay; files that iproute2 brings
DISTRIBUTIONS = ("uniform", "normal", "pareto", "paretonormal")
_RATE = re.compile(r"(\d+(?:\.\d+)?)(bit|kbit|mbit|gbit)", re.IGNORECASE)
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What is done to the packets that leave a host."""

    loss_percent: float = 0.0
    duplicate_percent: float = 0.0
    corrupt_percent: float = 0.0
    #: bandwidth, such as "10mbit"; "" has no limit
    rate: str = ""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    #: of each delay with the one before
    correlation_percent: float = 0.0
    #: of the jitter; "" is uniform
    distribution: str = ""

    def __bool__(self) -> bool:
        return self != Noise()

    @property
    def needs_netem(self) -> bool:
        """Whether only netem can do it: loss alone and a rate have other ways."""
        return bool(self.duplicate_percent or self.corrupt_percent or self.delay_ms)

    def netem(self) -> tuple[str, ...]:
        """Write it as the words that follow ``netem``."""
        words: list[str] = []
        if self.delay_ms:
            words += ["delay", f"{self.delay_ms:g}ms"]
            if self.jitter_ms:
                words.append(f"{self.jitter_ms:g}ms")
                if self.correlation_percent:
                    words.append(f"{self.correlation_percent:g}%")
                if self.distribution not in ("", "uniform"):
                    words += ["distribution", self.distribution]
        for name, value in (
            ("loss", self.loss_percent),
            ("duplicate", self.duplicate_percent),
            ("corrupt", self.corrupt_percent),
        ):
            if value:
                words += [name, f"{value:g}%"]
        return (*words, "rate", self.rate) if self.rate else tuple(words)


_NAMES = tuple(each.name for each in fields(Noise))


def noise_of(stated: Mapping[str, Any], point: Point) -> Noise:
    """Read the noise of a trial: values, or ``"{parameter}"`` for one of the point.

    Raises
    ------
    BadInput
        A value is no noise; its key is below ``noise``.
    """
    values: dict[str, Any] = {}
    problems = []
    for name, value in stated.items():
        found = _PARAMETER.fullmatch(value) if isinstance(value, str) else None
        if found and found[1] not in point:
            known = ", ".join(point) or "none"
            what = f"there is no parameter '{found[1]}'"
            remedy = nearest(found[1], point) or f"Parameters: {known}"
        else:
            values[name] = point[found[1]] if found else value
            what, remedy = _objection(name, values[name])
        if what:
            problems.append(Problem(what=what, key=("noise", name), remedy=remedy))
    if not problems and values.get("jitter_ms") and not values.get("delay_ms"):
        remedy = "Add delay_ms, at least as long"
        problems.append(
            Problem(what="jitter needs a delay", key=("noise", "jitter_ms"), remedy=remedy)
        )
    if problems:
        raise BadInput.of(problems)
    plain = {name: value for name, value in values.items() if value is not None}
    return Noise(**plain)


def parameters_of(stated: Mapping[str, Any]) -> set[str]:
    """Name the parameters that stated noise takes values from."""
    texts = [value for value in stated.values() if isinstance(value, str)]
    return {found[1] for text in texts if (found := _PARAMETER.fullmatch(text))}


def noise_like(stated: Mapping[str, Any]) -> Noise:
    """Give noise of the stated kinds, whatever their parameters will be: to see who can make it."""
    values: dict[str, Any] = dict.fromkeys(stated, 1.0)
    values |= {"rate": "1mbit" if "rate" in stated else "", "distribution": ""}
    return Noise(**values)


def _objection(name: str, value: object) -> tuple[str, str]:
    """Say what is wrong with a value, and what to write; empty if it is right."""
    if name not in _NAMES:
        return f"unknown key '{name}'", nearest(name, _NAMES) or f"Keys: {', '.join(_NAMES)}"
    if value is None:
        return "", ""
    if name == "rate":
        fits = isinstance(value, str) and (not value or _RATE.fullmatch(value))
        return ("", "") if fits else (f"{value!r} is no rate", "Write one as in 10mbit or 500kbit")
    if name == "distribution":
        known = value in ("", *DISTRIBUTIONS)
        return ("", "") if known else (f"unknown distribution {value!r}", ", ".join(DISTRIBUTIONS))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"must be a number, not {value!r}", 'Write 2.5, or a parameter: "{loss}"'
    limit = 100.0 if name.endswith("_percent") else 3_600_000.0
    if not 0 <= value <= limit:
        return f"{value:g} is not from 0 to {limit:g}", "Choose one that is"
    return "", ""
