"""Tables and consoles, from rich. Imported where a command shows a table: rich takes its time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import RenderableType
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
