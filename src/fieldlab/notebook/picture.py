"""A picture of how far a campaign is: a heat map over two of its parameters, as SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from fieldlab.domain.ids import canonical
from fieldlab.domain.trials import TrialState

if TYPE_CHECKING:
    from fieldlab.domain.ids import Value
    from fieldlab.domain.parameters import TrialSequence

#: a space with more positions isn't drawn: all its points are gone through
MOST_POSITIONS = 50_000
#: cells along an axis; more values than these share cells
MOST_CELLS = 40
#: of the longer side, px
SIZE_PX = 320
#: RGB of cells: nothing done yet, all succeeded, all failed
_UNTOUCHED, _SUCCEEDED, _FAILED = (226, 226, 232), (27, 108, 168), (200, 55, 45)

Cell = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One side of the picture."""

    name: str
    #: ascending
    values: Sequence[float]

    @property
    def cells(self) -> int:
        """Cells along this side."""
        return min(len(self.values), MOST_CELLS)

    def cell(self, value: float) -> int:
        """Tell in which cell a value lies: one of its own, or one of equal widths."""
        if len(self.values) <= MOST_CELLS:
            return self.values.index(value)
        first, last = self.values[0], self.values[-1]
        return min(int((value - first) / (last - first) * MOST_CELLS), MOST_CELLS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressMap:
    """The cells of a space, and where its trials lie."""

    across: Axis
    up: Axis
    #: by the point as canonical JSON
    cells: Mapping[str, Cell]
    #: trials in all, by cell
    trials: Mapping[Cell, int]

    def svg(self, counts: Iterable[tuple[str, str, int]]) -> str:
        """Draw how far each cell is.

        Parameters
        ----------
        counts
            Trials by point (canonical JSON) and state; points of other spaces don't count.
        """
        succeeded: Counter[Cell] = Counter()
        failed: Counter[Cell] = Counter()
        ended = {TrialState.SUCCEEDED: succeeded, TrialState.FAILED: failed}
        for point, state, number in counts:
            if point in self.cells and state in ended:
                ended[TrialState(state)][self.cells[point]] += number
        wide, high = self.across.cells, self.up.cells
        side = max(SIZE_PX // max(wide, high), 4)
        squares = "".join(
            f'<rect x="{x * side}" y="{(high - 1 - y) * side}" width="{side}" height="{side}"'
            f' fill="{_colour(succeeded[x, y], failed[x, y], number)}"/>'
            for (x, y), number in sorted(self.trials.items())
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide * side}" height="{high * side}"'
            f' role="img" aria-label="{escape(self._caption())}">{squares}</svg>'
            f'<div style="font-size:smaller">{escape(self._caption())}</div>'
        )

    def _caption(self) -> str:
        return f"→ {_span(self.across)}   ↑ {_span(self.up)}"


def progress_map(sequence: TrialSequence) -> ProgressMap | None:
    """Lay out the space of a campaign; None if it is too large, or hasn't two axes of numbers."""
    if sequence.positions is None or sequence.positions > MOST_POSITIONS:
        return None
    points = [trial.parameters for _, trial in sequence.run(0, sequence.positions) if trial]
    axes = [axis for name in sequence.names if (axis := _axis(name, points)) is not None]
    if len(axes) < 2:
        return None
    largest = sorted(axes, key=lambda axis: -len(axis.values))[:2]
    across, up = (axis for axis in axes if axis in largest)
    cells = {
        canonical(point): (across.cell(_number(point, across)), up.cell(_number(point, up)))
        for point in points
    }
    trials = Counter(cells[canonical(point)] for point in points)
    return ProgressMap(across=across, up=up, cells=cells, trials=trials)


def _axis(name: str, points: Sequence[Mapping[str, Value]]) -> Axis | None:
    """Make an axis of a parameter that has several numbers, and nothing else."""
    values = [point[name] for point in points]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    numbers = sorted({float(value) for value in values if value is not None})
    return Axis(name=name, values=numbers) if len(numbers) > 1 else None


def _number(point: Mapping[str, Value], axis: Axis) -> float:
    value = point[axis.name]
    assert isinstance(value, int | float)
    return float(value)


def _colour(succeeded: int, failed: int, trials: int) -> str:
    done = succeeded + failed
    end = _mixed(_SUCCEEDED, _FAILED, failed / done if done else 0.0)
    # what has only begun is to be seen, too
    share = 0.25 + 0.75 * min(done / trials, 1.0) if done else 0.0
    red, green, blue = _mixed(_UNTOUCHED, end, share)
    return f"rgb({red:.0f},{green:.0f},{blue:.0f})"


def _mixed(
    one: tuple[float, float, float], other: tuple[float, float, float], share: float
) -> tuple[float, float, float]:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def _span(axis: Axis) -> str:
    return f"{axis.name} {axis.values[0]:g} … {axis.values[-1]:g}"
