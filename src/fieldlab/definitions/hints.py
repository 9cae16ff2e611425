"""The words of remedies."""

from __future__ import annotations

from collections.abc import Iterable

from fieldlab.domain.errors import nearest


def suggestion(word: str, candidates: Iterable[str], otherwise: str) -> str:
    """Ask whether the nearest candidate was meant, or say ``otherwise`` if none is near."""
    hint = nearest(word, candidates)
    return hint[:1].upper() + hint[1:] if hint else otherwise


def counted(number: int, one: str, many: str) -> str:
    """Write a number with its noun: ``1 entry``, ``2 entries``."""
    return f"{number} {one if number == 1 else many}"
