"""Parameter spaces: from what a definition says to an indexable sequence of trials.

The classes live next door (:mod:`~fieldlab.domain.spaces`, :mod:`~fieldlab.domain.filtering`,
:mod:`~fieldlab.domain.sampling`); this is where they are put together. Nothing is ever written down
in proportion to a space: one of 10^15 points costs bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fieldlab.domain.assembly import assemble
from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import Point, fingerprint
from fieldlab.domain.permutation import Permutation
from fieldlab.domain.sampling import QuasiSource, Sample, UnitSequence
from fieldlab.domain.spaces import Grid, Joined, Listed, ParameterSpace, Positions

__all__ = [
    "Grid",
    "Joined",
    "Listed",
    "ParameterSpace",
    "Positions",
    "QuasiSource",
    "Sample",
    "TrialPoint",
    "TrialSequence",
    "UnitSequence",
    "points",
    "sequence_from",
]


#: trials that one sequence may have; the database counts them in 63 bits
MOST_POSITIONS = 10**18


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """What one trial is: its parameters, and which repeat of them (counted from 1)."""

    parameters: Point
    repeat: int

    @property
    def fingerprint(self) -> str:
        """The trial's identity, see :func:`fieldlab.domain.ids.fingerprint`."""
        return fingerprint(self.parameters, self.repeat)


class TrialSequence:
    """The trials of a space, by position; make one with :func:`sequence_from`.

    ``sequence[position]`` is always the same trial: it takes no state, so any process can continue
    where another stopped.

    Attributes
    ----------
    names
        All parameters.
    repeat
        How often each point is run; position p is repeat ``p % repeat + 1`` of point
        ``p // repeat``, unless the sequence is shuffled.
    total
        Number of trials; None when it isn't known in advance.
    positions
        Number of positions to visit; None when they never end.
    streams
        Whether exclusions are decided point by point: an excluded position then holds None.
    limit
        When set, stop after so many trials: positions go on beyond them.
    """

    __slots__ = (
        "_order",
        "_source",
        "limit",
        "names",
        "positions",
        "repeat",
        "streams",
        "total",
    )

    def __init__(
        self,
        source: ParameterSpace | Positions,
        *,
        repeat: int = 1,
        shuffle_seed: int | None = None,
        streams: bool = False,
        limit: int | None = None,
    ) -> None:
        size = source.size
        self._source = source
        self.names = source.names
        self.repeat = repeat
        self.positions = None if size is None else size * repeat
        self.streams = streams
        self.total = None if streams else self.positions
        self.limit = limit
        self._order: Permutation | None = None
        if shuffle_seed is not None and self.positions:
            self._order = Permutation(self.positions, shuffle_seed, "order")

    def __getitem__(self, position: int, /) -> TrialPoint | None:
        """Give the trial at a position, or None where it turns out to be excluded.

        Raises
        ------
        IndexError
            There is no such position.
        BadExpression
            An exclusion that is decided while running can't decide for this point.
        """
        if position < 0 or (self.positions is not None and position >= self.positions):
            raise IndexError(f"{position} is outside a sequence of {self.positions} positions")
        if self._order is not None:
            position = self._order[position]
        index, before = divmod(position, self.repeat)
        point = self._source[index]
        return None if point is None else TrialPoint(point, before + 1)

    def run(self, start: int, stop: int) -> Iterator[tuple[int, TrialPoint | None]]:
        """Give positions and trials from ``start`` to before ``stop``, faster than one by one."""
        if self.positions is not None:
            stop = min(stop, self.positions)
        source, repeat = self._source, self.repeat
        if self._order is not None or not isinstance(source, ParameterSpace):
            for position in range(start, stop):
                yield position, self[position]
        elif repeat == 1:
            for position, point in enumerate(source.run(start, stop), start):
                yield position, TrialPoint(point, 1)
        else:
            frames = source.run(start // repeat, -(-stop // repeat))
            for index, point in enumerate(frames, start // repeat):
                first = index * repeat
                for position in range(max(start, first), min(stop, first + repeat)):
                    yield position, TrialPoint(point.copy(), position - first + 1)


def points(
    sequence: TrialSequence, start: int, stop: int
) -> Iterator[tuple[int, TrialPoint | None]]:
    """Give the positions from ``start`` to before ``stop`` with their trials, in one go."""
    return sequence.run(start, stop)


def sequence_from(space: Mapping[str, Any], *, quasi: QuasiSource | None = None) -> TrialSequence:
    """Read a definition's ``space``.

    Parameters
    ----------
    space
        Plain data with any of these keys; without any it is one trial with no parameters.

        ``matrix``
            Axes by name (see :func:`fieldlab.domain.axis_reading.read_axis`), every combination, in
            the order of the names, the last one changing fastest.
        ``zip``
            A list of groups of axes that move in step; groups multiply, after the matrix.
        ``include``
            Further points, appended; one that is there already isn't run twice.
        ``exclude``
            Expressions, and points with the values of some or all parameters. It has the last word,
            over ``include`` too.
        ``blocks``
            Several of the above (each with ``matrix``, ``zip``, ``include``, ``exclude``) joined,
            no point twice, instead of ``matrix`` and ``zip`` beside it.
        ``sample``
            ``count``, ``seed`` and ``method`` (see :mod:`fieldlab.domain.sampling`): random points
            of the space, included ones among them, without repetition.
        ``repeat``
            How often every point is run.
        ``submitted``
            Names of parameters, instead of all else: the points come one by one while it runs, and
            are in the database alone; the sequence is empty.
        ``order``, ``seed``
            ``sequential`` or ``shuffled``; ``seed`` is also that of a sample that has none.
    quasi
        Makes the sequences that need more than the standard library, for ``method: sobol``.

    Raises
    ------
    BadInput
        Something in it is wrong; ``problems`` lists everything that is, each with its key.
    """
    assembled = assemble(space, quasi)
    sequence = TrialSequence(
        assembled.source,
        repeat=assembled.repeat,
        shuffle_seed=assembled.shuffle_seed,
        streams=assembled.streams,
        limit=assembled.limit,
    )
    _require_countable(sequence)
    return sequence


def _require_countable(sequence: TrialSequence) -> None:
    if (sequence.positions or 0) > MOST_POSITIONS:
        raise BadInput(
            f"The space has more than {MOST_POSITIONS:.0e} trials, which can't be numbered",
            remedy="Draw from it with `sample: {count: …}`, or leave axes out",
            key=("space",),
        )
