"""Tables and consoles, from rich. Imported where a command shows a table: rich takes its time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fieldlab.cli.output import STATE_COLOURS
from fieldlab.notebook.consoles import console

__all__ = ["console", "facts", "styled_state", "table"]


def table(columns: Sequence[str], right: Iterable[str] = ()) -> Table:
    """Make an empty table.

    Parameters
    ----------
    columns
        Their headings. What is too wide is folded, never cut.
    right
        Those whose cells are numbers, and stand to the right.
    """
    made = Table(box=box.SIMPLE, pad_edge=False, header_style="bold")
    numbers = set(right)
    for name in columns:
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return made


def print_fitted(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    right: Iterable[str] = (),
    spare: Sequence[str] = (),
) -> Sequence[str]:
    """Print a table, a line to a row; without the ``spare`` columns where the screen is narrow.

    They go one after the other, as few as possible. What remains is never folded nor cut.

    Returns
    -------
    Sequence[str]
        The columns that were left out.
    """
    screen, wide = console().width, console()
    wide.whole = True
    made, gone = _made(columns, rows, right, ()), spare[:0]
    for number in range(1, len(spare) + 1):
        if Measurement.get(wide, wide.options, made).maximum <= screen:
            break
        gone = spare[:number]
        made = _made(columns, rows, right, gone)
    print_whole(made)
    return gone


def _made(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    right: Iterable[str],
    gone: Sequence[str],
) -> Table:
    places = [place for place, name in enumerate(columns) if name not in gone]
    made = table([columns[place] for place in places], right)
    for row in rows:
        made.add_row(*(row[place] for place in places))
    return made


def print_whole(made: Table) -> None:
    """Print a table as wide as it is: a terminal that is narrower folds it, and nothing is cut."""
    for column in made.columns:
        column.no_wrap = True
    out = console()
    out.whole = True
    out.print(made, crop=False)


def shortened(text: str, width: int) -> str:
    """Cut a text to a width, with an ellipsis."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def facts(pairs: Iterable[tuple[str, RenderableType]]) -> Table:
    """Lay out names and what is to be said about each as wide as the screen, to be drawn again."""
    made = Table.grid(padding=(0, 2), pad_edge=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, said in pairs:
        if said:
            made.add_row(name, said)
    return made


def styled_state(state: str) -> Text:
    """Write a campaign's state in its colour."""
    return Text(state, style=STATE_COLOURS.get(state, ""))
