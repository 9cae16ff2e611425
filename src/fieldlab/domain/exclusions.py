"""Exclusions: which points of a grid are left out, decided for a point or factor by factor.

A rule answers for a whole point when it is called. Its *walk* answers while a point is being put
together: it goes through the factors of a grid in order and remembers no more of the values chosen
so far than what can still make a difference. :mod:`fieldlab.domain.filtering` counts with that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fieldlab.domain.axes import Axis, Values, covers, value_key
from fieldlab.domain.errors import BadExpression
from fieldlab.domain.expressions import Expression
from fieldlab.domain.ids import Value
from fieldlab.domain.spaces import Factor, Grid

#: What a walk remembers between two factors. True: excluded, whatever follows. False: kept, as far
#: as this rule goes. An error: it can't be decided, which matters unless another rule excludes.
State = bool | BadExpression | tuple[int, ...]

#: The state after each place of a factor, or the state after most places and those that differ.
Moves = list[State] | tuple[State, Mapping[int, State]]


class Walk(Protocol):
    """A rule on its way through the factors of one grid."""

    def start(self) -> State: ...

    def moves(self, level: int, state: tuple[int, ...]) -> Moves:
        """Give the states that follow an undecided ``state`` when factor ``level`` is chosen."""
        ...

    def cost(self) -> int:
        """Bound how many combinations of values it looks at, about a microsecond each."""
        ...


class Rule(Protocol):
    """Says which points are left out."""

    def __call__(self, point: Mapping[str, Value], /) -> bool: ...

    def walk(self, grid: Grid) -> Walk: ...


def excluded(rules: Iterable[Rule], point: Mapping[str, Value]) -> bool:
    """Say whether any rule leaves the point out.

    Raises
    ------
    BadExpression
        A rule can't decide, and no other leaves the point out.
    """
    failed: BadExpression | None = None
    for rule in rules:
        try:
            if rule(point):
                return True
        except BadExpression as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return False


#: what starting on a factor costs, in values looked at: short axes last are the dear ones
_NODE_COST = 8


@dataclass(frozen=True, slots=True)
class Test:
    """A condition that can be decided as soon as the parameters ``names`` are known."""

    names: frozenset[str]
    holds: Callable[[Mapping[str, Value]], bool]
    #: when it only asks whether the one parameter is on this axis
    axis: Axis | None = None


@dataclass(frozen=True, slots=True)
class ExpressionRule:
    """Leaves out the points for which an expression is true."""

    expression: Expression
    #: where it is written, for errors that show up point by point
    key: tuple[str | int, ...] = ()

    def __call__(self, point: Mapping[str, Value], /) -> bool:
        try:
            return self.expression(point)
        except BadExpression as error:
            raise BadExpression(error.what, remedy=error.remedy, key=self.key) from None

    def walk(self, grid: Grid) -> Walk:
        return TestsWalk(grid, (Test(self.expression.names, self),))


class PointsRule:
    """Leaves out exact points, or all points that share the values of a partial one."""

    __slots__ = ("_groups", "points")

    def __init__(self, points: Sequence[Mapping[str, Value]]) -> None:
        self.points = tuple(points)
        self._groups: dict[tuple[str, ...], set[tuple[object, ...]]] = {}
        for point in self.points:
            names = tuple(sorted(point))
            self._groups.setdefault(names, set()).add(_keys(point, names))

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for names in self._groups for name in names)

    def __call__(self, point: Mapping[str, Value], /) -> bool:
        return any(_keys(point, names) in keys for names, keys in self._groups.items())

    def walk(self, grid: Grid) -> Walk:
        return PointsWalk(grid, self.points)


class ContainedRule:
    """Leaves out the points that another filtered grid contains, so that none is run twice."""

    __slots__ = ("_tests",)

    def __init__(self, grid: Grid, rules: Sequence[Rule]) -> None:
        tests = [_membership(factor) for factor in grid.factors]
        names = frozenset(grid.names)
        for rule in rules:
            mentioned = rule.expression.names if isinstance(rule, ExpressionRule) else names
            if isinstance(rule, PointsRule):
                mentioned = rule.names
            tests.append(Test(mentioned, _negated(rule)))
        self._tests = tuple(tests)

    def __call__(self, point: Mapping[str, Value], /) -> bool:
        return all(test.holds(point) for test in self._tests)

    def walk(self, grid: Grid) -> Walk:
        own = {
            name: axis
            for factor in grid.factors
            for name, axis in zip(factor.names, factor.axes, strict=True)
        }
        open_tests = tuple(
            test
            for test in self._tests
            if test.axis is None or not covers(test.axis, own[next(iter(test.names))])
        )
        return TestsWalk(grid, open_tests)


@dataclass(slots=True)
class TestsWalk:
    """Excludes a point when all of several tests hold.

    A state holds the places chosen in those factors that an undecided test still needs.
    """

    grid: Grid
    tests: tuple[Test, ...]
    _decided: list[list[Test]] = field(init=False)
    _needed: list[tuple[int, ...]] = field(init=False)
    _last: int = field(init=False, default=-1)
    _error: BadExpression | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        depth = len(self.grid.factors)
        self._decided = [[] for _ in range(depth)]
        needs: list[set[int]] = [set() for _ in range(depth + 1)]
        for test in self.tests:
            mentioned = [
                level
                for level, factor in enumerate(self.grid.factors)
                if not test.names.isdisjoint(factor.names)
            ]
            if not mentioned:
                continue
            last = mentioned[-1]
            self._decided[last].append(test)
            self._last = max(self._last, last)
            for level in mentioned:
                for later in range(level + 1, last + 1):
                    needs[later].add(level)
        self._needed = [tuple(sorted(levels)) for levels in needs]

    def start(self) -> State:
        try:
            if not all(test.holds({}) for test in self.tests if not test.names):
                return False
        except BadExpression as error:
            return error
        return True if self._last < 0 else ()

    def cost(self) -> int:
        most = 0
        for level in range(len(self.grid.factors)):
            if self._touches(level):
                sizes = (self.grid.factors[known].size for known in self._needed[level])
                most = max(most, math.prod(sizes) * (len(self._candidates(level)) + _NODE_COST))
        return most

    def moves(self, level: int, state: tuple[int, ...]) -> Moves:
        if not self._touches(level):
            return state, {}
        candidates = self._candidates(level)
        if len(candidates) == self.grid.factors[level].size:
            return list(self._states(level, state, candidates))
        found = self._states(level, state, candidates)
        return False, dict(zip(candidates, found, strict=True))

    def _touches(self, level: int) -> bool:
        return bool(self._decided[level]) or level in self._needed[level + 1]

    def _candidates(self, level: int) -> Sequence[int]:
        """List the places of a factor that can pass; of a long one by those of a shorter axis."""
        factor = self.grid.factors[level]
        axes = [test.axis for test in self._decided[level] if test.axis is not None]
        shortest = min(axes, key=lambda axis: axis.size, default=None)
        if shortest is None or len(factor.axes) > 1 or shortest.size >= factor.size:
            return range(factor.size)
        places = (factor.axes[0].find(shortest[index]) for index in range(shortest.size))
        return sorted({place for place in places if place >= 0})

    def _states(
        self, level: int, state: tuple[int, ...], candidates: Iterable[int]
    ) -> Iterable[State]:
        factors = self.grid.factors
        known = dict(zip(self._needed[level], state, strict=True))
        point: dict[str, Value] = {}
        for before, place in known.items():
            point.update(factors[before].values(place))
        axes = tuple(zip(factors[level].names, factors[level].axes, strict=True))
        decided, after, last = self._decided[level], self._needed[level + 1], level == self._last
        for place in candidates:
            for name, axis in axes:
                point[name] = axis[place]
            passed = True
            try:
                for test in decided:
                    if not test.holds(point):
                        passed = False
                        break
            except BadExpression as error:
                self._error = self._error or error
                yield self._error
                continue
            if not passed or last:
                yield passed
            else:
                known[level] = place
                yield tuple(known[needed] for needed in after)


class PointsWalk:
    """Excludes a point that agrees with one of several; a state lists those still in question."""

    __slots__ = ("_last", "_places")

    def __init__(self, grid: Grid, points: Sequence[Mapping[str, Value]]) -> None:
        #: per point and factor: the places that agree with it; None where it doesn't matter
        self._places: list[list[Sequence[int] | None]] = []
        for point in points:
            row = [
                factor.places(point) if any(name in point for name in factor.names) else None
                for factor in grid.factors
            ]
            if all(places is None or places for places in row):
                self._places.append(row)
        self._last = [
            max((level for level, places in enumerate(row) if places is not None), default=-1)
            for row in self._places
        ]

    def start(self) -> State:
        return tuple(range(len(self._places))) or False

    def cost(self) -> int:
        return len(self._places)

    def moves(self, level: int, state: tuple[int, ...]) -> Moves:
        free: list[int] = []
        bound: dict[int, list[int]] = {}
        for number in state:
            places = self._places[number][level]
            if places is None:
                free.append(number)
                continue
            for place in places:
                bound.setdefault(place, []).append(number)
        special: dict[int, State] = {}
        for place, numbers in bound.items():
            done = any(self._last[number] == level for number in numbers)
            special[place] = True if done else tuple(sorted(free + numbers))
        return tuple(free) or False, special


def _keys(point: Mapping[str, Value], names: Iterable[str]) -> tuple[object, ...]:
    return tuple(value_key(point[name]) for name in names)


def _membership(factor: Factor) -> Test:
    names = factor.names
    if len(names) == 1:
        name, axis = names[0], factor.axes[0]
        return Test(frozenset(names), lambda point: axis.find(point[name]) >= 0, axis)
    if not all(isinstance(axis, Values) for axis in factor.axes):
        # Computed axes can be long, but find a value without a search.
        return Test(frozenset(names), lambda point: _same_place(factor, point))
    rows = {_keys(factor.values(place), names) for place in range(factor.size)}
    return Test(frozenset(names), lambda point: _keys(point, names) in rows)


def _same_place(factor: Factor, point: Mapping[str, Value]) -> bool:
    computed = next(at for at, axis in enumerate(factor.axes) if not isinstance(axis, Values))
    place = factor.axes[computed].find(point[factor.names[computed]])
    return place >= 0 and all(
        value_key(axis[place]) == value_key(point[name])
        for name, axis in zip(factor.names, factor.axes, strict=True)
    )


def _negated(rule: Rule) -> Callable[[Mapping[str, Value]], bool]:
    return lambda point: not rule(point)
