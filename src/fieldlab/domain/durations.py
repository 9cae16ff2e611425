"""Durations as people write them: ``90``, ``"5m"``, ``"1h30m"``, ``"250 ms"``."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from fieldlab.domain.errors import BadInput, nearest

#: s in each unit, largest first
_UNITS = {
    "d": Decimal(86_400),
    "h": Decimal(3_600),
    "min": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "µs": Decimal("1e-6"),
}
_SPELLINGS = {
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("h", "hr", "hour", "hours"), "h"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), "ms"),
    # the micro sign, the Greek letter that looks like it, and plain ASCII
    **dict.fromkeys(("\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s", "us"), "µs"),
}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([^\W\d_]+)")
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
#: longer ones are slips of the pen (ten years)
LONGEST_S = 3650 * 86_400.0
_LONGEST_TEXT = 100
_REMEDY = 'Write seconds or text like "90s", "5m", "8h", "1d", "1h30m", "250ms"'


def parse_duration(text: str | float) -> float:
    """Read a duration.

    Parameters
    ----------
    text
        A number of seconds, or numbers with units, largest unit first: d, h, m or min, s, ms, us.
        A number without a unit is in seconds. At most ten years.

    Returns
    -------
    float
        s, 0 or more.

    Raises
    ------
    BadInput
        It is something else; the message shows how durations are written.
    """
    if isinstance(text, str):
        seconds = _parse_text(text)
    elif isinstance(text, bool) or not isinstance(text, int | float):
        raise BadInput(f"{text!r} is not a duration", remedy=_REMEDY)
    else:
        seconds = text
    # Compared before it becomes a float, which a huge integer can't.
    if not 0 <= seconds <= LONGEST_S:
        what = "is below 0" if seconds < 0 else "is not between 0 and ten years"
        raise BadInput(f"the duration {_shown(text)} {what}", remedy=_REMEDY)
    return float(seconds)


def _parse_text(text: str) -> float:
    plain = text.strip()
    if len(plain) > _LONGEST_TEXT:
        raise BadInput(f"{_shown(text)} is not a duration", remedy=_REMEDY)
    if _PLAIN.fullmatch(plain):
        return float(plain)
    seconds, at, last = Decimal(0), 0, Decimal("inf")
    while at < len(plain):
        part = _PART.match(plain, at)
        if part is None:
            raise BadInput(f"{_shown(text)} is not a duration", remedy=_REMEDY)
        size = _size_of(part[2], text)
        if size >= last:
            raise BadInput(
                f"in {_shown(text)} '{part[2]}' follows a unit that isn't larger",
                remedy="Write each unit once, the largest first",
            )
        seconds += Decimal(part[1]) * size
        at, last = part.end(), size
    if at == 0:
        raise BadInput("the duration is empty", remedy=_REMEDY)
    return float(seconds)


def _size_of(unit: str, text: str) -> Decimal:
    # "M" is not a month and "S" not siemens: case is no information here.
    name = _SPELLINGS.get(unit) or _SPELLINGS.get(unit.lower())
    if name is None:
        hint = nearest(unit.lower(), _SPELLINGS)
        raise BadInput(
            f"{_shown(text)} has the unit '{unit}', which is not one of d, h, m, s, ms, us",
            remedy=hint[:1].upper() + hint[1:] if hint else _REMEDY,
        )
    return _UNITS[name]


def format_duration(seconds: float) -> str:
    """Write a duration for people, in its two largest units: ``1 h 20 min``, ``5 s``, ``250 ms``.

    Below a minute it is one number of three digits, which :func:`parse_duration` reads back like
    the rest.
    """
    if not math.isfinite(seconds):
        return "forever" if seconds > 0 else "unknown"
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds < 59.95:
        return _format_short(seconds)
    whole = round(seconds)
    if whole >= 86_400:
        whole = round(whole / 3_600) * 3_600
    elif whole >= 3_600:
        whole = round(whole / 60) * 60
    parts = []
    for unit in ("d", "h", "min", "s"):
        count, whole = divmod(whole, int(_UNITS[unit]))
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def _format_short(seconds: float) -> str:
    if seconds == 0:
        return "0 s"
    unit = "s" if seconds >= 0.9995 else "ms" if seconds >= 0.9995e-3 else "µs"
    number = float(f"{seconds / float(_UNITS[unit]):.3g}")
    return f"{number:.10f}".rstrip("0").rstrip(".") + f" {unit}"


def _shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 40 else f"{shown[:37]}…"
