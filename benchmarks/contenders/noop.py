"""The function that every contender calls: what is measured is everything around it."""

from __future__ import annotations


def noop(x: int, z: int = 0) -> dict[str, int]:
    """Do nothing but return one result."""
    return {"y": x + z}
