"""The values that a space states for each of its parameters, each with where it stands.

Nothing is written down in proportion to a space: values are gone through as they are listed, and of
an axis that computes many only a few are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from fieldlab.domain.axes import Axis, Values
from fieldlab.domain.axis_reading import read_axis, values_of
from fieldlab.domain.errors import Problem
from fieldlab.domain.fields import Key, entries, key_part
from fieldlab.domain.ids import Value

#: wrong values of one parameter that are told
MOST_TOLD = 10


@dataclass(frozen=True, slots=True)
class StatedValues:
    """The values of one parameter: ``(value, key)`` of each, in the order of the file.

    Of an axis that computes more than are kept there are the ends, the one after the first and the
    middle one. Values that exclusions leave out are among them.
    """

    #: where each part stands, what is there, and whether its entries have keys of their own
    parts: tuple[tuple[Key, Sequence[Value] | Axis, bool], ...] = ()

    def __iter__(self) -> Iterator[tuple[Value, Key]]:
        for key, values, listed in self.parts:
            for place in _places(values):
                yield values[place], (*key, place) if listed else key


#: parameter → its values, None where all of them are drawn or come while it runs
StatedSpace = Mapping[str, StatedValues | None]


class FaultOf(Protocol):
    """Says what is wrong with a parameter's value; nothing if it is fine."""

    def __call__(self, name: str, value: Value, /) -> str: ...


def stated_values(space: Mapping[str, Any]) -> dict[str, StatedValues | None]:
    """Find the values that a space states, one that :func:`sequence_from` takes."""
    found: dict[str, list[tuple[Key, Sequence[Value] | Axis, bool]]] = {}
    submitted = space.get("submitted") or ()
    for name in submitted:
        found.setdefault(name, [])
    blocks = entries(space, "blocks", ("space",), [])
    for key, part in [(("space",), space), *blocks]:
        for name, place, data in _axes(part, key):
            parts = found.setdefault(name, [])
            listed, where = values_of(data, place)
            if listed:
                parts.append((where, listed, True))
            elif (axis := read_axis(data, place, [])) is not None and not hasattr(axis, "at"):
                parts.append((place, axis, False))
        for place, point in entries(part, "include", key, []):
            for name, value in point.items() if isinstance(point, Mapping) else ():
                found.setdefault(name, []).append(((*place, name), (value,), False))
    return {name: StatedValues(tuple(parts)) if parts else None for name, parts in found.items()}


def value_problems(space: StatedSpace, name: str, fault_of: FaultOf) -> list[Problem]:
    """Find the values of a parameter that are wrong, the first few, each with its place."""
    problems: dict[Key, Problem] = {}
    for value, key in space.get(name) or ():
        if key not in problems and (fault := fault_of(name, value)):
            problems[key] = Problem(what=fault, remedy="Change it, or take it out", key=key)
            if len(problems) == MOST_TOLD:
                break
    return list(problems.values())


def _axes(part: Any, key: Key) -> Iterator[tuple[str, Key, Any]]:
    """Go through the axes of a block: name, place, and what is written there."""
    if not isinstance(part, Mapping):
        return
    groups = [((*key, "matrix"), part.get("matrix")), *_zipped(part.get("zip"), (*key, "zip"))]
    for place, axes in groups:
        if isinstance(axes, Mapping):
            for name, data in axes.items():
                yield key_part(name), (*place, key_part(name)), data


def _zipped(groups: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    listed = [groups] if isinstance(groups, Mapping) else groups
    if isinstance(listed, list | tuple):
        for number, group in enumerate(listed):
            yield (*key, number), group


def _places(values: Sequence[Value] | Axis) -> Iterator[int]:
    if isinstance(values, Values):
        return iter(range(values.size))
    if isinstance(values, Sequence):
        return iter(range(len(values)))
    some = sorted({0, 1, values.size // 2, values.size - 1})
    return islice((place for place in some if place < values.size), 4)
