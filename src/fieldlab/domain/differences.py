"""What differs between two documents of plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


class _Absent:
    """Stands where a document has no such key."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Several:
    """The values that a key has in several documents that are looked at as one."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A key whose values differ."""

    #: outermost first
    key: tuple[str, ...]
    #: ABSENT where the document doesn't have the key
    a: Any
    b: Any


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """List what differs between two documents, in the order of their keys.

    Mappings are compared key by key, everything else as a whole. A whole number equals the same
    real, a truth value no number, and NaN itself.
    """
    return list(_between(a, b, ()))


def _between(a: Mapping[str, Any], b: Mapping[str, Any], key: tuple[str, ...]) -> list[Difference]:
    found: list[Difference] = []
    for name in dict.fromkeys([*a, *b]):
        here = (*key, str(name))
        before, after = a.get(name, ABSENT), b.get(name, ABSENT)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _between(before, after, here)
        elif not same(before, after):
            found.append(Difference(key=here, a=before, b=after))
    return found


def same(a: Any, b: Any) -> bool:
    """Say whether two values are the same content."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Several) and isinstance(b, Several):
        return same(a.values, b.values)
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    return bool(a == b) or (a != a and b != b)  # noqa: PLR0124 - only NaN isn't itself


def together(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Look at several documents as one, where :class:`Several` stands for values that differ."""
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in documents for name in each):
        values = [each.get(name, ABSENT) for each in documents]
        if all(isinstance(value, Mapping) for value in values):
            merged[name] = together(values)
            continue
        distinct: list[Any] = []
        for value in values:
            if not any(same(value, known) for known in distinct):
                distinct.append(value)
        merged[name] = distinct[0] if len(distinct) == 1 else Several(tuple(distinct))
    return merged
