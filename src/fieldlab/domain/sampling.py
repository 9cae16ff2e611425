"""Samples: points drawn at random, where draw *i* is the same on every machine and after a resume.

A space of values is drawn from without repetition, through a keyed permutation of its indices. As
soon as an axis is continuous, or the method spreads the points evenly (``sobol``,
``latin-hypercube``), every axis is drawn on its own: its value belongs to a number in [0, 1). An
axis of listed values can then repeat a point; whoever runs the trials skips one that has run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldlab.domain.axes import Continuous
from fieldlab.domain.exclusions import Rule, excluded
from fieldlab.domain.ids import Point
from fieldlab.domain.permutation import Permutation
from fieldlab.domain.spaces import Factor, ParameterSpace, Positions

#: largest number below 1 that a double holds
_BELOW_ONE = 1.0 - 2.0**-53


class UnitSequence(Protocol):
    """Points of the unit cube in a fixed order."""

    def unit(self, i: int, /) -> Sequence[float]:
        """Give point ``i``: one number in [0, 1) per dimension, whatever was asked for before."""
        ...


#: makes a sequence from (method, dimensions, seed); see :mod:`fieldlab.execution.sequences`
QuasiSource = Callable[[str, int, int], UnitSequence]


class CounterUnits:
    """Independent uniform numbers by counter: BLAKE2b (RFC 7693), keyed by seed and axis, of *i*.

    Each has 53 random bits. Adding an axis leaves what the others draw as it was.
    """

    __slots__ = ("_keyed",)

    def __init__(self, labels: Sequence[str], seed: int) -> None:
        self._keyed = tuple(
            hashlib.blake2b(f"fieldlab draws\0{label}\0{seed}\0".encode(), digest_size=8)
            for label in labels
        )

    def unit(self, i: int, /) -> Sequence[float]:
        counter = i.to_bytes(16, "big")
        units = []
        for keyed in self._keyed:
            drawn = keyed.copy()
            drawn.update(counter)
            units.append((int.from_bytes(drawn.digest(), "big") >> 11) * 2.0**-53)
        return units


class LatinHypercube:
    """``count`` points, each axis cut in ``count`` strata with one point in each.

    M. D. McKay, R. J. Beckman, W. J. Conover, Technometrics 21 (1979): what
    ``scipy.stats.qmc.LatinHypercube(strength=1, scramble=True)`` draws, with other random numbers:
    the order of an axis' strata is a keyed permutation, the place in a stratum a keyed counter, so
    that any point can be had without the others.
    """

    __slots__ = ("_count", "_jitter", "_strata")

    def __init__(self, labels: Sequence[str], count: int, seed: int) -> None:
        self._count = count
        self._strata = tuple(Permutation(count, seed, f"strata\0{label}") for label in labels)
        self._jitter = CounterUnits([f"jitter\0{label}" for label in labels], seed)

    def unit(self, i: int, /) -> Sequence[float]:
        return [
            min((strata[i] + jitter) / self._count, _BELOW_ONE)
            for strata, jitter in zip(self._strata, self._jitter.unit(i), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Drawn:
    """An axis of a sample that is continuous."""

    name: str
    axis: Continuous

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)


class Draws:
    """Points whose axes are drawn one by one; None for a draw that a rule leaves out."""

    __slots__ = ("_dimensions", "_rules", "_units", "names", "size")

    def __init__(
        self,
        dimensions: Sequence[Factor | Drawn],
        units: UnitSequence,
        count: int | None,
        rules: Sequence[Rule] = (),
    ) -> None:
        self._dimensions = tuple(dimensions)
        self._units = units
        self._rules = tuple(rules)
        self.names = tuple(name for dimension in dimensions for name in dimension.names)
        self.size = count

    def __getitem__(self, index: int, /) -> Point | None:
        if index < 0 or (self.size is not None and index >= self.size):
            raise IndexError(f"{index} is outside a sample of {self.size} points")
        point: Point = {}
        for dimension, unit in zip(self._dimensions, self._units.unit(index), strict=True):
            if isinstance(dimension, Drawn):
                point[dimension.name] = dimension.axis.at(unit)
            else:
                size = dimension.size
                point.update(dimension.values(min(int(unit * size), size - 1)))
        return None if self._rules and excluded(self._rules, point) else point


class Sample(ParameterSpace):
    """The first ``count`` points of a space in random order, without repetition, in O(1) memory."""

    __slots__ = ("_count", "_order", "_space")

    def __init__(self, space: ParameterSpace, count: int, seed: int) -> None:
        self._space = space
        self._count = count
        self._order = Permutation(space.size, seed, "sample")

    @property
    def names(self) -> tuple[str, ...]:
        return self._space.names

    @property
    def size(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Point:
        if not 0 <= index < self._count:
            raise IndexError(f"{index} is outside a sample of {self._count} points")
        return self._space[self._order[index]]

    def __contains__(self, point: object, /) -> bool:
        """Search for a point: O(count), unlike in other spaces."""
        return point in self._space and any(point == drawn for drawn in self.run(0, self._count))


class SampledPositions:
    """All places of a space in random order, some of which hold no point."""

    __slots__ = ("_order", "_places", "names", "size")

    def __init__(self, places: Positions, size: int, seed: int) -> None:
        self._places = places
        self._order = Permutation(size, seed, "sample")
        self.names = places.names
        self.size: int | None = size

    def __getitem__(self, index: int, /) -> Point | None:
        return self._places[self._order[index]]
