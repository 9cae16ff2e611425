"""Which kinds of values parameters have: a column of results holds one kind only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fieldlab.domain.axes import Axis, Values
from fieldlab.domain.errors import Problem
from fieldlab.domain.ids import Value
from fieldlab.domain.space_reading import SpaceSpec, read_space
from fieldlab.domain.spaces import Factor

#: type of a results column → kind; whole numbers become real ones where they must
COLUMN_KINDS = {
    "boolean": "true or false",
    "integer": "numbers",
    "real": "numbers",
    "text": "text",
}


def parameter_kinds(space: Mapping[str, Any]) -> dict[str, list[str]]:
    """Say which kinds of values each parameter of a space has, in the order of their first ones.

    Missing values (null) are of no kind.
    """
    spec = read_space(space, [])
    found: dict[str, list[str]] = {}
    for name, kind in _kinds(spec) if spec is not None else ():
        kinds = found.setdefault(name, [])
        if kind not in kinds:
            kinds.append(kind)
    return found


def mixed_kinds(space: Mapping[str, Any]) -> Iterator[Problem]:
    """Find parameters whose values couldn't be kept in one column."""
    for name, kinds in parameter_kinds(space).items():
        if len(kinds) > 1:
            matrix = space.get("matrix")
            there = isinstance(matrix, Mapping) and name in matrix
            yield Problem(
                what=f"the values of '{name}' are {' and '.join(kinds)}, which no column of results"
                " can hold together",
                remedy="Write all of them as text (in quotes), or make two experiments",
                key=("space", "matrix", name) if there else ("space",),
            )


def _kinds(spec: SpaceSpec) -> Iterator[tuple[str, str]]:
    for block in spec.blocks:
        for dimension in block.dimensions:
            if not isinstance(dimension, Factor):
                yield dimension.name, "numbers"
                continue
            for name, axis in zip(dimension.names, dimension.axes, strict=True):
                yield from ((name, kind) for kind in _kinds_of(_shown(axis)))
        for point in (*block.include, *spec.include):
            for name, value in point.items():
                yield from ((name, kind) for kind in _kinds_of([value]))


def _shown(axis: Axis) -> Iterable[Value]:
    """Give values of an axis that have all its kinds: computed ones are all alike."""
    return axis.values if isinstance(axis, Values) else [axis[0]]


def _kinds_of(values: Iterable[Value]) -> Iterator[str]:
    for value in values:
        if isinstance(value, bool):
            yield "true or false"
        elif isinstance(value, int | float):
            yield "numbers"
        elif isinstance(value, str):
            yield "text"
