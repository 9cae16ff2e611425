"""Parameter spaces: sequences of points that exist only when one is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldlab.domain.axes import Axis, as_sequence, value_key
from fieldlab.domain.ids import Point, Value, fingerprint


class Positions(Protocol):
    """Numbered places that hold a point or, where it turns out to be excluded, None.

    Attributes
    ----------
    names
        The parameters that every point has.
    size
        How many places there are, an integer of any size; None when they never end.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def size(self) -> int | None: ...

    def __getitem__(self, index: int, /) -> Point | None: ...


class ParameterSpace(ABC):
    """Distinct points in a fixed order; none of them is kept.

    ``space[i]`` for 0 ≤ i < ``size`` is a new dictionary each time, made in O(1) (or O(log) of what
    was excluded). ``len(space)`` is ``size`` as long as Python's ``len`` can say it.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The parameters that every point has."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many points there are, an integer of any size."""

    @abstractmethod
    def __getitem__(self, index: int, /) -> Point: ...

    @abstractmethod
    def __contains__(self, point: object, /) -> bool: ...

    def __len__(self) -> int:
        return self.size

    def fingerprint(self, index: int) -> str:
        """Fingerprint the first repeat of a point, see :func:`fieldlab.domain.ids.fingerprint`."""
        return fingerprint(self[index], 1)

    def run(self, start: int, stop: int) -> Iterator[Point]:
        """Give the points from ``start`` to before ``stop``, faster than one by one."""
        return (self[index] for index in range(start, stop))


@dataclass(frozen=True, slots=True)
class Factor:
    """Axes of one length that move in step; most often a single axis."""

    names: tuple[str, ...]
    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return self.axes[0].size

    def values(self, index: int) -> dict[str, Value]:
        """Give the values at a place, by parameter."""
        return {name: axis[index] for name, axis in zip(self.names, self.axes, strict=True)}

    def places(self, wanted: Mapping[str, Value]) -> Sequence[int]:
        """List the places that have the ``wanted`` values, as far as they name its parameters."""
        pairs = [
            (axis, wanted[name])
            for name, axis in zip(self.names, self.axes, strict=True)
            if name in wanted
        ]
        if len(self.axes) == 1:
            place = pairs[0][0].find(pairs[0][1]) if pairs else -1
            return (place,) if place >= 0 else ()
        keys = [(axis, value_key(value)) for axis, value in pairs]
        return tuple(
            place
            for place in range(self.size)
            if all(value_key(axis[place]) == key for axis, key in keys)
        )


class Grid(ParameterSpace):
    """Every combination of factors, the last one changing fastest."""

    __slots__ = ("_axes", "_last", "_size", "factors", "strides")

    def __init__(self, factors: Sequence[Factor]) -> None:
        self.factors = tuple(factors)
        strides = [1]
        for factor in reversed(self.factors):
            strides.append(strides[-1] * factor.size)
        self._size = strides.pop()
        self.strides = tuple(reversed(strides))
        self._axes = tuple(
            (name, as_sequence(axis), stride, factor.size)
            for factor, stride in zip(self.factors, self.strides, strict=True)
            for name, axis in zip(factor.names, factor.axes, strict=True)
        )
        self._last = self._axes[len(self._axes) - len(factors[-1].names) :] if factors else ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, *_ in self._axes)

    @property
    def size(self) -> int:
        return self._size

    def __getitem__(self, index: int, /) -> Point:
        if not 0 <= index < self._size:
            raise IndexError(f"{index} is outside a grid of {self._size} points")
        return {name: axis[index // stride % size] for name, axis, stride, size in self._axes}

    def __contains__(self, point: object, /) -> bool:
        if not isinstance(point, Mapping) or point.keys() != set(self.names):
            return False
        return all(factor.places(point) for factor in self.factors)

    def run(self, start: int, stop: int) -> Iterator[Point]:
        """Give the points from ``start`` to before ``stop``, changing the last factor in place."""
        if len(self._last) != 1:
            yield from super().run(start, stop)
            return
        name, axis, _, size = self._last[0]
        stop = min(stop, self._size)
        while start < stop:
            place = start % size
            count = min(size - place, stop - start)
            frame = self[start]
            for step in range(place, place + count):
                point = frame.copy()
                point[name] = axis[step]
                yield point
            start += count


class Listed(ParameterSpace):
    """Points as the user listed them, each of them once."""

    __slots__ = ("_keys", "_names", "points")

    def __init__(self, points: Iterable[Mapping[str, Value]]) -> None:
        self.points: list[Point] = []
        self._names: tuple[str, ...] = ()
        self._keys: set[object] = set()
        for point in points:
            key = point_key(point)
            if key not in self._keys:
                self._keys.add(key)
                self.points.append(dict(point))
                self._names = self._names or tuple(point)

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def size(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int, /) -> Point:
        if index < 0:
            raise IndexError(f"{index} is outside a list of {self.size} points")
        return self.points[index].copy()

    def __contains__(self, point: object, /) -> bool:
        return isinstance(point, Mapping) and point_key(point) in self._keys


class Submitted(ParameterSpace):
    """A space of which only the parameters are known: its points are in the database alone."""

    __slots__ = ("_names",)

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def size(self) -> int:
        return 0

    def __getitem__(self, index: int, /) -> Point:
        raise IndexError(index)

    def __contains__(self, point: object, /) -> bool:
        return False


class Joined(ParameterSpace):
    """Spaces one after the other; the caller has made sure that they share no point."""

    __slots__ = ("_ends", "_starts", "parts")

    def __init__(self, parts: Sequence[ParameterSpace]) -> None:
        self.parts = tuple(parts)
        self._starts, self._ends = _bounds([part.size for part in parts])

    @property
    def names(self) -> tuple[str, ...]:
        return self.parts[0].names

    @property
    def size(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int, /) -> Point:
        part = _part_of(self._ends, index)
        return self.parts[part][index - self._starts[part]]

    def __contains__(self, point: object, /) -> bool:
        return any(point in part for part in self.parts)

    def run(self, start: int, stop: int) -> Iterator[Point]:
        """Give the points from ``start`` to before ``stop``, part by part."""
        for first, end, part in zip(self._starts, self._ends, self.parts, strict=True):
            if first < stop and start < end:
                yield from part.run(max(start - first, 0), min(stop, end) - first)


class JoinedPositions:
    """Places one after the other, some of which hold no point."""

    __slots__ = ("_ends", "_starts", "names", "parts", "size")

    def __init__(self, parts: Sequence[Positions]) -> None:
        self.parts = tuple(parts)
        self.names = self.parts[0].names
        self._starts, self._ends = _bounds([part.size or 0 for part in parts])
        self.size: int | None = self._ends[-1]

    def __getitem__(self, index: int, /) -> Point | None:
        part = _part_of(self._ends, index)
        return self.parts[part][index - self._starts[part]]


def point_key(point: Mapping[str, Value]) -> object:
    """Give what two points share when they are the same content, whatever the order of keys."""
    return frozenset((name, value_key(value)) for name, value in point.items())


def _bounds(sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    starts, ends = [], []
    end = 0
    for size in sizes:
        starts.append(end)
        end += size
        ends.append(end)
    return starts, ends


def _part_of(ends: Sequence[int], index: int) -> int:
    if not 0 <= index < ends[-1]:
        raise IndexError(f"{index} is outside a space of {ends[-1]} points")
    return bisect_right(ends, index)
