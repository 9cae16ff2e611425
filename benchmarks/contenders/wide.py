"""A function of several rows a trial, of every type, some values missing: results to be read."""

from __future__ import annotations

#: rows that one trial returns
ROWS = 100


def spread(x: int) -> list[dict[str, object]]:
    """Return rows of five values; with the parameter and fieldlab's own, that makes 12 columns."""
    return [
        {
            "ratio": x / (part + 1),
            "error": None if part % 3 else x * 0.5,
            "steps": part if part % 5 else None,
            "label": f"case {part % 7}",
            "good": part % 2 == 0,
        }
        for part in range(ROWS)
    ]
