"""Axes: the values that one parameter takes, indexable without writing them down.

A discrete axis is a sequence of distinct values; a long one costs bytes. A continuous axis has no
values to count: it turns a number in [0, 1) into one, and exists only under ``sample``.

Floats that fieldlab computes are rounded to 15 significant digits, as many as a double always
keeps: 3 steps of 0.1 are 0.3, grids of several resolutions meet in the same points, and the last
bit of a machine's ``log`` doesn't decide a trial's identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, TypeGuard

from fieldlab.domain.ids import Value

#: computed axes up to this size are kept as a tuple, which indexes faster
_KEPT_VALUES = 1024

#: what makes two values the same content, see :func:`fieldlab.domain.ids.canonical`
ValueKey = tuple[bool, Value]


def value_key(value: Value) -> ValueKey:
    """Tell values apart as fingerprints do: 1 and 1.0 are the same, 1 and True are not."""
    return (value.__class__ is bool, value)


def rounded(number: float) -> float:
    """Round to 15 significant digits."""
    return float(f"{number:.15g}")


class Axis(Protocol):
    """Distinct values in an order.

    ``axis[i]`` is O(1) for 0 ≤ i < ``size``; ``find(axis[i]) == i``, and ``find`` of anything else
    is -1.
    """

    @property
    def size(self) -> int: ...

    def __getitem__(self, index: int, /) -> Value: ...

    def find(self, value: Value) -> int: ...


@dataclass(frozen=True, slots=True)
class Values:
    """Values as the user listed them."""

    values: tuple[Value, ...]
    _places: dict[ValueKey, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places: dict[ValueKey, int] = {}
        for place, value in enumerate(self.values):
            places.setdefault(value_key(value), place)
        object.__setattr__(self, "_places", places)

    @property
    def size(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int, /) -> Value:
        return self.values[index]

    def find(self, value: Value) -> int:
        return self._places.get(value_key(value), -1)


@dataclass(frozen=True, slots=True)
class Steps:
    """Numbers at equal distances: ``(first + i * step) / scale``, exact before the last division.

    ``scale`` is a power of ten; with a scale of 0 the values are integers.
    """

    first: int
    step: int
    scale: int
    size: int

    def __getitem__(self, index: int, /) -> int | float:
        number = self.first + index * self.step
        return rounded(number / self.scale) if self.scale else number

    def find(self, value: Value) -> int:
        if not _is_number(value) or self.size == 0:
            return -1
        if self.scale == 0 and value != int(value):
            return -1
        near = (_scaled(value, self.scale) - self.first) // self.step if self.size > 1 else 0
        return _first_equal(self, value, near)


@dataclass(frozen=True, slots=True)
class Linspace:
    """``count`` floats at equal distances, both ends included, as ``numpy.linspace`` has them."""

    start: float
    stop: float
    size: int
    #: the ends as integers over one power of ten: sums of floats would leave noise near 0
    _exact: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_exact", _on_one_scale(self.start, self.stop))

    def __getitem__(self, index: int, /) -> float:
        last = self.size - 1
        if index in (0, last):
            return self.stop if index else self.start
        low, high, scale = self._exact
        return rounded((low * last + (high - low) * index) / (scale * last))

    def find(self, value: Value) -> int:
        if not _is_number(value):
            return -1
        span = self.stop - self.start
        share = (value - self.start) / span if span else 0.0
        return _first_equal(self, value, round(share * (self.size - 1)) if abs(share) < 2 else -9)


@dataclass(frozen=True, slots=True)
class Logspace:
    """``count`` floats in equal ratios between two values, as ``numpy.geomspace`` has them."""

    start: float
    stop: float
    size: int

    def __getitem__(self, index: int, /) -> float:
        last = self.size - 1
        if index in (0, last):
            return self.stop if index else self.start
        decades = math.log10(self.stop) - math.log10(self.start)
        # Whole decades apart from the rest, so that powers of ten come out as such.
        whole, rest = divmod(decades * index, last)
        half = whole // 2
        return rounded(self.start * 10.0**half * 10.0 ** (rest / last) * 10.0 ** (whole - half))

    def find(self, value: Value) -> int:
        if not _is_number(value) or value <= 0:
            return -1
        decades = math.log10(self.stop) - math.log10(self.start)
        share = (math.log10(value) - math.log10(self.start)) / decades if decades else 0.0
        return _first_equal(self, value, round(share * (self.size - 1)) if abs(share) < 2 else -9)


def steps(start: float, stop: float, step: float) -> Steps:
    """Make the axis ``start, start + step, …`` up to and with ``stop`` where it falls on the grid.

    Counted in decimals as they are written: 0 to 1 in steps of 0.1 are 11 values. Integers all
    through stay integers. The caller has checked that ``step`` leads from ``start`` to ``stop``.
    """
    if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
        return Steps(start, step, 0, (stop - start) // step + 1)
    first, last, by, scale = _on_one_scale(start, stop, step)
    return Steps(first, by, scale, (last - first) // by + 1)


def kept(axis: Axis) -> Axis:
    """Write a short computed axis down, which makes indexing it faster."""
    if isinstance(axis, Values) or axis.size > _KEPT_VALUES:
        return axis
    return Values(tuple(axis[index] for index in range(axis.size)))


def covers(axis: Axis, other: Axis) -> bool:
    """Say whether ``axis`` surely has every value of ``other``; False where that takes long."""
    if axis == other and not isinstance(axis, Values):
        return True
    few = other.size <= _KEPT_VALUES or isinstance(other, Values)
    return few and all(axis.find(other[index]) >= 0 for index in range(other.size))


class Continuous(Protocol):
    """A distribution: ``at(unit)`` is its value at the share ``unit`` in [0, 1)."""

    def at(self, unit: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every value between ``low`` and ``high`` alike."""

    low: float
    high: float

    def at(self, unit: float) -> float:
        value = rounded(self.low * (1.0 - unit) + self.high * unit)
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class LogUniform:
    """Every ratio between ``low`` and ``high``, both above 0, alike."""

    low: float
    high: float

    def at(self, unit: float) -> float:
        log = math.log(self.low) * (1.0 - unit) + math.log(self.high) * unit
        # Bounded before exp: at the largest doubles the last bit of the logarithm would overflow.
        value = rounded(math.exp(min(log, 709.78)))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Normal:
    """The normal distribution, by its inverse (``statistics.NormalDist.inv_cdf``)."""

    mean: float
    deviation: float

    def at(self, unit: float) -> float:
        # Imported late: it takes longer than everything else here.
        from statistics import NormalDist

        return rounded(NormalDist(self.mean, self.deviation).inv_cdf(unit or 2.0**-54))


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first_equal(axis: Axis, value: Value, near: int) -> int:
    for index in range(max(near - 1, 0), min(near + 2, axis.size)):
        if axis[index] == value:
            return index
    return -1


def _scaled(number: float, scale: int) -> int:
    return int(number) if scale == 0 else int(Decimal(repr(number)) * scale)


def _on_one_scale(*numbers: float) -> tuple[int, ...]:
    """Write numbers as integers over one power of ten, which comes last."""
    ratios = [_decimal_parts(number) for number in numbers]
    digits = max(places for _, places in ratios)
    scaled = [mantissa * 10 ** (digits - places) for mantissa, places in ratios]
    return (*scaled, 10**digits)


def _decimal_parts(number: float) -> tuple[int, int]:
    """Split a number as written: an integer, and how many of its digits are after the point."""
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{number} is not finite")
    mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
    return (mantissa, -exponent) if exponent < 0 else (mantissa * 10**exponent, 0)


def as_sequence(axis: Axis) -> Sequence[Value] | Axis:
    """Give what indexes fastest: the tuple itself of an axis that is written down."""
    return axis.values if isinstance(axis, Values) else axis
