"""Grids with points left out that are still indexed directly.

The kept points are counted in a decision diagram: a node stands for one factor, its runs for
neighbouring values that leave the same things to decide. Values that no exclusion mentions, and
whatever can't be excluded any more, only multiply; equal nodes exist once. Finding point *i* is a
bisection per factor. (The structure is that of multi-valued decision diagrams with counts, as in
D. E. Knuth, *The Art of Computer Programming*, volume 4A, section 7.1.4.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from fieldlab.domain.errors import BadExpression
from fieldlab.domain.exclusions import Moves, Rule, State, Walk, excluded
from fieldlab.domain.ids import Point
from fieldlab.domain.spaces import Grid, ParameterSpace, Positions

#: exclusions that would have to look at more combinations are decided point by point while running
COUNTED_COMBINATIONS = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    """Kept points below one choice of the factors so far.

    Run r covers the values from ``firsts[r]`` on; each leads to ``children[r]``, and ``starts[r]``
    points come before it. No runs: all ``count`` points are kept (or none, for 0).
    """

    count: int
    starts: tuple[int, ...] = ()
    firsts: tuple[int, ...] = ()
    children: tuple[_Node, ...] = ()


class _TooMany(Exception):
    """Counting would look at more combinations than is worth the time."""


class _Counter:
    """Builds the diagram of one grid under several rules."""

    def __init__(self, grid: Grid, walks: Sequence[Walk]) -> None:
        self._grid = grid
        self._walks = walks
        self._empty = _Node(0)
        self._full = [
            _Node(stride * f.size) for f, stride in zip(grid.factors, grid.strides, strict=True)
        ]
        self._full.append(_Node(1))
        self._nodes: dict[tuple[int, tuple[State, ...]], _Node] = {}
        self._same: dict[tuple[object, ...], _Node] = {}
        self._looked_at = 0

    def root(self) -> _Node:
        return self._node(0, tuple(walk.start() for walk in self._walks))

    def _node(self, level: int, states: tuple[State, ...]) -> _Node:
        if any(state is True for state in states):
            return self._empty
        if not any(isinstance(state, tuple) for state in states):
            for state in states:
                if isinstance(state, BadExpression):
                    raise state
            return self._full[level]
        found = self._nodes.get((level, states))
        if found is None:
            found = self._nodes[level, states] = self._made(level, states)
        return found

    def _made(self, level: int, states: tuple[State, ...]) -> _Node:
        size = self._grid.factors[level].size
        moves: list[Moves] = [
            walk.moves(level, state) if isinstance(state, tuple) else (state, {})
            for walk, state in zip(self._walks, states, strict=True)
        ]
        self._looked_at += sum(len(m) if isinstance(m, list) else 1 + len(m[1]) for m in moves)
        if self._looked_at > 4 * COUNTED_COMBINATIONS:
            raise _TooMany
        starts: list[int] = []
        firsts: list[int] = []
        children: list[_Node] = []
        count, before = 0, self._empty
        for place, length, following in _pieces(moves, size):
            child = self._node(level + 1, following)
            if child is not before and child.count:
                starts.append(count)
                firsts.append(place)
                children.append(child)
            before = child
            count += length * child.count
        if count == self._full[level].count:
            return self._full[level]
        if count == 0:
            return self._empty
        made = _Node(count, tuple(starts), tuple(firsts), tuple(children))
        return self._same.setdefault((level, made.firsts, made.children, count), made)


def _pieces(moves: Sequence[Moves], size: int) -> Iterator[tuple[int, int, tuple[State, ...]]]:
    """Cut a factor where a state changes: the first place, how many, and the states after it."""
    if any(isinstance(move, list) for move in moves):
        place = 0
        for following, same in groupby(zip(*(_column(move, size) for move in moves), strict=True)):
            length = sum(1 for _ in same)
            yield place, length, following
            place += length
        return
    pairs = [move for move in moves if not isinstance(move, list)]
    usual = tuple(default for default, _ in pairs)
    end = 0
    for place in sorted({place for _, special in pairs for place in special}):
        if place > end:
            yield end, place - end, usual
        yield place, 1, tuple(special.get(place, default) for default, special in pairs)
        end = place + 1
    if end < size:
        yield end, size - end, usual


def _column(moves: Moves, size: int) -> list[State]:
    """Write the states after every place of a factor down."""
    if isinstance(moves, list):
        return moves
    usual, special = moves
    column = [usual] * size
    for place, state in special.items():
        column[place] = state
    return column


class Kept(ParameterSpace):
    """A grid without the points that rules leave out, in the grid's order."""

    __slots__ = ("_grid", "_root", "_rules")

    def __init__(self, grid: Grid, rules: Sequence[Rule], root: _Node) -> None:
        self._grid = grid
        self._rules = tuple(rules)
        self._root = root

    @property
    def names(self) -> tuple[str, ...]:
        return self._grid.names

    @property
    def size(self) -> int:
        return self._root.count

    def __getitem__(self, index: int, /) -> Point:
        node = self._root
        if not 0 <= index < node.count:
            raise IndexError(f"{index} is outside a space of {node.count} points")
        raw = 0
        strides = iter(self._grid.strides)
        while node.children:
            run = bisect_right(node.starts, index) - 1
            child = node.children[run]
            step, index = divmod(index - node.starts[run], child.count)
            raw += (node.firsts[run] + step) * next(strides)
            node = child
        return self._grid[raw + index]

    def __contains__(self, point: object, /) -> bool:
        return isinstance(point, dict) and point in self._grid and not excluded(self._rules, point)


class Streamed:
    """A grid whose points are tested one by one: an excluded place holds None."""

    __slots__ = ("_grid", "_rules", "names", "size")

    def __init__(self, grid: Grid, rules: Sequence[Rule]) -> None:
        self._grid = grid
        self._rules = tuple(rules)
        self.names = grid.names
        self.size: int | None = grid.size

    def __getitem__(self, index: int, /) -> Point | None:
        point = self._grid[index]
        return None if excluded(self._rules, point) else point


def without(grid: Grid, rules: Sequence[Rule]) -> ParameterSpace | Positions:
    """Leave points out of a grid.

    Returns
    -------
    ParameterSpace | Positions
        A space of the kept points in the grid's order, or, when counting them would mean to look at
        more than :data:`COUNTED_COMBINATIONS` combinations, a :class:`Streamed` one.

    Raises
    ------
    BadExpression
        A rule can't decide for some combination of values.
    """
    if not rules:
        return grid
    walks = [rule.walk(grid) for rule in rules]
    if any(walk.cost() > COUNTED_COMBINATIONS for walk in walks):
        return Streamed(grid, rules)
    try:
        root = _Counter(grid, walks).root()
    except _TooMany:
        return Streamed(grid, rules)
    return grid if root.count == grid.size else Kept(grid, rules, root)
