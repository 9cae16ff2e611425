"""Consoles, from rich. Imported where something is shown with it: rich takes its time."""

from __future__ import annotations

import os
import sys

from rich.console import Console, ConsoleOptions

#: width of what isn't read on a terminal: nothing is to be cut off there
_WIDE = 10_000


class _Console(Console):
    """A console that leaves a margin, in columns, at the right end of the screen."""

    margin = 0

    @property
    def options(self) -> ConsoleOptions:
        return super().options.update_width(max(self.width - self.margin, 1))

    def on_broken_pipe(self) -> None:
        """Leave it to the caller, as every other write does."""
        raise BrokenPipeError


def console(*, stderr: bool = False, margin: int = 0) -> Console:
    """Make a console for stdout or stderr; colours and the screen's width on a terminal only."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else _WIDE
    made = _Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)
    made.margin = margin
    return made
